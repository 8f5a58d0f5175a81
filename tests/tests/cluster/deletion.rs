//! PoolerCluster, namespace and operator are deleted in the orders that differ in kind, under load
//! and with a client that sits in a transaction: nothing hangs, nothing is left but what is kept on
//! purpose. There is no finalizer that could wait for an operator that is gone.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use poolwright_tests::kube::command::Namespace;
use poolwright_tests::kube::length;
use poolwright_tests::kube::stage::Stage;
use poolwright_tests::kube::traffic::Traffic;
use poolwright_tests::kube::wait::{eventually, seconds};
use poolwright_tests::pg::Target;
use serde_json::json;

on_stage! {
    whatever_is_deleted_first_nothing_is_left 50: every_order;
}

const NAME: &str = "workspaces";
/// How long a pod waits for a client that sits in a transaction.
const DRAIN: u64 = 5;
/// Five times what a pod may take at the utmost: its drain and half a minute beyond.
const LIMIT: Duration = seconds(5 * (DRAIN + 30));

/// What stays in a namespace when a PoolerCluster has gone: what Kubernetes puts into each, the
/// ledger, which the next one of that name counts on, and the user's own.
const THE_USERS: [&str; 4] = [
    "configmap/kube-root-ca.crt",
    "configmap/workspaces-ledger",
    "secret/users",
    "serviceaccount/default",
];
/// What an operator leaves in its own namespace: the Lease of its elections, which no manifest names.
const THE_OPERATORS: [&str; 3] = [
    "configmap/kube-root-ca.crt",
    "lease.coordination.k8s.io/poolwright-tests",
    "serviceaccount/default",
];
/// What a release leaves elsewhere: the definition, what Kubernetes made of it, and the claim, which
/// holds for a while for whoever installs it again.
const THE_RELEASES: [&str; 3] = [
    "apiservice.apiregistration.k8s.io/v1alpha1.poolwright.dev",
    "customresourcedefinition.apiextensions.k8s.io/poolerclusters.poolwright.dev",
    "lease.coordination.k8s.io/poolwright-cluster-claim",
];

async fn every_order(stage: &Stage) -> Result<()> {
    let played = orders(stage).await;
    stage.operator.put_back().await.context("put the operator back")?;
    played?;
    stage.make_namespace().await?;
    stage.serve(NAME, json!({"spec": {"replicas": 1}})).await.context("all begins anew")
}

async fn orders(stage: &Stage) -> Result<()> {
    println!("  the PoolerCluster");
    under_load(stage, pooler_cluster_goes).await?;
    if length::of("orders of deletion", 3, 1) == 1 {
        return Ok(());
    }

    println!("  the namespace, and while it goes the operator's");
    under_load(stage, namespaces_go).await?;
    stage.operator.put_back().await?;

    println!("  the operator, then the PoolerCluster");
    stage.make_namespace().await?;
    under_load(stage, async |stage| {
        stage.operator.uninstall().await?;
        let left = elsewhere().await?;
        ensure!(left == THE_RELEASES, "left of the release elsewhere: {left:?}");
        let left = all_of(&stage.operator.namespace).await?;
        ensure!(left == THE_OPERATORS, "left in the operator's namespace: {left:?}");
        pooler_cluster_goes(stage).await
    })
    .await
}

