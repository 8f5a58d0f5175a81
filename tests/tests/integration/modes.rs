//! When a client gives its server back: statement mode, modes and pools of single users, and what
//! a client with an endless pipeline gets while others wait.

use poolwright_tests::pg::{Flight, Message, message::transcript};
use poolwright_tests::site::Site;

const REFUSED: &str = "transaction blocks not allowed in statement pooling mode";

async fn by_statement() -> Site {
    let site = Site::pooled(&[("pool.mode", "statement"), ("pool.size", "1")]).await;
    site.superuser().await.run("CREATE TABLE t (a int); GRANT ALL ON t TO PUBLIC").await;
    site
}

/// The client was told that blocks are refused, and closed.
fn check_refused(told: &[Message]) {
    let last = told.last().map(Message::fields).expect("nothing was told");
    assert_eq!((last.severity.as_str(), last.code.as_str()), ("FATAL", "0A000"), "{told:?}");
    assert_eq!(last.message, REFUSED);
}

#[tokio::test]
async fn a_transaction_block_is_refused_in_statement_mode_and_leaves_nothing() {
    let site = by_statement().await;
    let extended = |sql: &str| Flight::new().unnamed(sql, &[]).sync();
    for flight in [
        Flight::new().query("BEGIN"),
        Flight::new().query("START TRANSACTION; INSERT INTO t VALUES (1)"),
        Flight::new().query("BEGIN; SELECT 1/0"),
        extended("BEGIN"),
        Flight::new().unnamed("BEGIN", &[]).unnamed("INSERT INTO t VALUES (1)", &[]).sync(),
        Flight::new().query("BEGIN").query("INSERT INTO t VALUES (1)").query("COMMIT"),
        Flight::new().unnamed("BEGIN", &[]).sync().query("INSERT INTO t VALUES (1)").query("END"),
    ] {
        let mut client = site.connect("alice").await;
        client.send(flight.bytes()).await.unwrap();
        let told = client.until_closed().await.unwrap();
        check_refused(&told);
        assert!(told.iter().all(|message| message.tag != b'Z'), "{told:?}");
    }
    let mut next = site.connect("alice").await;
    assert_eq!(next.cell("SELECT count(*) FROM t").await, "0");
    assert_eq!(site.server_connections().await, 1);
}

#[tokio::test]
async fn one_request_is_one_transaction_in_statement_mode() {
    let site = by_statement().await;
    let mut client = site.connect("alice").await;
    client.run("BEGIN; INSERT INTO t VALUES (1); COMMIT").await;
    client.run("INSERT INTO t VALUES (2); INSERT INTO t VALUES (3)").await;
    let block = Flight::new()
        .unnamed("BEGIN", &[])
        .unnamed("INSERT INTO t VALUES (4)", &[])
        .unnamed("COMMIT", &[])
        .sync();
    let told = transcript(&client.exchange(&block).await.unwrap());
    assert_eq!(told.last().map(String::as_str), Some("Ready(I)"));
    assert_eq!(client.fails("INSERT INTO t VALUES (5); SELECT 1/0").await, "22012");
    let failing =
        Flight::new().unnamed("INSERT INTO t VALUES (6)", &[]).unnamed("SELECT 1/0", &[]).sync();
    client.exchange(&failing).await.unwrap();
    let sum = "SELECT string_agg(a::text, '' ORDER BY a) FROM t";
    assert_eq!(client.cell(sum).await, "1234");
}

#[tokio::test]
async fn prepared_statements_and_copy_work_in_statement_mode() {
    let site = by_statement().await;
    let mut client = site.connect("alice").await;
    let mut other = site.connect("alice").await;
    client.exchange(&Flight::new().parse("p", "SELECT $1::int * 2 AS b").sync()).await.unwrap();
    for _ in 0..3 {
        other.run("SELECT 1").await;
        let flight = Flight::new().run("p", &["21"]).sync().run("p", &["4"]).sync();
        client
            .expect(
                flight,
                &[
                    "Bound",
                    "Row(42)",
                    "Done(SELECT 1)",
                    "Ready(I)",
                    "Bound",
                    "Row(8)",
                    "Done(SELECT 1)",
                    "Ready(I)",
                ],
            )
            .await;
    }
    let early = Flight::new().query("COPY t FROM STDIN").copy_data(b"7\n8\n").copy_done();
    let told = transcript(&client.exchange(&early).await.unwrap());
    assert_eq!(told.last_chunk::<2>().unwrap(), &["Done(COPY 2)", "Ready(I)"]);
    client.send(Flight::new().query("COPY t FROM STDIN").bytes()).await.unwrap();
    assert_eq!(client.receive().await.unwrap().tag, b'G');
    client.send(Flight::new().copy_data(b"9\n").copy_done().bytes()).await.unwrap();
    client.until_ready().await.unwrap();
    assert_eq!(client.cell("SELECT sum(a) FROM t").await, "24");
}

