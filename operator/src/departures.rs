//! Pods that exist no longer: which of them are known to have ended. It holds what the watch showed
//! and asks nobody.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::pods;

/// How long after its end a pod is remembered: until its ledger has it, and much longer.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// A pod whose end nobody saw is taken for ended when the server has shown none of its connections
/// for so long.
const UNSEEN: Duration = Duration::from_secs(300);

#[derive(Default)]
pub struct Departures(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    /// By uid: when the pod was seen to have ended, and whether it had closed all.
    ended: HashMap<String, (Instant, bool)>,
    /// By uid: since when the pod is missing and the server shows nothing of it.
    missing: HashMap<String, Instant>,
}

impl Departures {
    /// Takes in a pod as the watch shows it; the last that it shows is how the pod ended.
    pub fn note(&self, pod: &Pod) {
        let Some(uid) = pod.uid().filter(|_| pods::has_ended(pod)) else { return };
        let now = Instant::now();
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.ended.retain(|_, (since, _)| now.duration_since(*since) < REMEMBERED);
        seen.ended.insert(uid, (now, pods::has_closed_all(pod)));
    }

    /// Which of the pods in question had closed all their connections when they ended.
    pub fn closed(&self, missing: &[&str]) -> BTreeSet<String> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has_closed = |uid: &&str| seen.ended.get(*uid).is_some_and(|(_, closed)| *closed);
        missing.iter().copied().filter(has_closed).map(str::to_owned).collect()
    }

    /// Which of the pods in question have ended. `quiet`: the server was looked at and shows nothing
    /// that may be theirs.
    pub fn ended(&self, missing: &[&str], quiet: bool, now: Instant) -> BTreeSet<String> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Seen { ended, missing: since } = &mut *seen;
        let has_ended = |uid: &&str| {
            if ended.contains_key(*uid) {
                return true;
            }
            if !quiet {
                since.remove(*uid);
                return false;
            }
            let first = since.entry((*uid).to_owned()).or_insert(now);
            now.duration_since(*first) >= UNSEEN
        };
        let found: BTreeSet<_> =
            missing.iter().copied().filter(has_ended).map(str::to_owned).collect();
        since.retain(|uid, _| !found.contains(uid));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{
        ContainerState, ContainerStateTerminated, ContainerStatus, PodStatus,
    };

    fn pod(phase: &str) -> Pod {
        let mut pod = Pod::default();
        pod.metadata.uid = Some("u1".into());
        pod.status = Some(PodStatus { phase: Some(phase.into()), ..PodStatus::default() });
        pod
    }

    fn exited(exit_code: i32) -> Pod {
        let terminated =
            Some(ContainerStateTerminated { exit_code, ..ContainerStateTerminated::default() });
        let state = Some(ContainerState { terminated, ..ContainerState::default() });
        let container = ContainerStatus { state, ..ContainerStatus::default() };
        let mut pod = pod("Failed");
        pod.status.as_mut().unwrap().container_statuses = Some(vec![container]);
        pod
    }

    #[test]
    fn a_pod_that_was_seen_to_end_has_ended() {
        let departures = Departures::default();
        let now = Instant::now();
        departures.note(&pod("Running"));
        assert!(departures.ended(&["u1"], false, now).is_empty());
        departures.note(&pod("Succeeded"));
        assert_eq!(departures.ended(&["u1", "u2"], false, now), BTreeSet::from(["u1".into()]));
        assert_eq!(departures.closed(&["u1", "u2"]), BTreeSet::from(["u1".into()]));
        departures.note(&exited(1));
        assert_eq!(departures.ended(&["u1"], false, now), BTreeSet::from(["u1".into()]));
        assert!(departures.closed(&["u1"]).is_empty(), "it ended with an error");
    }

    #[test]
    fn a_pod_whose_end_nobody_saw_must_be_quiet_for_long() {
        let departures = Departures::default();
        let start = Instant::now();
        let ended = |quiet, after| !departures.ended(&["u1"], quiet, start + after).is_empty();
        assert!(!ended(true, Duration::ZERO));
        assert!(!ended(false, UNSEEN / 2));
        assert!(!ended(true, UNSEEN), "it was seen again meanwhile");
        assert!(ended(true, UNSEEN * 2));
    }
}
