//! `helm test`, on a PoolerCluster in a namespace that takes only pods that Pod Security calls
//! restricted, and which lets in only who shows a certificate.

use anyhow::{Result, bail, ensure};
use poolwright_tests::certificates::Certificates;
use poolwright_tests::kube::stage::{Stage, USERS};
use poolwright_tests::kube::{length, manifest};
use poolwright_tests::process::scratch;
use serde_json::{Value, json};

on_stage! {
    helm_test_sends_a_query_through_a_pooler_cluster 50: sends_a_query;
}

const NAME: &str = "workspaces";
/// Secrets: what the pods show, by whom clients are to be signed, what the test shows.
const OWN: &str = "app-tls";
const AUTHORITY: &str = "clients-ca";
const SHOWN: &str = "test-tls";

async fn sends_a_query(stage: &Stage) -> Result<()> {
    let looked = stage.operator.test().await?;
    for part in ["PoolerClusters can be listed: ", " leads", "test.poolerCluster"] {
        ensure!(looked.contains(part), "expected {part:?} in {looked}");
    }

    let account = &stage.server().accounts[0];
    let (user, database) = (&account.user, &account.database);
    make_certificates(stage, user).await?;
    stage.serve(NAME, json!({"spec": {"replicas": 1, "clientTls": strict()}})).await?;
    let place = format!("poolerCluster={NAME},namespace={}", stage.namespace.0);
    let named = format!("{place},database={database},user={user},secret={USERS}");
    if length::of("tests of a release", 2, 1) == 2 {
        is_told_what_to_name(stage, &named).await?;
    }
    let shown = format!("{named},sslmode=verify-full,clientCertificate={SHOWN}");
    stage.operator.name_test(&shown).await?;
    let answered = stage.operator.test().await?;
    let row = format!("{database}|{user}|PostgreSQL ");
    println!("    {}", answered.lines().find(|line| line.contains(&row)).unwrap_or("no row"));
    ensure!(answered.contains(&row), "expected {row:?} in {answered}");
    let left = stage.namespace.list("pods --selector app.kubernetes.io/component=test").await?;
    ensure!(left.is_empty(), "the test's pod stays: {left:?}");
    Ok(())
}

fn strict() -> Value {
    json!({
        "mode": "verify-full",
        "secretRef": {"name": OWN},
        "clientCaSecretRef": {"name": AUTHORITY},
    })
}

async fn make_certificates(stage: &Stage, user: &str) -> Result<()> {
    let own = Certificates::make_named(&scratch("own")?, &[NAME])?;
    let shown = Certificates::make_for(&scratch("shown")?, &[user])?.remove(0);
    for secret in [
        manifest::files(OWN, &[&own.certificate, &own.key])?,
        manifest::files(AUTHORITY, &[&shown.authority])?,
        manifest::files(SHOWN, &[&shown.certificate, &shown.key, &own.authority])?,
    ] {
        stage.namespace.apply(&secret).await?;
    }
    Ok(())
}

async fn is_told_what_to_name(stage: &Stage, named: &str) -> Result<()> {
    stage.operator.name_test(named).await?;
    let Err(told) = stage.operator.test().await else { bail!("came in without a certificate") };
    let told = format!("{told:#}");
    let expect = "test.clientCertificate";
    ensure!(told.contains(expect), "expected {expect:?} in {told}");
    Ok(())
}
