//! What a pod tells about itself: its ordinal, its template, whether it serves. It never
//! judges a pod by its age or load.

use std::net::SocketAddr;

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ContainerStatus, Pod},
};
use kube::ResourceExt;
use poolwright_settings::language;

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

/// Why the pod cannot get ready by itself, as its container's status says it: the same words for
/// as long as that lasts, though the container's state goes to and fro meanwhile.
pub fn trouble(pod: &Pod) -> Option<String> {
    let containers =
        pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    containers.filter(|it| !it.ready).find_map(container_trouble)
}

fn container_trouble(status: &ContainerStatus) -> Option<String> {
    let waiting = status.state.as_ref().and_then(|state| state.waiting.as_ref());
    let reason = waiting.and_then(|it| it.reason.as_deref()).unwrap_or_default();
    let ended = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    match (reason, ended) {
        ("ErrImagePull" | "ImagePullBackOff", _) => {
            Some(format!("ImagePullBackOff: the image {:?} cannot be pulled", status.image))
        }
        ("InvalidImageName", _) => Some(format!("{reason}: {:?}", status.image)),
        ("ErrImageNeverPull" | "CreateContainerConfigError" | "CreateContainerError", _) => {
            let said = waiting.and_then(|it| it.message.as_deref()).unwrap_or_default();
            Some(format!("{reason}: {said}"))
        }
        (_, Some(ended)) if status.restart_count > 0 => {
            let reason = ended.reason.as_deref().unwrap_or("Error");
            Some(format!("{reason}: its container ended with exit code {}", ended.exit_code))
        }
        _ => None,
    }
}

/// Where this port of the pod is.
pub fn address(pod: &Pod, port: i32) -> Option<SocketAddr> {
    let ip = pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?;
    Some(SocketAddr::new(ip, u16::try_from(port).ok()?))
}

pub fn has_address(pod: &Pod) -> bool {
    pod.status.as_ref().is_some_and(|status| status.pod_ip.is_some())
}

/// Whether the pod's process has ended for good: its node says so. (A pod whose node is gone is said
/// to have failed by others.)
pub fn has_ended(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let mut containers = status.container_statuses.iter().flatten();
    let ends = |it: &ContainerStatus| it.state.as_ref().is_some_and(|it| it.terminated.is_some());
    matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) && containers.all(ends)
}

/// Whether the pod's process has ended, and closed all its server connections before: it ends
/// without an error only then. One that was started anew in its pod may have left some.
pub fn has_closed_all(pod: &Pod) -> bool {
    let mut containers =
        pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let exit = |it: &ContainerStatus| Some(it.state.as_ref()?.terminated.as_ref()?.exit_code);
    has_ended(pod) && containers.all(|it| it.restart_count == 0 && exit(it) == Some(0))
}

/// Whether the pod was told to end.
pub fn is_ending(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Whether the pod was made from the template with this hash.
pub fn has_template(pod: &Pod, hash: &str) -> bool {
    pod.annotations().get(names::TEMPLATE_HASH).is_some_and(|found| found == hash)
}

/// The image of the pod's container, as it was asked for.
pub fn image(pod: &Pod) -> &str {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers.filter_map(|it| it.image.as_deref()).next().unwrap_or_default()
}

/// The language of the settings that the pod reads, as it was noted.
pub fn language(pod: &Pod) -> u32 {
    let told = pod.annotations().get(names::LANGUAGE).and_then(|text| text.parse().ok());
    told.unwrap_or(language::OLDEST)
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[track_caller]
    fn check(status: &Value, expect: Option<&str>) {
        let mut container = json!({"name": "pooler", "image": "a/b:1", "imageID": "",
            "ready": false, "restartCount": 0});
        let fields = status.as_object().unwrap().clone();
        container.as_object_mut().unwrap().extend(fields);
        let pod =
            json!({"metadata": {"name": "a-0"}, "status": {"containerStatuses": [container]}});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        assert_eq!(trouble(&pod).as_deref(), expect);
    }

    fn waiting(reason: &str) -> Value {
        json!({"state": {"waiting": {"reason": reason, "message": "after 10s"}}})
    }

    #[test]
    fn an_image_that_cannot_be_pulled_is_told_in_the_same_words_throughout() {
        let expect = Some("ImagePullBackOff: the image \"a/b:1\" cannot be pulled");
        check(&waiting("ErrImagePull"), expect);
        check(&waiting("ImagePullBackOff"), expect);
        check(&waiting("ContainerCreating"), None);
        check(&json!({}), None);
    }

    #[test]
    fn a_container_that_ends_again_and_again_is_told_with_its_exit_code() {
        let ended = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
        let running = json!({"running": {}});
        let expect = Some("OOMKilled: its container ended with exit code 137");
        check(&json!({"restartCount": 1, "state": running, "lastState": ended}), expect);
        check(&json!({"restartCount": 1, "ready": true, "lastState": ended}), None);
    }
}
