//! CancelRequest: it ends what its own client runs, and nothing of anybody else's.

use std::time::Duration;

use poolwright_tests::pg::{CancelKey, Client, Flight, flight, message::transcript};
use poolwright_tests::random::Random;
use poolwright_tests::site::Site;

three_ways!(1:
    a_cancelled_query_ends_with_57014_and_the_client_goes_on,
    a_cancel_inside_a_transaction_fails_the_transaction,
    a_cancel_with_a_wrong_secret_does_nothing,
    a_cancel_of_an_idle_client_does_nothing,
);

const RUNNING: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'";

const WAITERS: usize = 20;

fn sleep(seconds: u32) -> Flight {
    Flight::new().query(&format!("SELECT pg_sleep({seconds}) AS slept"))
}

async fn is_running(site: &Site) {
    let sql = format!("{RUNNING} AND datname = '{}'", site.database);
    site.eventually(&sql, "1").await;
}

async fn a_cancelled_query_ends_with_57014_and_the_client_goes_on(site: &Site) {
    let mut client = site.connect("alice").await;
    for _ in 0..3 {
        client.send(sleep(60).bytes()).await.unwrap();
        is_running(site).await;
        site.target("alice").cancel(&client.key).await.unwrap();
        let told = transcript(&client.until_ready().await.unwrap());
        assert_eq!(told.last_chunk::<2>().unwrap(), &["Error(57014)", "Ready(I)"]);
        assert_eq!(client.cell("SELECT 'on'").await, "on");
    }
}

async fn a_cancel_inside_a_transaction_fails_the_transaction(site: &Site) {
    let mut client = site.connect("alice").await;
    client.run("BEGIN").await;
    let flight = Flight::new().unnamed("SELECT pg_sleep(60)", &[]).unnamed("SELECT 2", &[]).sync();
    client.send(flight.bytes()).await.unwrap();
    is_running(site).await;
    site.target("alice").cancel(&client.key).await.unwrap();
    let told = transcript(&client.until_ready().await.unwrap());
    assert_eq!(told, ["Parsed", "Bound", "Error(57014)", "Ready(E)"]);
    client.run("ROLLBACK").await;
}

async fn a_cancel_with_a_wrong_secret_does_nothing(site: &Site) {
    let mut client = site.connect("alice").await;
    client.send(sleep(1).bytes()).await.unwrap();
    is_running(site).await;
    let mut wrong = client.key.clone();
    wrong.secret[0] ^= 1;
    site.target("alice").cancel(&wrong).await.unwrap();
    let nobody = CancelKey { process_id: 1, secret: vec![1, 2, 3, 4] };
    site.target("alice").cancel(&nobody).await.unwrap();
    let told = transcript(&client.until_ready().await.unwrap());
    assert_eq!(told, ["Columns(slept)", "Row()", "Done(SELECT 1)", "Ready(I)"]);
}

async fn a_cancel_of_an_idle_client_does_nothing(site: &Site) {
    let mut client = site.connect("alice").await;
    client.run("SELECT 1").await;
    for _ in 0..20 {
        site.target("alice").cancel(&client.key).await.unwrap();
        assert_eq!(client.cell("SELECT 'unharmed'").await, "unharmed");
    }
}

#[tokio::test]
async fn a_cancel_of_an_idle_client_spares_the_one_that_has_its_old_server() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    let mut idle = site.connect("alice").await;
    let mut busy = site.connect("alice").await;
    idle.run("SELECT 1").await;
    busy.send(sleep(1).bytes()).await.unwrap();
    is_running(&site).await;
    for _ in 0..10 {
        site.target("alice").cancel(&idle.key).await.unwrap();
    }
    let told = transcript(&busy.until_ready().await.unwrap());
    assert_eq!(told, ["Columns(slept)", "Row()", "Done(SELECT 1)", "Ready(I)"]);
}