/// Serves clients, deletes meanwhile, and judges: whoever was being served was served to the end.
async fn under_load(stage: &Stage, delete: impl AsyncFnOnce(&Stage) -> Result<()>) -> Result<()> {
    let drain = json!({"timeout": format!("{DRAIN}s")});
    stage.serve(NAME, json!({"spec": {"replicas": 2, "drain": drain}})).await?;
    let traffic = Traffic::start(stage, NAME, 40, Duration::from_millis(5)).await?;
    let account = &stage.server().accounts[0];
    let target = Target::new(&stage.host(NAME), 5432, &account.user, &account.database);
    let mut sitting = target.password(&account.password).connect().await?;
    sitting.run("BEGIN").await;

    delete(stage).await?;
    eventually("no server connection is left", seconds(60), async || {
        let count = "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'ws\\_%'";
        let count = stage.server().psql("postgres", count).await?;
        ensure!(count.trim() == "0", "{count} are left");
        Ok(Some(()))
    })
    .await?;
    let seen = traffic.stop().await?;
    let (report, peaks) = (&seen.report, &seen.peaks);
    ensure!(report.wrong == 0, "clients were shown what is not theirs:\n{report}");
    ensure!(peaks.total <= u64::from(seen.budget), "the budget was passed: {peaks:?}");
    Ok(())
}

async fn pooler_cluster_goes(stage: &Stage) -> Result<()> {
    let before = all_of(&stage.namespace).await?;
    println!("    there are: {}", before.join(" "));
    for name in ["statefulset.apps/workspaces", "secret/workspaces-credentials", "pod/workspaces-1"]
    {
        ensure!(before.iter().any(|it| it == name), "{name} is not among {before:?}");
    }
    stage.namespace.kubectl(&format!("delete poolercluster {NAME} --timeout 20s")).await?;
    eventually("nothing of it is left", LIMIT, async || {
        let left = all_of(&stage.namespace).await?;
        ensure!(left == THE_USERS, "left: {left:?}");
        Ok(Some(()))
    })
    .await?;
    println!("    left: {}", THE_USERS.join(" "));
    Ok(())
}

async fn namespaces_go(stage: &Stage) -> Result<()> {
    let (ours, theirs) = (&stage.namespace, &stage.operator.namespace);
    ours.kubectl(&format!("delete namespace {} --wait=false", ours.0)).await?;
    eventually("its pods are told to end", seconds(60), async || {
        Ok(stage.pods(NAME).await?.is_empty().then_some(()))
    })
    .await?;
    let log = stage.operator.log().await?;
    let failures = log.lines().filter(|line| line.contains("reconcile failed")).count();
    println!("    reconciles that failed meanwhile: {failures}");
    theirs.kubectl(&format!("delete namespace {} --wait=false", theirs.0)).await?;
    is_gone(ours).await?;
    is_gone(theirs).await?;
    println!("    left: {}", elsewhere().await?.join(" "));
    Ok(())
}

async fn is_gone(namespace: &Namespace) -> Result<()> {
    eventually(&format!("namespace {} is gone", namespace.0), LIMIT, async || {
        let found = format!("get namespace {} --ignore-not-found --output yaml", namespace.0);
        let found = namespace.kubectl(&found).await?;
        ensure!(found.is_empty(), "{found}");
        Ok(Some(()))
    })
    .await
}

/// Every object of a namespace, of whatever kind the API server has, but for Events.
async fn all_of(namespace: &Namespace) -> Result<Vec<String>> {
    objects(namespace, "--namespaced=true").await
}

/// What bears our name outside of namespaces, and in the one that every cluster has.
async fn elsewhere() -> Result<Vec<String>> {
    let default = Namespace("default".to_owned());
    let mut all = objects(&default, "--namespaced=false").await?;
    all.extend(all_of(&default).await?);
    all.retain(|it| it.contains("poolwright") && !it.starts_with("namespace/"));
    Ok(all)
}

async fn objects(namespace: &Namespace, which: &str) -> Result<Vec<String>> {
    let kinds = format!("api-resources {which} --verbs list --output name");
    let kinds = namespace.kubectl(&kinds).await?;
    let kinds = kinds.split_whitespace().filter(|kind| !kind.starts_with("events"));
    let kinds = kinds.collect::<Vec<_>>().join(",");
    let all = format!("get {kinds} --output name --ignore-not-found");
    let mut all: Vec<_> =
        namespace.kubectl(&all).await?.split_whitespace().map(str::to_owned).collect();
    all.sort_unstable();
    all.dedup();
    Ok(all)
}
