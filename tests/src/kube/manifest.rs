//! What tests apply, as JSON: the documented example with changes.
//! Never holds a second copy of the example.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::load::Account;

const EXAMPLE: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/workspaces.yaml"));

/// The PoolerCluster of `examples/workspaces.yaml`, changed.
pub fn pooler_cluster(changes: &[&Value]) -> Result<Value> {
    let mut cluster: Value = serde_yaml::from_str(EXAMPLE).context("examples/workspaces.yaml")?;
    for change in changes {
        merge(&mut cluster, change);
    }
    Ok(cluster)
}

/// Every account's user with its password.
pub fn users(name: &str, accounts: &[Account]) -> Value {
    let users = accounts.iter().map(|it| (it.user.clone(), Value::from(it.password.as_str())));
    let users = users.collect::<Map<_, _>>();
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": users})
}

pub fn config_map(name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

/// Two pods for tenants that are counted in this ConfigMap, by database.
pub fn tenants_from(config_map: &str) -> Value {
    let database = |name: &str| {
        let key = json!({"name": config_map, "key": name});
        json!({"name": name, "tenants": {"configMapKeyRef": key}})
    };
    let databases = super::server::DATABASES.map(database);
    json!({"spec": {"replicas": 2, "maxReplicas": 2, "databases": databases}})
}

/// A namespace in which only pods run that Pod Security calls restricted.
pub fn namespace(name: &str) -> Value {
    let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    let metadata = json!({"name": name, "labels": labels});
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
}

/// A JSON merge patch (RFC 7396): objects are merged, null removes, all else replaces.
pub fn merge(into: &mut Value, changes: &Value) {
    let Value::Object(changes) = changes else {
        *into = changes.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, change) in changes {
        match (change, into.as_object_mut()) {
            (Value::Null, Some(object)) => drop(object.remove(key)),
            _ => merge(&mut into[key.as_str()], change),
        }
    }
}

/// A Secret with these files, under their names.
///
/// # Errors
/// One cannot be read.
pub fn files(name: &str, files: &[&Path]) -> Result<Value> {
    let entry = |file: &&Path| {
        let key = file.file_name().context("a file without a name")?.to_string_lossy();
        Ok((key.into_owned(), std::fs::read_to_string(file)?.into()))
    };
    let data = files.iter().map(entry).collect::<Result<Map<_, _>>>()?;
    let metadata = json!({"name": name});
    Ok(json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_merges_removes_and_replaces() {
        let mut value = json!({"a": {"b": 1, "c": 2}, "d": [1, 2]});
        merge(&mut value, &json!({"a": {"b": null, "e": {"f": 3}}, "d": [4]}));
        assert_eq!(value, json!({"a": {"c": 2, "e": {"f": 3}}, "d": [4]}));
    }

    #[test]
    fn the_example_is_a_pooler_cluster() {
        let cluster = pooler_cluster(&[&json!({"spec": {"replicas": 1}})]).unwrap();
        assert_eq!(cluster["kind"], "PoolerCluster");
        assert_eq!(cluster["spec"]["replicas"], 1);
    }
}
