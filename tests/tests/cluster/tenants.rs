//! The number of tenants stands in a ConfigMap, or is that of objects: sizes follow, pods do not
//! restart.

mod objects;

use std::time::Duration;

use anyhow::{Result, ensure};
use poolwright_tests::kube::command::{number, text};
use poolwright_tests::kube::counters;
use poolwright_tests::kube::manifest::{config_map, tenants_from};
use poolwright_tests::kube::stage::Stage;
use poolwright_tests::kube::traffic::Traffic;
use poolwright_tests::kube::wait::{eventually, seconds};
use serde_json::json;

on_stage! {
    sizes_follow_the_tenants_in_a_config_map 125: twenty_become_fifty;
}

const NAME: &str = "workspaces";

async fn twenty_become_fifty(stage: &Stage) -> Result<()> {
    let tenants = |each: &str| json!({"cloud_01": each, "cloud_02": each});
    stage.namespace.apply(&config_map("tenants", &tenants("10"))).await?;
    stage.serve(NAME, tenants_from("tenants")).await?;
    pods_hold(stage, 25.0).await?;
    let before = stage.identities(NAME).await?;

    let traffic = Traffic::start(stage, NAME, 40, Duration::from_millis(5)).await?;
    stage.namespace.patch("configmap/tenants", &json!({"data": tenants("25")})).await?;
    eventually("status counts 50 tenants", seconds(20), async || {
        let cluster = stage.pooler_cluster(NAME).await?;
        let [tenants, granted, pod] = ["tenants", "granted", "perPod"]
            .map(|field| number(&cluster, &format!("/status/sizing/{field}")));
        let formula = text(&cluster, "/status/sizing/formula");
        ensure!(formula == "50 tenants × 2.5 = 125 ≤ 125 budget", "the formula is {formula}");
        Ok(((tenants, granted, pod) == (50, 125, 62)).then_some(()))
    })
    .await?;
    pods_hold(stage, 62.0).await?;
    traffic.goes_on().await?;
    traffic.stop().await?.is_clean()?;
    let after = stage.identities(NAME).await?;
    ensure!(before == after && after.len() == 2, "pods were {before:?} and are {after:?}");
    Ok(())
}

/// Waits until each pod allows itself so many server connections.
async fn pods_hold(stage: &Stage, expected: f64) -> Result<()> {
    let what = format!("pods may hold {expected} connections each");
    eventually(&what, seconds(150), async || {
        let mut held = Vec::new();
        for pod in stage.pods(NAME).await? {
            let metric = "poolwright_server_connections_max";
            held.push(counters::read(text(&pod, "/status/podIP"), metric).await?);
        }
        ensure!(held == [expected, expected], "they may hold {held:?}");
        Ok(Some(()))
    })
    .await
}
