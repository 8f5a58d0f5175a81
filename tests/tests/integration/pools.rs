//! How many server connections there are, who gets one, and how long one lives. Counted in
//! pg_stat_activity, never taken from the pooler's own word.

use std::time::Duration;

use poolwright_tests::pg::{Client, Flight, Target, message::transcript};
use poolwright_tests::postgres::Options;
use poolwright_tests::sampler::{Peaks, Sampler};
use poolwright_tests::site::{Site, USERS, start_postgres};

/// Clients that do `rounds` of small transactions, while the connections are sampled.
async fn peaks_under_load(
    site: &Site,
    clients: usize,
    users: &[&str],
    databases: &[&str],
) -> Peaks {
    let target = site.postgres.target("postgres", "postgres");
    let sampler = Sampler::start(target, Duration::from_millis(10)).await.unwrap();
    let mut tasks = Vec::new();
    for number in 0..clients {
        let mut target = site.target(users[number % users.len()]);
        target.database = databases[number / users.len() % databases.len()].to_owned();
        tasks.push(tokio::spawn(async move {
            let mut client = target.connect().await.unwrap();
            for _ in 0..20 {
                client.run("BEGIN").await;
                client.run("SELECT pg_sleep(0.001)").await;
                client.run("COMMIT").await;
            }
        }));
    }
    for task in tasks {
        task.await.expect("a client met something wrong");
    }
    let mut peaks = sampler.stop().await.unwrap();
    peaks.by_database.retain(|database, _| databases.contains(&database.as_str()));
    peaks.by_pool.retain(|pool, _| databases.iter().any(|d| pool.starts_with(&format!("{d}/"))));
    peaks
}

/// A PostgreSQL with exactly `slots` for ordinary users while the sampler is logged in: a
/// superuser takes an ordinary slot, the reserved ones have to stay free on top.
async fn own_postgres(slots: u32) -> Site {
    let sampler = 1;
    let max_connections = slots + sampler + Options::default().superuser_reserved;
    let options = Options { max_connections, ..Options::default() };
    Site::on(start_postgres(options).await.unwrap()).await
}

/// Superusers of the set-up leave their slots a little after their sockets are closed.
async fn nobody_else_is_in(site: &Site) {
    let others = "SELECT count(*) FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
    site.eventually(others, "0").await;
}

#[tokio::test]
async fn a_pool_never_holds_more_than_its_size() {
    let site = Site::pooled(&[("pool.size", "3")]).await;
    let peaks = peaks_under_load(&site, 100, &["alice", "bob"], &[&site.database]).await;
    let counts: Vec<_> = peaks.by_pool.values().copied().collect();
    assert_eq!(counts, [3, 3], "{peaks:?}");
}

#[tokio::test]
async fn a_database_never_holds_more_than_its_limit() {
    let changes = [("pool.size", "3"), ("databases.0.maxConnections", "4")];
    let site = Site::pooled(&changes).await;
    let peaks = peaks_under_load(&site, 100, &["alice", "bob", "carol"], &[&site.database]).await;
    assert_eq!(peaks.by_database[&site.database], 4, "{peaks:?}");
}

/// One login too many would be refused with 53300, and be seen in Postgres's log.
#[tokio::test]
async fn a_server_is_never_asked_for_more_than_it_has() {
    let site = own_postgres(6).await;
    let other = Site::on(site.postgres.clone()).await;
    let mut site = site;
    nobody_else_is_in(&site).await;
    site.settings = site.settings.clone().database(&other.database);
    let changes =
        [("pool.size", "5"), ("servers.0.maxConnections", "6"), ("pool.lifetime", "200ms..400ms")];
    let site = site.behind_a_pooler(&changes).await;
    let databases = [site.database.as_str(), other.database.as_str()];
    let peaks = peaks_under_load(&site, 100, &USERS, &databases).await;
    assert!(peaks.total <= 6 && peaks.total >= 4, "{peaks:?}");
    assert_eq!(site.postgres.refusals_for_want_of_a_slot(), Vec::<String>::new());
}

