//! Whose turn it is to be upgraded: one PoolerCluster at a time, of all that this operator serves.
//! The turn stands in the PoolerCluster's own status, so that a next leader finds it; it reads
//! PoolerClusters and writes nothing.

use std::sync::Arc;

use kube::{Api, ResourceExt, api::ListParams};
use poolwright_crds::{PoolerCluster, Reconcile};
use tokio::sync::Mutex;

use crate::status::upgrading;

pub struct Turns {
    clusters: Api<PoolerCluster>,
    /// Who has it, as far as this process knows.
    holder: Mutex<Option<String>>,
}

impl Turns {
    /// Among these.
    pub fn new(clusters: Api<PoolerCluster>) -> Turns {
        Turns { clusters, holder: Mutex::default() }
    }

    /// Takes the turn, or says who has it.
    ///
    /// # Errors
    /// If PoolerClusters cannot be listed.
    pub async fn take(&self, cluster: &PoolerCluster) -> Result<Option<String>, kube::Error> {
        let key = key(cluster);
        let mut holder = self.holder.lock().await;
        if holder.is_none() {
            let all = self.clusters.list(&ListParams::default()).await?.items;
            let goes_on = |it: &&PoolerCluster| it.spec.reconcile != Reconcile::Paused;
            let begun = all.iter().filter(goes_on).find(|it| upgrading(it)).map(self::key);
            *holder = Some(begun.unwrap_or_else(|| key.clone()));
        }
        Ok(holder.clone().filter(|it| *it != key))
    }

    /// Takes it from a PoolerCluster that exists no longer.
    pub async fn keep_only(&self, living: &[Arc<PoolerCluster>]) {
        let mut holder = self.holder.lock().await;
        let lives = |holder: &String| living.iter().any(|it| key(it) == *holder);
        *holder = holder.take().filter(lives);
    }

    /// Gives it back, if it is this one's.
    pub async fn give_back(&self, namespace: &str, name: &str) {
        let mut holder = self.holder.lock().await;
        if holder.as_ref().is_some_and(|it| *it == format!("{namespace}/{name}")) {
            *holder = None;
        }
    }
}

fn key(cluster: &PoolerCluster) -> String {
    format!("{}/{}", cluster.namespace().unwrap_or_default(), cluster.name_any())
}
