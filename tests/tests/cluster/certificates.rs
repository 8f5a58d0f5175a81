//! The control channel's certificates: a new authority reaches operator and pods while settings
//! change and clients work, and a certificate that has expired opens nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use poolwright_tests::kube::command::text;
use poolwright_tests::kube::manifest::{config_map, tenants_from};
use poolwright_tests::kube::stage::{Stage, condition};
use poolwright_tests::kube::traffic::Traffic;
use poolwright_tests::kube::wait::{eventually, seconds};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;

on_stage! {
    ca_rotated_under_load 50: rotated;
    own_certificates_are_taken_and_checked 50: named;
}

const NAME: &str = "workspaces";
const OPERATOR: &str = "operator.poolwright.dev";
const REFUSED: &str = "control connection refused";

async fn rotated(stage: &Stage) -> Result<()> {
    stage.namespace.apply(&config_map("tenants", &tenants(10))).await?;
    stage.serve(NAME, tenants_from("tenants")).await?;
    let before = stage.identities(NAME).await?;
    let old = secret(stage, "authority").await?;
    let traffic = Traffic::start(stage, NAME, 40, Duration::from_millis(10)).await?;

    let start = Instant::now();
    let annotate = "annotate poolercluster/workspaces poolwright.dev/changeAuthority=now";
    stage.namespace.kubectl(annotate).await?;
    let mut round = 0;
    loop {
        // Settings travel all the while: none may be refused.
        round += 1;
        let changed = json!({"data": tenants(10 + round % 7)});
        stage.namespace.patch("configmap/tenants", &changed).await?;
        sleep(seconds(1)).await;
        if round % 5 == 1 {
            stage.hurry_volumes(NAME).await?;
        }
        let config = condition(&stage.pooler_cluster(NAME).await?, "ConfigApplied");
        let config = config.context("no ConfigApplied")?;
        ensure!(text(&config, "/status") == "True", "after {:?}: {config}", start.elapsed());
        let now = secret(stage, "authority").await?;
        if key(&now, "ca.crt")? != key(&old, "ca.crt")?
            && now.pointer("/data/former-ca.crt").is_none()
        {
            break;
        }
        ensure!(start.elapsed() < seconds(600), "the former authority stays: {config}");
    }
    println!("    the authority changed in 2 pods: {:.0} s", start.elapsed().as_secs_f64());
    traffic.goes_on().await?;
    traffic.stop().await?.is_clean()?;
    stage.condition(NAME, "ConfigApplied", "True").await?;
    ensure!(before == stage.identities(NAME).await?, "pods were replaced or restarted");
    let log = log_of_pods(stage).await?;
    ensure!(!log.contains(REFUSED), "a pod refused the operator: {log}");
    expired_is_refused(stage).await
}

/// Whoever has the authority's key, but not the time.
async fn expired_is_refused(stage: &Stage) -> Result<()> {
    let authority = secret(stage, "authority").await?;
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    let name = format!("poolwright {}/{NAME}", stage.namespace.0);
    params.distinguished_name.push(DnType::CommonName, name);
    let issuer = Issuer::new(params, KeyPair::from_pem(&key(&authority, "ca.key")?)?);
    let mut leaf = CertificateParams::new(vec![OPERATOR.to_owned()])?;
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    (leaf.not_before, leaf.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    let pair = KeyPair::generate()?;
    let chain = vec![leaf.signed_by(&pair, &issuer)?.der().clone()];
    let pods = stage.pods(NAME).await?;
    let address = text(&pods[0], "/status/podIP");
    let own = PrivateKeyDer::from_pem_slice(pair.serialize_pem().as_bytes())?;
    let refused = greeted(stage, address, &key(&authority, "ca.crt")?, chain, own).await;
    let refused = refused.err().context("a certificate that has expired was accepted")?;
    ensure!(format!("{refused:#}").contains("CertificateExpired"), "{refused:#}");
    eventually("the pod's log says why", seconds(10), async || {
        let log = log_of_pods(stage).await?;
        let told = log.lines().any(|line| line.contains(REFUSED) && line.contains("expired"));
        Ok(told.then_some(()))
    })
    .await
}

/// A handshake on the control port, and what is said after it.
async fn greeted(
    stage: &Stage,
    address: &str,
    authority: &str,
    chain: Vec<CertificateDer<'static>>,
    own: PrivateKeyDer<'static>,
) -> Result<()> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes())?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, own)?;
    let name = format!("{NAME}.{}.pooler.poolwright.dev", stage.namespace.0);
    let tcp = TcpStream::connect((address, 9188)).await?;
    let connector = TlsConnector::from(Arc::new(config));
    let mut tls = connector.connect(ServerName::try_from(name)?, tcp).await?;
    tls.read(&mut [0]).await.map(drop).context("read after the handshake")
}

