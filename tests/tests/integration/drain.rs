//! SIGTERM: every client leaves between its transactions, with 57P01, and no request is lost.

use std::time::Duration;

use poolwright_tests::load::{self, Account, Plan, Progress};
use poolwright_tests::marks::Protocol;
use poolwright_tests::pg::{Client, Fields, Flight, message::transcript};
use poolwright_tests::pooler::Settings;
use poolwright_tests::postgres::password_of;
use poolwright_tests::site::Site;

async fn goodbye(client: &mut Client) -> Fields {
    let messages = client.until_closed().await.unwrap();
    assert_eq!(messages.len(), 1, "{messages:?}");
    messages[0].fields()
}

/// Waits until the pooler's log holds this text.
async fn logs(site: &Site, text: &str) {
    for _ in 0..1500 {
        if site.pooler().log().contains(text) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not in the log within 30 s: {text}");
}

async fn ends_well(site: &mut Site) {
    let status = site.pooler.as_mut().unwrap().wait(Duration::from_secs(30));
    assert!(status.expect("it must end").success());
}

#[tokio::test]
async fn an_idle_client_is_told_to_leave() {
    let mut site = Site::pooled(&[]).await;
    let mut fresh = site.connect("alice").await;
    let mut used = site.connect("alice").await;
    used.run("SELECT 1").await;
    site.pooler().signal("TERM");
    for client in [&mut fresh, &mut used] {
        let goodbye = goodbye(client).await;
        assert_eq!((goodbye.severity.as_str(), goodbye.code.as_str()), ("FATAL", "57P01"));
    }
    ends_well(&mut site).await;
    assert_eq!(site.server_connections().await, 0);
}

#[tokio::test]
async fn a_transaction_is_finished_first() {
    let mut site = Site::pooled(&[]).await;
    let mut idle = site.connect("alice").await;
    let mut client = site.connect("alice").await;
    client.run("CREATE TABLE t (a int)").await;
    client.run("BEGIN").await;
    site.pooler().signal("TERM");
    assert_eq!(goodbye(&mut idle).await.code, "57P01");
    client.run("INSERT INTO t VALUES (1)").await;
    client.run("COMMIT").await;
    assert_eq!(goodbye(&mut client).await.code, "57P01");
    ends_well(&mut site).await;
    assert_eq!(site.superuser().await.cell("SELECT count(*) FROM t").await, "1");
}

#[tokio::test]
async fn a_running_query_is_answered_first() {
    let mut site = Site::pooled(&[]).await;
    let mut client = site.connect("alice").await;
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = '{}' AND state = 'active' AND query LIKE '%pg_sleep%'",
        site.database
    );
    let flight = Flight::new().query("SELECT pg_sleep(1), 'answered'");
    client.send(flight.bytes()).await.unwrap();
    site.eventually(&sql, "2").await;
    site.pooler().signal("TERM");
    let answer = client.until_ready().await.unwrap();
    assert_eq!(answer[1].cells()[1].as_deref(), Some("answered"));
    assert_eq!(goodbye(&mut client).await.code, "57P01");
    ends_well(&mut site).await;
}

#[tokio::test]
async fn a_transaction_that_never_ends_is_cut_at_the_drain_timeout() {
    let mut site = Site::pooled(&[("drain.timeout", "500ms")]).await;
    site.expect_complaint("drain");
    site.expect_complaint("the end of some server connections was not confirmed");
    let mut client = site.connect("alice").await;
    client.run("BEGIN").await;
    let mut busy = site.connect("alice").await;
    busy.send(Flight::new().query("SELECT pg_sleep(5)").bytes()).await.unwrap();
    site.metric_reaches("poolwright_client_connections", "state=\"active\"", |n| n == 2.0).await;
    site.pooler().signal("TERM");
    for client in [&mut client, &mut busy] {
        assert_eq!(goodbye(client).await.code, "57P01");
    }
    let status = site.pooler.as_mut().unwrap().wait(Duration::from_secs(30));
    let status = status.expect("it must end");
    assert!(!status.success(), "an end in order is for who has closed all: {status}");
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'alice' AND datname = '{}'",
        site.database
    );
    site.eventually(&sql, "0").await;
}

