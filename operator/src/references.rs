//! From an object that changed to the PoolerClusters that it concerns. It reads metadata only.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt, runtime::reflector::ObjectRef};
use poolwright_crds::{PoolerCluster, PoolerClusterSpec};

use crate::names;

/// Kinds that a PoolerCluster may refer to by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    ConfigMap,
    Secret,
}

type Found = Vec<ObjectRef<PoolerCluster>>;

/// The PoolerCluster whose pod this is.
pub fn of_pod(pod: &ObjectMeta) -> Found {
    let instance = pod.labels.as_ref().and_then(|labels| labels.get(names::INSTANCE));
    let reference = instance.map(|name| ObjectRef::new(name).within(namespace(pod)));
    reference.into_iter().collect()
}

/// The PoolerClusters that own this object or refer to it.
pub fn of_object(kind: Kind, object: &ObjectMeta, all: &[Arc<PoolerCluster>]) -> Found {
    let name = object.name.as_deref().unwrap_or_default();
    let owned = owners(object);
    let here = |cluster: &PoolerCluster| cluster.namespace().as_deref() == Some(namespace(object));
    let refer = all.iter().filter(|cluster| here(cluster) && refers(&cluster.spec, kind, name));
    owned.chain(refer.map(|cluster| ObjectRef::from_obj(&**cluster))).collect()
}

/// All PoolerClusters in the namespace of this object.
pub fn of_namespace(object: &ObjectMeta, all: &[Arc<PoolerCluster>]) -> Found {
    let here = all.iter().filter(|it| it.namespace().as_deref() == Some(namespace(object)));
    here.map(|cluster| ObjectRef::from_obj(&**cluster)).collect()
}

/// The names of the objects of one kind that a spec refers to.
pub fn names_of(spec: &PoolerClusterSpec, kind: Kind) -> Vec<&str> {
    match kind {
        Kind::ConfigMap => {
            let keys = spec.databases.iter().map(|database| &database.tenants.config_map_key_ref);
            keys.flatten().map(|key| key.name.as_str()).collect()
        }
        Kind::Secret => {
            let sources = spec.auth.users.iter();
            let refs =
                sources.flat_map(|it| [Some(&it.secret_ref), it.previous_secret_ref.as_ref()]);
            let users = refs.flatten().map(|it| it.name.as_str());
            let ca = spec.server.tls.ca_secret_ref.iter().map(|ca| ca.name.as_str());
            let own = spec.control.certificates.iter();
            let own = own.flat_map(|it| [&it.pods_secret_ref, &it.operator_secret_ref]);
            let clients = spec.client_tls.iter().flat_map(|it| {
                let authority = it.client_ca_secret_ref.as_ref().map(|ca| ca.name.as_str());
                [Some(it.secret_ref.name.as_str()), authority].into_iter().flatten()
            });
            users.chain(ca).chain(clients).chain(own.map(|it| it.name.as_str())).collect()
        }
    }
}

fn refers(spec: &PoolerClusterSpec, kind: Kind, name: &str) -> bool {
    names_of(spec, kind).contains(&name)
}

fn owners(object: &ObjectMeta) -> impl Iterator<Item = ObjectRef<PoolerCluster>> {
    let references = object.owner_references.iter().flatten();
    let ours = references.filter(|owner| owner.kind == PoolerCluster::kind(&()));
    ours.map(|owner| ObjectRef::new(&owner.name).within(namespace(object)))
}

fn namespace(object: &ObjectMeta) -> &str {
    object.namespace.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[track_caller]
    fn check(kind: Kind, namespace: &str, name: &str, expect: &[&str]) {
        let object = ObjectMeta {
            name: Some(name.into()),
            namespace: Some(namespace.into()),
            ..ObjectMeta::default()
        };
        let all = [Arc::new(testing::cluster())];
        let found = of_object(kind, &object, &all);
        assert_eq!(found.iter().map(|found| found.name.as_str()).collect::<Vec<_>>(), expect);
    }

    #[test]
    fn an_object_wakes_who_refers_to_it_and_nobody_else() {
        check(Kind::ConfigMap, "apps", "tenants", &["workspaces"]);
        check(Kind::Secret, "apps", "ws-users", &["workspaces"]);
        check(Kind::Secret, "apps", "tenants", &[]);
        check(Kind::ConfigMap, "elsewhere", "tenants", &[]);
        let mut cluster = testing::cluster();
        cluster.spec.client_tls = Some(testing::client_tls());
        for name in ["app-tls", "clients-ca"] {
            assert!(names_of(&cluster.spec, Kind::Secret).contains(&name), "{name}");
        }
    }
}
