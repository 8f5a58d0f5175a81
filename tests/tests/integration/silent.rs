//! A server that falls silent while the pooler works on a connection for a client that waits: the
//! client is told, before long.

use std::time::{Duration, Instant};

use poolwright_tests::blackhole::Blackhole;
use poolwright_tests::pg::{Client, Fields, Flight};
use poolwright_tests::site::Site;

/// No packet comes through once the hole swallows.
async fn site(changes: &[(&str, &str)]) -> (Site, Blackhole) {
    let site = Site::direct().await;
    let hole = Blackhole::before(site.postgres.port()).await.unwrap();
    let port = hole.port.to_string();
    let to_hole = [("servers.0.port", &*port), ("servers.0.connectTimeout", "1s")];
    let mut site = site.behind_a_pooler(&[&to_hole, changes].concat()).await;
    site.expect_complaint("cancel request not delivered");
    (site, hole)
}

async fn last_words(client: &mut Client, since: Instant) -> Fields {
    let told = client.until_closed().await.unwrap();
    let error = told.last().expect("a client is told why").fields();
    println!("after {:?}: {error}", since.elapsed());
    error
}

/// Settings that decide how text is read are there before the text is sent.
#[tokio::test]
async fn a_client_whose_settings_do_not_get_through_is_told_so() {
    let (site, hole) = site(&[("pool.size", "1")]).await;
    let (mut one, mut two) = (site.connect("alice").await, site.connect("alice").await);
    one.run("SET standard_conforming_strings = off").await;
    two.run("SELECT 1").await;
    hole.swallow(true);
    let since = Instant::now();
    one.send(Flight::new().query("SELECT 1").bytes()).await.unwrap();
    assert_eq!(last_words(&mut one, since).await.code, "08006");
}

#[tokio::test]
async fn a_client_whose_settings_nobody_answers_for_is_told_so_at_its_login() {
    let (site, hole) = site(&[("pool.size", "1")]).await;
    site.connect("alice").await.run("SELECT 1").await;
    hole.swallow(true);
    let target = site.target("alice").parameter("options", "-c work_mem=3MB");
    let error: Fields = match target.connect().await {
        Ok(_) => panic!("it was let in"),
        Err(error) => error.downcast().expect("an ErrorResponse"),
    };
    assert_eq!(error.code, "08006", "{error}");
}

/// Each of them may take 5 s to answer.
#[tokio::test]
async fn the_wait_ends_in_time_though_many_connections_are_silent() {
    let changes = [("pool.size", "3"), ("pool.waitTimeout", "2s"), ("serverCheckDelay", "1ms")];
    let (site, hole) = site(&changes).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = site.connect("alice").await;
        client.run("BEGIN").await;
        clients.push(client);
    }
    for client in &mut clients {
        client.run("COMMIT").await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    hole.swallow(true);
    let since = Instant::now();
    let client = &mut clients[0];
    client.send(Flight::new().query("SELECT 1").bytes()).await.unwrap();
    let error = last_words(client, since).await;
    assert_eq!(error.code, "08P01");
    assert!(error.message.starts_with("query_wait_timeout"), "{error}");
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
}

/// The first waits for one that does not answer, and then for one that somebody has.
#[tokio::test]
async fn who_waits_anew_behind_a_silent_connection_is_told_for_what() {
    let changes = [("pool.size", "2"), ("pool.waitTimeout", "7s"), ("serverCheckDelay", "1ms")];
    let (site, hole) = site(&changes).await;
    let (mut one, mut two) = (site.connect("alice").await, site.connect("alice").await);
    two.run("BEGIN").await;
    one.run("SELECT 1").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    hole.swallow(true);
    let since = Instant::now();
    one.send(Flight::new().query("SELECT 1").bytes()).await.unwrap();
    let error = last_words(&mut one, since).await;
    assert_eq!(error.code, "08P01");
    assert!(error.message.contains("all its 2 connections in use (pool.size"), "{error}");
}
