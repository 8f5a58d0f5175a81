//! `helm test`, on a PoolerCluster in a namespace that takes only pods that Pod Security calls
//! restricted.

use anyhow::{Result, ensure};
use poolwright_tests::kube::stage::{Stage, USERS};
use serde_json::json;

on_stage! {
    helm_test_sends_a_query_through_a_pooler_cluster 50: sends_a_query;
}

const NAME: &str = "workspaces";

async fn sends_a_query(stage: &Stage) -> Result<()> {
    let looked = stage.operator.test().await?;
    for part in ["PoolerClusters can be listed: ", " leads", "test.poolerCluster"] {
        ensure!(looked.contains(part), "expected {part:?} in {looked}");
    }

    stage.serve(NAME, json!({"spec": {"replicas": 1}})).await?;
    let place = format!("poolerCluster={NAME},namespace={}", stage.namespace.0);
    let account = &stage.server().accounts[0];
    let (user, database) = (&account.user, &account.database);
    stage
        .operator
        .name_test(&format!("{place},database={database},user={user},secret={USERS}"))
        .await?;
    let answered = stage.operator.test().await?;
    let row = format!("{database}|{user}|PostgreSQL ");
    println!("    {}", answered.lines().find(|line| line.contains(&row)).unwrap_or("no row"));
    ensure!(answered.contains(&row), "expected {row:?} in {answered}");
    let left = stage.namespace.list("pods --selector app.kubernetes.io/component=test").await?;
    ensure!(left.is_empty(), "the test's pod stays: {left:?}");
    Ok(())
}
