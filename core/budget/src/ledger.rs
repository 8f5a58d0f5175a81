//! What is written down about the processes that may hold connections to one server, before any of
//! them is told to hold more. It is kept outside the operator, so that the next leader counts
//! everything that the last one gave.

use serde::{Deserialize, Serialize};

/// One server's ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    /// Orders grants: a process refuses one of an earlier epoch. It rises with every change.
    pub epoch: u64,
    /// No process begins with more connections than this: what their file says, or said lately.
    pub floor: u32,
    /// Ordinals below this one may get a pod at any moment.
    pub replicas: u32,
    /// The epoch in which `floor` or `replicas` was raised last. What is written by them bears it.
    pub fence: u64,
    /// All processes that are not proven to be gone.
    #[serde(default)]
    pub entries: Vec<Entry>,
}

/// One process: a pod's container, from one start to its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The pod's uid.
    pub pod: String,
    pub ordinal: u32,
    /// What the process calls itself; not known before it has reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// Connections that it shall hold at most; without a grant, what its file says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted: Option<u32>,
    /// The epoch of the grant.
    pub epoch: u64,
    /// Connections that it may hold until it has acknowledged the grant.
    pub held: u32,
    /// It opens no more connections; those that it had may still be alive.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ended: bool,
    /// Its pod exists no longer, and nobody saw it end.
    #[serde(default, skip_serializing_if = "is_false")]
    pub lost: bool,
}

/// Whom an entry is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Who {
    pub pod: String,
    pub process: Option<String>,
}

fn is_false(it: &bool) -> bool {
    !it
}

impl Entry {
    pub fn who(&self) -> Who {
        Who { pod: self.pod.clone(), process: self.process.clone() }
    }
}

impl Ledger {
    /// Connections that may be open now, or be opened with no word from the operator.
    pub fn held(&self) -> u64 {
        self.recorded() + u64::from(self.coming()) * u64::from(self.floor)
    }

    /// The grant of a process, with its epoch.
    pub fn grant(&self, pod: &str, process: &str) -> Option<(u64, u32)> {
        let entry =
            self.live().find(|it| it.pod == pod && it.process.as_deref() == Some(process))?;
        Some((entry.epoch, entry.granted?))
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|it| !it.ended)
    }

    pub(crate) fn recorded(&self) -> u64 {
        self.entries.iter().map(|it| u64::from(it.held)).sum()
    }

    /// Ordinals that have no live process yet and may get one.
    pub(crate) fn coming(&self) -> u32 {
        let is_there = |ordinal: &u32| self.live().any(|it| it.ordinal == *ordinal && !it.lost);
        let missing = (0..self.replicas).filter(|ordinal| !is_there(ordinal)).count();
        u32::try_from(missing).unwrap_or(u32::MAX)
    }
}