/// The operator's own certificates stand in for cert-manager's: named, they are taken; with another
/// key, the condition names Secret and key, and the pods go on.
async fn named(stage: &Stage) -> Result<()> {
    stage.serve(NAME, json!({})).await?;
    let (authority, control) = (secret(stage, "authority").await?, secret(stage, "control").await?);
    for (name, from) in [("operator-tls", &authority), ("pods-tls", &control)] {
        let data = ["tls.crt", "tls.key", "ca.crt"].map(|key| (key, from["data"][key].clone()));
        let data = data.into_iter().collect::<std::collections::BTreeMap<_, _>>();
        let metadata = json!({"name": name});
        let made =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data});
        stage.namespace.apply(&made).await?;
    }
    let certificates = json!({
        "podsSecretRef": {"name": "pods-tls"}, "operatorSecretRef": {"name": "operator-tls"},
    });
    let spec = json!({"spec": {"control": {"certificates": certificates}}});
    stage.namespace.patch("poolercluster/workspaces", &spec).await?;
    stage.condition(NAME, "ConfigApplied", "True").await?;
    let before = stage.identities(NAME).await?;

    let wrong = json!({"data": {"tls.key": authority["data"]["tls.key"]}});
    stage.namespace.patch("secret/pods-tls", &wrong).await?;
    let said = stage.condition(NAME, "CredentialsReady", "False").await?;
    let expect = "Secret pods-tls, key tls.key: found a key that is not that of tls.crt";
    ensure!(text(&said, "/message").contains(expect), "{said}");
    let right = json!({"data": {"tls.key": control["data"]["tls.key"]}});
    stage.namespace.patch("secret/pods-tls", &right).await?;
    stage.condition(NAME, "ConfigApplied", "True").await?;

    let twice = json!({"spec": {"control": {"certificates": {
        "podsSecretRef": {"name": "operator-tls"}}}}});
    let Err(refused) = stage.namespace.patch("poolercluster/workspaces", &twice).await else {
        bail!("one Secret for both ends was accepted");
    };
    ensure!(format!("{refused:#}").contains("expected two Secrets"), "{refused:#}");
    ensure!(before == stage.identities(NAME).await?, "pods were replaced");
    Ok(())
}

async fn secret(stage: &Stage, which: &str) -> Result<Value> {
    stage.namespace.get(&format!("secret/{NAME}-{which}")).await
}

fn key(secret: &Value, key: &str) -> Result<String> {
    let text = secret["data"][key].as_str().with_context(|| format!("no {key}"))?;
    Ok(String::from_utf8(BASE64_STANDARD.decode(text)?)?)
}

async fn log_of_pods(stage: &Stage) -> Result<String> {
    let selector = "logs --selector app.kubernetes.io/name=poolwright-pooler --tail 1000";
    stage.namespace.kubectl(selector).await
}

fn tenants(each: u32) -> Value {
    json!({"cloud_01": each.to_string(), "cloud_02": each.to_string()})
}