#[tokio::test]
async fn a_client_of_protocol_3_2_has_a_long_secret_of_which_no_part_will_do() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    let target = site.target("alice").protocol(flight::VERSION_3_2);
    let mut client = site.connect_to(target).await;
    assert_eq!(client.key.secret.len(), 32);
    assert_eq!(site.connect("alice").await.key.secret.len(), 4);
    client.send(sleep(60).bytes()).await.unwrap();
    is_running(&site).await;
    let CancelKey { process_id, secret } = client.key.clone();
    let mut wrong = secret.clone();
    wrong[31] ^= 1;
    for secret in [secret[..4].to_vec(), secret[..31].to_vec(), [&secret[..], b"x"].concat(), wrong]
    {
        site.target("alice").cancel(&CancelKey { process_id, secret }).await.unwrap();
    }
    is_running(&site).await;
    site.target("alice").cancel(&client.key).await.unwrap();
    let told = transcript(&client.until_ready().await.unwrap());
    assert_eq!(told.last_chunk::<2>().unwrap(), &["Error(57014)", "Ready(I)"]);
    assert_eq!(client.cell("SELECT 'on'").await, "on");
}

#[tokio::test]
async fn a_query_is_cancelled_whose_database_the_settings_have_lost() {
    let site = Site::pooled(&[("generation", "1")]).await;
    let mut client = site.connect("alice").await;
    client.send(sleep(60).bytes()).await.unwrap();
    is_running(&site).await;
    let lost = site.settings.clone().with("databases.0.name", "another").with("generation", "2");
    site.pooler().write_settings(&lost).unwrap();
    site.pooler().signal("HUP");
    site.metric_reaches("poolwright_settings_generation", "", |seen| seen == 2.0).await;
    site.target("alice").cancel(&client.key).await.unwrap();
    let told = transcript(&client.until_closed().await.unwrap());
    assert_eq!(told.last_chunk::<3>().unwrap(), &["Error(57014)", "Ready(I)", "Error(57P01)"]);
}

#[tokio::test]
async fn a_request_that_waits_for_a_server_is_cancelled_where_it_waits() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    let mut holder = site.connect("alice").await;
    let mut waiter = site.connect("alice").await;
    holder.run("BEGIN").await;
    waiter.send(Flight::new().query("SELECT 'never run'").bytes()).await.unwrap();
    site.metric_reaches("poolwright_client_connections", "state=\"waiting\"", |n| n >= 1.0).await;
    site.target("alice").cancel(&waiter.key).await.unwrap();
    let told = transcript(&waiter.until_ready().await.unwrap());
    assert_eq!(told, ["Error(57014)", "Ready(I)"]);
    assert_eq!(holder.cell("SELECT 'unharmed'").await, "unharmed");
    holder.run("COMMIT").await;
    assert_eq!(waiter.cell("SELECT 'on'").await, "on");
}

#[tokio::test]
async fn a_pipeline_that_waits_is_cancelled_up_to_its_sync() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    let mut holder = site.connect("alice").await;
    let mut waiter = site.connect("alice").await;
    holder.run("BEGIN").await;
    let flight = Flight::new().unnamed("SELECT 1", &[]).unnamed("SELECT 2", &[]).sync();
    waiter.send(flight.bytes()).await.unwrap();
    site.metric_reaches("poolwright_client_connections", "state=\"waiting\"", |n| n >= 1.0).await;
    site.target("alice").cancel(&waiter.key).await.unwrap();
    let told = transcript(&waiter.until_ready().await.unwrap());
    assert_eq!(told, ["Error(57014)", "Ready(I)"]);
    holder.run("COMMIT").await;
    assert_eq!(waiter.cell("SELECT 'on'").await, "on");
}

/// The pooler's own query, which the server sleeps in, comes first.
async fn is_cancelled_behind_it(site: &Site, mut client: Client) {
    client.send(sleep(60).bytes()).await.unwrap();
    is_running(site).await;
    site.target("alice").cancel(&client.key).await.unwrap();
    let told = transcript(&client.until_ready().await.unwrap());
    assert_eq!(told, ["Error(57014)", "Ready(I)"]);
    assert_eq!(client.cell("SELECT 'on'").await, "on");
    assert_eq!(site.server_connections().await, 1);
}

