//! From what is written down and what is seen to what is to be written down next: shrink first, wait
//! for the acknowledgement, then grow. It sends nothing; a grant is sent only from a ledger that is
//! stored.
//!
//! What holds, whoever fails and whenever: live processes together may open no more than
//! [`Ledger::held`], and no decision lifts that above the total. Above it comes only what nobody
//! decides: a lower total, and a pod that comes though connections of the one before it are still
//! there, since that was deleted by force or its process killed.
//!
//! Two leaders may plan at once, since a Lease fences nobody. The ledger is stored only over the one
//! that was read, and so are the two objects by which a floor or a number of pods comes into force.
//! A paused leader could still write those from a ledger that was stored: so nothing is lowered here
//! before both were written with the [`Ledger::fence`] of the last raise, over which the paused
//! leader's write fails.

use std::collections::BTreeSet;

use crate::ledger::{Entry, Ledger, Who};

/// What is wanted, and what the cluster and the processes show.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// Connections that all processes may hold together.
    pub total: u32,
    /// Connections that a process shall begin with: ⌊total ÷ pods that may ever be⌋, at least 1.
    pub floor: u32,
    /// Pods that shall run.
    pub replicas: u32,
    /// The StatefulSet; `None`: there is none.
    pub set: Option<Set>,
    /// The file that processes begin with; `None`: there is none.
    pub file: Option<File>,
    /// Pods that exist.
    pub pods: &'a [Pod],
    /// Uids of pods that are known to have ended and exist no longer.
    pub gone: &'a BTreeSet<String>,
    /// Uids of pods whose only process has ended, and before that closed all connections and saw them
    /// closed.
    pub closed: &'a BTreeSet<String>,
    /// Ended processes of whose connections the server shows none any more: it was looked at since.
    pub cleared: &'a BTreeSet<Who>,
}

/// The StatefulSet as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Set {
    pub replicas: u32,
    /// The [`Ledger::fence`] that it was last applied with.
    pub fence: u64,
    /// Its controller has seen it as it is.
    pub caught_up: bool,
}

/// The settings as they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct File {
    pub floor: u32,
    /// The [`Ledger::fence`] that they were last applied with.
    pub fence: u64,
}

/// A pod that exists.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pod {
    pub uid: String,
    pub ordinal: u32,
    /// Its process has ended for good.
    pub ended: bool,
    /// What its process said; `None`: nothing.
    pub report: Option<Report>,
}

/// What a process says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Report {
    /// Another one after each start; empty where the process knows of no grants.
    pub process: String,
    /// The epoch of its grant, or 0.
    pub epoch: u64,
    /// Connections that it may open.
    pub cap: u32,
    /// Connections that it has open.
    pub open: u32,
    /// Connections that it would begin with if it were started now.
    pub floor: u32,
    /// It knows that all connections of earlier processes of its pod are gone.
    pub follows_none: bool,
}

/// What is to be stored now. The same as before: nothing changes.
///
/// `last` must have been read before `view` was.
pub fn next(last: Option<&Ledger>, view: &View<'_>) -> Ledger {
    let before = last.cloned().unwrap_or_else(|| found(view));
    let mut ledger = before.clone();
    let epoch = ledger.latest_epoch(view) + 1;
    ledger.observe(view);
    ledger.lower_replicas(view);
    ledger.set_floor(view, epoch);
    let target = ledger.target(view);
    ledger.shrink(target, epoch);
    ledger.raise_replicas(view, epoch);
    ledger.grow(target, view.total, epoch);
    if last.is_none() || ledger != before {
        ledger.epoch = epoch;
    }
    ledger.entries.sort_by(|one, other| (one.ordinal, &one.pod).cmp(&(other.ordinal, &other.pod)));
    ledger
}

