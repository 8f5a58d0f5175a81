//! Several installs that would serve one namespace: one does, the others say so and write nothing
//! else, and when it is gone another takes over. And a namespace that goes with all that is in it.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use poolwright_tests::kube::audit::{Mark, Write};
use poolwright_tests::kube::command::{run, text};
use poolwright_tests::kube::length;
use poolwright_tests::kube::operator::{Operator, image};
use poolwright_tests::kube::stage::{Stage, condition};
use poolwright_tests::kube::wait::{eventually, seconds};
use serde_json::json;

on_stage! {
    of_two_installs_one_serves_and_the_other_takes_over 0: installs;
    an_ending_namespace_is_left_in_peace 0: ending;
}

const NAME: &str = "workspaces";
const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/poolwright");
/// Each in a namespace of its own, for the namespace of the test only. The one that all tests share
/// serves every namespace that nobody has claimed.
const SECOND: &str = "poolwright-second";
const THIRD: &str = "poolwright-third";

async fn installs(stage: &Stage) -> Result<()> {
    let played = play(stage).await;
    for release in [SECOND, THIRD] {
        uninstall(release).await?;
    }
    played
}

async fn play(stage: &Stage) -> Result<()> {
    stage.serve(NAME, json!({})).await?;
    install(stage, SECOND).await?;
    served_by(stage, SECOND, 60).await?;
    install(stage, THIRD).await?;

    let mark = Mark::now()?;
    changed_by(stage, 4, SECOND).await?;
    let writes = mark.since()?;
    only_conditions(stage, &writes, &Operator::user())?;
    only_conditions(stage, &writes, &user(THIRD))?;

    let start = Instant::now();
    uninstall(SECOND).await?;
    served_by(stage, THIRD, 300).await?;
    println!("    another install took over: {:.0} s", start.elapsed().as_secs_f64());
    let mark = Mark::now()?;
    changed_by(stage, 12, THIRD).await?;
    only_conditions(stage, &mark.since()?, &Operator::user())?;
    if length::of("installs that take over", 2, 1) == 1 {
        return Ok(());
    }

    uninstall(THIRD).await?;
    eventually("nobody is in conflict", seconds(300), async || {
        let cluster = stage.pooler_cluster(NAME).await?;
        Ok(condition(&cluster, "Conflict").is_none().then_some(()))
    })
    .await?;
    let mark = Mark::now()?;
    change(stage, 18).await?;
    ensure!(wrote(&mark.since()?, &Operator::user(), "patch configmaps "), "nobody serves");
    Ok(())
}

/// Changes the settings, which `release` must have written.
async fn changed_by(stage: &Stage, tenants: u32, release: &str) -> Result<()> {
    let mark = Mark::now()?;
    change(stage, tenants).await?;
    ensure!(wrote(&mark.since()?, &user(release), "patch configmaps "), "{release} wrote nothing");
    Ok(())
}

async fn change(stage: &Stage, tenants: u32) -> Result<()> {
    let databases = json!([{"name": "cloud_01", "tenants": {"count": tenants}}]);
    let patch = json!({"spec": {"databases": databases}});
    stage.namespace.patch(&format!("poolercluster/{NAME}"), &patch).await?;
    stage.ready(NAME).await
}

/// Waits until the others say that this one serves.
async fn served_by(stage: &Stage, release: &str, limit: u64) -> Result<()> {
    eventually(&format!("{release} serves"), seconds(limit), async || {
        let cluster = stage.pooler_cluster(NAME).await?;
        let said = condition(&cluster, "Conflict").context("nobody says Conflict")?;
        let expect = format!("install {release}/{release} serves this namespace");
        ensure!(text(&said, "/message").starts_with(&expect), "it says {said}");
        Ok(Some(()))
    })
    .await
}

fn user(release: &str) -> String {
    format!("system:serviceaccount:{release}:{release}")
}

fn wrote(writes: &BTreeMap<Write, usize>, user: &str, what: &str) -> bool {
    writes.keys().any(|write| write.user == user && write.what.starts_with(what))
}

/// What this user wrote in the test's namespace.
fn only_conditions(stage: &Stage, writes: &BTreeMap<Write, usize>, user: &str) -> Result<()> {
    let here = format!(" {}/", stage.namespace.0);
    let allowed = format!("patch poolerclusters/status {}/{NAME}", stage.namespace.0);
    let lease = format!("leases {}/poolwright-claim", stage.namespace.0);
    let ours = writes.keys().filter(|it| it.user == user && it.what.contains(&here));
    let other = ours.filter(|it| it.what != allowed && !it.what.ends_with(&lease));
    let other = other.collect::<Vec<_>>();
    ensure!(other.is_empty(), "{user} wrote more than a condition: {other:?}");
    Ok(())
}

async fn install(stage: &Stage, release: &str) -> Result<()> {
    let image = image()?;
    let (repository, tag) = image.rsplit_once(':').context("IMAGE: expected NAME:TAG")?;
    let values = format!(
        "image.repository={repository},image.tag={tag},crds.install=false,watchNamespace={}",
        stage.namespace.0
    );
    let arguments = ["install", release, CHART, "--namespace", release, "--create-namespace"];
    let more = ["--set", &values, "--wait", "--timeout", "120s"];
    run("helm", &[&arguments[..], &more[..]].concat(), "").await.map(drop)
}

async fn uninstall(release: &str) -> Result<()> {
    let arguments = ["uninstall", release, "--namespace", release, "--ignore-not-found", "--wait"];
    run("helm", &arguments, "").await.map(drop)
}

/// Between the order to delete it and its end, whatever is made there is refused.
async fn ending(stage: &Stage) -> Result<()> {
    // The namespace controller looks at pods again after half of their grace period.
    stage.serve(NAME, json!({"spec": {"drain": {"timeout": "10s"}}})).await?;
    let mark = Mark::now()?;
    let name = &stage.namespace.0;
    stage.namespace.kubectl(&format!("delete namespace {name} --wait=false")).await?;
    eventually("the namespace is gone", seconds(120), async || {
        let found = format!("get namespace {name} --ignore-not-found --output name");
        Ok(stage.namespace.kubectl(&found).await?.is_empty().then_some(()))
    })
    .await?;
    let here = format!(" {name}/");
    let writes = mark.since()?;
    let ours = writes.iter().filter(|(it, _)| it.user == Operator::user());
    let ours = ours.filter(|(it, _)| it.what.contains(&here)).collect::<Vec<_>>();
    let count: usize = ours.iter().map(|(_, count)| *count).sum();
    println!("    writes of the operator meanwhile: {count}");
    ensure!(count < 30, "the operator wrote {count} times: {ours:?}");
    let log = stage.operator.log().await?;
    let warned = log.lines().filter(|line| line.contains("WARN") && line.contains(name.as_str()));
    let warned = warned.count();
    ensure!(warned < 10, "the operator warned {warned} times: {log}");
    Ok(())
}
