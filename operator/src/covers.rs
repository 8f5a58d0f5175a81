//! Whether a live object already is what would be applied. It compares values and never
//! asks the cluster.

use kube::ResourceExt;
use serde::Serialize;
use serde_json::Value;

use crate::names;

/// Whether applying `desired` would change nothing in `live`: it was made from the same
/// template (so nothing that we set then is left over), and every field still holds.
pub fn same<K: ResourceExt + Serialize>(live: &K, desired: &K) -> bool {
    let hash = |object: &K| object.annotations().get(names::APPLIED_HASH).cloned();
    let value = |object: &K| serde_json::to_value(object).unwrap_or(Value::Null);
    hash(live) == hash(desired) && covers(&value(live), &value(desired))
}

/// Whether every field of `desired` stands in `live`. The API server and other controllers
/// may have added fields and list elements of their own.
fn covers(live: &Value, desired: &Value) -> bool {
    match (live, desired) {
        (Value::Object(live), Value::Object(desired)) => desired.iter().all(|(key, value)| {
            live.get(key).map_or_else(|| is_empty(value), |live| covers(live, value))
        }),
        (Value::Array(live), Value::Array(desired)) => {
            desired.iter().all(|value| live.iter().any(|live| covers(live, value)))
        }
        (live, desired) => live == desired,
    }
}

/// What the API server may drop when it stores an object.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(flag) => !flag,
        Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(live: &Value, desired: &Value, expect: bool) {
        assert_eq!(covers(live, desired), expect, "{live} {desired}");
    }

    #[test]
    fn what_others_added_does_not_matter() {
        check(&json!({"a": 1, "b": 2}), &json!({"a": 1}), true);
        check(&json!([{"name": "x", "y": 1}, {"name": "z"}]), &json!([{"name": "x"}]), true);
        check(&json!({}), &json!({"a": false, "b": [], "c": null}), true);
    }

    #[test]
    fn what_somebody_changed_or_removed_is_seen() {
        check(&json!({"a": 2}), &json!({"a": 1}), false);
        check(&json!({}), &json!({"a": 1}), false);
        check(&json!([{"name": "z"}]), &json!([{"name": "x"}]), false);
        check(&json!({"a": null}), &json!({"a": {"b": 1}}), false);
    }
}
