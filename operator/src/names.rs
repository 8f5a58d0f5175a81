//! Names, labels and annotations of what the operator makes. It makes nothing itself.

use std::collections::BTreeMap;

use kube::ResourceExt;

pub const MANAGER: &str = "poolwright-operator";
pub const NAME: &str = "app.kubernetes.io/name";
pub const INSTANCE: &str = "app.kubernetes.io/instance";
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
pub const POOLER: &str = "poolwright-pooler";

/// Set on a PoolerCluster it restarts the pods, one after the other.
pub const RESTARTED_AT: &str = "poolwright.dev/restartedAt";
/// Set on a PoolerCluster it makes the pods anew from what this operator brings.
pub const UPGRADED_AT: &str = "poolwright.dev/upgradedAt";
/// On a StatefulSet: what an operator brought to its template.
pub const MADE_FROM: &str = "poolwright.dev/made-from";
/// On a pod: the language of the settings that it reads, where that is known.
pub const LANGUAGE: &str = "poolwright.dev/settings-language";
/// On the settings, as JSON: by image, the language that its pods have said to read.
pub const IMAGE_LANGUAGES: &str = "poolwright.dev/image-languages";
/// On a pod: the hash of the template that it was made from.
pub const TEMPLATE_HASH: &str = "poolwright.dev/template-hash";
/// On every object: the hash of what was last applied.
pub const APPLIED_HASH: &str = "poolwright.dev/applied-hash";
/// On a PoolerCluster: another value changes the authority of its control channel. On the Secret
/// with the authority: the value that was answered.
pub const CHANGE_AUTHORITY: &str = "poolwright.dev/changeAuthority";
/// On what a floor or a number of pods comes into force by: the ledger's fence when it was applied.
pub const LEDGER_FENCE: &str = "poolwright.dev/ledger-fence";
/// On the Secret with the authority, RFC 3339: when leaves are renewed, when the authority is
/// changed, and when a change began that goes on.
pub const RENEW_AT: &str = "poolwright.dev/renew-at";
pub const CHANGE_AT: &str = "poolwright.dev/change-at";
pub const CHANGED_AT: &str = "poolwright.dev/changed-at";

pub fn headless_service(cluster: &str) -> String {
    format!("{cluster}-pods")
}

pub fn settings(cluster: &str) -> String {
    format!("{cluster}-settings")
}

pub fn credentials(cluster: &str) -> String {
    format!("{cluster}-credentials")
}

/// The Secret with the pods' certificate for the control channel.
pub fn control(cluster: &str) -> String {
    format!("{cluster}-control")
}

/// The Secret with the authority of the control channel, which no pod mounts.
pub fn authority(cluster: &str) -> String {
    format!("{cluster}-authority")
}

/// The ConfigMap that says what each pod may hold.
pub fn ledger(cluster: &str) -> String {
    format!("{cluster}-ledger")
}

/// The ledger's fence that an object was applied with; 0: before there was one.
pub fn fence(object: &impl ResourceExt) -> u64 {
    let fence = object.annotations().get(LEDGER_FENCE);
    fence.and_then(|fence| fence.parse().ok()).unwrap_or(0)
}

/// What the pods are called in their certificate: only they answer to it.
pub fn server_name(cluster: &str, namespace: &str) -> String {
    format!("{cluster}.{namespace}.pooler.poolwright.dev")
}

pub fn network_policy(cluster: &str) -> String {
    format!("{cluster}-pooler")
}

pub fn service_account(cluster: &str) -> String {
    format!("{cluster}-pooler")
}

/// The labels by which Services and the StatefulSet find the pods.
pub fn selector(cluster: &str) -> BTreeMap<String, String> {
    [(NAME, POOLER), (INSTANCE, cluster)].map(|(key, value)| (key.into(), value.into())).into()
}

/// The same as text, for autoscalers and lists.
pub fn selector_text(cluster: &str) -> String {
    let labels = selector(cluster);
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// The labels of everything that belongs to a PoolerCluster.
pub fn labels(cluster: &str) -> BTreeMap<String, String> {
    let mut labels = selector(cluster);
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    labels
}

/// The selector of everything that the operator made.
pub fn managed() -> String {
    format!("{MANAGED_BY}={MANAGER}")
}
