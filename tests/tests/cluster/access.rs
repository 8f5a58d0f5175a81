//! Who may come in through a PoolerCluster, and by what TLS: rules, certificates, users whom only the
//! server knows, balancers; and that a cancel request finds its pod. Clients are libpq's own but where
//! bytes matter.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use poolwright_tests::certificates::Certificates;
use poolwright_tests::kube::command::{run, text};
use poolwright_tests::kube::manifest;
use poolwright_tests::kube::stage::{Stage, USERS};
use poolwright_tests::kube::wait::{eventually, seconds};
use poolwright_tests::load::Account;
use poolwright_tests::pg::{Flight, Target, flight};
use poolwright_tests::postgres::programs;
use poolwright_tests::process::scratch;
use serde_json::{Value, json};
use tokio::net::TcpStream;

on_stage! {
    who_comes_in_and_whose_cancels_are_heard 50: all_of_it;
}

const NAME: &str = "workspaces";
/// Whom no Secret lists.
const UNLISTED: &str = "unlisted";
const ASKER: &str = "asker";

async fn all_of_it(stage: &Stage) -> Result<()> {
    let sql = format!(
        "CREATE ROLE {ASKER} SUPERUSER LOGIN PASSWORD '{ASKER}';
         CREATE ROLE {UNLISTED} LOGIN PASSWORD '{UNLISTED}'"
    );
    stage.server().psql("postgres", &sql).await?;
    let hosts = hosts(stage);
    let hosts: Vec<_> = hosts.iter().map(String::as_str).collect();
    let own = Certificates::make_named(&scratch("own")?, &hosts)?;
    let known = Certificates::make_for(&scratch("known")?, &["ws_001@staff", "ws_002"])?;
    stage.namespace.apply(&manifest::files("app-tls", &[&own.certificate, &own.key])?).await?;
    stage.namespace.apply(&manifest::files("clients-ca", &[&known[0].authority])?).await?;
    let asker = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": ASKER},
                       "stringData": {ASKER: ASKER}});
    stage.namespace.apply(&asker).await?;
    stage.serve(NAME, json!({"spec": spec()})).await?;
    let before = stage.identities(NAME).await?;

    the_first_rule_that_fits_holds(stage, &own, &known).await?;
    certificates_change_while_clients_are_served(stage, &own, &hosts).await?;
    for version in [flight::VERSION_3_0, flight::VERSION_3_2] {
        a_cancel_finds_its_pod(stage, version).await?;
    }
    rules_see_what_a_balancer_says(stage).await?;
    ensure!(before == stage.identities(NAME).await?, "pods were replaced or restarted");
    Ok(())
}

fn spec() -> Value {
    json!({
        "replicas": 2,
        "maxReplicas": 2,
        "clientTls": {
            "mode": "prefer",
            "secretRef": {"name": "app-tls"},
            "clientCaSecretRef": {"name": "clients-ca"},
        },
        "auth": {
            "users": [{"secretRef": {"name": USERS}}, {"secretRef": {"name": ASKER}}],
            "rules": [
                {"addresses": ["192.0.2.0/24"], "method": "reject"},
                {"users": ["ws_003"], "method": "reject"},
                {"type": "hostssl", "users": ["ws_001", "ws_002"], "method": "cert", "map": "staff"},
                {"type": "hostssl", "method": "scram-sha-256"},
                {"databases": ["cloud_02"], "method": "scram-sha-256"},
            ],
            "maps": [{"name": "staff", "certificate": "*@staff", "user": "*"}],
            "authQuery": {"user": ASKER, "dbname": "postgres"},
        },
    })
}

/// The Service's names.
fn hosts(stage: &Stage) -> [String; 2] {
    [stage.host(NAME), format!("{}.svc", stage.host(NAME))]
}

/// psql with these words of its connection string: whom it came in as.
async fn psql(words: &str, password: &str) -> Result<String> {
    let program = programs()?.join("psql").display().to_string();
    let password = format!("PGPASSWORD={password}");
    let asked = ["-X", "-A", "-t", "-c", "SELECT current_user", words];
    let said = run("env", &[&[&*password, &*program], &asked[..]].concat(), "").await?;
    Ok(said.trim().to_owned())
}

