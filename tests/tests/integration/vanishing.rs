//! Clients that are suddenly gone: what they began is ended or rolled back, and their server is
//! clean or closed before anybody else has it.

use poolwright_tests::pg::{Client, Flight};
use poolwright_tests::random::Random;
use poolwright_tests::site::Site;

three_ways!(1:
    gone_in_the_middle_of_a_message,
    gone_in_a_copy_in,
    gone_in_a_copy_out,
    gone_while_its_query_runs,
    gone_before_it_reads_a_big_result,
    gone_after_a_parse_without_sync,
    gone_after_a_query_behind_a_failed_flight,
    gone_at_any_byte_of_a_conversation,
);

async fn table(site: &Site) {
    site.connect("alice").await.run("CREATE TABLE IF NOT EXISTS t (a int)").await;
}

async fn nothing_is_left(site: &Site) {
    let mut client = site.connect("alice").await;
    let flight = Flight::new().query("SELECT count(*) AS n FROM t");
    client.expect(flight, &["Columns(n)", "Row(0)", "Done(SELECT 1)", "Ready(I)"]).await;
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = '{}' AND state LIKE 'idle in transaction%'",
        site.database
    );
    site.eventually(&sql, "0").await;
}

async fn started(site: &Site, begun: Flight) -> Client {
    let mut client = site.connect("alice").await;
    client.send(begun.bytes()).await.unwrap();
    client
}

async fn gone_in_the_middle_of_a_message(site: &Site) {
    table(site).await;
    let insert = Flight::new().query("INSERT INTO t VALUES (1)");
    for length in 1..insert.bytes().len() {
        let mut client = site.connect("alice").await;
        client.send(&insert.bytes()[..length]).await.unwrap();
        drop(client);
    }
    let bytes = Flight::new().unnamed("INSERT INTO t VALUES (1)", &[]);
    let mut client = site.connect("alice").await;
    client.run("BEGIN").await;
    client.send(&bytes.bytes()[..bytes.bytes().len() - 3]).await.unwrap();
    drop(client);
    nothing_is_left(site).await;
}

async fn gone_in_a_copy_in(site: &Site) {
    table(site).await;
    let begun = || Flight::new().query("COPY t FROM STDIN");
    drop(started(site, begun()).await);
    drop(started(site, begun().copy_data(b"1\n")).await);
    let mut half = started(site, begun().copy_data(b"1\n")).await;
    assert_eq!(half.receive().await.unwrap().tag, b'G');
    half.send(b"d\0\0\x10\0 1\n").await.unwrap();
    drop(half);
    nothing_is_left(site).await;
}

async fn gone_in_a_copy_out(site: &Site) {
    table(site).await;
    let sql = "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 20000)) TO STDOUT";
    let mut client = started(site, Flight::new().query(sql)).await;
    assert_eq!(client.receive().await.unwrap().tag, b'H');
    drop(client);
    nothing_is_left(site).await;
}

async fn gone_while_its_query_runs(site: &Site) {
    table(site).await;
    let running = format!(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = '{}' AND state = 'active' AND query LIKE '%pg_sleep%'",
        site.database
    );
    let mut client = started(site, Flight::new().query("BEGIN; SELECT pg_sleep(1)")).await;
    site.eventually(&running, "1").await;
    client.send(b"Q").await.unwrap();
    drop(client);
    nothing_is_left(site).await;
}

async fn gone_before_it_reads_a_big_result(site: &Site) {
    table(site).await;
    let sql = "SELECT repeat('x', 1000) FROM generate_series(1, 100000)";
    let mut client = started(site, Flight::new().query(sql)).await;
    client.receive().await.unwrap();
    drop(client);
    nothing_is_left(site).await;
}

async fn gone_after_a_parse_without_sync(site: &Site) {
    table(site).await;
    let sql = "INSERT INTO t VALUES (1)";
    drop(started(site, Flight::new().parse("s", sql)).await);
    drop(started(site, Flight::new().unnamed(sql, &[])).await);
    drop(started(site, Flight::new().unnamed(sql, &[]).flush()).await);
    let mut answered = started(site, Flight::new().unnamed(sql, &[]).flush()).await;
    for tag in [b'1', b'2', b'C'] {
        assert_eq!(answered.receive().await.unwrap().tag, tag);
    }
    drop(answered);
    nothing_is_left(site).await;
}

/// Postgres skips the query, since the flight before it failed and no Sync came between.
async fn gone_after_a_query_behind_a_failed_flight(site: &Site) {
    table(site).await;
    for query in ["SELECT 2", "INSERT INTO t VALUES (1)"] {
        let flight = Flight::new().unnamed("SELECT $1::no_type", &["0"]).query(query);
        drop(started(site, flight).await);
        assert_eq!(site.connect("alice").await.cell("SELECT 'served'").await, "served");
    }
    nothing_is_left(site).await;
}

async fn gone_at_any_byte_of_a_conversation(site: &Site) {
    table(site).await;
    let conversation = Flight::new()
        .query("BEGIN")
        .parse("s", "INSERT INTO t VALUES ($1)")
        .run("s", &["5"])
        .sync()
        .query("COPY t FROM STDIN")
        .copy_data(b"1\n2\n")
        .copy_done()
        .query("ROLLBACK");
    let mut random = Random::new(Random::seed_or(5));
    for _ in 0..60 {
        let length = random.below(conversation.bytes().len() + 1);
        let mut client = site.connect("alice").await;
        client.send(&conversation.bytes()[..length]).await.unwrap();
        for _ in 0..random.below(3) {
            tokio::task::yield_now().await;
        }
        drop(client);
    }
    nothing_is_left(site).await;
}

#[tokio::test]
async fn a_waiter_that_vanishes_is_given_no_server() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    let mut holder = site.connect("alice").await;
    holder.run("BEGIN").await;
    for _ in 0..20 {
        drop(started(&site, Flight::new().query("SELECT 'never'")).await);
    }
    let mut patient = started(&site, Flight::new().query("SELECT 'served' AS a")).await;
    holder.run("COMMIT").await;
    let told = patient.until_ready().await.unwrap();
    assert_eq!(told.iter().filter(|message| message.tag == b'D').count(), 1);
    assert_eq!(holder.cell("SELECT 1").await, "1");
}
