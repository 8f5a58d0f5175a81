//! From the version before to this one and back, under load: an operator replaces no pod that it
//! was not told to, each version's pods serve under the other's operator.

use anyhow::{Context, Result, ensure};
use poolwright_tests::kube::command::text;
use poolwright_tests::kube::operator::image;
use poolwright_tests::kube::stage::{Stage, condition};
use poolwright_tests::kube::wait::{eventually, seconds};
use serde_json::{Value, json};

use super::moves::{NAME, load};

on_stage! {
    an_upgrade_replaces_pods_when_it_is_told_to 50: upgrade_and_back;
}

/// A second PoolerCluster on the same server.
const OTHER: &str = "others";
const CRD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/poolerclusters.yaml");

/// The version that `tests/previous` names, in its folder.
struct Previous {
    chart: String,
    image: String,
}

impl Previous {
    fn kept() -> Result<Option<Previous>> {
        let Ok(folder) = std::env::var("POOLWRIGHT_PREVIOUS") else { return Ok(None) };
        let image = std::fs::read_to_string(format!("{folder}/name"))?.trim().to_owned();
        Ok(Some(Previous { chart: format!("{folder}/chart"), image }))
    }
}

async fn upgrade_and_back(stage: &Stage) -> Result<()> {
    let Some(previous) = Previous::kept()? else {
        println!("    skipped: the version that tests/previous names is not built: make previous");
        return Ok(());
    };
    let played = there_and_back(stage, &previous).await;
    stage.operator.put_back().await?;
    played?;
    // The operator is back, and of the two one was told to follow.
    up_to_date(stage, OTHER, "True", "Current").await?;
    image_is(stage, OTHER, &image()?).await
}

async fn there_and_back(stage: &Stage, previous: &Previous) -> Result<()> {
    let (before, now) = (previous.image.as_str(), image()?);
    stage.operator.install_version(&previous.chart, before, &[]).await?;
    new_pods_under_the_operator_before(stage, &now).await?;
    let half = json!({"maxConnections": 25, "reserve": 0});
    let half = json!({"spec": {"replicas": 1, "maxReplicas": 2, "server": {"budget": half}}});
    for name in [NAME, OTHER] {
        stage.serve(name, half.clone()).await?;
    }
    let traffic = load(stage).await?;
    let (old, first) = (pods(stage).await?, stage.operator.revision().await?);

    stage.operator.put_back().await?;
    for name in [NAME, OTHER] {
        let said = up_to_date(stage, name, "False", "UpgradeAvailable").await?;
        println!("    {name}: {}", text(&said, "/message"));
        settings_reach_pods(stage, name, "2s").await?;
    }
    ensure!(pods(stage).await? == old, "the new operator replaced pods");
    traffic.goes_on().await?;
    users_change_rolls_on_the_image_before(stage, before).await?;
    traffic.goes_on().await?;

    one_after_the_other(stage).await?;
    for name in [NAME, OTHER] {
        image_is(stage, name, &now).await?;
    }
    traffic.goes_on().await?;

    let new = stage.identities(NAME).await?;
    stage.operator.roll_back(&first).await?;
    image_is(stage, OTHER, before).await?;
    stage.ready(OTHER).await?;
    settings_reach_pods(stage, NAME, "3s").await?;
    ensure!(stage.identities(NAME).await? == new, "the operator before replaced pods untold");
    traffic.goes_on().await?;
    a_newer_definition_under_the_operator_before(stage).await?;
    traffic.goes_on().await?;
    traffic.stop().await?.is_clean()
}

/// The reverse of what everybody does: pods of this version, of an operator that knows only its own.
async fn new_pods_under_the_operator_before(stage: &Stage, image: &str) -> Result<()> {
    let change = json!({"spec": {"replicas": 1, "maxReplicas": 2, "image": image}});
    stage.serve("ahead", change).await?;
    stage.condition("ahead", "ConfigApplied", "True").await?;
    stage.namespace.kubectl("delete poolercluster ahead --wait").await?;
    eventually("its pods are gone", seconds(60), async || {
        Ok(stage.pods("ahead").await?.is_empty().then_some(()))
    })
    .await
}

async fn pods(stage: &Stage) -> Result<Vec<(String, i64)>> {
    Ok([stage.identities(NAME).await?, stage.identities(OTHER).await?].concat())
}