/// Where nothing was written down, or somebody has removed it: a pod that says nothing may hold all.
fn found(view: &View<'_>) -> Ledger {
    let reports = view.pods.iter().filter_map(|pod| pod.report.as_ref());
    let floors = reports.map(|it| it.floor).chain(view.file.map(|it| it.floor));
    let entry = |pod: &Pod| Entry {
        held: pod.report.as_ref().map_or(view.total, |it| it.cap.max(it.open)),
        ..Entry::of(pod)
    };
    Ledger {
        epoch: 0,
        floor: floors.max().unwrap_or(0).max(view.floor),
        replicas: view.set.map_or(0, |set| set.replicas),
        fence: 0,
        entries: view.pods.iter().filter(|pod| !pod.ended).map(entry).collect(),
    }
}

impl Entry {
    fn of(pod: &Pod) -> Entry {
        Entry {
            pod: pod.uid.clone(),
            ordinal: pod.ordinal,
            process: pod.report.as_ref().map(|it| it.process.clone()),
            granted: None,
            epoch: 0,
            held: 0,
            ended: false,
            lost: false,
        }
    }

    fn is_another(&self, report: &Report) -> bool {
        self.process.as_ref().is_some_and(|process| *process != report.process)
    }

    /// A later process of the same pod has seen the end of all that this one had open.
    fn is_survived_by(&self, pod: &Pod) -> bool {
        let Some(report) = &pod.report else { return false };
        pod.uid == self.pod && report.follows_none && self.is_another(report)
    }

    /// Takes the process at its word: what it may open, and whether it has come down to its grant.
    /// It may be started anew at any moment, and then begins with `floor`.
    fn hear(&mut self, report: &Report, floor: u32) {
        let may = report.cap.max(report.open).max(floor);
        if self.process.is_none() {
            // What it may was a guess until now.
            self.process = Some(report.process.clone());
            self.held = may;
        }
        if report.epoch > self.epoch && self.granted != Some(report.cap) {
            // From a ledger that is lost.
            self.granted = None;
        }
        match self.granted {
            Some(granted) if report.epoch >= self.epoch && report.cap <= granted => {
                // On the way down nothing is written that follows the load.
                if report.open <= granted.max(floor) {
                    self.held = granted.max(floor);
                }
            }
            _ => self.held = self.held.max(may),
        }
    }

    fn knows_grants(&self) -> bool {
        self.process.as_ref().is_some_and(|it| !it.is_empty())
    }

    fn grant(&mut self, connections: u32, epoch: u64) {
        self.granted = Some(connections);
        self.epoch = epoch;
        self.held = self.held.max(connections);
    }
}

impl Ledger {
    fn observe(&mut self, view: &View<'_>) {
        // Who ended only now may have connections that the last look did not see.
        self.entries.retain(|it| !it.ended || !view.cleared.contains(&it.who()));
        self.entries.retain(|it| it.ended || !view.closed.contains(&it.pod));
        self.entries.retain(|it| !view.pods.iter().any(|pod| it.is_survived_by(pod)));
        let floor = self.floor;
        for entry in self.entries.iter_mut().filter(|it| !it.ended) {
            match view.pods.iter().find(|pod| pod.uid == entry.pod) {
                None if view.gone.contains(&entry.pod) => entry.ended = true,
                None => entry.lost = true,
                Some(Pod { ended: true, .. }) => entry.ended = true,
                Some(Pod { report: Some(report), .. }) if entry.is_another(report) => {
                    entry.ended = true;
                }
                Some(Pod { report, .. }) => {
                    report.iter().for_each(|report| entry.hear(report, floor));
                }
            }
        }
        for pod in view.pods.iter().filter(|pod| !pod.ended) {
            if !self.live().any(|it| it.pod == pod.uid) {
                let cap = pod.report.as_ref().map_or(0, |it| it.cap.max(it.open));
                self.entries.push(Entry { held: floor.max(cap), ..Entry::of(pod) });
            }
        }
    }

