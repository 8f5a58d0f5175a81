//! Whether a live object already is what would be applied. It compares values and never
//! asks the cluster.

use kube::ResourceExt;
use serde::Serialize;
use serde_json::Value;

use crate::{names, quantity};

/// Fields that hold amounts by resource.
const AMOUNTS: [&str; 2] = ["requests", "limits"];

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
            let covers = if AMOUNTS.contains(&key.as_str()) { covers_amounts } else { covers };
            live.get(key).map_or_else(|| is_empty(value), |live| covers(live, value))
        }),
        (Value::Array(live), Value::Array(desired)) => {
            desired.iter().all(|value| live.iter().any(|live| covers(live, value)))
        }
        (live, desired) => live == desired,
    }
}

/// The API server writes an amount in its own way.
fn covers_amounts(live: &Value, desired: &Value) -> bool {
    let (Some(live), Some(desired)) = (live.as_object(), desired.as_object()) else {
        return covers(live, desired);
    };
    desired.iter().all(|(name, amount)| match (live.get(name), amount) {
        (Some(Value::String(live)), Value::String(amount)) => quantity::same(live, amount),
        (live, amount) => live == Some(amount),
    })
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
    fn an_amount_is_the_same_however_it_is_written() {
        let desired = json!({"limits": {"cpu": "0.5", "memory": "1024Mi"}});
        check(&json!({"limits": {"cpu": "500m", "memory": "1Gi"}}), &desired, true);
        check(&json!({"limits": {"cpu": "500m", "memory": "2Gi"}}), &desired, false);
        check(&json!({"limits": {"cpu": "500m"}}), &desired, false);
        check(&json!({"value": "500m"}), &json!({"value": "0.5"}), false);
    }

    #[test]
    fn what_somebody_changed_or_removed_is_seen() {
        check(&json!({"a": 2}), &json!({"a": 1}), false);
        check(&json!({}), &json!({"a": 1}), false);
        check(&json!([{"name": "z"}]), &json!([{"name": "x"}]), false);
        check(&json!({"a": null}), &json!({"a": {"b": 1}}), false);
    }
}
