//! What each pod may hold follows the pods that there are, and changes of mind about them: all of it
//! under load, and never more connections than the server can give.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use poolwright_tests::kube::command::{number, text};
use poolwright_tests::kube::counters;
use poolwright_tests::kube::processes;
use poolwright_tests::kube::stage::Stage;
use poolwright_tests::kube::traffic::Traffic;
use poolwright_tests::kube::wait::{eventually, seconds};
use poolwright_tests::load::Account;
use poolwright_tests::pg::Target;
use poolwright_tests::sampler::Sampler;
use serde_json::{Value, json};
use tokio::task::JoinSet;

on_stage! {
    pods_share_what_there_is_and_shrink_before_another_comes 50: shares_follow_pods;
    maxreplicas_and_the_budget_change_under_load 50: changes_of_mind;
    a_budget_that_is_not_declared_is_what_pods_see 50: undeclared;
    a_pooler_that_was_killed_begins_with_its_floor 50: killed_pooler;
}

const NAME: &str = "workspaces";
const MAX: &str = "poolwright_server_connections_max";

async fn load(stage: &Stage) -> Result<Traffic> {
    Traffic::start(stage, NAME, 40, Duration::from_millis(5)).await
}

/// Waits until each of so many ready pods may hold so many connections; how long that took.
async fn each_may_hold(stage: &Stage, pods: usize, connections: f64) -> Result<Duration> {
    let begun = Instant::now();
    let what = format!("each of {pods} pods may hold {connections}");
    eventually(&what, seconds(240), async || {
        let mut held = Vec::new();
        for pod in stage.pods(NAME).await? {
            held.push(counters::read(text(&pod, "/status/podIP"), MAX).await?);
        }
        ensure!(held == vec![connections; pods], "they may hold {held:?}");
        Ok(Some(()))
    })
    .await?;
    stage.ready(NAME).await?;
    let took = begun.elapsed();
    println!("    {what}: {:.1} s", took.as_secs_f64());
    Ok(took)
}

async fn scale(stage: &Stage, replicas: u32) -> Result<()> {
    let command = format!("scale poolercluster/{NAME} --replicas {replicas}");
    stage.namespace.kubectl(&command).await.map(drop)
}

async fn change(stage: &Stage, spec: Value) -> Result<()> {
    let changes = json!({ "spec": spec });
    stage.namespace.patch(&format!("poolercluster/{NAME}"), &changes).await.map(drop)
}

async fn shares_follow_pods(stage: &Stage) -> Result<()> {
    stage.serve(NAME, json!({"spec": {"replicas": 1, "maxReplicas": 3}})).await?;
    each_may_hold(stage, 1, 50.0).await?;
    let traffic = load(stage).await?;
    scale(stage, 3).await?;
    each_may_hold(stage, 3, 16.0).await?;
    traffic.goes_on().await?;
    scale(stage, 2).await?;
    each_may_hold(stage, 2, 25.0).await?;
    let sizing = stage.pooler_cluster(NAME).await?;
    let told = ["floor", "perPod"].map(|it| number(&sizing, &format!("/status/sizing/{it}")));
    ensure!(told == [16, 25], "the status says {told:?}");
    traffic.goes_on().await?;
    traffic.stop().await?.is_clean()
}

async fn changes_of_mind(stage: &Stage) -> Result<()> {
    stage.serve(NAME, json!({"spec": {"replicas": 2, "maxReplicas": 2}})).await?;
    each_may_hold(stage, 2, 25.0).await?;
    let traffic = load(stage).await?;
    // The volumes of the pods that run have to say less before another pod may start.
    let settings = format!("configmap/{NAME}-settings");
    let before = stage.namespace.get(&settings).await?;
    change(stage, json!({"maxReplicas": 4, "replicas": 3})).await?;
    eventually("what volumes are to say is written", seconds(30), async || {
        Ok((stage.namespace.get(&settings).await?["data"] != before["data"]).then_some(()))
    })
    .await?;
    stage.hurry_volumes(NAME).await?;
    each_may_hold(stage, 3, 16.0).await?;
    let budget = &stage.server().spec()["budget"];
    let reserve = budget["reserve"].as_i64().unwrap_or_default() + 10;
    change(stage, json!({"server": {"budget": {"reserve": reserve}}})).await?;
    each_may_hold(stage, 3, 13.0).await?;
    let sql = "SELECT count(*) FROM pg_stat_activity JOIN pg_roles ON rolname = usename \
               WHERE NOT rolsuper";
    eventually("no more than 40 connections are open", seconds(30), async || {
        let open: u32 = stage.server().psql("postgres", sql).await?.trim().parse()?;
        Ok((open <= 40).then_some(()))
    })
    .await?;
    traffic.goes_on().await?;
    traffic.stop().await?.is_clean()
}

