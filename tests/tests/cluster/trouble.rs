//! A PoolerCluster that broke: it says so, its pods go on with the last good settings, and the
//! others go on as if nothing were.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use poolwright_tests::kube::command::{number, text};
use poolwright_tests::kube::manifest::{config_map, tenants_from, users};
use poolwright_tests::kube::stage::{Stage, USERS, condition};
use poolwright_tests::kube::traffic::Traffic;
use poolwright_tests::kube::wait::{eventually, seconds};
use serde_json::json;

on_stage! {
    a_broken_one_goes_on_and_so_do_the_others 50: broken_beside_another;
    what_it_refers_to_may_vanish_or_break 50: vanished_and_broken;
    an_image_that_cannot_be_pulled_stops_the_roll 50: image_that_cannot_be_pulled;
}

async fn broken_beside_another(stage: &Stage) -> Result<()> {
    // Two on one server, so each declares its part of it.
    let half = json!({"maxConnections": 25, "reserve": 0});
    let half = json!({"spec": {"replicas": 1, "maxReplicas": 2, "server": {"budget": half}}});
    stage.serve("broken", half.clone()).await?;
    stage.serve("other", half).await?;
    let settings = stage.namespace.get("configmap/broken-settings").await?;
    let pods = stage.identities("broken").await?;

    let traffic = Traffic::start(stage, "broken", 20, Duration::from_millis(5)).await?;
    let users = |name: &str| json!({"spec": {"auth": {"users": [{"secretRef": {"name": name}}]}}});
    stage.namespace.patch("poolercluster/broken", &users("lost")).await?;
    let condition = stage.condition("broken", "CredentialsReady", "False").await?;
    let message = text(&condition, "/message");
    for part in
        ["spec.auth.users[0].secretRef.name", "no Secret lost", "expected", "kubectl create"]
    {
        ensure!(message.contains(part), "the condition does not say {part:?}: {message}");
    }
    let stalled = stage.condition("broken", "Stalled", "True").await?;
    ensure!(text(&stalled, "/message").contains("last good settings"), "{stalled}");

    stage.namespace.kubectl("scale poolercluster/other --replicas 2").await?;
    eventually("the other one scales", seconds(60), async || {
        let other = stage.pooler_cluster("other").await?;
        Ok((number(&other, "/status/readyReplicas") == 2).then_some(()))
    })
    .await?;

    traffic.goes_on().await?;
    let now = stage.namespace.get("configmap/broken-settings").await?;
    ensure!(now == settings, "the settings were changed: {now}");
    ensure!(stage.identities("broken").await? == pods, "pods were replaced");
    stage.namespace.patch("poolercluster/broken", &users("users")).await?;
    stage.ready("broken").await?;
    traffic.goes_on().await?;
    traffic.stop().await?.is_clean()
}

/// Each time a condition names it, the clients notice nothing, and what is put right is enough.
async fn vanished_and_broken(stage: &Stage) -> Result<()> {
    let name = "workspaces";
    let tenants = |each: &str| json!({"cloud_01": each, "cloud_02": "10"});
    stage.namespace.apply(&config_map("tenants", &tenants("10"))).await?;
    stage.serve(name, tenants_from("tenants")).await?;
    let settings = stage.namespace.get(&format!("configmap/{name}-settings")).await?;
    let good = users(USERS, &stage.server().accounts);
    let traffic = Traffic::start(stage, name, 20, Duration::from_millis(5)).await?;
    let says = async |type_: &str, parts: &[&str]| {
        eventually(&format!("{type_} says {parts:?}"), seconds(30), async || {
            let cluster = stage.pooler_cluster(name).await?;
            let of = |type_| condition(&cluster, type_).with_context(|| format!("no {type_}"));
            let (told, stalled) = (of(type_)?, of("Stalled")?);
            let message = text(&told, "/message");
            ensure!(parts.iter().all(|it| message.contains(it)), "it says {message:?}");
            ensure!(text(&told, "/status") == "False", "it is {told}");
            ensure!(text(&stalled, "/message").contains("last good settings"), "{stalled}");
            Ok(Some(()))
        })
        .await?;
        traffic.goes_on().await
    };

    stage.namespace.kubectl(&format!("delete secret {USERS}")).await?;
    says("CredentialsReady", &["spec.auth.users[0].secretRef.name", "no Secret users"]).await?;
    let mut broken = good.clone();
    broken["stringData"]["ws_001"] = json!("SCRAM-SHA-256$4096:nonsense");
    stage.namespace.apply(&broken).await?;
    says("CredentialsReady", &["Secret users, key ws_001", "SCRAM-SHA-256"]).await?;
    stage.namespace.apply(&good).await?;
    stage.ready(name).await?;

    stage.namespace.patch("configmap/tenants", &json!({"data": tenants("1O")})).await?;
    says("TenantsResolved", &["ConfigMap tenants, key cloud_01", "\"1O\"", "digits only"]).await?;
    stage.namespace.kubectl("delete configmap tenants").await?;
    says("TenantsResolved", &["databases[0]", "no ConfigMap tenants"]).await?;
    stage.namespace.apply(&config_map("tenants", &tenants("10"))).await?;
    stage.ready(name).await?;

    traffic.goes_on().await?;
    traffic.stop().await?.is_clean()?;
    let now = stage.namespace.get(&format!("configmap/{name}-settings")).await?;
    ensure!(now["data"] == settings["data"], "the settings were changed: {now}");
    Ok(())
}

async fn image_that_cannot_be_pulled(stage: &Stage) -> Result<()> {
    stage.serve("workspaces", json!({"spec": {"replicas": 3}})).await?;
    let old = stage.identities("workspaces").await?;
    let traffic = Traffic::start(stage, "workspaces", 20, Duration::from_millis(5)).await?;
    let image = |image: Option<&str>| json!({"spec": {"image": image}});
    stage.namespace.patch("poolercluster/workspaces", &image(Some("none.invalid/a:1"))).await?;
    let stalled = stage.condition("workspaces", "Stalled", "True").await?;
    println!("    {}", text(&stalled, "/message"));
    ensure!(text(&stalled, "/reason") == "PodFailing", "it says {stalled}");
    for part in ["workspaces-2: ImagePullBackOff", "none.invalid/a:1", "1 of 3 pods"] {
        ensure!(text(&stalled, "/message").contains(part), "no {part:?} in {stalled}");
    }
    traffic.goes_on().await?;
    let now = stage.identities("workspaces").await?;
    let left = now.iter().filter(|pod| old.contains(pod)).count();
    ensure!(left == 2, "{left} of 3 pods were left alone");
    stage.namespace.patch("poolercluster/workspaces", &image(None)).await?;
    stage.ready("workspaces").await?;
    let now = stage.identities("workspaces").await?;
    ensure!(now.iter().filter(|pod| old.contains(pod)).count() == 2, "the roll went on");
    traffic.goes_on().await?;
    traffic.stop().await?.is_clean()
}
