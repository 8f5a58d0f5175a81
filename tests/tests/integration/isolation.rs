//! What one client leaves behind must not reach the next one on the same server.

use poolwright_tests::pg::{Client, Flight, message::transcript};
use poolwright_tests::site::Site;

/// Something done by one client, a question of the next, and the answer of a clean session.
struct Spoil {
    what: &'static str,
    done: &'static str,
    asked: &'static str,
    clean: &'static str,
}

const fn spoil(
    what: &'static str,
    done: &'static str,
    asked: &'static str,
    clean: &'static str,
) -> Spoil {
    Spoil { what, done, asked, clean }
}

const WORK_MEM: &str = "SHOW work_mem";
const STATEMENTS: &str = "SELECT count(*) FROM pg_prepared_statements WHERE from_sql";
const LOCKS: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' \
    AND pid = pg_backend_pid()";

const SPOILS: [Spoil; 25] = [
    spoil("a setting", "SET work_mem = '5MB'", WORK_MEM, "4MB"),
    spoil("lower case and comments", "/* a */ set -- b\n work_mem to '5MB'", WORK_MEM, "4MB"),
    spoil("a nested comment", "/* /* */ ' */ SET work_mem = '5MB'", WORK_MEM, "4MB"),
    spoil("a later statement", "SELECT 1; SET work_mem = '5MB'", WORK_MEM, "4MB"),
    spoil("after a text", "SELECT 'a;b'; SET work_mem = '5MB'", WORK_MEM, "4MB"),
    spoil("after a quote in a text", "SELECT 'it''s'; SET work_mem = '5MB'", WORK_MEM, "4MB"),
    spoil("after an escape", r"SELECT E'\''; SET work_mem = '5MB'; SELECT ''", WORK_MEM, "4MB"),
    spoil("after a dollar quote", "SELECT $a$;'$a$; SET work_mem = '5MB'", WORK_MEM, "4MB"),
    spoil("in a transaction", "BEGIN; SET work_mem = '5MB'; COMMIT", WORK_MEM, "4MB"),
    spoil("set_config", "SELECT set_config('work_mem', '5MB', false)", WORK_MEM, "4MB"),
    spoil(
        "a quoted set_config",
        "SELECT \"set_config\"('work_mem', '5MB', false)",
        WORK_MEM,
        "4MB",
    ),
    spoil("a DO block", "DO $$ BEGIN SET work_mem = '5MB'; END $$", WORK_MEM, "4MB"),
    spoil(
        "pg_settings",
        "UPDATE pg_settings SET setting = '5120' WHERE name = 'work_mem'",
        WORK_MEM,
        "4MB",
    ),
    spoil("a role", "SET ROLE carol", "SELECT current_user", "alice"),
    spoil(
        "a role by set_config",
        "SELECT set_config('role', 'carol', false)",
        "SELECT current_user",
        "alice",
    ),
    spoil("a search_path", "SET search_path = elsewhere", "SHOW search_path", "\"$user\", public"),
    spoil(
        "a default of transactions",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "SHOW default_transaction_read_only",
        "off",
    ),
    spoil(
        "a temporary table",
        "CREATE TEMP TABLE left_over AS SELECT 1",
        "SELECT to_regclass('pg_temp.left_over')",
        "",
    ),
    spoil(
        "a temporary table by INTO",
        "SELECT 1 AS a INTO TEMP left_over",
        "SELECT to_regclass('pg_temp.left_over')",
        "",
    ),
    spoil("an advisory lock", "SELECT pg_advisory_lock(4711)", LOCKS, "0"),
    spoil("a tried advisory lock", "SELECT pg_try_advisory_lock_shared(4711)", LOCKS, "0"),
    spoil("a listener", "LISTEN somewhere", "SELECT count(*) FROM pg_listening_channels()", "0"),
    spoil(
        "a cursor",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "SELECT count(*) FROM pg_cursors WHERE is_holdable",
        "0",
    ),
    spoil("a statement by PREPARE", "PREPARE mine AS SELECT 1", STATEMENTS, "0"),
    spoil(
        "a custom setting",
        "SET app.tenant = 'secret'",
        "SELECT current_setting('app.tenant', true)",
        "",
    ),
];

async fn spoil_by_query(client: &mut Client, sql: &str) {
    let _ = client.query(sql).await.unwrap();
}