#[tokio::test]
async fn more_pools_than_connections_are_all_served() {
    let site = own_postgres(3).await.with_users("tenant_", 12).await;
    nobody_else_is_in(&site).await;
    let site = site.behind_a_pooler(&[("pool.size", "2"), ("servers.0.maxConnections", "3")]).await;
    let users: Vec<_> = (0..12).map(|number| format!("tenant_{number}")).collect();
    let users: Vec<_> = users.iter().map(String::as_str).collect();
    let peaks = peaks_under_load(&site, 36, &users, &[&site.database]).await;
    assert!(peaks.total <= 3, "{peaks:?}");
    assert_eq!(site.postgres.refusals_for_want_of_a_slot(), Vec::<String>::new());
}

#[tokio::test]
async fn a_returned_server_goes_to_the_longest_waiter() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    let mut holder = site.connect("alice").await;
    holder.run("BEGIN").await;
    holder.run("CREATE TABLE served (at serial, who int)").await;
    let mut waiters = Vec::new();
    for number in 0..8 {
        let mut waiter = site.connect("alice").await;
        let sql = format!("INSERT INTO served (who) VALUES ({number})");
        waiter.send(Flight::new().query(&sql).bytes()).await.unwrap();
        let waiting = f64::from(number + 1);
        site.metric_reaches("poolwright_client_connections", "state=\"waiting\"", |n| n >= waiting)
            .await;
        waiters.push(waiter);
    }
    holder.run("COMMIT").await;
    for waiter in &mut waiters {
        let told = transcript(&waiter.until_ready().await.unwrap());
        assert_eq!(told, ["Done(INSERT 0 1)", "Ready(I)"]);
    }
    let order = holder.cell("SELECT string_agg(who::text, '' ORDER BY at) FROM served").await;
    assert_eq!(order, "01234567");
}

#[tokio::test]
async fn a_wait_that_takes_too_long_is_an_error_and_the_client_may_try_again() {
    let mut site = Site::pooled(&[("pool.size", "1"), ("pool.waitTimeout", "200ms")]).await;
    site.expect_complaint("wait");
    let mut holder = site.connect("alice").await;
    let mut waiter = site.connect("alice").await;
    holder.run("BEGIN").await;
    waiter.send(Flight::new().query("SELECT 1").bytes()).await.unwrap();
    let told = waiter.until_closed().await.unwrap();
    let errors: Vec<_> = told.iter().map(|message| message.fields()).collect();
    assert_eq!(errors.len(), 1, "{told:?}");
    assert_eq!((errors[0].severity.as_str(), errors[0].code.as_str()), ("FATAL", "08P01"));
    assert!(errors[0].message.contains("query_wait_timeout"), "{}", errors[0]);
    holder.run("COMMIT").await;
    let mut again = site.connect("alice").await;
    assert_eq!(again.cell("SELECT 1").await, "1");
}

#[tokio::test]
async fn an_idle_connection_is_closed_down_to_the_minimum() {
    let changes = [("pool.size", "4"), ("pool.min", "1"), ("pool.idleTimeout", "300ms")];
    let site = Site::pooled(&changes).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = site.connect("alice").await;
        client.run("BEGIN").await;
        clients.push(client);
    }
    assert_eq!(site.server_connections().await, 4);
    for client in &mut clients {
        client.run("COMMIT").await;
    }
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'alice' AND datname = '{}'",
        site.database
    );
    site.eventually(&sql, "1").await;
    assert_eq!(clients[0].cell("SELECT 1").await, "1");
}

#[tokio::test]
async fn a_connection_past_its_lifetime_is_replaced() {
    let site = Site::pooled(&[("pool.size", "1"), ("pool.lifetime", "200ms..300ms")]).await;
    let mut client = site.connect("alice").await;
    let first = client.cell("SELECT pg_backend_pid()").await;
    let alive = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {first}");
    site.eventually(&alive, "0").await;
    assert_ne!(client.cell("SELECT pg_backend_pid()").await, first);
    client.run("BEGIN").await;
    let held = client.cell("SELECT pg_backend_pid()").await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(client.cell("SELECT pg_backend_pid()").await, held, "closed in a transaction");
    client.run("COMMIT").await;
}

