//! Fourth step: how many pods the StatefulSet shall have now, and which one pod may be
//! deleted so that it comes back from the new template. It plans and never deletes.
//!
//! The StatefulSet updates OnDelete: only this plan replaces pods, one at a time, each after
//! the ones before it are ready. A single pod is replaced beside a second one, so that
//! somebody always serves.

use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Pod};
use kube::ResourceExt;

use crate::{live::Live, names, pods};

/// What to do about the pods in this reconcile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roll {
    /// Replicas of the StatefulSet, for now.
    pub replicas: u32,
    /// The pod to delete now.
    pub delete: Option<Doomed>,
    pub phase: Phase,
    /// A pod that cannot get ready by itself, with the reason: what is under way stops at it.
    pub trouble: Option<String>,
}

/// A pod to delete, if it is still the one that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doomed {
    pub name: String,
    pub uid: Option<String>,
    pub resource_version: Option<String>,
}

/// How far the pods are from what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// All pods are there, ready, and of the newest template.
    Settled,
    /// Pods start or end.
    Scaling { ready: u32, wanted: u32 },
    /// Pods of the old template are being replaced.
    Rolling { current: u32, of: u32 },
}

/// Plans for `wanted` pods of the template with hash `template`, at most `max` at once.
pub fn plan(live: &Live, template: &str, wanted: u32, max: u32) -> Roll {
    let pods = Pods::of(live, template, wanted);
    let replicas = pods.replicas(max);
    let may_delete = live.stateful_set.as_ref().is_some_and(|set| takes(set, template));
    let delete = may_delete.then(|| pods.next(replicas)).flatten().map(doomed);
    let trouble = if delete.is_none() { pods.trouble(replicas) } else { None };
    Roll { replicas, delete, phase: pods.phase(live), trouble }
}

/// Whether a pod that the StatefulSet makes now would have this template.
fn takes(set: &StatefulSet, template: &str) -> bool {
    let metadata = set.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref());
    let annotations = metadata.and_then(|metadata| metadata.annotations.as_ref());
    let hash = annotations.and_then(|annotations| annotations.get(names::TEMPLATE_HASH));
    hash.is_some_and(|hash| hash == template) && pods::has_caught_up(set)
}

fn doomed(pod: &Pod) -> Doomed {
    Doomed { name: pod.name_any(), uid: pod.uid(), resource_version: pod.resource_version() }
}

struct Pods<'a> {
    /// By ordinal, highest first.
    all: Vec<(u32, &'a Pod)>,
    template: &'a str,
    wanted: u32,
}