async fn spoil_by_parse(client: &mut Client, sql: &str) {
    client.exchange(&Flight::new().unnamed(sql, &[]).sync()).await.unwrap();
}

/// The next client comes while the first is still there, and once more after it has left.
async fn check(site: &Site, extended: bool) {
    let mut leaks = Vec::new();
    for case in &SPOILS {
        let mut first = site.connect("alice").await;
        if extended {
            spoil_by_parse(&mut first, case.done).await;
        } else {
            spoil_by_query(&mut first, case.done).await;
        }
        let sql = format!("{}; SELECT 1", case.asked);
        let mut second = site.connect("alice").await;
        let beside = second.cell(case.asked).await;
        first.terminate().await.unwrap();
        let after = second.cell(case.asked).await;
        let third = site.connect("alice").await.cell(&sql).await;
        if [&beside, &after, &third].iter().any(|seen| *seen != case.clean) {
            let Spoil { what, done, .. } = case;
            leaks.push(format!("{what}: {done}: beside {beside:?}, after {after:?}, {third:?}"));
        }
    }
    assert!(leaks.is_empty(), "left behind:\n{}", leaks.join("\n"));
}

async fn site() -> Site {
    // Two servers, so that a pinned client does not keep the next one waiting.
    Site::pooled(&[("pool.size", "2")]).await
}

#[tokio::test]
async fn nothing_of_a_simple_query_reaches_the_next_client() {
    check(&site().await, false).await;
}

#[tokio::test]
async fn nothing_of_an_extended_query_reaches_the_next_client() {
    check(&site().await, true).await;
}

#[tokio::test]
async fn nothing_reaches_the_next_client_on_the_only_server() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    for case in &SPOILS {
        let mut first = site.connect("alice").await;
        spoil_by_query(&mut first, case.done).await;
        first.terminate().await.unwrap();
        let seen = site.connect("alice").await.cell(case.asked).await;
        assert_eq!(seen, case.clean, "{}: {}", case.what, case.done);
    }
}

#[tokio::test]
async fn a_change_beyond_what_the_lexer_reads_is_undone_too() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    for filler in ["x".repeat(5_000), "x".repeat(70_000), "x".repeat(1_000_000)] {
        let mut first = site.connect("alice").await;
        first.run(&format!("SELECT '{filler}'; SET work_mem = '5MB'")).await;
        first.terminate().await.unwrap();
        assert_eq!(site.connect("alice").await.cell(WORK_MEM).await, "4MB");
    }
}

#[tokio::test]
async fn a_function_that_changes_settings_leaves_them_with_its_caller() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    let body = "BEGIN PERFORM set_config('work_mem', '5MB', false); RETURN 1; END";
    let sql = format!(
        "CREATE FUNCTION public.quiet() RETURNS int LANGUAGE plpgsql AS '{}'",
        body.replace('\'', "''")
    );
    site.superuser().await.run(&sql).await;
    let mut first = site.connect("alice").await;
    first.run("SELECT quiet()").await;
    first.terminate().await.unwrap();
    assert_eq!(site.connect("alice").await.cell(WORK_MEM).await, "4MB");
}

#[tokio::test]
async fn an_open_transaction_of_a_client_that_left_is_rolled_back() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    site.connect("alice").await.run("CREATE TABLE t (a int)").await;
    for polite in [true, false] {
        let mut first = site.connect("alice").await;
        first.run("BEGIN").await;
        first.run("INSERT INTO t VALUES (1)").await;
        if polite {
            first.terminate().await.unwrap();
        } else {
            drop(first);
        }
        let mut second = site.connect("alice").await;
        second
            .expect(
                Flight::new().query("SELECT count(*) AS n FROM t"),
                &["Columns(n)", "Row(0)", "Done(SELECT 1)", "Ready(I)"],
            )
            .await;
    }
}

#[tokio::test]
async fn a_sequence_value_is_not_read_from_another_client() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    let mut first = site.connect("alice").await;
    let mut second = site.connect("alice").await;
    first.run("CREATE SEQUENCE s").await;
    for sql in ["SELECT lastval()", "SELECT currval('s')"] {
        first.run("SELECT nextval('s')").await;
        let answer = second.query(sql).await.unwrap();
        assert!(answer.error.is_some(), "{sql} gave {:?} of another client", answer.rows);
    }
}

