//! What is remembered of each PoolerCluster between its reconciles, by uid. All of it may be lost: it
//! is found again.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Pod;

use crate::{pods, upgrade::Languages};

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
    /// What pods have said that they read.
    languages: Mutex<HashMap<String, Languages>>,
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

    /// What the images of these pods read: as some say now, or have said when they answered.
    pub fn languages(&self, uid: String, running: &[Pod], said: Languages) -> Languages {
        let mut languages = self.languages.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = languages.remove(&uid).unwrap_or_default();
        known.extend(said);
        known.retain(|image, _| running.iter().any(|pod| pods::image(pod) == image));
        if !known.is_empty() {
            languages.insert(uid, known.clone());
        }
        known
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(image: &str) -> Pod {
        let container = json!({"name": "pooler", "image": image});
        serde_json::from_value(json!({"spec": {"containers": [container]}})).unwrap()
    }

    #[test]
    fn what_an_image_reads_is_known_while_it_runs_though_its_pods_are_silent() {
        let memory = Memory::default();
        let languages = |pods: &[Pod], said: &[(&str, u32)]| {
            let said = said.iter().map(|(image, number)| ((*image).to_owned(), *number)).collect();
            memory.languages("u1".into(), pods, said).into_values().collect::<Vec<_>>()
        };
        let (one, two) = (pod("a:1"), pod("a:2"));
        assert_eq!(languages(&[one.clone(), two.clone()], &[("a:1", 2), ("a:2", 3)]), [2, 3]);
        assert_eq!(languages(&[one.clone(), two.clone()], &[("a:1", 1)]), [1, 3]);
        assert_eq!(languages(&[two], &[]), [3]);
        assert!(languages(&[one], &[]).is_empty());
    }
}
