//! Last step: says in the PoolerCluster what came of it, from what was applied. It writes
//! only when something else is to be said, and an Event only when a condition turns.

mod conditions;
mod events;
mod verdicts;

use std::sync::Arc;

use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
    runtime::events::Recorder,
};
use poolwright_budget::Plan;
use poolwright_crds::{PoolerCluster, PoolerClusterStatus, ServerStatus, SizingStatus};
use serde_json::json;

use crate::{
    books::Shares,
    dereference::Dereferenced,
    election::Term,
    metrics::Metrics,
    names,
    outcome::{Outcome, Prepared},
    pods,
    rights::Denied,
};

#[derive(Debug, thiserror::Error)]
#[error("write the status: {0}")]
pub struct Error(#[from] kube::Error);

impl Error {
    pub fn denied(&self) -> Option<Denied> {
        Denied::of(&self.0)
    }
}

/// Writes status and Events.
pub struct Reporter {
    client: Client,
    recorder: Recorder,
    metrics: Arc<Metrics>,
    term: Term,
}

impl Reporter {
    pub fn new(client: Client, metrics: Arc<Metrics>, term: Term) -> Reporter {
        let recorder = Recorder::new(client.clone(), names::MANAGER.into());
        Reporter { client, recorder, metrics, term }
    }

    /// Says what came of a reconcile.
    ///
    /// # Errors
    /// If the status could not be written, or another operator may lead. An Event that fails is only logged.
    pub async fn report(&self, read: &Dereferenced, outcome: &Outcome) -> Result<(), Error> {
        self.tell(&read.cluster, Some(&read.live.pods), outcome).await
    }

    /// Says that something which the PoolerCluster needs may not be read.
    ///
    /// # Errors
    /// As [`report`](Self::report).
    pub async fn report_unread(
        &self,
        cluster: &PoolerCluster,
        denied: Denied,
    ) -> Result<(), Error> {
        self.tell(cluster, None, &Outcome::Denied(denied, None)).await
    }

    async fn tell(
        &self,
        cluster: &PoolerCluster,
        pods: Option<&[Pod]>,
        outcome: &Outcome,
    ) -> Result<(), Error> {
        let status = compute(cluster, pods, outcome, Timestamp::now());
        let events = events::of(cluster.status.as_ref(), &status, outcome);
        if cluster.status.as_ref() != Some(&status) {
            self.write(cluster, &status).await?;
        }
        for event in events {
            self.term.check()?;
            self.metrics.wrote();
            if let Err(error) = self.recorder.publish(&event, &cluster.object_ref(&())).await {
                let advice = Denied::of(&error).map(|denied| denied.advice());
                tracing::warn!(%error, advice, reason = event.reason, "an Event was not written");
            }
        }
        Ok(())
    }

    async fn write(
        &self,
        cluster: &PoolerCluster,
        status: &PoolerClusterStatus,
    ) -> Result<(), Error> {
        let namespace = cluster.namespace().unwrap_or_default();
        let api = Api::<PoolerCluster>::namespaced(self.client.clone(), &namespace);
        let patch = json!({
            "apiVersion": PoolerCluster::api_version(&()),
            "kind": PoolerCluster::kind(&()),
            "status": status,
        });
        self.term.check()?;
        self.metrics.wrote();
        let parameters = PatchParams::apply(names::MANAGER).force();
        api.patch_status(&cluster.name_any(), &parameters, &Patch::Apply(&patch)).await?;
        Ok(())
    }
}

/// Whether its status says that it is being upgraded.
pub fn upgrading(cluster: &PoolerCluster) -> bool {
    let conditions = cluster.status.iter().flat_map(|status| &status.conditions);
    let mut up_to_date = conditions.filter(|it| it.type_ == verdicts::UP_TO_DATE);
    up_to_date.any(|it| it.reason == verdicts::UPGRADING)
}

/// The status after this outcome; what is not known anew stays as it was.
fn compute(
    cluster: &PoolerCluster,
    pods: Option<&[Pod]>,
    outcome: &Outcome,
    now: Timestamp,
) -> PoolerClusterStatus {
    let last = cluster.status.clone().unwrap_or_default();
    let ready = pods.map(|all| count(all.iter().filter(|pod| pods::is_ready(pod)).count()));
    let ready = ready.unwrap_or(last.ready_replicas);
    let generation = cluster.metadata.generation;
    let Some(verdicts) = verdicts::of(outcome, &last, ready) else {
        return paused(last, generation, now);
    };
    PoolerClusterStatus {
        observed_generation: generation,
        conditions: conditions::merge(&last.conditions, verdicts, generation, now),
        replicas: pods.map_or(last.replicas, |all| count(all.len())),
        ready_replicas: ready,
        pods: format!("{ready}/{}", wanted(cluster)),
        selector: names::selector_text(&cluster.name_any()),
        version: made(outcome, |it| &it.version).or(last.version),
        image: made(outcome, |it| &it.image).or(last.image),
        server: seen(outcome).or(last.server),
        sizing: sized(outcome).or(last.sizing),
    }
}

fn made(outcome: &Outcome, part: fn(&Prepared) -> &String) -> Option<String> {
    let Outcome::Applied(_, prepared, ..) = outcome else { return None };
    Some(part(prepared).clone())
}

/// All that was said stands, with the generation of which it was said.
fn paused(
    last: PoolerClusterStatus,
    generation: Option<i64>,
    now: Timestamp,
) -> PoolerClusterStatus {
    let verdict = vec![verdicts::paused()];
    let said = conditions::merge(&last.conditions, verdict, generation, now);
    let others = last.conditions.into_iter().filter(|it| it.type_ != verdicts::RECONCILING);
    let mut conditions: Vec<_> = others.collect();
    conditions.extend(said);
    PoolerClusterStatus { conditions, ..last }
}

fn wanted(cluster: &PoolerCluster) -> i32 {
    cluster.spec.replicas.min(cluster.spec.max_replicas)
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Whether it is not known that pods reach the server that the spec names now.
pub fn backend_is_untold(cluster: &PoolerCluster) -> bool {
    let conditions = cluster.status.iter().flat_map(|status| &status.conditions);
    let told = conditions.filter(|it| it.type_ == verdicts::BACKEND && it.status == "True");
    !told.into_iter().any(|it| it.observed_generation == cluster.metadata.generation)
}

fn seen(outcome: &Outcome) -> Option<ServerStatus> {
    let Outcome::Applied(_, prepared, ..) = outcome else { return None };
    prepared.server.clone()
}

fn sized(outcome: &Outcome) -> Option<SizingStatus> {
    let Outcome::Applied(plan, prepared, ..) = outcome else { return None };
    let Plan { tenants, wanted, budget, granted, shares, per_pod: _, databases: _, formula } = plan;
    let Shares { floor, per_pod, .. } = prepared.shares;
    Some(SizingStatus {
        tenants: i64::try_from(*tenants).unwrap_or(i64::MAX),
        wanted: i64::try_from(*wanted).unwrap_or(i64::MAX),
        budget: i64::from(*budget),
        granted: i64::from(*granted),
        shares: i64::from(*shares),
        per_pod: i64::from(per_pod),
        floor: i64::from(floor),
        granted_of_budget: format!("{granted}/{budget}"),
        formula: formula.clone(),
    })
}

#[cfg(test)]
mod tests;
