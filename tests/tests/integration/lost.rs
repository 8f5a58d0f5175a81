//! A network that loses every packet between the pooler and its server. No kernel acknowledges anything,
//! so it is TCP that gives up: what is sent meets its user timeout, who waits its keepalives. Skipped,
//! with the reason, where no such network can be made.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use poolwright_tests::network::Network;
use poolwright_tests::pg::{Client, Flight};
use poolwright_tests::pooler::PEER_TIMEOUT;
use poolwright_tests::postgres::{Options, SUPERUSER};
use poolwright_tests::sampler::Sampler;
use poolwright_tests::site::{Site, start_postgres};
use tokio::time::timeout;

/// What a debug build of the pooler is told; a release build's is this long too.
const PATIENCE: Duration = Duration::from_secs(if cfg!(debug_assertions) { 2 } else { 30 });
const SLOTS: usize = 3;

fn network() -> Option<Arc<Network>> {
    let made = Network::make();
    let told = |error: &anyhow::Error| {
        // Also where the output of tests that pass is not shown.
        let _ = writeln!(std::io::stderr(), "skipped, packets cannot be lost here: {error:#}");
    };
    made.inspect_err(told).ok().map(Arc::new)
}

async fn site(network: &Arc<Network>) -> Site {
    let options = Options { network: Some(Arc::clone(network)), ..Options::default() };
    let mut site = Site::on(start_postgres(options).await.unwrap()).await;
    site.environment.push((PEER_TIMEOUT, PATIENCE.as_secs().to_string().into()));
    // One more than clients get, to look at the server.
    let (size, most) = (SLOTS.to_string(), (SLOTS + 1).to_string());
    let changes = [("servers.0.maxConnections", &*most), ("pool.size", &size)];
    site.behind_a_pooler(&changes).await
}

async fn is_told(mut client: Client) {
    let told = timeout(5 * PATIENCE, client.until_closed()).await;
    let told = told.expect("a server that answers nothing is given up").unwrap();
    let error = told.last().expect("its client is told why").fields();
    assert!(error.code == "08006" && error.message.contains("timed out"), "{error}");
}

#[tokio::test]
async fn a_slot_of_a_server_that_is_given_up_serves_when_its_backend_is_gone() {
    let Some(network) = network() else { return };
    let mut site = site(&network).await;
    site.expect_complaint("TCP gave a connection up");
    let mut senders = Vec::new();
    for _ in 1..SLOTS {
        let mut sends = site.connect("alice").await;
        sends.run("BEGIN").await;
        senders.push(sends);
    }
    let mut waits = site.connect("alice").await;
    let long = "DO $$ BEGIN RAISE NOTICE 'begun'; PERFORM pg_sleep(600); END $$";
    waits.send(Flight::new().query(long).bytes()).await.unwrap();
    // The notice acknowledges the query, so nothing is under way.
    assert_eq!(waits.receive().await.unwrap().fields().message, "begun");

    let cut = network.cut().unwrap();
    for sends in &mut senders {
        sends.send(Flight::new().query("SELECT 1").bytes()).await.unwrap();
    }
    for sends in senders {
        is_told(sends).await;
    }
    is_told(waits).await;
    site.metric_reaches("poolwright_server_connections", "", |open| open == 0.0).await;

    drop(cut);
    let sampled = site.postgres.target(SUPERUSER, SUPERUSER);
    let sampler = Sampler::start(sampled, Duration::from_millis(20)).await.unwrap();
    let mut served = Vec::new();
    for _ in 0..SLOTS {
        let mut client = site.connect("alice").await;
        client.run("BEGIN").await;
        served.push(client);
    }
    assert_eq!(site.pooler().metric("poolwright_server_connections", "").await, SLOTS as f64);
    let peaks = sampler.stop().await.unwrap();
    assert!(peaks.total <= SLOTS as u64 + 1, "more than the budget was open (B1): {peaks:?}");
}
