//! Servers that are away, refuse, or break: said to those who wait, in the log and in a metric.

use std::time::{Duration, Instant};

use poolwright_tests::pg::{Fields, Flight};
use poolwright_tests::pooler::{Pooler, Settings};
use poolwright_tests::postgres::{Options, free_port};
use poolwright_tests::site::{Site, start_postgres};

#[tokio::test]
async fn an_unreachable_server_is_told_to_those_who_wait() {
    let port = free_port().unwrap();
    let settings = Settings::new(port, "app", &["alice"])
        .with("pool.waitTimeout", "1s")
        .with("servers.0.connectTimeout", "500ms");
    let pooler = Pooler::start(settings).await.unwrap();
    let target = poolwright_tests::pg::Target::new("127.0.0.1", pooler.port, "alice", "app")
        .password("secret of alice");
    let error = match target.connect().await {
        Err(error) => error.downcast::<Fields>().expect("an ErrorResponse"),
        Ok(mut client) => client.query("SELECT 1").await.unwrap().error.expect("an error"),
    };
    let told = format!("{error} {} {}", error.detail, error.hint).to_lowercase();
    assert!(told.contains("refused") || told.contains("connect"), "{told}");
    let log = pooler.log();
    assert!(log.contains(&port.to_string()) || log.contains("refused"), "{log}");
    assert!(pooler.metric("poolwright_server_disconnects_total", "").await >= 1.0);
}

#[tokio::test]
async fn a_server_that_comes_back_serves_those_who_waited() {
    let mut site = Site::on(start_postgres(Options::default()).await.unwrap()).await;
    site.expect_complaint("");
    let site =
        site.behind_a_pooler(&[("servers.0.connectTimeout", "1s"), ("pool.size", "1")]).await;
    let mut client = site.connect("alice").await;
    client.run("SELECT 1").await;
    site.postgres.signal("STOP");
    let mut waiter = site.connect("alice").await;
    waiter.send(Flight::new().query("SELECT 'served' AS a").bytes()).await.unwrap();
    site.postgres.signal("CONT");
    let told = waiter.until_ready().await.unwrap();
    assert_eq!(told.iter().filter(|message| message.tag == b'D').count(), 1, "{told:?}");
}

/// PostgreSQL does not notice that a client has left before its login ends.
#[tokio::test]
async fn a_login_that_hangs_counts_until_its_backend_is_gone() {
    let mut site = Site::on(start_postgres(Options::default()).await.unwrap()).await;
    site.expect_complaint("");
    let changes = [("servers.0.connectTimeout", "1s"), ("servers.0.maxConnections", "2")];
    let changes = [&changes[..], &[("serverLoginRetry", "1s")]].concat();
    let site = site.behind_a_pooler(&changes).await;
    let mut blocker = site.superuser().await;
    blocker.run("BEGIN; LOCK TABLE pg_catalog.pg_database").await;
    let target = site.target("alice");
    let waiter = tokio::spawn(async move { target.connect().await.unwrap() });
    let waiting = "SELECT count(*) FROM pg_catalog.pg_locks WHERE NOT granted";
    let mut most = 0;
    for _ in 0..80 {
        most = most.max(blocker.cell(waiting).await.parse::<u32>().unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(most, 2, "more backends than the server gives, or not even that many tries");
    blocker.run("ROLLBACK").await;
    assert_eq!(waiter.await.unwrap().cell("SELECT 'served'").await, "served");
}

#[tokio::test]
async fn a_terminated_backend_is_an_error_for_its_client_and_for_nobody_else() {
    let mut site = Site::pooled(&[("pool.size", "1")]).await;
    site.expect_complaint("server connection lost");
    let mut client = site.connect("alice").await;
    client.run("BEGIN").await;
    let pid = client.cell("SELECT pg_backend_pid()").await;
    site.superuser().await.run(&format!("SELECT pg_terminate_backend({pid})")).await;
    let outcome = client.query("SELECT 'in the old transaction'").await;
    assert!(outcome.is_err() || outcome.is_ok_and(|answer| answer.error.is_some()));
    let mut next = site.connect("alice").await;
    assert_eq!(next.cell("SELECT 'next'").await, "next");
}

#[tokio::test]
async fn an_idle_backend_that_is_terminated_is_noticed_by_nobody() {
    let mut site = Site::pooled(&[("pool.size", "2")]).await;
    site.expect_complaint("57P01");
    site.expect_complaint("terminat");
    let mut client = site.connect("alice").await;
    for _ in 0..10 {
        client.run("SELECT 1").await;
        let sql = format!(
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
             WHERE usename = 'alice' AND datname = '{}'",
            site.database
        );
        site.superuser().await.run(&sql).await;
        let closed = |n: f64| n == 0.0;
        site.metric_reaches("poolwright_server_connections", &site.database, closed).await;
    }
    assert_eq!(client.cell("SELECT 'served'").await, "served");
}

#[tokio::test]
async fn a_server_without_free_slots_makes_clients_wait_and_not_fail() {
    let options = Options { max_connections: 8, superuser_reserved: 5, ..Options::default() };
    let mut site = Site::on(start_postgres(options).await.unwrap()).await;
    site.expect_complaint("53300");
    site.expect_complaint("reserved");
    site.expect_complaint("too many");
    // What prepared the site may not have ended yet.
    let begun = Instant::now();
    let mut outsiders = Vec::new();
    while outsiders.len() < 3 {
        match site.target("bob").connect().await {
            Ok(outsider) => outsiders.push(outsider),
            Err(error) if begun.elapsed() > Duration::from_secs(30) => panic!("{error:#}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    let site = site.behind_a_pooler(&[("pool.waitTimeout", "30s")]).await;
    let target = site.target("alice");
    let served =
        tokio::spawn(async move { target.connect().await.unwrap().cell("SELECT 'at last'").await });
    site.metric_reaches("poolwright_server_disconnects_total", "", |n| n >= 1.0).await;
    drop(outsiders);
    let served = tokio::time::timeout(Duration::from_secs(40), served).await;
    assert_eq!(served.unwrap().unwrap(), "at last");
}

#[tokio::test]
async fn the_last_words_of_a_server_pass_and_those_of_the_pooler_follow() {
    let mut site = Site::pooled(&[("pool.size", "1")]).await;
    site.expect_complaint("server connection lost");
    for begin in ["SELECT 1", "BEGIN"] {
        let mut client = site.connect("alice").await;
        client.run(begin).await;
        let end = Flight::new().query("SELECT pg_terminate_backend(pg_backend_pid())");
        client.send(end.bytes()).await.unwrap();
        let told = client.until_closed().await.unwrap();
        let errors = told.iter().filter(|message| message.tag == b'E');
        let errors: Vec<_> = errors.map(|it| (it.fields().severity, it.fields().code)).collect();
        let fatal = |code: &str| ("FATAL".to_owned(), code.to_owned());
        assert_eq!(errors, [fatal("57P01"), fatal("08006")], "{told:?}");
    }
}
