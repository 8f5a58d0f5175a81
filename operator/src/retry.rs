//! How long to wait before a failed reconcile is tried again: doubling, with jitter, and
//! counted for each PoolerCluster by itself. It never sleeps.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
    time::Duration,
};

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// Failures in a row, by uid.
#[derive(Default)]
pub struct Retries(Mutex<HashMap<String, u32>>);

impl Retries {
    /// Counts a failure and says how long to wait: 1 s, 2 s, 4 s … 5 min, each ± 25 %.
    pub fn failed(&self, uid: &str) -> Duration {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(uid.to_owned()).or_default();
        let wait = FIRST.saturating_mul(1 << (*count).min(16)).min(LONGEST);
        *count = count.saturating_add(1);
        jittered(wait)
    }

    pub fn succeeded(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

/// A duration within 25 % of this one, so that many do not come at once.
pub fn jittered(duration: Duration) -> Duration {
    let random = u32::try_from(RandomState::new().hash_one(0) % 501).unwrap_or(0);
    duration * (750 + random) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn about(found: Duration, seconds: u64) {
        let expect = Duration::from_secs(seconds);
        assert!((expect * 3 / 4..=expect * 5 / 4).contains(&found), "{found:?}");
    }

    #[test]
    fn waits_double_up_to_five_minutes_and_start_over_after_success() {
        let retries = Retries::default();
        for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            about(retries.failed("a"), seconds);
        }
        about(retries.failed("b"), 1);
        retries.succeeded("a");
        about(retries.failed("a"), 1);
    }
}