async fn refused(words: &str, password: &str, expect: &str) -> Result<()> {
    let Err(told) = psql(words, password).await else { bail!("{words}: came in") };
    let told = format!("{told:#}");
    ensure!(told.contains(expect), "{words}: expected {expect:?} in {told}");
    Ok(())
}

async fn comes_in(words: &str, password: &str, user: &str) -> Result<()> {
    let found = psql(words, password).await?;
    ensure!(found == user, "{words}: came in as {found}");
    Ok(())
}

/// To the Service, whose certificate and name are checked.
fn verified(stage: &Stage, own: &Certificates) -> String {
    let (host, authority) = (stage.host(NAME), own.authority.display());
    format!("host={host} port=5432 sslmode=verify-full sslrootcert={authority}")
}

async fn the_first_rule_that_fits_holds(
    stage: &Stage,
    own: &Certificates,
    known: &[Certificates],
) -> Result<()> {
    let by_tls = verified(stage, own);
    let in_clear = format!("host={} port=5432 sslmode=disable", stage.host(NAME));
    let (none, bound) = ("sslcert=/none", "channel_binding=require");
    let as_user = |way: &str, user: &str, database: &str, more: &str| {
        format!("{way} user={user} dbname={database} {more}")
    };
    let Account { user, password, database } = &stage.server().accounts[4];
    comes_in(&as_user(&by_tls, user, database, &format!("{none} {bound}")), password, user).await?;
    refused(&as_user(&by_tls, user, database, none), "wrong", "password authentication").await?;
    let entry = "no listen.rules entry for host";
    refused(&as_user(&in_clear, user, database, ""), password, entry).await?;
    let Account { user, password, database } = &stage.server().accounts[15];
    comes_in(&as_user(&in_clear, user, database, ""), password, user).await?;

    let first = as_user(&by_tls, "ws_001", "cloud_01", &shown(&known[0])?);
    comes_in(&first, "", "ws_001").await?;
    let other = as_user(&by_tls, "ws_002", "cloud_01", &shown(&known[1])?);
    refused(&other, "", "certificate authentication failed for user \"ws_002\"").await?;
    let bare = as_user(&by_tls, "ws_001", "cloud_01", none);
    refused(&bare, "secret-of-ws_001", "requires a valid client certificate").await?;
    let rejected = as_user(&by_tls, "ws_003", "cloud_01", none);
    refused(&rejected, "secret-of-ws_003", "listen.rules rejects connection for host").await?;

    let unlisted = as_user(&by_tls, UNLISTED, "cloud_02", none);
    comes_in(&unlisted, UNLISTED, UNLISTED).await?;
    refused(&unlisted, "wrong", "password authentication failed").await
}