#[tokio::test]
async fn a_request_is_cancelled_while_its_connection_is_asked_whether_it_works() {
    let check = ("serverCheckQuery", "SELECT pg_sleep(2)");
    let site = Site::pooled(&[("pool.size", "1"), ("serverCheckDelay", "1ms"), check]).await;
    let mut client = site.connect("alice").await;
    client.run("SELECT 1").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    is_cancelled_behind_it(&site, client).await;
}

#[tokio::test]
async fn a_request_is_cancelled_while_its_connection_is_reset() {
    let reset = ("serverResetQuery", "SELECT pg_sleep(2)");
    let site = Site::pooled(&[("pool.size", "1"), ("pool.isolation", "strict"), reset]).await;
    site.connect("alice").await.run("SELECT 1").await;
    is_cancelled_behind_it(&site, site.connect("alice").await).await;
}

/// Whether they still wait or run already: nothing of them is left.
#[tokio::test]
async fn a_cancel_that_comes_with_the_connection_is_not_lost() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    let mut holder = site.connect("alice").await;
    let mut waiters = Vec::new();
    for _ in 0..WAITERS {
        waiters.push(site.connect("alice").await);
    }
    for _ in 0..20 {
        holder.run("BEGIN").await;
        for waiter in &mut waiters {
            waiter.send(sleep(60).bytes()).await.unwrap();
        }
        let all_wait = |n| n >= WAITERS as f64;
        let label = "state=\"waiting\"";
        site.metric_reaches("poolwright_client_connections", label, all_wait).await;
        let mut cancels = tokio::task::JoinSet::new();
        for waiter in &waiters {
            let (target, key) = (site.target("alice"), waiter.key.clone());
            cancels.spawn(async move { target.cancel(&key).await });
        }
        holder.run("COMMIT").await;
        cancels.join_all().await.into_iter().for_each(|cancelled| cancelled.unwrap());
        for waiter in &mut waiters {
            let told = transcript(&waiter.until_ready().await.unwrap());
            assert_eq!(told.last_chunk::<2>().unwrap(), &["Error(57014)", "Ready(I)"]);
        }
    }
}

/// Half of the clients are cancelled all the time, the others never: an error with the latter is
/// a cancel that went astray.
#[tokio::test]
async fn a_storm_of_cancels_hits_only_its_own_clients() {
    let site = Site::pooled(&[("pool.size", "2")]).await;
    let stop = tokio::sync::watch::channel(false);
    let mut tasks = Vec::new();
    for number in 0..4 {
        let (target, stopped) = (site.target("alice"), stop.1.clone());
        let mut client = site.connect("alice").await;
        let key = client.key.clone();
        tasks.push(tokio::spawn(async move {
            let mut random = Random::new(number);
            while !*stopped.borrow() {
                target.cancel(&key).await.unwrap();
                tokio::time::sleep(Duration::from_millis(random.below(4) as u64)).await;
            }
        }));
        let stopped = stop.1.clone();
        tasks.push(tokio::spawn(async move {
            while !*stopped.borrow() {
                let answer = client.query("SELECT pg_sleep(0.002)").await.unwrap();
                let code = answer.error.map(|error| error.code);
                assert!(code.is_none() || code.as_deref() == Some("57014"), "{code:?}");
                assert_eq!(answer.status, 'I');
            }
        }));
    }
    let mut spared: Vec<_> = Vec::new();
    for number in 0..4 {
        let mut client = site.connect("alice").await;
        spared.push(tokio::spawn(async move {
            for round in 0..400 {
                let own = format!("{number}.{round}");
                assert_eq!(client.cell(&format!("SELECT '{own}', pg_sleep(0.002)")).await, own);
            }
        }));
    }
    for task in spared {
        task.await.expect("a client that nobody cancelled met something wrong");
    }
    stop.0.send(true).unwrap();
    for task in tasks {
        task.await.expect("a cancelled client met something else than 57014");
    }
}