#[tokio::test]
async fn a_user_has_a_mode_and_a_pool_of_its_own() {
    let changes = [
        ("pool.size", "3"),
        ("databases.0.pool.mode", "session"),
        ("users.1.pool.mode", "statement"),
        ("users.1.pool.size", "1"),
        ("users.2.pool.mode", "transaction"),
    ];
    let site = Site::pooled(&changes).await;
    let mut alice = site.connect("alice").await;
    alice.run("SET work_mem = '5MB'; BEGIN").await;
    assert_eq!(alice.cell("SHOW work_mem").await, "5MB", "her session is her own");
    let mut carol = site.connect("carol").await;
    carol.run("BEGIN").await;
    carol.run("COMMIT").await;
    let mut bob = site.connect("bob").await;
    bob.send(Flight::new().query("BEGIN").bytes()).await.unwrap();
    check_refused(&bob.until_closed().await.unwrap());
    let mut tasks = Vec::new();
    for _ in 0..6 {
        let mut client = site.connect("bob").await;
        tasks.push(tokio::spawn(async move { client.cell("SELECT pg_backend_pid()").await }));
    }
    let mut backends = Vec::new();
    for task in tasks {
        backends.push(task.await.unwrap());
    }
    backends.dedup();
    assert_eq!(backends.len(), 1, "bob's pool has one connection: {backends:?}");
}

#[tokio::test]
async fn the_mode_of_a_user_changes_while_the_pooler_runs() {
    let site = Site::pooled(&[("pool.size", "2")]).await;
    let mut bob = site.connect("bob").await;
    bob.run("BEGIN").await;
    bob.run("COMMIT").await;
    let settings = site.settings.clone().with("users.1.pool.mode", "statement");
    site.pooler().write_settings(&settings).unwrap();
    site.pooler().signal("HUP");
    for _ in 0..1500 {
        let mut client = site.connect("bob").await;
        client.send(Flight::new().query("BEGIN").bytes()).await.unwrap();
        client.receive().await.unwrap();
        let next = client.receive().await.unwrap();
        if next.tag == b'E' {
            return check_refused(&[next]);
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the mode did not change within 30 s");
}

/// Without a turn for those who wait, the second client would come behind all of the first one's.
#[tokio::test]
async fn an_endless_pipeline_gives_way_to_those_who_wait() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    let mut holder = site.connect("alice").await;
    holder.run("CREATE TABLE served (at serial, who text)").await;
    for pipelined in [true, false] {
        holder.run("TRUNCATE served RESTART IDENTITY").await;
        holder.run("BEGIN").await;
        let simple = "INSERT INTO served (who) VALUES ('a')";
        let mut pipeline = Flight::new();
        for _ in 0..20 {
            pipeline = match pipelined {
                true => pipeline.unnamed(simple, &[]).sync(),
                false => pipeline.query(simple),
            };
        }
        let (mut first, mut second) = (site.connect("alice").await, site.connect("alice").await);
        for (client, bytes, waiting) in [
            (&mut first, pipeline.bytes(), 1.0),
            (&mut second, Flight::new().query(&simple.replace("'a'", "'b'")).bytes(), 2.0),
        ] {
            client.send(bytes).await.unwrap();
            let label = "state=\"waiting\"";
            site.metric_reaches("poolwright_client_connections", label, |n| n >= waiting).await;
        }
        holder.run("COMMIT").await;
        second.until_ready().await.unwrap();
        for _ in 0..20 {
            first.until_ready().await.unwrap();
        }
        let order = holder.cell("SELECT string_agg(who, '' ORDER BY at) FROM served").await;
        assert_eq!(order, format!("ab{}", "a".repeat(19)));
    }
}
