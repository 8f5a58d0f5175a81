//! What a pod tells about itself: its ordinal, its template, whether it serves. It never
//! judges a pod by its age or load.

use std::net::SocketAddr;

use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Pod};
use kube::ResourceExt;

use crate::names;

/// The number at the end of the pod's name.
pub fn ordinal(pod: &Pod) -> Option<u32> {
    pod.metadata.name.as_deref()?.rsplit_once('-')?.1.parse().ok()
}

pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ready = conditions.filter(|it| it.type_ == "Ready").any(|it| it.status == "True");
    ready && !is_ending(pod)
}

/// Where this port of the pod is.
pub fn address(pod: &Pod, port: i32) -> Option<SocketAddr> {
    let ip = pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?;
    Some(SocketAddr::new(ip, u16::try_from(port).ok()?))
}

/// Whether the pod was told to end.
pub fn is_ending(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Whether the pod was made from the template with this hash.
pub fn has_template(pod: &Pod, hash: &str) -> bool {
    pod.annotations().get(names::TEMPLATE_HASH).is_some_and(|found| found == hash)
}

/// The uid of the StatefulSet that made the pod.
pub fn stateful_set(pod: &Pod) -> Option<&str> {
    let owner = pod.owner_references().iter().find(|owner| owner.controller == Some(true))?;
    (owner.kind == "StatefulSet").then_some(owner.uid.as_str())
}

/// Whether the StatefulSet's controller has seen the newest spec.
pub fn has_caught_up(set: &StatefulSet) -> bool {
    let seen = set.status.as_ref().and_then(|status| status.observed_generation);
    seen.is_some() && seen >= set.metadata.generation
}
