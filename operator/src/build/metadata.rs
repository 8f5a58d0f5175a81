//! Names, labels and the owner of every object, and the hash of what was built.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::ResourceExt;
use serde::Serialize;

use crate::{hash, names, validate::Validated};

/// The metadata of an object of this name; it goes when the PoolerCluster goes.
pub fn owned(checked: &Validated, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(checked.namespace.clone()),
        labels: Some(names::labels(&checked.name)),
        owner_references: Some(vec![checked.owner.clone()]),
        ..ObjectMeta::default()
    }
}

/// The same for one that stays when the PoolerCluster goes.
pub fn unowned(checked: &Validated, name: String) -> ObjectMeta {
    ObjectMeta { owner_references: None, ..owned(checked, name) }
}

/// The same with the ledger's fence that it is built from.
pub fn fenced(checked: &Validated, name: String, fence: u64) -> ObjectMeta {
    let annotations = [(names::LEDGER_FENCE.to_owned(), fence.to_string())].into();
    ObjectMeta { annotations: Some(annotations), ..owned(checked, name) }
}

/// The object with the hash of its content noted, so that a field that is no longer built
/// is noticed.
pub fn hashed<K: ResourceExt + Serialize>(object: K) -> K {
    let hash = hash::of(&object);
    noted(object, hash)
}

/// A Secret of this name. The hash that it carries is of its keys only: no metadata follows
/// what is secret.
pub fn secret(checked: &Validated, name: String, data: BTreeMap<String, ByteString>) -> Secret {
    let keys = hash::of(&data.keys().collect::<Vec<_>>());
    let secret = Secret {
        metadata: owned(checked, name),
        data: Some(data),
        type_: Some("Opaque".into()),
        ..Secret::default()
    };
    noted(secret, keys)
}

fn noted<K: ResourceExt>(mut object: K, hash: String) -> K {
    object.annotations_mut().insert(names::APPLIED_HASH.into(), hash);
    object
}
