//! What takes too long ends, with an error that names the limit, and nothing of it is left running
//! on the server. Each test prints how long it took; none judges it.

use std::time::{Duration, Instant};

use poolwright_tests::pg::{Client, Fields, Flight, message::transcript};
use poolwright_tests::site::Site;

const RUNNING: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE state <> 'idle' AND query LIKE '%limited%' AND pid <> pg_backend_pid()";

/// The one error that the client was told before it was closed.
async fn last_words(client: &mut Client, since: Instant) -> Fields {
    let told = client.until_closed().await.unwrap();
    let errors = told.iter().filter(|message| message.tag == b'E');
    let errors: Vec<Fields> = errors.map(|message| message.fields()).collect();
    assert_eq!(errors.len(), 1, "{told:?}");
    println!("after {:?}: {}", since.elapsed(), errors[0]);
    assert_eq!(errors[0].severity, "FATAL");
    errors.into_iter().next().unwrap()
}

fn check(error: &Fields, code: &str, name: &str) {
    assert_eq!(error.code, code);
    assert!(error.message.starts_with(name), "{error}");
}

#[tokio::test]
async fn a_query_that_takes_too_long_is_cancelled_and_its_server_serves_on() {
    let changes = [("pool.size", "1"), ("pool.queryTimeout", "300ms")];
    let site = Site::pooled(&changes).await;
    for flight in [
        Flight::new().query("SELECT pg_sleep(600) AS limited"),
        Flight::new().query("BEGIN; SELECT pg_sleep(600) AS limited"),
        Flight::new()
            .unnamed("SELECT 1", &[])
            .unnamed("SELECT pg_sleep(600) AS limited", &[])
            .sync(),
        Flight::new().unnamed("SELECT pg_sleep(600) AS limited", &[]).flush(),
    ] {
        let mut client = site.connect("alice").await;
        let since = Instant::now();
        client.send(flight.bytes()).await.unwrap();
        check(&last_words(&mut client, since).await, "57014", "query_timeout");
        let sql = format!("{RUNNING} AND datname = '{}'", site.database);
        site.eventually(&sql, "0").await;
    }
    let mut next = site.connect("alice").await;
    assert_eq!(next.cell("SELECT 'served'").await, "served");
    assert_eq!(site.server_connections().await, 1);
}

#[tokio::test]
async fn a_query_that_takes_too_long_is_cancelled_when_the_settings_have_lost_its_database() {
    let site = Site::pooled(&[("pool.queryTimeout", "4s"), ("generation", "1")]).await;
    let mut client = site.connect("alice").await;
    let since = Instant::now();
    let flight = Flight::new().query("SELECT pg_sleep(600) AS limited");
    client.send(flight.bytes()).await.unwrap();
    let lost = site.settings.clone().with("databases.0.name", "another").with("generation", "2");
    site.pooler().write_settings(&lost).unwrap();
    site.pooler().signal("HUP");
    site.metric_reaches("poolwright_settings_generation", "", |seen| seen == 2.0).await;
    check(&last_words(&mut client, since).await, "57014", "query_timeout");
    let sql = format!("{RUNNING} AND datname = '{}'", site.database);
    site.eventually(&sql, "0").await;
}

/// A COPY that stops in the middle holds a server as a slow query does.
#[tokio::test]
async fn a_copy_that_stops_in_the_middle_ends() {
    let site = Site::pooled(&[("pool.size", "1"), ("pool.queryTimeout", "300ms")]).await;
    let mut client = site.connect("alice").await;
    client.run("CREATE TABLE limited (a int)").await;
    let since = Instant::now();
    let copy = Flight::new().query("COPY limited FROM STDIN").copy_data(b"1\n");
    client.send(copy.bytes()).await.unwrap();
    check(&last_words(&mut client, since).await, "57014", "query_timeout");
    let mut next = site.connect("alice").await;
    assert_eq!(next.cell("SELECT count(*) FROM limited").await, "0");
}