#[tokio::test]
async fn a_reserve_serves_those_who_waited_long() {
    let changes = [("pool.size", "1"), ("pool.reserve", "1"), ("pool.reserveTimeout", "100ms")];
    let site = Site::pooled(&changes).await;
    let mut holder = site.connect("alice").await;
    let mut second = site.connect("alice").await;
    holder.run("BEGIN").await;
    assert_eq!(second.cell("SELECT 'from the reserve'").await, "from the reserve");
    assert_eq!(site.server_connections().await, 2);
    holder.run("COMMIT").await;
}

/// As with PgBouncer.
#[tokio::test]
async fn a_reserve_without_a_time_stays_closed() {
    let changes = [
        ("pool.size", "1"),
        ("pool.reserve", "1"),
        ("pool.reserveTimeout", "0s"),
        ("pool.waitTimeout", "500ms"),
    ];
    let site = Site::pooled(&changes).await;
    let mut holder = site.connect("alice").await;
    let mut second = site.connect("alice").await;
    holder.run("BEGIN").await;
    second.send(Flight::new().query("SELECT 1").bytes()).await.unwrap();
    let told = second.until_closed().await.unwrap().pop().expect("an error");
    assert_eq!(told.fields().code, "08P01");
    assert_eq!(site.server_connections().await, 1);
    holder.run("COMMIT").await;
}

#[tokio::test]
async fn a_pool_smaller_than_the_number_of_its_workers_serves_all_its_clients() {
    let changes = [
        ("workers", "2"),
        ("databases.0.workers", "2"),
        ("users.1.pool.size", "1"),
        ("pool.waitTimeout", "5s"),
    ];
    let site = Site::pooled(&changes).await;
    let mut clients = Vec::new();
    for user in ["bob", "bob", "alice", "bob"] {
        clients.push(site.connect(user).await);
    }
    for client in &mut clients {
        assert_eq!(client.cell("SELECT 'served'").await, "served");
    }
    let own = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'bob' AND application_name";
    let own = format!("{own} = 'poolwright' AND datname = '{}'", site.database);
    assert_eq!(site.superuser().await.cell(&own).await, "1");
}

#[tokio::test]
async fn users_who_come_in_turn_have_their_whole_pools_where_workers_share_a_database() {
    let changes = [
        ("workers", "2"),
        ("databases.0.workers", "2"),
        ("pool.size", "2"),
        ("pool.waitTimeout", "5s"),
    ];
    let site = Site::pooled(&changes).await;
    let mut holders = Vec::new();
    for user in ["alice", "bob", "alice", "bob"] {
        let mut client = site.connect(user).await;
        client.run("BEGIN").await;
        holders.push(client);
    }
}

#[tokio::test]
async fn a_session_keeps_its_server_until_it_ends() {
    let site = Site::pooled(&[("pool.mode", "session"), ("pool.size", "2")]).await;
    let mut one = site.connect("alice").await;
    let mut two = site.connect("alice").await;
    one.run("SET work_mem = '5MB'; CREATE TEMP TABLE own (a int); PREPARE p AS SELECT 5").await;
    let pid = |client: Client| async move {
        let mut client = client;
        let pid = client.cell("SELECT pg_backend_pid()").await;
        (client, pid)
    };
    let (mut one, first) = pid(one).await;
    for _ in 0..5 {
        two.run("SELECT 1").await;
        assert_eq!(one.cell("SELECT pg_backend_pid()").await, first);
        assert_eq!(one.cell("SHOW work_mem").await, "5MB");
        assert_eq!(one.cell("EXECUTE p").await, "5");
    }
    assert_eq!(two.cell("SHOW work_mem").await, "4MB");
    one.terminate().await.unwrap();
    two.terminate().await.unwrap();
    for _ in 0..4 {
        let mut next = site.connect("alice").await;
        assert_eq!(next.cell("SHOW work_mem").await, "4MB");
        assert_eq!(next.cell("SELECT to_regclass('pg_temp.own')").await, "");
        assert_eq!(next.cell("SELECT count(*) FROM pg_prepared_statements").await, "0");
        next.terminate().await.unwrap();
    }
}

