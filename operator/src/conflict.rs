//! What an install says that has not got the claim: a condition on each PoolerCluster that it would
//! serve, under a field manager of its own, and nothing else.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::{SignedDuration, Timestamp},
};
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
    runtime::{Controller, controller::Action, watcher},
};
use poolwright_crds::PoolerCluster;
use serde_json::{Value, json};

use crate::{controller::Scope, reconcile::Context, retry::jittered};

pub const CONFLICT: &str = "Conflict";
const MANAGER: &str = "poolwright-conflict";
const REASON: &str = "ServedByAnother";
/// Looked at again though nothing was seen to change.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// Who serves removes what was said so long ago; an install that is still there says it again.
const STALE: SignedDuration = SignedDuration::from_mins(10);

/// Says it of every PoolerCluster of the scope while this is waited for.
pub async fn tell(scope: &Scope, context: Arc<Context>) {
    let controller = Controller::new(scope.api(&context.client), watcher::Config::default());
    controller.run(tell_one, retry_later, context).for_each(async |_| ()).await;
}

async fn tell_one(
    cluster: Arc<PoolerCluster>,
    context: Arc<Context>,
) -> Result<Action, kube::Error> {
    // Nobody has it yet, or this install just got it.
    if let Some(holder) = context.claim.holder(&context.client).await? {
        let lease = context.claim.what();
        say(&context, &cluster, &holder, &lease).await?;
    }
    Ok(Action::requeue(jittered(LOOK_AGAIN)))
}

fn retry_later(cluster: Arc<PoolerCluster>, error: &kube::Error, _: Arc<Context>) -> Action {
    let (name, namespace) = (cluster.name_any(), cluster.namespace());
    tracing::warn!(name, namespace, %error, "a conflict of installs could not be told");
    Action::requeue(jittered(LOOK_AGAIN))
}

/// Says that `holder` serves this PoolerCluster, if that is not said yet.
///
/// # Errors
/// What the API server refused or did not answer.
pub async fn say(
    context: &Context,
    cluster: &PoolerCluster,
    holder: &str,
    lease: &str,
) -> Result<(), kube::Error> {
    let condition = condition(holder, lease, Timestamp::now());
    if said(cluster).is_some_and(|said| said.message == condition.message) {
        return Ok(());
    }
    write(context, cluster, json!({"conditions": [condition]})).await
}

/// Removes what an install said that is gone, and what names another than the one that serves.
///
/// # Errors
/// What the API server refused or did not answer.
pub async fn withdraw(
    context: &Context,
    cluster: &PoolerCluster,
    said: &Condition,
) -> Result<(), kube::Error> {
    if !is_stale(said, &context.claim.install, Timestamp::now()) {
        return Ok(());
    }
    write(context, cluster, json!({})).await
}

/// Takes it out of the status, so that the rest is what who serves has said.
pub fn take(cluster: &mut PoolerCluster) -> Option<Condition> {
    let conditions = &mut cluster.status.as_mut()?.conditions;
    let place = conditions.iter().position(|it| it.type_ == CONFLICT)?;
    Some(conditions.remove(place))
}

fn said(cluster: &PoolerCluster) -> Option<&Condition> {
    cluster.status.as_ref()?.conditions.iter().find(|it| it.type_ == CONFLICT)
}

fn is_stale(said: &Condition, install: &str, now: Timestamp) -> bool {
    let names_us = said.message.starts_with(&format!("install {install} serves "));
    let until = said.last_transition_time.0.checked_add(STALE);
    !names_us || until.is_ok_and(|until| until < now)
}

/// All that have not got the claim say the same, or each would correct the other.
fn condition(holder: &str, lease: &str, now: Timestamp) -> Condition {
    let message = format!(
        "install {holder} serves this namespace ({lease}), and another install watches it, too: \
         uninstall one of them, or let them watch different namespaces"
    );
    Condition {
        type_: CONFLICT.into(),
        status: "True".into(),
        reason: REASON.into(),
        message,
        last_transition_time: Time(Timestamp::from_second(now.as_second()).unwrap_or(now)),
        observed_generation: None,
    }
}

async fn write(
    context: &Context,
    cluster: &PoolerCluster,
    status: Value,
) -> Result<(), kube::Error> {
    let namespace = cluster.namespace().unwrap_or_default();
    let api = Api::<PoolerCluster>::namespaced(context.client.clone(), &namespace);
    let (api_version, kind) = (PoolerCluster::api_version(&()), PoolerCluster::kind(&()));
    let patch = json!({"apiVersion": api_version, "kind": kind, "status": status});
    context.metrics.wrote();
    let parameters = PatchParams::apply(MANAGER).force();
    api.patch_status(&cluster.name_any(), &parameters, &Patch::Apply(&patch)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn said_at(minutes: i64) -> Condition {
        let at = testing::now() + SignedDuration::from_mins(minutes);
        condition("a/b", "Lease apps/poolwright-claim", at)
    }

    #[test]
    fn what_names_another_or_was_said_long_ago_is_stale() {
        let now = testing::now() + SignedDuration::from_mins(30);
        assert!(is_stale(&said_at(29), "c/d", now));
        assert!(is_stale(&said_at(19), "a/b", now));
        assert!(!is_stale(&said_at(21), "a/b", now));
        assert!(!is_stale(&condition("a/b", "Lease", Timestamp::MAX), "a/b", now));
    }

    #[test]
    fn it_is_taken_out_of_what_the_serving_install_said() {
        let mut cluster = testing::cluster();
        assert_eq!(take(&mut cluster), None);
        let conditions = vec![said_at(0)];
        cluster.status = Some(poolwright_crds::PoolerClusterStatus {
            conditions,
            ..poolwright_crds::PoolerClusterStatus::default()
        });
        let taken = take(&mut cluster).unwrap();
        assert!(taken.message.starts_with("install a/b serves this namespace"), "{taken:?}");
        assert_eq!(cluster.status.unwrap().conditions, []);
    }
}