async fn undeclared(stage: &Stage) -> Result<()> {
    stage.serve(NAME, json!({"spec": {"replicas": 2, "maxReplicas": 2}})).await?;
    each_may_hold(stage, 2, 25.0).await?;
    // Of the reserve, Postgres keeps all but one connection itself.
    change(stage, json!({"server": {"budget": {"maxConnections": null, "reserve": 11}}})).await?;
    each_may_hold(stage, 2, 20.0).await?;
    let declared = &stage.server().spec()["budget"];
    let seen = stage.pooler_cluster(NAME).await?;
    let most = number(&seen, "/status/server/maxConnections");
    ensure!(declared["maxConnections"] == most, "{declared} and {}", seen["status"]["server"]);
    let satisfied = stage.condition(NAME, "BudgetSatisfied", "False").await?;
    println!("    {}", text(&satisfied, "/message"));
    stage.condition(NAME, "BackendReachable", "True").await?;

    // Another server may be smaller: until it was seen there is one connection for each pod.
    let there = stage.server().spec()["endpoints"]["writer"].clone();
    let (host, _) = there.as_str().and_then(|it| it.rsplit_once(':')).context("no port")?;
    change(stage, json!({"server": {"endpoints": {"writer": format!("{host}:1")}}})).await?;
    let cut_off = stage.condition(NAME, "BackendReachable", "False").await?;
    println!("    {}", text(&cut_off, "/message"));
    ensure!(text(&cut_off, "/message").contains("Connection refused"), "{cut_off}");
    each_may_hold(stage, 2, 1.0).await?;
    change(stage, json!({"server": {"endpoints": {"writer": there}}})).await?;
    stage.condition(NAME, "BackendReachable", "True").await?;
    each_may_hold(stage, 2, 20.0).await.map(drop)
}

/// With all of the budget in use and no operator there, it begins with its floor, and with less
/// while the server has connections of the one before it: Postgres has not one slot more.
async fn killed_pooler(stage: &Stage) -> Result<()> {
    stage.serve(NAME, json!({"spec": {"replicas": 2, "maxReplicas": 3}})).await?;
    each_may_hold(stage, 2, 25.0).await?;
    let pods = stage.pods(NAME).await?;
    let mut holders = Vec::new();
    for pod in &pods {
        holders.push(crowd(stage, pod, "SELECT pg_sleep(600)"));
    }
    let sql = "SELECT count(*) FROM pg_stat_activity \
               WHERE state = 'active' AND usename LIKE 'ws_%' AND query ~ 'pg_sleep'";
    // A database's part is rounded down.
    eventually("all connections are in use", seconds(20), async || {
        let open: u32 = stage.server().psql("postgres", sql).await?.trim().parse()?;
        ensure!((46..=50).contains(&open), "{open} are");
        Ok(Some(()))
    })
    .await?;
    stage.operator.rest().await?;
    let judged = kill_and_load(stage, &pods[0]).await;
    stage.operator.work().await?;
    judged?;
    drop(holders);
    each_may_hold(stage, 2, 25.0).await?;
    stage.server().refused_nobody()
}

async fn kill_and_load(stage: &Stage, pod: &Value) -> Result<()> {
    let sampler = Sampler::start(stage.server().sampler(), Duration::from_millis(5)).await?;
    let uid = text(pod, "/metadata/uid");
    processes::signal(processes::of_pod(uid, "poolwright-pool")?, "KILL")?;
    let begun = Instant::now();
    eventually("the pooler was started again", seconds(60), async || {
        let restarts = stage.identities(NAME).await?.iter().map(|(_, count)| count).sum::<i64>();
        Ok((restarts == 1).then_some(()))
    })
    .await?;
    stage.ready(NAME).await?;
    let (served, floor) = eventually("its successor serves", seconds(60), async || {
        let floor = counters::read(text(pod, "/status/podIP"), MAX).await?;
        let mut crowd = crowd(stage, pod, "SELECT pg_sleep(0.3)");
        let clients = crowd.len();
        while let Some(served) = crowd.join_next().await {
            served??;
        }
        Ok(Some((clients, floor)))
    })
    .await?;
    let peaks = sampler.stop().await?;
    println!(
        "    {served} clients are served {:.1} s after the kill, at most {} of 50 connections in {} \
         samples",
        begun.elapsed().as_secs_f64(),
        peaks.total,
        peaks.samples
    );
    ensure!(floor == 16.0, "it may hold {floor}, its floor is 16");
    ensure!((46..=50).contains(&peaks.total), "at most 50 connections were there: {peaks:?}");
    Ok(())
}

/// More clients of a pod, each on its way with this query, than it may have connections.
fn crowd(stage: &Stage, pod: &Value, sql: &'static str) -> JoinSet<Result<()>> {
    let mut crowd = JoinSet::new();
    for Account { user, password, database } in stage.server().accounts.iter().cycle().take(40) {
        let target = Target::new(text(pod, "/status/podIP"), 6432, user, database);
        let target = target.password(password);
        crowd.spawn(async move {
            let answer = target.connect().await?.query(sql).await?;
            answer.error.map_or(Ok(()), |error| Err(error.into()))
        });
    }
    crowd
}