/// A client's certificate, whose key libpq takes from its owner's files only.
fn shown(certificates: &Certificates) -> Result<String> {
    let Certificates { certificate, key, .. } = certificates;
    std::fs::set_permissions(key, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(format!("sslcert={} sslkey={}", certificate.display(), key.display()))
}

async fn certificates_change_while_clients_are_served(
    stage: &Stage,
    own: &Certificates,
    hosts: &[&str],
) -> Result<()> {
    let Account { user, password, database } = &stage.server().accounts[4];
    let mut target = Target::new(&stage.host(NAME), 5432, user, database).password(password);
    target.tls = Some(own.client()?);
    let mut open = target.connect().await.context("with the certificate before")?;

    let next = Certificates::make_named(&scratch("next")?, hosts)?;
    let renewed = manifest::files("app-tls", &[&next.certificate, &next.key])?;
    stage.namespace.apply(&renewed).await?;
    both_pods_show(stage, &next).await?;
    ensure!(target.connect().await.is_err(), "the certificate before is shown too");
    ensure!(open.cell("SELECT 'on'").await == "on", "an open connection did not go on");

    let (key, right) = (read(&own.key)?, read(&next.key)?);
    stage.namespace.patch("secret/app-tls", &json!({"stringData": {"tls.key": key}})).await?;
    let said = stage.condition(NAME, "CredentialsReady", "False").await?;
    let expect = "spec.clientTls.secretRef: Secret app-tls, key tls.key: \
                  found a key that is not that of tls.crt";
    ensure!(text(&said, "/message").contains(expect), "{said}");
    stage.ready(NAME).await.context("a broken certificate holds nothing else back")?;
    both_pods_show(stage, &next).await?;
    stage.namespace.patch("secret/app-tls", &json!({"stringData": {"tls.key": right}})).await?;
    stage.condition(NAME, "CredentialsReady", "True").await.map(drop)
}

async fn both_pods_show(stage: &Stage, certificates: &Certificates) -> Result<()> {
    let Account { user, password, database } = &stage.server().accounts[4];
    let (host, authority) = (stage.host(NAME), certificates.authority.display());
    let addresses = addresses(stage).await?;
    eventually("both pods show the certificate", seconds(20), async || {
        for address in &addresses {
            let words = format!(
                "host={host} hostaddr={address} port=6432 user={user} dbname={database} \
                 sslmode=verify-full sslrootcert={authority} sslcert=/none"
            );
            comes_in(&words, password, user).await?;
        }
        Ok(Some(()))
    })
    .await
}

fn read(path: &Path) -> Result<String> {
    Ok(std::fs::read_to_string(path)?)
}

async fn addresses(stage: &Stage) -> Result<[String; 2]> {
    let pods = stage.pods(NAME).await?;
    let address = |pod: &Value| text(pod, "/status/podIP").to_owned();
    let addresses: Vec<_> = pods.iter().map(address).collect();
    addresses.try_into().ok().context("not two pods")
}

/// A Service sends a cancel request to any of its pods; here it goes to the one that does not run
/// the query.
async fn a_cancel_finds_its_pod(stage: &Stage, version: i32) -> Result<()> {
    let [home, other] = addresses(stage).await?;
    let Account { user, password, database } = &stage.server().accounts[15];
    let target = Target::new(&home, 6432, user, database).password(password).protocol(version);
    let mut client = target.connect().await?;
    let is_long = client.key.secret.len() > 4;
    ensure!(is_long == (version == flight::VERSION_3_2), "a key of {:?}", client.key.secret.len());
    client.send(Flight::new().query("SELECT pg_sleep(60)").bytes()).await?;
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = '{user}' AND state = 'active'
         AND query LIKE 'SELECT pg_sleep%'"
    );
    eventually("the query runs", seconds(10), async || {
        Ok((stage.server().psql("postgres", &sql).await?.trim() == "1").then_some(()))
    })
    .await?;
    Target::new(&other, 6432, user, database).cancel(&client.key).await?;
    let told = client.until_ready().await?;
    let is_cancelled = told.iter().any(|it| it.tag == b'E' && it.fields().code == "57014");
    ensure!(is_cancelled, "it was told {told:?}");
    ensure!(client.cell("SELECT 1").await == "1", "the client did not go on");
    Ok(())
}

/// Last, for then only balancers may come: this process is one.
async fn rules_see_what_a_balancer_says(stage: &Stage) -> Result<()> {
    let [address, _] = addresses(stage).await?;
    let ours = TcpStream::connect((&*address, 6432)).await?.local_addr()?.ip().to_string();
    let spec = json!({"spec": {"service": {"proxyProtocol": {"from": [ours]}}}});
    stage.namespace.patch(&format!("poolercluster/{NAME}"), &spec).await?;
    stage.condition(NAME, "ConfigApplied", "True").await?;
    let Account { user, database, .. } = &stage.server().accounts[15];
    let target = Target::new(&address, 6432, user, database);
    let startup = flight::startup(flight::VERSION_3_0, &[("user", user), ("database", database)]);
    for (client, expect) in [([198, 51, 100, 7], b'R'), ([192, 0, 2, 7], b'E')] {
        let mut door = target.dial().await?;
        let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
        header.extend_from_slice(&client);
        header.extend_from_slice(&[127, 0, 0, 1, 0xd4, 0x31, 0x19, 0x20]);
        door.send(&[header, startup.clone()].concat()).await?;
        let answer = door.receive().await?;
        ensure!(answer.tag == expect, "{client:?}: {answer:?}");
        if expect == b'E' {
            let told = answer.fields().message;
            ensure!(told.contains("rejects connection for host \"192.0.2.7\""), "{told}");
        }
    }
    Ok(())
}
