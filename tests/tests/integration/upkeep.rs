//! What the pooler runs on server connections of its own accord, as whom it logs in, and which
//! databases there are beyond those that are listed.

use std::time::Duration;

use poolwright_tests::pg::{Client, Fields, Target, flight};
use poolwright_tests::postgres::password_of;
use poolwright_tests::site::Site;
use tokio::io::AsyncWriteExt;

async fn refusal(target: Target) -> Fields {
    match target.connect().await {
        Ok(_) => panic!("{} was let in", target.user),
        Err(error) => error.downcast().expect("an ErrorResponse"),
    }
}

#[tokio::test]
async fn all_clients_of_a_forced_user_share_one_pool_and_its_rights() {
    let password = password_of("scott");
    for password in [Some(&*password), None] {
        let mut changes = vec![("databases.0.user", "scott"), ("pool.size", "1")];
        changes.extend(password.map(|password| ("databases.0.password", password)));
        let site = Site::pooled(&changes).await;
        let (mut alice, mut bob) = (site.connect("alice").await, site.connect("bob").await);
        for client in [&mut alice, &mut bob] {
            assert_eq!(client.cell("SELECT session_user").await, "scott");
        }
        assert_eq!(site.server_connections().await, 1);
        let password = Site::target(&site, "alice").password("wrong");
        assert_eq!(refusal(password).await.code, "28P01");
        let list = "[{name: bob, password: P}, {name: scott, password: S}]"
            .replace('P', &password_of("bob"))
            .replace('S', &password_of("scott"));
        site.pooler().write_settings(&site.settings.clone().with("users", &list)).unwrap();
        site.pooler().signal("HUP");
        alice.until_closed().await.unwrap();
        assert_eq!(bob.cell("SELECT session_user").await, "scott", "the pool is his as well");
    }
}

#[tokio::test]
async fn a_connect_query_runs_before_clients_and_after_a_reset() {
    let changes = [("databases.0.connectQuery", "SET work_mem = '7MB'"), ("pool.size", "1")];
    let site = Site::pooled(&changes).await;
    for _ in 0..3 {
        let mut client = site.connect("alice").await;
        assert_eq!(client.cell("SHOW work_mem").await, "7MB");
        client.run("CREATE TEMP TABLE left_behind (a int)").await;
        client.terminate().await.unwrap();
    }
    assert_eq!(site.server_connections().await, 1);
}

#[tokio::test]
async fn a_reset_undoes_a_connect_query_until_its_transaction_ends() {
    let changes = [("databases.0.connectQuery", "SET work_mem = '7MB'"), ("pool.size", "1")];
    let site = Site::pooled(&changes).await;
    let mut client = site.connect("alice").await;
    for text in ["RESET work_mem", "RESET ALL", "SET work_mem TO DEFAULT"] {
        client.run("BEGIN").await;
        client.run(text).await;
        assert_eq!(client.cell("SHOW work_mem").await, "4MB", "{text}");
        client.run("COMMIT").await;
        assert_eq!(client.cell("SHOW work_mem").await, "7MB", "{text}");
    }
}

#[tokio::test]
async fn a_connection_whose_connect_query_fails_is_not_used() {
    let mut site = Site::pooled(&[("databases.0.connectQuery", "SELECT 1/0")]).await;
    site.expect_complaint("not fit for use");
    let error = refusal(site.target("alice")).await;
    assert!(error.message.contains("connectQuery failed: division by zero"), "{error}");
    assert_eq!(site.server_connections().await, 0);
}

#[tokio::test]
async fn a_reset_query_runs_behind_each_reset() {
    let site = Site::direct().await;
    site.superuser().await.run("CREATE TABLE resets (a int); GRANT ALL ON resets TO PUBLIC").await;
    let changes = [("serverResetQuery", "INSERT INTO resets VALUES (1)"), ("pool.size", "1")];
    let site = site.behind_a_pooler(&changes).await;
    let mut plain = site.connect("alice").await;
    plain.run("SELECT 1").await;
    plain.terminate().await.unwrap();
    let mut stateful = site.connect("alice").await;
    stateful.run("CREATE TEMP TABLE left_behind (a int)").await;
    stateful.terminate().await.unwrap();
    site.eventually("SELECT count(*) FROM resets", "1").await;
    let mut next = site.connect("alice").await;
    assert_eq!(next.cell("SELECT to_regclass('pg_temp.left_behind')").await, "");
}

#[tokio::test]
async fn a_connection_that_has_rested_is_asked_before_it_is_used() {
    for (query, stays) in [("SELECT 1/0", false), ("SELECT 1", true), ("''", true)] {
        let changes =
            [("serverCheckDelay", "200ms"), ("serverCheckQuery", query), ("pool.size", "1")];
        let site = Site::pooled(&changes).await;
        let mut client = site.connect("alice").await;
        let pid = "SELECT pg_backend_pid()";
        let first = client.cell(pid).await;
        for _ in 0..5 {
            assert_eq!(client.cell(pid).await, first, "in use it is not asked");
        }
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert_eq!(client.cell(pid).await == first, stays, "{query}");
    }
}

