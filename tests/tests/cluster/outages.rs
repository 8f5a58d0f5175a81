//! What the cluster itself may do to it, under load: a node is drained, the leading operator sleeps
//! past its Lease, the API server is away for a minute. Clients that reconnect when they are asked
//! to lose no request, and the audit log shows who wrote what.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use poolwright_tests::kube::audit::Mark;
use poolwright_tests::kube::command::{number, text};
use poolwright_tests::kube::length;
use poolwright_tests::kube::operator::Operator;
use poolwright_tests::kube::processes;
use poolwright_tests::kube::stage::Stage;
use poolwright_tests::kube::wait::{eventually, seconds};
use serde_json::Value;

use super::moves::{NAME, all_new, begin, finish, restart, scale};

on_stage! {
    a_drained_node_fails_no_request 50: drained_node;
    a_leader_that_slept_past_its_lease_writes_nothing 50: slept_past_its_lease;
    a_minute_without_the_api_server_fails_no_request 50: minute_without_api_server;
}

/// What the operator wrote since the mark, and the reasons that its Events give.
async fn tell(stage: &Stage, mark: &Mark) -> Result<()> {
    let mut counts = BTreeMap::<String, usize>::new();
    for (write, count) in mark.since()? {
        if write.user == Operator::user() && !write.what.contains(" leases ") {
            *counts.entry(write.what).or_default() += count;
        }
    }
    for (what, count) in counts {
        println!("    the operator wrote: {what} ×{count}");
    }
    let mut reasons = BTreeMap::<String, i64>::new();
    for event in stage.namespace.list("events").await? {
        if text(&event, "/involvedObject/kind") == "PoolerCluster" {
            let reason = text(&event, "/reason").to_owned();
            *reasons.entry(reason).or_default() += number(&event, "/count").max(1);
        }
    }
    println!("    because: {reasons:?}");
    Ok(())
}

async fn drained_node(stage: &Stage) -> Result<()> {
    let traffic = begin(stage, 3).await?;
    let mark = Mark::now()?;
    let nodes = stage.namespace.list("nodes").await?;
    let name = |node: &Value| text(node, "/metadata/name").to_owned();
    let node =
        nodes.iter().map(name).find(|name| name.ends_with("-2")).context("no second node")?;
    let here = async || {
        let pods = stage.pods(NAME).await?;
        anyhow::Ok(pods.iter().filter(|pod| text(pod, "/spec/nodeName") == node).count())
    };
    let before = here().await?;
    ensure!(before > 0, "no pod is on {node}");
    let drain = format!("drain {node} --ignore-daemonsets --delete-emptydir-data --timeout 140s");
    let drained = stage.namespace.kubectl(&drain).await;
    let moved = async {
        drained?;
        eventually("three pods are ready elsewhere", seconds(120), async || {
            let cluster = stage.pooler_cluster(NAME).await?;
            let ready = number(&cluster, "/status/readyReplicas");
            Ok((here().await? == 0 && ready == 3).then_some(()))
        })
        .await
    };
    let moved = moved.await;
    stage.namespace.kubectl(&format!("uncordon {node}")).await?;
    moved?;
    println!("    {before} of 3 pods were on {node}");
    tell(stage, &mark).await?;
    finish(traffic, 3 + before).await
}

async fn slept_past_its_lease(stage: &Stage) -> Result<()> {
    stage.operator.scale(2).await?;
    stage.operator.all_ready().await?;
    let slept = sleeper_beside_another(stage).await;
    stage.operator.work().await?;
    slept
}

/// It sleeps in the middle of a roll, which the other one ends.
async fn sleeper_beside_another(stage: &Stage) -> Result<()> {
    let traffic = begin(stage, 2).await?;
    let (begun, old) = (Mark::now()?, stage.identities(NAME).await?);
    let sleeper = stage.operator.leader().await?;
    let pod = stage.operator.namespace.get(&format!("pod/{sleeper}")).await?;
    let pid = processes::of_pod(text(&pod, "/metadata/uid"), "poolwright-oper")?;
    restart(stage, "while the leader sleeps").await?;
    eventually("the roll has begun", seconds(60), async || {
        Ok((stage.identities(NAME).await? != old).then_some(()))
    })
    .await?;
    processes::signal(pid, "STOP")?;
    let awake = async {
        eventually("another leads", seconds(60), async || {
            Ok((stage.operator.leader().await? != sleeper).then_some(()))
        })
        .await?;
        traffic.goes_on().await
    };
    let (awake, mark) = (awake.await, Mark::now()?);
    processes::signal(pid, "CONT")?;
    awake?;
    eventually("the one that slept stands by again", seconds(60), async || {
        let pod = stage.operator.namespace.get(&format!("pod/{sleeper}")).await?;
        Ok((number(&pod, "/status/containerStatuses/0/restartCount") > 0).then_some(()))
    })
    .await?;
    all_new(stage, &old, 2).await?;
    let writes = mark.since()?.into_keys().filter(|write| write.pod == sleeper);
    let writes: Vec<_> = writes.filter(|write| !write.what.contains(" leases ")).collect();
    ensure!(writes.is_empty(), "it wrote when it no longer led: {writes:?}");
    let known = begun.since()?.into_keys().any(|write| write.pod == sleeper);
    ensure!(known, "the audit log does not tell the operator's pods apart");
    tell(stage, &begun).await?;
    finish(traffic, 4).await
}

async fn minute_without_api_server(stage: &Stage) -> Result<()> {
    // With the time that it takes to start, even the short one outlasts the Lease of the operator's
    // election.
    let absence = seconds(length::of("seconds without the API server", 60, 15).into());
    let traffic = begin(stage, 2).await?;
    let (mark, old) = (Mark::now()?, stage.identities(NAME).await?);
    let (away, start) = (processes::end("apiserver").await?, Instant::now());
    traffic.goes_on().await?;
    let over = async || Ok((start.elapsed() >= absence).then_some(()));
    eventually("the time without it has passed", absence + seconds(5), over).await?;
    traffic.goes_on().await?;
    away.is_over();
    eventually("the API server answers", seconds(60), async || {
        Ok(Some(stage.namespace.kubectl("get --raw /readyz").await?))
    })
    .await?;
    scale(stage, 3).await?;
    stage.ready(NAME).await?;
    let now = stage.identities(NAME).await?;
    ensure!(old.iter().all(|pod| now.contains(pod)), "pods were replaced: {old:?}, {now:?}");
    tell(stage, &mark).await?;
    traffic.goes_on().await?;
    traffic.stop().await?.is_clean()
}
