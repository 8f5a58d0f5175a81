//! A server that no packet reaches any more, and from which none comes: no reset, no end of the
//! stream. Beside it, tenants of another server.

use std::time::{Duration, Instant};

use poolwright_tests::blackhole::Blackhole;
use poolwright_tests::pg::{Client, Flight, Target};
use poolwright_tests::site::Site;
use tokio::task::JoinHandle;

/// What the pooler may hold at the server that is lost.
const FAR: usize = 3;
const NEIGHBOURS: usize = 4;
/// Queries of each neighbour, before and meanwhile.
const QUERIES: usize = 100;
/// How much longer the slowest queries of others may take. Below the least time, on a busy machine,
/// it is not the pooler that is measured.
const FACTOR: u32 = 5;
const LEAST: Duration = Duration::from_millis(20);

/// The time within which 99 of 100 queries of others were answered.
async fn p99_of_others(site: &Site) -> Duration {
    let tasks: Vec<JoinHandle<Vec<Duration>>> =
        (0..NEIGHBOURS).map(|_| tokio::spawn(times(site.target("bob")))).collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.expect("a neighbour met something wrong"));
    }
    all.sort();
    all[all.len() * 99 / 100]
}

async fn times(target: Target) -> Vec<Duration> {
    let mut client = target.connect().await.expect("a neighbour logs in");
    let mut times = Vec::new();
    for _ in 0..QUERIES {
        let start = Instant::now();
        assert_eq!(client.cell("SELECT 'served'").await, "served");
        times.push(start.elapsed());
    }
    times
}

async fn site_with_far(hole: &Blackhole, site: Site) -> Site {
    let (port, most, dbname) = (hole.port.to_string(), FAR.to_string(), site.database.clone());
    let mut site = site
        .behind_a_pooler(&[
            ("databases.0.server", "main"),
            ("servers.1.name", "far"),
            ("servers.1.host", "127.0.0.1"),
            ("servers.1.port", &port),
            ("servers.1.maxConnections", &most),
            ("servers.1.connectTimeout", "1s"),
            ("databases.1.name", "far"),
            ("databases.1.server", "far"),
            ("databases.1.dbname", &dbname),
            ("databases.1.pool.waitTimeout", "2s"),
            ("databases.1.pool.size", "9"),
            ("cancelWaitTimeout", "1s"),
        ])
        .await;
    for complaint in ["wait", "cancel", "connection"] {
        site.expect_complaint(complaint);
    }
    site
}

async fn open(site: &Site) -> f64 {
    site.pooler().metric("poolwright_server_connections", "\"far\"").await
}

async fn is_told_the_limit(mut client: Client) {
    let told = client.until_closed().await.unwrap();
    let error = told.last().expect("a client that waited is told why").fields();
    let names = error.message.contains("servers[].maxConnections");
    assert!(error.code == "08P01" && names, "{error}");
}

#[tokio::test]
async fn a_server_that_is_silent_costs_others_nothing_and_counts_until_it_is_proven_gone() {
    let site = Site::direct().await;
    let hole = Blackhole::before(site.postgres.port()).await.unwrap();
    let site = site_with_far(&hole, site).await;
    let far = Target { database: "far".to_owned(), ..site.target("alice") };

    let mut holders = Vec::new();
    for _ in 0..FAR {
        let mut holder = far.connect().await.unwrap();
        holder.run("BEGIN").await;
        holders.push(holder);
    }
    let before = p99_of_others(&site).await;
    assert_eq!((open(&site).await, hole.taken()), (FAR as f64, FAR));

    hole.swallow(true);
    for holder in &mut holders {
        holder.send(Flight::new().query("SELECT 1").bytes()).await.unwrap();
    }
    let mut waiting = Vec::new();
    for _ in 0..FAR {
        let mut client = far.connect().await.unwrap();
        client.send(Flight::new().query("SELECT 1").bytes()).await.unwrap();
        waiting.push(client);
    }
    let meanwhile = p99_of_others(&site).await;
    println!("p99 of others: {before:?} before, {meanwhile:?} beside a server that is silent");
    assert!(meanwhile < FACTOR * before.max(LEAST), "{meanwhile:?} is beyond {before:?}");
    for client in waiting {
        is_told_the_limit(client).await;
    }

    // The clients go, and their connections cannot end: they count, and nothing else is opened.
    drop(holders);
    let mut client = far.connect().await.unwrap();
    client.send(Flight::new().query("SELECT 1").bytes()).await.unwrap();
    is_told_the_limit(client).await;
    assert_eq!(open(&site).await, FAR as f64, "a connection that may live must count");
    assert!(site.server_connections().await >= FAR as u64);

    hole.swallow(false);
    let served = far.connect().await.unwrap().cell("SELECT 'served'").await;
    assert_eq!(served, "served", "the server is back");
    let gone = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' \
         AND usename = 'alice' AND state LIKE 'idle in transaction%'",
        site.database
    );
    site.eventually(&gone, "0").await;
    assert!(open(&site).await <= FAR as f64);
}
