//! What is remembered of each PoolerCluster between its reconciles, by uid. All of it may be lost: it
//! is found again.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A server whose size is not declared is looked at once in this time at most, and again so soon
/// where no pod could.
const LOOK_EVERY: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_secs(10);

#[derive(Default)]
pub struct Memory {
    /// Generations that pods were found ahead by.
    ahead: Mutex<HashMap<String, u64>>,
    /// The certificate that every pod showed while an authority changes, in PEM.
    shown: Mutex<HashMap<String, String>>,
    /// When a server may be looked at again for the same spec, of that generation.
    looked: Mutex<HashMap<String, (Instant, Option<i64>)>>,
    /// Since when pods have not come to their shares.
    unsettled: Mutex<HashMap<String, Instant>>,
}

impl Memory {
    pub fn ahead(&self, uid: &str) -> u64 {
        let ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        ahead.get(uid).copied().unwrap_or(0)
    }

    pub fn note_ahead(&self, uid: String, generation: Option<u64>) {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        match generation {
            Some(generation) => drop(ahead.insert(uid, generation)),
            None => drop(ahead.remove(&uid)),
        }
    }

    /// Whether the server of a PoolerCluster was not looked at lately, for its spec of this generation.
    pub fn may_look(&self, uid: &str, generation: Option<i64>) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        looked.retain(|_, (again, _)| *again > now);
        looked.get(uid).is_none_or(|(_, then)| *then != generation)
    }

    pub fn note_look(&self, uid: String, generation: Option<i64>, has_seen: bool) {
        let wait = if has_seen { LOOK_EVERY } else { LOOK_AGAIN };
        let looked = (Instant::now() + wait, generation);
        self.looked.lock().unwrap_or_else(PoisonError::into_inner).insert(uid, looked);
    }

    /// How long pods have not come to their shares by now.
    pub fn unsettled_for(&self, uid: String, is_settled: bool) -> Duration {
        let mut unsettled = self.unsettled.lock().unwrap_or_else(PoisonError::into_inner);
        if is_settled {
            unsettled.remove(&uid);
            return Duration::ZERO;
        }
        unsettled.entry(uid).or_insert_with(Instant::now).elapsed()
    }

    pub fn shown(&self, uid: &str) -> Option<String> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).get(uid).cloned()
    }

    pub fn note_shown(&self, uid: String, certificate: Option<String>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        match certificate {
            Some(certificate) => drop(shown.insert(uid, certificate)),
            None => drop(shown.remove(&uid)),
        }
    }
}
