//! Names, labels and the owner of every object, and the hash of what was built.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
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

/// The object with the hash of its content noted, so that a field that is no longer built
/// is noticed.
pub fn hashed<K: ResourceExt + Serialize>(object: K) -> K {
    let hash = hash::of(&object);
    noted(object, hash)
}

pub fn noted<K: ResourceExt>(mut object: K, hash: String) -> K {
    object.annotations_mut().insert(names::APPLIED_HASH.into(), hash);
    object
}
