//! Counters of pods that come and go: read all the time, because a pod takes them with it.
//! Counts what the poolers say of themselves; the clients' own count stands beside it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinHandle;

use super::command::{Namespace, text};
use crate::pooler::{http_get, sum_of_metric};

const ADMIN: u16 = 9187;
const EVERY: Duration = Duration::from_millis(300);

/// The last value of one metric of each pod, by uid.
pub struct Counters {
    seen: Arc<Mutex<BTreeMap<String, f64>>>,
    task: JoinHandle<()>,
}

impl Counters {
    pub fn watch(namespace: Namespace, cluster: &str, metric: &'static str) -> Counters {
        let seen = Arc::<Mutex<BTreeMap<String, f64>>>::default();
        let pods = format!("pods --selector app.kubernetes.io/instance={cluster}");
        let into = seen.clone();
        let task = tokio::spawn(async move {
            loop {
                let now = one_round(&namespace, &pods, metric).await.unwrap_or_default();
                into.lock().unwrap_or_else(|it| it.into_inner()).extend(now);
                tokio::time::sleep(EVERY).await;
            }
        });
        Counters { seen, task }
    }

    /// The pods that were seen, and the sum over all of them.
    pub fn stop(self) -> (usize, f64) {
        self.task.abort();
        let seen = self.seen.lock().unwrap_or_else(|it| it.into_inner());
        (seen.len(), seen.values().sum())
    }
}

async fn one_round(
    namespace: &Namespace,
    pods: &str,
    metric: &str,
) -> Result<BTreeMap<String, f64>> {
    let mut found = BTreeMap::new();
    for pod in namespace.list(pods).await? {
        let address = text(&pod, "/status/podIP");
        if !address.is_empty()
            && let Ok(value) = read(address, metric).await
        {
            found.insert(text(&pod, "/metadata/uid").to_owned(), value);
        }
    }
    Ok(found)
}

/// A metric of one pod, summed over its labels.
pub async fn read(address: &str, metric: &str) -> Result<f64> {
    let asked = tokio::time::timeout(Duration::from_secs(3), http_get(address, ADMIN, "/metrics"));
    let (_, body) = asked.await??;
    Ok(sum_of_metric(&body, metric, ""))
}