/// All of them together take longer than any one may.
#[tokio::test]
async fn the_limit_of_a_query_is_for_each_of_a_transaction() {
    let site = Site::pooled(&[("pool.size", "1"), ("pool.queryTimeout", "2s")]).await;
    let mut client = site.connect("alice").await;
    let nap = Flight::new().query("SELECT pg_sleep(0.1)");
    for ahead in [0, 1] {
        let since = Instant::now();
        client.run("BEGIN").await;
        for _ in 0..ahead {
            client.send(nap.bytes()).await.unwrap();
        }
        while since.elapsed() < Duration::from_millis(2500) {
            client.exchange(&nap).await.unwrap();
        }
        for _ in 0..ahead {
            client.until_ready().await.unwrap();
        }
        client.run("COMMIT").await;
    }
}

#[tokio::test]
async fn the_limit_of_a_query_holds_though_more_are_sent_behind_it() {
    let site = Site::pooled(&[("pool.size", "1"), ("pool.queryTimeout", "1s")]).await;
    for more in [Flight::new().query("SELECT 1"), Flight::new().unnamed("SELECT 1", &[]).sync()] {
        let mut client = site.connect("alice").await;
        let since = Instant::now();
        client.send(Flight::new().query("SELECT pg_sleep(600) AS limited").bytes()).await.unwrap();
        let error = loop {
            client.send(more.bytes()).await.unwrap();
            match client.receive_within(Duration::from_millis(300)).await {
                Ok(told) if told.tag == b'E' => break told.fields(),
                Ok(told) => assert_eq!(told.tag, b'T'),
                Err(_) => assert!(since.elapsed() < Duration::from_secs(10), "it goes on"),
            }
        };
        println!("after {:?}: {error}", since.elapsed());
        check(&error, "57014", "query_timeout");
    }
}

#[tokio::test]
async fn an_idle_transaction_is_rolled_back() {
    for mode in ["transaction", "session"] {
        let changes =
            [("pool.size", "1"), ("pool.mode", mode), ("pool.idleTransactionTimeout", "300ms")];
        let site = Site::pooled(&changes).await;
        site.superuser().await.run("CREATE TABLE t (a int); GRANT ALL ON t TO PUBLIC").await;
        let mut client = site.connect("alice").await;
        client.run("SELECT 1").await;
        client.run("BEGIN").await;
        client.run("INSERT INTO t VALUES (1)").await;
        check(&last_words(&mut client, Instant::now()).await, "25P03", "idle_transaction_timeout");
        let mut next = site.connect("alice").await;
        assert_eq!(next.cell("SELECT count(*) FROM t").await, "0");
        assert_eq!(site.server_connections().await, 1);
    }
}

#[tokio::test]
async fn a_transaction_that_takes_too_long_is_rolled_back() {
    let site = Site::pooled(&[("pool.size", "1"), ("pool.transactionTimeout", "500ms")]).await;
    for statement in ["SELECT pg_sleep(0.05)", "SELECT pg_sleep(600) AS limited"] {
        let mut client = site.connect("alice").await;
        let since = Instant::now();
        client.run("BEGIN").await;
        let error = loop {
            client.send(Flight::new().query(statement).bytes()).await.unwrap();
            let told = client.receive().await.unwrap();
            if told.tag == b'E' {
                break told.fields();
            }
            while client.receive().await.is_ok_and(|message| message.tag != b'Z') {}
        };
        println!("after {:?}: {error}", since.elapsed());
        check(&error, "25P04", "transaction_timeout");
    }
    let sql = format!("{RUNNING} AND datname = '{}'", site.database);
    site.eventually(&sql, "0").await;
    let mut next = site.connect("alice").await;
    assert_eq!(next.cell("SELECT 'served'").await, "served");
}

#[tokio::test]
async fn an_idle_client_is_sent_away_and_an_active_one_is_not() {
    for mode in ["transaction", "session"] {
        let changes = [("pool.size", "3"), ("pool.mode", mode), ("pool.clientIdleTimeout", "1s")];
        let site = Site::pooled(&changes).await;
        let mut idle = site.connect("alice").await;
        let mut after_work = site.connect("alice").await;
        let mut active = site.connect("alice").await;
        let since = Instant::now();
        after_work.run("BEGIN").await;
        after_work.run("COMMIT").await;
        while since.elapsed() < Duration::from_millis(1500) {
            active.run("SELECT pg_sleep(0.05)").await;
        }
        for client in [&mut idle, &mut after_work] {
            check(&last_words(client, since).await, "57P05", "client_idle_timeout");
        }
        active.run("BEGIN").await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        active.run("COMMIT").await;
    }
}