#[tokio::test]
async fn a_user_never_holds_more_than_its_limit_in_all_databases() {
    let site = Site::direct().await;
    let other = Site::on(site.postgres.clone()).await;
    let changes = [
        ("workers", "2"),
        ("pool.size", "5"),
        ("users.0.maxUserConnections", "3"),
        ("databases.1.name", &*other.database),
    ];
    let site = site.behind_a_pooler(&changes).await;
    let databases = [site.database.as_str(), other.database.as_str()];
    let peaks = peaks_under_load(&site, 20, &["alice", "bob"], &databases).await;
    let of = |user: &str| -> u64 {
        let ends = format!("/{user}");
        let pools = peaks.by_pool.iter().filter(|(pool, _)| pool.ends_with(&ends));
        pools.map(|(_, count)| *count).sum()
    };
    // Peaks of two databases need not be of one moment.
    assert!(of("alice") <= 6 && of("bob") > 3, "{peaks:?}");
    let mut admin = site.superuser().await;
    let count = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'alice' AND datname IN ('{}', '{}')",
        site.database, other.database
    );
    let elsewhere = Target { database: other.database.clone(), ..site.target("alice") };
    let mut holders = Vec::new();
    for target in [site.target("alice"), elsewhere.clone(), elsewhere.clone()] {
        let mut client = site.connect_to(target).await;
        client.run("BEGIN").await;
        holders.push(client);
        assert!(admin.cell(&count).await.parse::<u32>().unwrap() <= 3);
    }
    let mut waiter = site.connect("alice").await;
    waiter.send(Flight::new().query("SELECT 'served'").bytes()).await.unwrap();
    let label = "state=\"waiting\"";
    site.metric_reaches("poolwright_client_connections", label, |n| n >= 1.0).await;
    assert_eq!(admin.cell(&count).await, "3");
    holders[1].run("COMMIT").await;
    let told = transcript(&waiter.until_ready().await.unwrap());
    assert!(told.contains(&"Row(served)".to_owned()), "{told:?}");
}

#[tokio::test]
async fn a_limit_of_a_user_that_comes_later_holds_too() {
    let mut site = Site::pooled(&[("pool.size", "4"), ("pool.waitTimeout", "3s")]).await;
    site.expect_complaint("wait");
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = site.connect("alice").await;
        client.run("BEGIN").await;
        clients.push(client);
    }
    let settings = site.settings.clone().with("maxUserConnections", "2");
    site.pooler().write_settings(&settings).unwrap();
    site.pooler().signal("HUP");
    for client in &mut clients {
        client.run("COMMIT").await;
    }
    let count = format!(
        "SELECT count(*) <= 2 FROM pg_stat_activity WHERE usename = 'alice' AND datname = '{}'",
        site.database
    );
    site.eventually(&count, "t").await;
    for client in &mut clients[..2] {
        client.run("BEGIN").await;
    }
    clients[2].send(Flight::new().query("SELECT 1").bytes()).await.unwrap();
    let told = clients[2].until_closed().await.unwrap();
    let error = told.last().unwrap().fields();
    assert!(error.message.contains("maxUserConnections"), "{error}");
}

/// The client reads what to raise.
#[tokio::test]
async fn who_waits_in_vain_reads_which_limit_it_hit() {
    for (limits, named) in [
        ([("pool.size", "1"), ("databases.0.maxConnections", "9")], "pool.size"),
        ([("pool.size", "9"), ("databases.0.maxConnections", "1")], "databases[].maxConnections"),
        ([("pool.size", "9"), ("servers.0.maxConnections", "1")], "servers[].maxConnections"),
        ([("pool.size", "9"), ("maxUserConnections", "1")], "maxUserConnections"),
    ] {
        let mut changes = limits.to_vec();
        changes.push(("pool.waitTimeout", "2s"));
        let mut site = Site::pooled(&changes).await;
        site.expect_complaint("wait");
        let mut holder = site.connect("alice").await;
        let mut waiter = site.connect("alice").await;
        holder.run("BEGIN").await;
        waiter.send(Flight::new().query("SELECT 1").bytes()).await.unwrap();
        let told = waiter.until_closed().await.unwrap();
        let error = told.last().unwrap().fields();
        assert_eq!(error.code, "08P01");
        let both = error.message.starts_with("query_wait_timeout") && error.message.contains(named);
        assert!(both, "expected {named}: {error}");
    }
}
