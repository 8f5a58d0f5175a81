//! The CustomResourceDefinition as the file that `kubectl apply -f crds/` takes.

use kube::CustomResourceExt;

use crate::spec::PoolerCluster;

/// The text of `crds/poolerclusters.yaml`.
///
/// # Panics
/// If the definition cannot be written as YAML, which its types rule out.
pub fn poolerclusters() -> String {
    let definition = serde_yaml::to_string(&PoolerCluster::crd()).expect("a CRD is plain YAML");
    format!("# Generated: cargo run -p poolwright-crds > crds/poolerclusters.yaml\n{definition}")
}