    /// Only once no plan of before, that asks for more pods, can be carried out any more.
    fn lower_replicas(&mut self, view: &View<'_>) {
        let Some(set) = view.set else { return };
        if set.caught_up && set.fence >= self.fence {
            self.replicas = self.replicas.min(view.replicas.max(set.replicas));
        }
    }

    /// Down only when nobody begins with more; up only where there is room for it.
    fn set_floor(&mut self, view: &View<'_>, epoch: u64) {
        let would_begin_lower = |entry: &Entry| {
            let pod = view.pods.iter().find(|pod| pod.uid == entry.pod);
            let report = pod.and_then(|pod| pod.report.as_ref());
            report.is_some_and(|it| it.floor <= view.floor) && entry.granted.is_some()
        };
        let is_written =
            view.file.is_some_and(|it| it.fence >= self.fence && it.floor <= view.floor);
        if view.floor < self.floor {
            if is_written && self.coming() == 0 && self.live().all(would_begin_lower) {
                self.floor = view.floor;
            }
        } else if view.floor > self.floor && self.with_floor(view.floor) <= u64::from(view.total) {
            self.floor = view.floor;
            self.fence = epoch;
            for entry in self.entries.iter_mut().filter(|it| !it.ended) {
                entry.held = entry.held.max(view.floor);
            }
        }
    }

    /// What could be open if all began anew with this floor.
    fn with_floor(&self, floor: u32) -> u64 {
        let raised = |it: &Entry| if it.ended { it.held } else { it.held.max(floor) };
        let recorded: u64 = self.entries.iter().map(|it| u64::from(raised(it))).sum();
        recorded + u64::from(self.coming()) * u64::from(floor)
    }

    /// An equal part for each pod that exists or may come. A pod and its successor are one.
    fn target(&self, view: &View<'_>) -> u32 {
        let coming = 0..self.replicas.max(view.replicas);
        let ordinals: BTreeSet<u32> = self.live().map(|it| it.ordinal).chain(coming).collect();
        let pods = u32::try_from(ordinals.len()).unwrap_or(u32::MAX).max(1);
        // A lost process has a successor, and may go on beside it.
        let lost: u32 = self.live().filter(|it| it.lost).map(|it| it.held).sum();
        (view.total.saturating_sub(lost) / pods).max(view.floor)
    }

    fn shrink(&mut self, target: u32, epoch: u64) {
        for entry in self.entries.iter_mut().filter(|it| !it.ended && it.knows_grants()) {
            if entry.granted.unwrap_or(entry.held) > target {
                entry.grant(target, epoch);
            } else if entry.granted.is_none() {
                entry.grant(entry.held, epoch);
            }
        }
    }

    fn raise_replicas(&mut self, view: &View<'_>, epoch: u64) {
        let room = |it: &Ledger| it.held() + u64::from(it.floor) <= u64::from(view.total);
        while self.replicas < view.replicas {
            let is_there = self.live().any(|it| it.ordinal == self.replicas && !it.lost);
            if !is_there && !room(self) {
                break;
            }
            self.replicas += 1;
            self.fence = epoch;
        }
    }

    fn grow(&mut self, target: u32, total: u32, epoch: u64) {
        let mut spare = u64::from(total).saturating_sub(self.held());
        for entry in self.entries.iter_mut().filter(|it| !it.ended && !it.lost) {
            let Some(granted) = entry.granted.filter(|it| *it < target) else { continue };
            // Up to what it still holds costs nothing.
            let free = entry.held.saturating_sub(granted);
            let more = u64::from(target - granted).min(spare + u64::from(free));
            let more = u32::try_from(more).unwrap_or(u32::MAX);
            if more > 0 {
                spare -= u64::from(more.saturating_sub(free));
                entry.grant(granted + more, epoch);
            }
        }
    }

    fn latest_epoch(&self, view: &View<'_>) -> u64 {
        let reports = view.pods.iter().filter_map(|pod| pod.report.as_ref());
        reports.map(|it| it.epoch).max().unwrap_or(0).max(self.epoch)
    }
}

#[cfg(test)]
mod tests;