impl<'a> Pods<'a> {
    fn of(live: &'a Live, template: &'a str, wanted: u32) -> Pods<'a> {
        let ordered = live.pods.iter().filter_map(|pod| Some((pods::ordinal(pod)?, pod)));
        let mut all: Vec<_> = ordered.collect();
        all.sort_by_key(|(ordinal, _)| std::cmp::Reverse(*ordinal));
        Pods { all, template, wanted }
    }

    fn is_current(&self, pod: &Pod) -> bool {
        pods::has_template(pod, self.template)
    }

    /// One more than wanted while a single pod is replaced, and until it is ready again.
    fn replicas(&self, max: u32) -> u32 {
        let find = |number| self.all.iter().find(|(ordinal, _)| *ordinal == number);
        let first_serves_old =
            find(0).is_some_and(|(_, pod)| pods::is_ready(pod) && !self.is_current(pod));
        let first_is_back =
            find(0).is_some_and(|(_, pod)| pods::is_ready(pod) && self.is_current(pod));
        let helper_serves = find(1).is_some_and(|(_, pod)| !pods::is_ending(pod));
        let needs_helper = first_serves_old || (helper_serves && !first_is_back);
        if self.wanted == 1 && max > 1 && needs_helper { 2 } else { self.wanted }
    }

    /// The pod to replace next: an old one that serves nobody, else, once all are ready, the
    /// old one with the highest ordinal.
    fn next(&self, replicas: u32) -> Option<&'a Pod> {
        let staying = || self.all.iter().filter(move |(ordinal, _)| *ordinal < replicas);
        let mut old = staying()
            .map(|(_, pod)| *pod)
            .filter(|pod| !self.is_current(pod) && !pods::is_ending(pod));
        let useless = old.clone().find(|pod| !pods::is_ready(pod));
        let ready = staying().filter(|(_, pod)| pods::is_ready(pod)).count();
        let all_ready = u32::try_from(ready).is_ok_and(|ready| ready == replicas);
        useless.or_else(|| if all_ready { old.next() } else { None })
    }

    fn trouble(&self, replicas: u32) -> Option<String> {
        let staying = self.all.iter().filter(|(ordinal, _)| *ordinal < replicas);
        let mut staying = staying.map(|(_, pod)| pod).filter(|pod| !pods::is_ending(pod));
        staying.find_map(|pod| Some(format!("{}: {}", pod.name_any(), pods::trouble(pod)?)))
    }

    fn phase(&self, live: &Live) -> Phase {
        let count = |test: &dyn Fn(u32, &Pod) -> bool| {
            let matching = self.all.iter().filter(|(ordinal, pod)| test(*ordinal, pod)).count();
            u32::try_from(matching).unwrap_or(u32::MAX)
        };
        let of = count(&|_, _| true);
        let current = count(&|_, pod| self.is_current(pod));
        let ready = count(&|ordinal, pod| ordinal < self.wanted && pods::is_ready(pod));
        let asked = |set: &StatefulSet| set.spec.as_ref().and_then(|spec| spec.replicas);
        let set = live.stateful_set.as_ref().filter(|set| takes(set, self.template));
        let settled = set.and_then(asked).is_some_and(|asked| u32::try_from(asked) == Ok(of));
        match () {
            () if current < of => Phase::Rolling { current, of },
            () if settled && ready == self.wanted && of == self.wanted => Phase::Settled,
            () => Phase::Scaling { ready, wanted: self.wanted },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    type State<'a> = (&'a str, &'a str, bool);

    const OLD: &str = "old";
    const NEW: &str = "new";

    #[track_caller]
    fn check(pods: &[State<'_>], (wanted, max): (u32, u32), replicas: u32, delete: Option<&str>) {
        let live = testing::live_of(NEW, pods);
        let roll = plan(&live, NEW, wanted, max);
        assert_eq!(roll.replicas, replicas);
        assert_eq!(roll.delete.map(|doomed| doomed.name).as_deref(), delete);
    }

    #[test]
    fn nothing_is_deleted_where_all_pods_are_current() {
        check(&[("a-0", NEW, true), ("a-1", NEW, true)], (2, 3), 2, None);
        check(&[], (2, 3), 2, None);
    }

    #[test]
    fn the_highest_old_pod_goes_first() {
        check(&[("a-0", OLD, true), ("a-1", OLD, true)], (2, 3), 2, Some("a-1"));
        check(&[("a-0", OLD, true), ("a-1", NEW, true)], (2, 3), 2, Some("a-0"));
        let many: Vec<_> = ["a-2", "a-10", "a-9"].map(|name| (name, OLD, true)).into();
        let names: Vec<_> = (0..11).map(|n| format!("a-{n}")).collect();
        let all: Vec<_> = names.iter().map(|name| (name.as_str(), OLD, true)).collect();
        check(&all, (11, 11), 11, Some("a-10"));
        check(&many, (11, 11), 11, None);
    }

    #[test]
    fn no_pod_goes_before_the_one_before_it_is_ready() {
        check(&[("a-0", OLD, true), ("a-1", NEW, false)], (2, 3), 2, None);
        check(&[("a-0", OLD, true)], (2, 3), 2, None);
    }

    #[test]
    fn an_old_pod_that_serves_nobody_goes_at_once() {
        check(&[("a-0", OLD, true), ("a-1", OLD, false)], (2, 3), 2, Some("a-1"));
        check(&[("a-0", OLD, false), ("a-1", NEW, false)], (2, 3), 2, Some("a-0"));
    }

    #[test]
    fn a_single_pod_is_replaced_beside_a_second_one() {
        check(&[("a-0", OLD, true)], (1, 2), 2, None);
        check(&[("a-0", OLD, true), ("a-1", NEW, false)], (1, 2), 2, None);
        check(&[("a-0", OLD, true), ("a-1", NEW, true)], (1, 2), 2, Some("a-0"));
        check(&[("a-1", NEW, true)], (1, 2), 2, None);
        check(&[("a-0", NEW, false), ("a-1", NEW, true)], (1, 2), 2, None);
        check(&[("a-0", NEW, true), ("a-1", NEW, true)], (1, 2), 1, None);
    }

    #[test]
    fn a_single_pod_without_room_for_a_second_is_replaced_alone() {
        check(&[("a-0", OLD, true)], (1, 1), 1, Some("a-0"));
    }

    #[test]
    fn a_pod_that_a_scale_down_will_remove_is_not_rolled() {
        let pods = [("a-0", OLD, true), ("a-1", OLD, true), ("a-2", OLD, true)];
        check(&pods, (2, 3), 2, Some("a-1"));
    }

    #[test]
    fn nothing_is_deleted_before_the_stateful_set_has_the_new_template() {
        let mut live = testing::live_of(OLD, &[("a-0", OLD, true), ("a-1", OLD, true)]);
        assert_eq!(plan(&live, NEW, 2, 3).delete, None);
        live = testing::live_of(NEW, &[("a-0", OLD, true), ("a-1", OLD, true)]);
        live.stateful_set.as_mut().unwrap().metadata.generation = Some(9);
        assert_eq!(plan(&live, NEW, 2, 3).delete, None);
    }

    #[test]
    fn the_phase_tells_scaling_from_rolling() {
        let phase =
            |pods: &[State<'_>], wanted| plan(&testing::live_of(NEW, pods), NEW, wanted, 3).phase;
        assert_eq!(phase(&[("a-0", NEW, true)], 1), Phase::Settled);
        assert_eq!(phase(&[("a-0", NEW, true)], 2), Phase::Scaling { ready: 1, wanted: 2 });
        assert_eq!(phase(&[("a-0", NEW, false)], 1), Phase::Scaling { ready: 0, wanted: 1 });
        let rolling = [("a-0", OLD, true), ("a-1", NEW, true)];
        assert_eq!(phase(&rolling, 2), Phase::Rolling { current: 1, of: 2 });
    }
}
