//! The CustomResourceDefinition as the file that `kubectl apply -f crds/` takes.

use kube::CustomResourceExt;
use serde_yaml::Value;

use crate::spec::PoolerCluster;

/// The text of `crds/poolerclusters.yaml`.
///
/// # Panics
/// If the definition cannot be written as YAML, which its types rule out.
pub fn poolerclusters() -> String {
    let mut definition = serde_yaml::to_value(PoolerCluster::crd()).expect("a CRD is plain YAML");
    without_null(&mut definition);
    let definition = serde_yaml::to_string(&definition).expect("plain YAML");
    format!("# Generated: cargo run -p poolwright-crds > crds/poolerclusters.yaml\n{definition}")
}

/// A null means that the field is not there, so the API server is to drop it. Where a schema takes
/// null for a value, the rules would see it, and `kubectl get` would show it.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Mapping(fields) => {
            if fields.get("nullable") == Some(&Value::Bool(true)) {
                fields.shift_remove("nullable");
            }
            if let Some(Value::Sequence(words)) = fields.get_mut("enum") {
                words.retain(|word| !word.is_null());
            }
            fields.values_mut().for_each(without_null);
        }
        Value::Sequence(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}