#[tokio::test]
async fn a_notification_reaches_only_clients_that_listen() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    let mut listener = site.connect("alice").await;
    listener.run("LISTEN somewhere").await;
    listener.terminate().await.unwrap();
    let mut second = site.connect("alice").await;
    second.run("SELECT 1").await;
    site.superuser().await.run("NOTIFY somewhere, 'for the listener'").await;
    second.run("SELECT 1").await;
    assert_eq!(second.notifications, []);
}

#[tokio::test]
async fn users_and_databases_never_share_a_server() {
    let site = Site::direct().await;
    let other = Site::direct().await;
    let settings = site.settings.clone().database(&other.database);
    let mut site = site;
    site.settings = settings;
    let site = site.behind_a_pooler(&[("pool.size", "1")]).await;
    for _ in 0..5 {
        for user in ["alice", "bob", "carol"] {
            for database in [&site.database, &other.database] {
                let mut target = site.target(user);
                target.database = database.clone();
                let mut client = site.connect_to(target).await;
                let seen = client.cell("SELECT current_user || '@' || current_database()").await;
                assert_eq!(seen, format!("{user}@{database}"));
            }
        }
    }
}

#[tokio::test]
async fn an_advisory_lock_is_free_once_its_client_has_left() {
    let site = Site::pooled(&[("pool.size", "2")]).await;
    for sql in ["SELECT pg_advisory_lock(7)", "SELECT pg_try_advisory_lock(7)"] {
        let mut first = site.connect("alice").await;
        first.run(sql).await;
        first.terminate().await.unwrap();
        site.connect("alice").await.run("SELECT 1").await;
        let mut outside = site.superuser().await;
        assert_eq!(outside.cell("SELECT pg_try_advisory_lock(7)").await, "t", "after {sql}");
        outside.run("SELECT pg_advisory_unlock_all()").await;
    }
}

/// In these sessions a quote ends where a reader who does not know the setting sees none, so that
/// the SET looks like part of a text.
#[tokio::test]
async fn a_change_hidden_by_the_clients_own_way_of_quoting_is_undone_too() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    let hidden = |quote: &[u8]| {
        let parts = [b"SELECT ", quote, b"; SET work_mem = '5MB'; SELECT ", quote, b"\0"];
        Flight::new().message(b'Q', &parts.concat())
    };
    let cases: [(&str, &str, &[u8]); 2] = [
        ("standard_conforming_strings", "off", b"'\\''"),
        ("client_encoding", "SJIS", b"E'\x95\x5c'"),
    ];
    for (name, value, quote) in cases {
        for at_startup in [true, false] {
            let mut target = site.target("alice");
            if at_startup {
                target = target.parameter(name, value);
            }
            let mut first = site.connect_to(target).await;
            first.run(&format!("SET {name} = '{value}'")).await;
            first.send(hidden(quote).bytes()).await.unwrap();
            let told = first.until_ready().await.unwrap();
            assert!(told.iter().all(|message| message.tag != b'E'), "{told:?}");
            first.terminate().await.unwrap();
            let seen = site.connect("alice").await.cell(WORK_MEM).await;
            assert_eq!(seen, "4MB", "{name} = {value}, at startup: {at_startup}");
        }
    }
}

/// PostgreSQL 18 answers the Sync as if no transaction were open, and fails the next request.
#[tokio::test]
async fn a_transaction_that_the_server_has_not_ended_fails_nobody_elses_request() {
    let calls = [Flight::new().query("SELECT 2 AS b"), Flight::new().call(177, &["1", "1"])];
    for call in calls {
        let site = Site::pooled(&[("pool.size", "1")]).await;
        let mut first = site.connect("alice").await;
        let mut second = site.connect("alice").await;
        let flight = Flight::new().unnamed("SELECT 1", &[]).raw(call.bytes()).sync();
        first.send(flight.bytes()).await.unwrap();
        first.until_ready().await.unwrap();
        first.until_ready().await.unwrap();
        second.send(Flight::new().query("SELECT 'mine' AS a").bytes()).await.unwrap();
        let _ = first.query("SELECT 3").await.unwrap();
        let told = transcript(&second.until_ready().await.unwrap());
        assert_eq!(told, ["Columns(a)", "Row(mine)", "Done(SELECT 1)", "Ready(I)"]);
    }
}