async fn up_to_date(stage: &Stage, name: &str, status: &str, reason: &str) -> Result<Value> {
    eventually(&format!("{name} is UpToDate={status}, {reason}"), seconds(120), async || {
        let cluster = stage.pooler_cluster(name).await?;
        let found = condition(&cluster, "UpToDate").context("no UpToDate")?;
        let is = [text(&found, "/status"), text(&found, "/reason")] == [status, reason];
        Ok(is.then_some(found))
    })
    .await
}

async fn image_is(stage: &Stage, name: &str, image: &str) -> Result<()> {
    eventually(&format!("the pods of {name} run {image}"), seconds(120), async || {
        let pods = stage.pods(name).await?;
        let all = pods.iter().all(|pod| text(pod, "/spec/containers/0/image") == image);
        Ok((all && !pods.is_empty()).then_some(()))
    })
    .await
}

/// Settings that one version's operator writes are taken over by pods of the other.
async fn settings_reach_pods(stage: &Stage, name: &str, timeout: &str) -> Result<()> {
    let change = json!({"spec": {"sizing": {"perTenant": {"reserveTimeout": timeout}}}});
    stage.namespace.patch(&format!("poolercluster/{name}"), &change).await?;
    stage.condition(name, "ConfigApplied", "True").await.map(drop)
}

async fn users_change_rolls_on_the_image_before(stage: &Stage, image: &str) -> Result<()> {
    let env = json!([{"name": "RUST_LOG", "value": "info"}]);
    let change = json!({"spec": {"pods": {"env": env}}});
    stage.namespace.patch(&format!("poolercluster/{OTHER}"), &change).await?;
    stage.ready(OTHER).await?;
    let pods = stage.pods(OTHER).await?;
    let env = |pod: &Value| text(pod, "/spec/containers/0/env/0/name") == "RUST_LOG";
    ensure!(!pods.is_empty() && pods.iter().all(env), "the change did not roll");
    image_is(stage, OTHER, image).await
}

/// One is told by an annotation, the other by its spec; never are both under way.
async fn one_after_the_other(stage: &Stage) -> Result<()> {
    let at = json!({"metadata": {"annotations": {"poolwright.dev/upgradedAt": "today"}}});
    stage.namespace.patch(&format!("poolercluster/{NAME}"), &at).await?;
    let automatic = json!({"spec": {"upgrade": "automatic"}});
    stage.namespace.patch(&format!("poolercluster/{OTHER}"), &automatic).await?;
    let mut seen = [false; 2];
    eventually("both are up to date", seconds(180), async || {
        let clusters = stage.namespace.list("poolerclusters").await?;
        let reasons = clusters.iter().filter_map(|it| condition(it, "UpToDate"));
        let reasons: Vec<_> = reasons.map(|it| text(&it, "/reason").to_owned()).collect();
        let count = |reason: &str| reasons.iter().filter(|it| *it == reason).count();
        seen[0] |= count("Upgrading") == 1;
        seen[1] |= count("Upgrading") > 1;
        Ok((count("Current") == 2).then_some(()))
    })
    .await?;
    ensure!(seen == [true, false], "seen one under way, and both: {seen:?}");
    stage.ready(NAME).await?;
    stage.ready(OTHER).await
}

/// An older operator ignores a field that a newer definition has.
async fn a_newer_definition_under_the_operator_before(stage: &Stage) -> Result<()> {
    let mut definition: Value = serde_yaml::from_str(&std::fs::read_to_string(CRD)?)?;
    let fields = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let fields = definition.pointer_mut(fields).context("no fields")?;
    fields["fromLater"] = json!({"type": "string"});
    // As Helm, which takes the field away again.
    let arguments = "apply --server-side --force-conflicts --field-manager helm --filename -";
    let arguments: Vec<_> = arguments.split(' ').collect();
    stage.namespace.run(&arguments, &definition.to_string()).await?;
    let change = json!({"spec": {"fromLater": "a field", "replicas": 2}});
    stage.namespace.patch(&format!("poolercluster/{OTHER}"), &change).await?;
    stage.ready(OTHER).await?;
    let cluster = stage.pooler_cluster(OTHER).await?;
    ensure!(text(&cluster, "/spec/fromLater") == "a field", "it was not kept: {cluster}");
    Ok(())
}
