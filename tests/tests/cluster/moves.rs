//! Pods come and go under load with clients that reconnect when they are asked to: no request is
//! lost of which a byte was forwarded, nobody is refused, the budget holds in every sample.

use std::time::Duration;

use anyhow::{Result, ensure};
use poolwright_tests::kube::command::{number, text};
use poolwright_tests::kube::counters;
use poolwright_tests::kube::length;
use poolwright_tests::kube::stage::Stage;
use poolwright_tests::kube::traffic::Traffic;
use poolwright_tests::kube::wait::{eventually, seconds};
use serde_json::json;

on_stage! {
    a_scale_to_three_and_back_fails_no_request 50: scale_and_back;
    a_rolling_restart_fails_no_request 50: rolling_restart;
    a_single_pod_is_restarted_without_a_gap 50: restart_of_one;
    a_deleted_pod_fails_no_request 50: deleted_pod;
    a_killed_operator_is_missed_by_nobody 50: killed_operator;
    rolls_and_scales_in_a_row_fail_no_request 50: rolls_and_scales;
}

pub(crate) const NAME: &str = "workspaces";

pub(crate) async fn begin(stage: &Stage, replicas: u32) -> Result<Traffic> {
    stage.serve(NAME, json!({"spec": {"replicas": replicas}})).await?;
    load(stage).await
}

pub(crate) async fn load(stage: &Stage) -> Result<Traffic> {
    Traffic::start(stage, NAME, 40, Duration::from_millis(5)).await
}

pub(crate) async fn finish(traffic: Traffic, at_least: usize) -> Result<()> {
    traffic.goes_on().await?;
    let seen = traffic.stop().await?;
    ensure!(seen.pods >= at_least, "expected {at_least} pods to be seen, not {}", seen.pods);
    ensure!(seen.report.reconnects > 0, "no pod asked a client to leave");
    seen.is_clean()
}

/// Scales through the scale subresource, as an autoscaler does, and waits for all of it.
pub(crate) async fn scale(stage: &Stage, replicas: i64) -> Result<()> {
    stage.namespace.kubectl(&format!("scale poolercluster/{NAME} --replicas {replicas}")).await?;
    eventually(
        &format!("{replicas} pods are ready, and no other is left"),
        seconds(150),
        async || {
            let cluster = stage.pooler_cluster(NAME).await?;
            let all =
                ["replicas", "readyReplicas"].map(|it| number(&cluster, &format!("/status/{it}")));
            ensure!(all == [replicas, replicas], "pods and ready ones are {all:?}");
            Ok(Some(()))
        },
    )
    .await
}

async fn scale_and_back(stage: &Stage) -> Result<()> {
    let traffic = begin(stage, 1).await?;
    scale(stage, 3).await?;
    clients_are_on_all_pods(stage).await?;
    traffic.goes_on().await?;
    traffic.stop().await?.is_clean()?;
    // Those who stay are still on the first pod, so others come that begin on all three.
    let traffic = load(stage).await?;
    scale(stage, 1).await?;
    finish(traffic, 3).await
}

async fn clients_are_on_all_pods(stage: &Stage) -> Result<()> {
    eventually("each pod has clients", seconds(60), async || {
        let mut clients = Vec::new();
        for pod in stage.pods(NAME).await? {
            let metric = "poolwright_client_connections";
            clients.push(counters::read(text(&pod, "/status/podIP"), metric).await?);
        }
        ensure!(clients.iter().all(|count| *count > 0.0), "clients of each pod: {clients:?}");
        Ok(Some(()))
    })
    .await
}

pub(crate) async fn restart(stage: &Stage, at: &str) -> Result<()> {
    let annotations = json!({"poolwright.dev/restartedAt": at});
    let change = json!({"metadata": {"annotations": annotations}});
    stage.namespace.patch(&format!("poolercluster/{NAME}"), &change).await.map(drop)
}

/// Waits until so many pods are ready and none of the old ones is left.
pub(crate) async fn all_new(stage: &Stage, old: &[(String, i64)], replicas: usize) -> Result<()> {
    let all = format!("pods --selector app.kubernetes.io/instance={NAME}");
    eventually("all pods are new", seconds(200), async || {
        let pods = stage.namespace.list(&all).await?;
        let uids: Vec<_> = pods.iter().map(|pod| text(pod, "/metadata/uid")).collect();
        let left = old.iter().filter(|(uid, _)| uids.contains(&uid.as_str())).count();
        let cluster = stage.pooler_cluster(NAME).await?;
        let ready = number(&cluster, "/status/readyReplicas");
        ensure!(left == 0 && uids.len() == replicas, "{left} of {uids:?} are old, {ready} ready");
        Ok((usize::try_from(ready) == Ok(replicas)).then_some(()))
    })
    .await?;
    stage.ready(NAME).await
}

async fn rolling_restart(stage: &Stage) -> Result<()> {
    let traffic = begin(stage, 3).await?;
    let old = stage.identities(NAME).await?;
    restart(stage, "2026-01-01T00:00:00Z").await?;
    all_new(stage, &old, 3).await?;
    finish(traffic, 6).await
}

async fn restart_of_one(stage: &Stage) -> Result<()> {
    let traffic = begin(stage, 1).await?;
    let old = stage.identities(NAME).await?;
    restart(stage, "2026-01-01T00:00:00Z").await?;
    all_new(stage, &old, 1).await?;
    finish(traffic, 3).await
}

/// Each round rolls and scales at once.
async fn rolls_and_scales(stage: &Stage) -> Result<()> {
    let rounds = length::of("rolls and scales", 10, 2) as usize;
    let traffic = begin(stage, 2).await?;
    for round in 1..=rounds {
        let (old, replicas) = (stage.identities(NAME).await?, 2 + round % 2);
        restart(stage, &format!("round {round}")).await?;
        stage
            .namespace
            .kubectl(&format!("scale poolercluster/{NAME} --replicas {replicas}"))
            .await?;
        all_new(stage, &old, replicas).await?;
    }
    println!("    {rounds} rolls and {rounds} scales");
    finish(traffic, 2 + rounds).await
}

async fn deleted_pod(stage: &Stage) -> Result<()> {
    let traffic = begin(stage, 2).await?;
    let old = stage.identities(NAME).await?;
    stage.namespace.kubectl(&format!("delete pod {NAME}-0 --wait=false")).await?;
    eventually("another pod took its place and is ready", seconds(150), async || {
        let now = stage.identities(NAME).await?;
        let cluster = stage.pooler_cluster(NAME).await?;
        let ready = number(&cluster, "/status/readyReplicas");
        let new = now.iter().filter(|pod| !old.contains(pod)).count();
        Ok((now.len() == 2 && new == 1 && ready == 2).then_some(()))
    })
    .await?;
    finish(traffic, 3).await
}

/// Kills it in the middle of a roll: clients do not notice, and the next one ends the roll.
async fn killed_operator(stage: &Stage) -> Result<()> {
    let traffic = begin(stage, 2).await?;
    let old = stage.identities(NAME).await?;
    restart(stage, "2026-01-01T00:00:00Z").await?;
    eventually("the roll has begun", seconds(60), async || {
        let now = stage.identities(NAME).await?;
        Ok((now != old).then_some(()))
    })
    .await?;
    let killed = stage.operator.kill().await?;
    traffic.goes_on().await?;
    stage.operator.is_back(&killed).await?;
    all_new(stage, &old, 2).await?;
    finish(traffic, 4).await
}
