//! A PoolerCluster that broke: it says so, its pods go on with the last good settings, and the
//! others go on as if nothing were.

use std::time::Duration;

use anyhow::{Result, ensure};
use poolwright_tests::kube::command::{number, text};
use poolwright_tests::kube::stage::Stage;
use poolwright_tests::kube::traffic::Traffic;
use poolwright_tests::kube::wait::{eventually, seconds};
use serde_json::json;

on_stage! {
    a_broken_one_goes_on_and_so_do_the_others 50: broken_beside_another;
}

async fn broken_beside_another(stage: &Stage) -> Result<()> {
    // Two on one server, so each declares its part of it.
    let half = json!({"maxConnections": 25, "reserve": 0});
    let half = json!({"spec": {"replicas": 1, "maxReplicas": 2, "server": {"budget": half}}});
    stage.serve("broken", half.clone()).await?;
    stage.serve("other", half).await?;
    let settings = stage.namespace.get("configmap/broken-settings").await?;
    let pods = stage.identities("broken").await?;

    let traffic = Traffic::start(stage, "broken", 20, Duration::from_millis(5)).await?;
    let users = |name: &str| json!({"spec": {"auth": {"users": [{"secretRef": {"name": name}}]}}});
    stage.namespace.patch("poolercluster/broken", &users("lost")).await?;
    let condition = stage.condition("broken", "CredentialsReady", "False").await?;
    let message = text(&condition, "/message");
    for part in
        ["spec.auth.users[0].secretRef.name", "no Secret lost", "expected", "kubectl create"]
    {
        ensure!(message.contains(part), "the condition does not say {part:?}: {message}");
    }
    let stalled = stage.condition("broken", "Stalled", "True").await?;
    ensure!(text(&stalled, "/message").contains("last good settings"), "{stalled}");

    stage.namespace.kubectl("scale poolercluster/other --replicas 2").await?;
    eventually("the other one scales", seconds(60), async || {
        let other = stage.pooler_cluster("other").await?;
        Ok((number(&other, "/status/readyReplicas") == 2).then_some(()))
    })
    .await?;

    traffic.goes_on().await?;
    let now = stage.namespace.get("configmap/broken-settings").await?;
    ensure!(now == settings, "the settings were changed: {now}");
    ensure!(stage.identities("broken").await? == pods, "pods were replaced");
    stage.namespace.patch("poolercluster/broken", &users("users")).await?;
    stage.ready("broken").await?;
    traffic.goes_on().await?;
    traffic.stop().await?.is_clean()
}