/// A pooler that drains still lets clients in, so those who were sent away come back.
#[tokio::test]
async fn a_drain_under_load_cuts_no_request() {
    let site = Site::pooled(&[("pool.size", "4")]).await;
    site.superuser()
        .await
        .run(&format!("{}; GRANT ALL ON marks TO PUBLIC", poolwright_tests::marks::TABLE))
        .await;
    let account = |user: &str| Account {
        user: user.to_owned(),
        password: password_of(user),
        database: site.database.clone(),
    };
    let plan = Plan {
        host: "127.0.0.1".to_owned(),
        port: site.pooler().port,
        clients: 30,
        protocols: Protocol::ALL.to_vec(),
        accounts: ["alice", "bob"].map(account).to_vec(),
        duration: Duration::from_secs(60),
        pause: Duration::from_millis(1),
        per_connection: u64::MAX,
        setup: false,
        progress: Duration::ZERO,
    };
    // More goodbyes than clients: some came back while it drained, and were sent away again.
    let enough = |seen: &Progress| seen.transactions() >= 100 && seen.reconnects() >= 40;
    let load = tokio::spawn(load::run_until_enough(plan, enough));
    site.metric_reaches("poolwright_transactions_total", "", |n| n >= 100.0).await;
    site.pooler().signal("TERM");
    let report = load.await.unwrap().unwrap();
    assert_eq!((report.cut, report.wrong, report.failed), (0, 0, 0), "{report}");
    assert!(report.reconnects >= 40 && report.transactions >= 100, "{report}");
}

#[tokio::test]
async fn a_query_is_cancelled_when_nobody_is_let_in_any_more() {
    let mut site = Site::pooled(&[("drain.timeout", "8s")]).await;
    let mut client = site.connect("alice").await;
    client.send(Flight::new().query("SELECT pg_sleep(60)").bytes()).await.unwrap();
    site.metric_reaches("poolwright_client_connections", "state=\"active\"", |n| n == 1.0).await;
    site.pooler().signal("TERM");
    logs(&site, "no more clients are let in").await;
    assert_ne!(site.pooler().get("/readyz").await.unwrap().0, 200);
    let error = site.target("alice").connect().await.err().expect("nobody is let in");
    assert_eq!(error.downcast::<Fields>().unwrap().code, "57P03");
    site.target("alice").cancel(&client.key).await.unwrap();
    let told = transcript(&client.until_ready().await.unwrap());
    assert_eq!(told.last_chunk::<2>().unwrap(), &["Error(57014)", "Ready(I)"]);
    assert_eq!(goodbye(&mut client).await.code, "57P01");
    ends_well(&mut site).await;
}

#[tokio::test]
async fn raised_caps_serve_those_who_wait_during_a_drain_too() {
    for cap in ["pool.size", "servers.0.maxConnections"] {
        let mut site = Site::pooled(&[(cap, "1"), ("drain.timeout", "8s")]).await;
        let (mut holder, mut waiter) = holder_and_waiter(&site).await;
        site.pooler().signal("TERM");
        logs(&site, "draining").await;
        reload(&site, &site.settings.clone().with(cap, "2"));
        let answer = waiter.until_ready().await.unwrap();
        assert_eq!(transcript(&answer).last().unwrap(), "Ready(I)", "{cap}");
        holder.run("COMMIT").await;
        for client in [&mut holder, &mut waiter] {
            assert_eq!(goodbye(client).await.code, "57P01");
        }
        ends_well(&mut site).await;
    }
}

#[tokio::test]
async fn a_server_that_moves_during_a_drain_is_followed() {
    let mut site = Site::pooled(&[("pool.size", "1"), ("drain.timeout", "8s")]).await;
    let (mut holder, mut waiter) = holder_and_waiter(&site).await;
    let before = holder.cell("SELECT pg_backend_pid()").await;
    site.pooler().signal("TERM");
    logs(&site, "draining").await;
    reload(&site, &site.settings.clone().with("servers.0.host", "localhost"));
    logs(&site, "server moved").await;
    holder.run("COMMIT").await;
    let answer = waiter.until_ready().await.unwrap();
    assert_ne!(answer[1].cells()[0].as_deref(), Some(&*before), "served where the server was");
    for client in [&mut holder, &mut waiter] {
        assert_eq!(goodbye(client).await.code, "57P01");
    }
    ends_well(&mut site).await;
}

/// One in a transaction, and one that waits for its connection.
async fn holder_and_waiter(site: &Site) -> (Client, Client) {
    let mut holder = site.connect("alice").await;
    let mut waiter = site.connect("alice").await;
    holder.run("BEGIN").await;
    waiter.send(Flight::new().query("SELECT pg_backend_pid()").bytes()).await.unwrap();
    site.metric_reaches("poolwright_client_connections", "state=\"waiting\"", |n| n == 1.0).await;
    (holder, waiter)
}

fn reload(site: &Site, settings: &Settings) {
    site.pooler().write_settings(settings).unwrap();
    site.pooler().signal("HUP");
}
