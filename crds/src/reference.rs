//! The reference page of the PoolerCluster, from the schema that the API server enforces. It
//! holds no fact of its own about a field.

use kube::CustomResourceExt;
use serde_json::Value;

use crate::spec::PoolerCluster;

const HEAD: &str = "\
# PoolerCluster

`poolwright.dev/v1alpha1`, short name `pwc`. Generated from the types: `make generate`.
Fields that are not here are refused by `kubectl apply` and server-side apply, and
dropped by the API server where a client does not ask for that.
";

/// The text of `docs/poolercluster.md`.
///
/// # Panics
/// If the definition cannot be written as JSON, which its types rule out.
pub fn markdown() -> String {
    let definition = serde_json::to_value(PoolerCluster::crd()).expect("a CRD is plain JSON");
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    let mut text = HEAD.to_owned();
    for (part, title) in [("spec", "What you declare"), ("status", "What the operator answers")] {
        text.push_str(&format!("\n## {title}\n\n| Field | Type | Default | Meaning |\n"));
        text.push_str("|---|---|---|---|\n");
        fields(part, &schema[part], &mut text);
    }
    text
}

/// One row for each field below `path`.
fn fields(path: &str, schema: &Value, text: &mut String) {
    let required = |name: &str| {
        let names = schema["required"].as_array();
        names.is_some_and(|names| names.iter().any(|it| it == name))
    };
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let place = format!("{path}.{name}");
        let default = match &field["default"] {
            _ if required(name) => "**required**".to_owned(),
            Value::Null => "none".to_owned(),
            Value::Object(_) => "its fields' own".to_owned(),
            Value::String(text) if text.is_empty() => "empty".to_owned(),
            default => format!("`{default}`").replace('"', ""),
        };
        let meaning = field["description"].as_str().unwrap_or_default();
        let meaning = meaning.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
        text.push_str(&format!("| `{place}` | {} | {default} | {meaning} |\n", kind(field)));
        fields(&place, field, text);
        fields(&format!("{place}[]"), &field["items"], text);
    }
}

fn kind(field: &Value) -> String {
    if let Some(words) = field["enum"].as_array() {
        let words = words.iter().filter_map(Value::as_str).map(|word| format!("`{word}`"));
        return words.collect::<Vec<_>>().join(", ");
    }
    // Bounds of numbers are written as floats, whatever the type.
    let bound = |name: &str| field[name].as_f64();
    let bounds = |least: &str, most: &str| match (bound(least), bound(most)) {
        (None, None) => String::new(),
        (None, Some(most)) => format!(", at most {most:.0}"),
        (Some(least), None) => format!(", at least {least:.0}"),
        (Some(least), Some(most)) => format!(", {least:.0}–{most:.0}"),
    };
    match field["type"].as_str() {
        Some("integer") => format!("whole number{}", bounds("minimum", "maximum")),
        Some("string") => format!("text{}", bounds("minLength", "maxLength")),
        Some("array") => format!("list{}", bounds("minItems", "maxItems")),
        Some("object") if field["additionalProperties"].is_object() => {
            format!("texts by name{}", bounds("minProperties", "maxProperties"))
        }
        Some(other) => other.to_owned(),
        None => "any".to_owned(),
    }
}
