//! Asks the pods over the control channel what they hold, and tells them what they may. It plans
//! nothing.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use futures::future::join_all;
use hyper::{Method, StatusCode};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use poolwright_settings::control::{GRANTS, Grants, LOOK, REPORT, Report};

use crate::pods;
pub use crate::push::Channel;

/// How long a pod may take to report.
const PATIENCE: Duration = Duration::from_secs(2);
/// And to look at the server first, for which it may have to wait for a connection.
const LOOKING: Duration = Duration::from_secs(8);

/// What a pod said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Report(Box<Report>),
    /// It is of a version that knows of no grants and holds what its file says.
    KnowsNone,
}

impl Channel {
    /// What the pods say, by uid, without those that do not answer. With `look` one of them looks at
    /// the server before the others are asked.
    pub async fn reports(&self, pods: &[Pod], look: bool) -> BTreeMap<String, Said> {
        let looker = if look { pods.iter().find(|pod| pods::is_ready(pod)) } else { None };
        let mut said = BTreeMap::new();
        if let Some(pod) = looker {
            said.extend(self.order(pod, LOOKING, Method::GET, LOOK, Bytes::new()).await);
        }
        let others = pods
            .iter()
            .filter(|pod| may_answer(pod))
            .filter(|pod| looker.is_none_or(|looker| looker.uid() != pod.uid() || said.is_empty()));
        let asked = others.map(|pod| self.order(pod, PATIENCE, Method::GET, REPORT, Bytes::new()));
        said.extend(join_all(asked).await.into_iter().flatten());
        said
    }

    /// Tells each pod its grants; who has none to be told only reports.
    pub async fn grant(&self, news: &[(&Pod, Option<Grants>)]) -> BTreeMap<String, Said> {
        let asked = news.iter().filter(|(pod, _)| may_answer(pod)).map(|(pod, grants)| {
            let body = grants.as_ref().and_then(|grants| serde_json::to_vec(grants).ok());
            let (method, path) = match body {
                Some(_) => (Method::PUT, GRANTS),
                None => (Method::GET, REPORT),
            };
            self.order(pod, PATIENCE, method, path, Bytes::from(body.unwrap_or_default()))
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    async fn order(
        &self,
        pod: &Pod,
        patience: Duration,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Option<(String, Said)> {
        let reply = self.request(pod, patience, method, path, body).await;
        let said = reply.and_then(|reply| match reply.status {
            StatusCode::NOT_FOUND => Ok(Said::KnowsNone),
            _ => reply.read().map(|report| Said::Report(Box::new(report))),
        });
        match said {
            Ok(said) => Some((pod.uid()?, said)),
            Err(error) => {
                tracing::debug!(pod = pod.name_any(), %error, "a pod did not report");
                None
            }
        }
    }
}

/// A pod that ends still holds connections, and still answers.
fn may_answer(pod: &Pod) -> bool {
    !pods::has_ended(pod) && pods::has_address(pod)
}
