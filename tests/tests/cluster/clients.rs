//! Three hundred clients, twenty workspaces, fifty server connections.

use std::time::Duration;

use anyhow::{Result, ensure};
use poolwright_tests::kube::pgbench::bench;
use poolwright_tests::kube::stage::Stage;
use poolwright_tests::kube::traffic::Traffic;
use poolwright_tests::sampler::Sampler;
use serde_json::json;

on_stage! {
    pgbench_clients_share_the_budget 50: pgbench_in_every_protocol;
    each_client_sees_only_its_own_marks 50: each_its_own;
}

/// Twenty workspaces at 2.5 connections each: the whole budget, in two pods.
async fn serve(stage: &Stage) -> Result<()> {
    stage.serve("workspaces", json!({"spec": {"replicas": 2, "maxReplicas": 2}})).await
}

async fn pgbench_in_every_protocol(stage: &Stage) -> Result<()> {
    serve(stage).await?;
    for protocol in ["simple", "extended", "prepared"] {
        let sampler = Sampler::start(stage.server().sampler(), Duration::from_millis(50)).await?;
        let counted = bench(stage, "workspaces", protocol, 15, 12).await?;
        let peaks = sampler.stop().await?;
        println!(
            "    {protocol}: {} clients, {} transactions, at most {} of 50 in {} samples",
            counted.clients, counted.transactions, peaks.total, peaks.samples
        );
        ensure!(counted.clients == 300 && counted.transactions > 300, "{protocol}: {counted:?}");
        ensure!((1..=50).contains(&peaks.total) && peaks.samples > 10, "{protocol}: {peaks:?}");
    }
    Ok(())
}

async fn each_its_own(stage: &Stage) -> Result<()> {
    serve(stage).await?;
    let traffic = Traffic::start(stage, "workspaces", 300, Duration::from_millis(20)).await?;
    for _ in 0..5 {
        traffic.goes_on().await?;
    }
    traffic.stop().await?.is_clean()
}
