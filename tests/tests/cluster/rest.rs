//! An operator left alone writes nothing, and a new one finds nothing to write.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use poolwright_tests::kube::audit::{Mark, Write};
use poolwright_tests::kube::length;
use poolwright_tests::kube::manifest::config_map;
use poolwright_tests::kube::operator::Operator;
use poolwright_tests::kube::stage::Stage;
use poolwright_tests::kube::traffic::Traffic;
use poolwright_tests::kube::wait::{eventually, seconds};
use serde_json::json;

on_stage! {
    an_operator_left_alone_writes_nothing 50: a_quiet_minute;
    a_new_operator_finds_nothing_to_write 50: a_new_operator;
}

const NAME: &str = "workspaces";

/// The operator's writes, out of all, but for its renewals of the Lease.
fn by_operator(writes: BTreeMap<Write, usize>) -> BTreeMap<String, usize> {
    let operator = Operator::user();
    let counts = |it: &Write| it.user == operator && !it.what.starts_with("patch leases ");
    writes.into_iter().filter(|(it, _)| counts(it)).map(|(it, n)| (it.what, n)).collect()
}

fn tell(what: &str, writes: &BTreeMap<Write, usize>) {
    let mut users = BTreeMap::<&str, usize>::new();
    for (write, count) in writes {
        *users.entry(&write.user).or_default() += count;
    }
    println!("    {what}: writes by user {users:?}");
}

/// Waits until ours is ready, with all that there is to say of it, and those of tests before this one
/// are gone.
async fn alone(stage: &Stage) -> Result<()> {
    eventually("no other PoolerCluster is left", seconds(90), async || {
        let all = stage.namespace.list("poolerclusters --all-namespaces").await?;
        Ok((all.len() == 1).then_some(()))
    })
    .await?;
    stage.condition(NAME, "BackendReachable", "True").await?;
    stage.ready(NAME).await
}

/// A window of a minute, under load, since what follows the load must not be written.
async fn a_quiet_minute(stage: &Stage) -> Result<()> {
    let window = seconds(length::of("seconds of rest", 60, 20).into());
    let begun = Mark::now()?;
    // Amounts that the API server writes in another way.
    let amounts = json!({"requests": {"cpu": "0.1", "memory": "131072Ki"}});
    stage.serve(NAME, json!({"spec": {"pods": {"resources": amounts}}})).await?;
    let first = by_operator(begun.since()?);
    ensure!(!first.is_empty(), "the audit log does not show the operator's own first writes");
    let traffic = Traffic::start(stage, NAME, 40, Duration::from_millis(20)).await?;
    alone(stage).await?;

    let (mark, start) = (Mark::now()?, Instant::now());
    let over = async || Ok((start.elapsed() >= window).then_some(()));
    eventually("the window under load", window + seconds(10), over).await?;
    traffic.goes_on().await?;
    let writes = mark.since()?;
    tell("in it", &writes);
    traffic.stop().await?.is_clean()?;
    let ours = by_operator(writes);
    ensure!(ours.is_empty(), "the operator wrote: {ours:?}");
    Ok(())
}

async fn a_new_operator(stage: &Stage) -> Result<()> {
    let tenants = json!({"configMapKeyRef": {"name": "tenants", "key": "cloud_01"}});
    let databases = json!([{"name": "cloud_01", "tenants": tenants}]);
    stage.namespace.apply(&config_map("tenants", &json!({"cloud_01": "20"}))).await?;
    stage.serve(NAME, json!({"spec": {"databases": databases}})).await?;
    alone(stage).await?;

    let mark = Mark::now()?;
    let killed = stage.operator.kill().await?;
    stage.operator.is_back(&killed).await?;
    reconciles_more_than(stage, 0.0).await?;
    // Awake, but with nothing to do: what it watches is touched.
    let before = stage.operator.reconciles().await?;
    stage.namespace.kubectl("annotate configmap/tenants touched=yes").await?;
    reconciles_more_than(stage, before).await?;
    stage.ready(NAME).await?;
    let writes = mark.since()?;
    tell("a restart of the operator, and a touched ConfigMap", &writes);
    let ours = by_operator(writes);
    ensure!(ours.is_empty(), "the operator wrote: {ours:?}");
    Ok(())
}

async fn reconciles_more_than(stage: &Stage, number: f64) -> Result<()> {
    eventually("the operator has looked", seconds(60), async || {
        Ok((stage.operator.reconciles().await? > number).then_some(()))
    })
    .await
}
