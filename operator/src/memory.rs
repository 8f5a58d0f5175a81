//! What is remembered of each PoolerCluster between its reconciles, by uid. All of it may be lost: it
//! is found again.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A server whose size is not declared is looked at once in this time at most.
const LOOK_EVERY: Duration = Duration::from_secs(60);

#[derive(Default)]
pub struct Memory {
    /// Generations that pods were found ahead by.
    ahead: Mutex<HashMap<String, u64>>,
    /// The certificate that every pod showed while an authority changes, in PEM.
    shown: Mutex<HashMap<String, String>>,
    /// When a server was looked at.
    looked: Mutex<HashMap<String, Instant>>,
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

    /// Whether the server of a PoolerCluster was not looked at lately.
    pub fn may_look(&self, uid: &str) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        looked.retain(|_, since| now.duration_since(*since) < LOOK_EVERY);
        !looked.contains_key(uid)
    }

    pub fn note_look(&self, uid: String) {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner).insert(uid, Instant::now());
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
