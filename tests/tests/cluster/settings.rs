//! Settings and passwords change while clients work: every pod has the last of them in seconds,
//! nobody restarts, no client notices.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use poolwright_tests::kube::command::text;
use poolwright_tests::kube::counters;
use poolwright_tests::kube::length;
use poolwright_tests::kube::manifest::{config_map, tenants_from};
use poolwright_tests::kube::stage::{Stage, USERS};
use poolwright_tests::kube::traffic::Traffic;
use poolwright_tests::pg::Target;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval, sleep};

on_stage! {
    fifty_changes_in_a_minute_reach_every_pod_at_once 125: fifty_changes;
}

const NAME: &str = "workspaces";
/// Whose password changes; nobody else uses it.
const ROLE: &str = "rotated";
const CHANGES: u32 = 50;
/// Between two changes.
const EVERY: Duration = Duration::from_millis(1200);
/// What the last change may take. It fails only beyond five times as long.
const PROMISED: Duration = Duration::from_secs(2);

async fn fifty_changes(stage: &Stage) -> Result<()> {
    let changes = length::of("changes", CHANGES, 15);
    let last = password(changes);
    let role = format!("CREATE ROLE {ROLE} LOGIN PASSWORD '{last}'");
    stage.server().psql("postgres", &role).await?;
    stage.namespace.apply(&config_map("tenants", &tenants(10))).await?;
    stage.serve(NAME, tenants_from("tenants")).await?;
    let before = stage.identities(NAME).await?;
    let addresses: Vec<String> =
        stage.pods(NAME).await?.iter().map(|pod| text(pod, "/status/podIP").to_owned()).collect();

    let traffic = Traffic::start(stage, NAME, 40, Duration::from_millis(5)).await?;
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut changed = Instant::now();
    for change in 1..=changes {
        ticks.tick().await;
        // The last one: 25 each, 50 in all, 62 connections for each of two pods.
        let each = if change == changes { 25 } else { 10 + change % 10 };
        let secret = json!({"stringData": {ROLE: password(change)}});
        stage.namespace.patch(&format!("secret/{USERS}"), &secret).await?;
        stage.namespace.patch("configmap/tenants", &json!({"data": tenants(each)})).await?;
        changed = Instant::now();
    }
    loop {
        let took = changed.elapsed();
        let found = in_force(&addresses, &last).await;
        if found.is_ok() {
            println!(
                "    the last of {changes} changes in {} pods: {:.2} s",
                addresses.len(),
                took.as_secs_f64()
            );
            break;
        }
        ensure!(took < PROMISED * 5, "not in force after {took:?}: {:#}", found.unwrap_err());
        sleep(Duration::from_millis(20)).await;
    }
    let told = stage.condition(NAME, "ConfigApplied", "True").await?;
    ensure!(text(&told, "/message") == "in force in 2 of 2 ready pods", "it says {told}");
    traffic.goes_on().await?;
    traffic.stop().await?.is_clean()?;
    let after = stage.identities(NAME).await?;
    ensure!(before == after && after.len() == 2, "pods were {before:?} and are {after:?}");
    Ok(())
}

/// Fails unless each pod has the last sizes and lets the last password in.
async fn in_force(addresses: &[String], password: &str) -> Result<()> {
    for address in addresses {
        let held = counters::read(address, "poolwright_server_connections_max").await?;
        ensure!(held == 62.0, "{address} may hold {held}");
        let target = Target::new(address, 6432, ROLE, "cloud_01").password(password);
        target.connect().await.with_context(|| format!("log in at {address}"))?;
    }
    Ok(())
}

fn password(change: u32) -> String {
    format!("password-{change}")
}

fn tenants(each: u32) -> Value {
    json!({"cloud_01": each.to_string(), "cloud_02": each.to_string()})
}