#[tokio::test]
async fn any_database_may_be_asked_for_where_the_settings_say_so() {
    let mut site = Site::direct().await;
    let other = Site::on(site.postgres.clone()).await;
    site.expect_complaint("does not exist");
    let changes =
        [("databases.0.name", "'*'"), ("pool.size", "1"), ("databases.0.maxConnections", "1")];
    let site = site.behind_a_pooler(&changes).await;
    let elsewhere = Target { database: other.database.clone(), ..site.target("alice") };
    let (mut here, mut there) = (site.connect("alice").await, site.connect_to(elsewhere).await);
    for client in [&mut here, &mut there] {
        client.run("BEGIN").await;
    }
    let name = "SELECT current_database()";
    assert_eq!(here.cell(name).await, site.database);
    assert_eq!(there.cell(name).await, other.database, "the limit is each database's own");
    let active = site.pooler().metric("poolwright_client_connections", "database=\"*\"").await;
    assert_eq!(active, 2.0, "no metric is labelled by what a client says");
    for client in [&mut here, &mut there] {
        client.run("COMMIT").await;
    }
    let nowhere = Target { database: "no_such_database".to_owned(), ..site.target("alice") };
    assert!(refusal(nowhere).await.message.contains("does not exist"));
    for name in ["*", "a\u{1}b"] {
        let error = refusal(Target { database: name.to_owned(), ..site.target("alice") }).await;
        assert_eq!(error.code, "3D000", "{error}");
    }
}

/// While the server's only connection is somebody else's, so that nobody asks it whether they are there.
#[tokio::test]
#[cfg_attr(debug_assertions, ignore = "a debug build looks at all its pools at each step")]
async fn ten_thousand_databases_may_be_asked_for_that_are_not_listed() {
    const MOST: usize = 10_000;
    let changes = [
        ("databases.0.name", "'*'"),
        ("servers.0.maxConnections", "1"),
        ("pool.size", "1"),
        ("listen.auth", "trust"),
    ];
    let site = Site::pooled(&changes).await;
    let mut holder = site.connect("alice").await;
    holder.run("BEGIN").await;
    let ask = async |name: &str| {
        let mut wire = site.target("alice").dial().await.unwrap().into_wire();
        let start = flight::startup(flight::VERSION_3_0, &[("user", "alice"), ("database", name)]);
        wire.write_all(&start).await.unwrap();
        wire.shutdown().await.unwrap();
        let told = Client::over(wire).until_closed().await.unwrap();
        told.last().map(|it| it.fields().code).unwrap_or_default()
    };
    for number in 1..MOST {
        assert_ne!(ask(&format!("db{number}")).await, "53300", "{number}");
    }
    assert_eq!(ask("one_more").await, "53300");
    assert_ne!(ask("db1").await, "53300");
    assert_eq!(holder.cell("SELECT 'on'").await, "on");
}

#[tokio::test]
async fn startup_parameters_are_ignored_by_name() {
    let site = Site::pooled(&[("ignoreStartupParameters", "work_mem, Options")]).await;
    let target = site.target("alice").parameter("work_mem", "nonsense");
    let target = target.parameter("options", "-c nonsense=1 -cDateStyle=German");
    let mut client = site.connect_to(target.parameter("TimeZone", "Asia/Tokyo")).await;
    assert_eq!(client.cell("SHOW work_mem").await, "4MB");
    assert_eq!(client.cell("SHOW DateStyle").await, "ISO, MDY");
    assert_eq!(client.cell("SHOW TimeZone").await, "Asia/Tokyo");
    let site = Site::pooled(&[("ignoreStartupParameters", "work_mem")]).await;
    let options = "-c work_mem=nonsense -c DateStyle=German";
    let mut client = site.connect_to(site.target("alice").parameter("options", options)).await;
    assert_eq!(client.cell("SHOW work_mem").await, "4MB");
    assert_eq!(client.cell("SHOW DateStyle").await, "German, DMY");
}

#[tokio::test]
async fn sessions_leave_a_server_that_has_moved_where_the_settings_say_so() {
    for (mode, fast) in [("session", "false"), ("session", "true"), ("transaction", "true")] {
        let site = Site::pooled(&[("pool.mode", mode), ("serverFastClose", fast)]).await;
        let mut idle = site.connect("alice").await;
        let mut client = site.connect("alice").await;
        client.run("LISTEN a").await;
        client.run("BEGIN").await;
        let settings = site.settings.clone().with("servers.0.host", "localhost");
        site.pooler().write_settings(&settings).unwrap();
        site.pooler().signal("HUP");
        for _ in 0..1500 {
            if site.pooler().log().contains("server moved") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        client.run("SELECT 1").await;
        client.run("COMMIT").await;
        match fast {
            "true" => {
                let told = client.until_closed().await.unwrap();
                assert_eq!(told.last().expect("an error").fields().code, "57P01", "{mode}");
            }
            _ => assert_eq!(client.cell("SELECT 'on'").await, "on"),
        }
        assert_eq!(idle.cell("SELECT 'has none'").await, "has none", "{mode}");
    }
}