#[tokio::test]
async fn the_limits_of_a_user_go_before_those_of_the_database() {
    let changes = [
        ("pool.queryTimeout", "600s"),
        ("databases.0.pool.queryTimeout", "200ms"),
        ("users.1.pool.queryTimeout", "0s"),
    ];
    let site = Site::pooled(&changes).await;
    let mut alice = site.connect("alice").await;
    let since = Instant::now();
    alice.send(Flight::new().query("SELECT pg_sleep(600) AS limited").bytes()).await.unwrap();
    check(&last_words(&mut alice, since).await, "57014", "query_timeout");
    let mut bob = site.connect("bob").await;
    assert_eq!(bob.cell("SELECT 'patient' FROM pg_sleep(1)").await, "patient");
}

#[tokio::test]
async fn a_limit_that_comes_while_the_pooler_runs_holds_for_clients_that_are_there() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    let mut client = site.connect("alice").await;
    client.run("BEGIN").await;
    client.run("COMMIT").await;
    let settings = site.settings.clone().with("pool.queryTimeout", "200ms");
    site.pooler().write_settings(&settings).unwrap();
    site.pooler().signal("HUP");
    let since = Instant::now();
    let error = loop {
        client.send(Flight::new().query("SELECT pg_sleep(1) AS limited").bytes()).await.unwrap();
        let told = client.receive().await.unwrap();
        if told.tag == b'E' {
            break told.fields();
        }
        client.until_ready().await.unwrap();
    };
    println!("after {:?}: {error}", since.elapsed());
    check(&error, "57014", "query_timeout");
}

#[tokio::test]
async fn who_waits_long_is_told_so() {
    let site = Site::pooled(&[("pool.size", "1"), ("pool.queryWaitNotify", "200ms")]).await;
    let mut holder = site.connect("alice").await;
    holder.run("BEGIN").await;
    let mut waiter = site.connect("alice").await;
    let since = Instant::now();
    waiter.send(Flight::new().query("SELECT 'served' AS a").bytes()).await.unwrap();
    let notice = waiter.receive().await.unwrap();
    assert_eq!(notice.tag, b'N', "{notice:?}");
    println!("after {:?}: {}", since.elapsed(), notice.fields());
    assert!(notice.fields().message.contains("queued"));
    holder.run("COMMIT").await;
    let told = transcript(&waiter.until_ready().await.unwrap());
    assert_eq!(told, ["Columns(a)", "Row(served)", "Done(SELECT 1)", "Ready(I)"]);
}

#[tokio::test]
async fn a_session_in_session_mode_is_no_pin() {
    let changes = [
        ("pool.size", "1"),
        ("pool.mode", "session"),
        ("pool.pinTimeout", "200ms"),
        ("pool.queryTimeout", "60s"),
    ];
    let site = Site::pooled(&changes).await;
    let mut client = site.connect("alice").await;
    client.run("SET work_mem = '5MB'").await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(client.cell("SHOW work_mem").await, "5MB");
}

#[tokio::test]
async fn a_client_that_a_sequence_pins_may_be_idle_no_longer_than_another() {
    for (name, limit) in
        [("pin_timeout", "pool.pinTimeout"), ("client_idle_timeout", "pool.clientIdleTimeout")]
    {
        let changes = [
            ("pool.size", "1"),
            ("pool.pinning", "off"),
            ("pool.sequences", "pin"),
            (limit, "300ms"),
        ];
        let site = Site::pooled(&changes).await;
        let sql = "CREATE TABLE s (id serial); GRANT ALL ON s, s_id_seq TO public";
        site.superuser().await.run(sql).await;
        let mut client = site.connect("alice").await;
        client.run("INSERT INTO s DEFAULT VALUES").await;
        check(&last_words(&mut client, Instant::now()).await, "57P05", name);
    }
}
