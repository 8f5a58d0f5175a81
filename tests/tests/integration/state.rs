//! Session state in transaction mode: what follows the client to another server connection, what
//! keeps it on its own, and what is refused.

use poolwright_tests::pg::{Client, Flight};
use poolwright_tests::postgres::password_of;
use poolwright_tests::site::Site;

/// Of this database: all tests share one PostgreSQL.
const LOCKS: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' \
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// Two clients of alice, whichever of them the only server connection served last.
async fn two_on_one() -> (Site, Client, Client) {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    let (one, two) = (site.connect("alice").await, site.connect("alice").await);
    (site, one, two)
}

/// What `one` does shows in `asked` as `seen` to itself, and to the other as `clean`.
async fn check_follows(done: &str, asked: &str, seen: &str, clean: &str) {
    let (site, mut one, mut two) = two_on_one().await;
    one.run(done).await;
    for _ in 0..2 {
        assert_eq!(two.cell(asked).await, clean, "{done}: another client");
        assert_eq!(one.cell(asked).await, seen, "{done}: itself");
    }
    assert_eq!(site.server_connections().await, 1);
}

/// The client is told this last.
async fn ends(client: &mut Client, code: &str, names: &str) {
    let told = client.until_closed().await.unwrap();
    let fields = told.last().map(|message| message.fields()).unwrap_or_default();
    assert_eq!(fields.code, code, "{told:?}");
    assert!(fields.message.contains(names), "{fields}");
}

#[tokio::test]
async fn a_setting_follows_its_client_and_no_other() {
    check_follows("SET work_mem = '5MB'", "SHOW work_mem", "5MB", "4MB").await;
    check_follows("BEGIN; SET work_mem = '5MB'; COMMIT", "SHOW work_mem", "5MB", "4MB").await;
    let sql = "SELECT set_config('work_mem', '5MB', false)";
    check_follows(sql, "SHOW work_mem", "5MB", "4MB").await;
    let sql = "UPDATE pg_settings SET setting = '5120' WHERE name = 'work_mem'";
    check_follows(sql, "SHOW work_mem", "5MB", "4MB").await;
    let unread = format!("SELECT '{}'; SET work_mem = '5MB'", "x".repeat(17_000));
    check_follows(&unread, "SHOW work_mem", "5MB", "4MB").await;
    let sql = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE";
    check_follows(sql, "SHOW transaction_isolation", "serializable", "read committed").await;
}

#[tokio::test]
async fn a_search_path_a_role_and_a_customized_setting_follow_their_client() {
    let clean = "\"$user\", public";
    let path = "elsewhere, \"Odd, one\"";
    check_follows(&format!("SET search_path = {path}"), "SHOW search_path", path, clean).await;
    check_follows("SET ROLE carol", "SELECT current_user", "carol", "alice").await;
    let asked = "SELECT current_setting('my.var', true)";
    check_follows("SET my.var = 'it''s ä'", asked, "it's ä", "").await;
    check_follows("SELECT set_config('My.Var', 'b', false)", asked, "b", "").await;
}

#[tokio::test]
async fn a_setting_by_a_function_follows_its_client() {
    let (site, mut one, mut two) = two_on_one().await;
    let body = "BEGIN PERFORM set_config('work_mem', '5MB', false); \
                PERFORM set_config('hidden.var', 'secret', false); RETURN 1; END";
    let sql = format!("CREATE FUNCTION public.sets() RETURNS int LANGUAGE plpgsql AS $f${body}$f$");
    site.superuser().await.run(&sql).await;
    one.run("SELECT sets()").await;
    let hidden = "SELECT current_setting('hidden.var', true)";
    assert_eq!(two.cell("SHOW work_mem").await, "4MB");
    assert_eq!(
        two.cell(hidden).await,
        "",
        "a setting that no text named has reached the next client"
    );
    assert_eq!(one.cell("SHOW work_mem").await, "5MB");
    one.run("DO $$ BEGIN SET work_mem = '6MB'; END $$").await;
    assert_eq!(two.cell("SHOW work_mem").await, "4MB");
    assert_eq!(one.cell("SHOW work_mem").await, "6MB");
}

#[tokio::test]
async fn what_was_set_and_rolled_back_or_set_locally_follows_nobody() {
    let (_site, mut one, mut two) = two_on_one().await;
    one.run("SET work_mem = '5MB'").await;
    let savepoints = "BEGIN; SET work_mem = '6MB'; SAVEPOINT s; SET work_mem = '7MB'; \
                      SET my.var = 'x'; ROLLBACK TO s; COMMIT";
    for (sql, expected) in [
        ("BEGIN; SET work_mem = '6MB'; ROLLBACK", "5MB"),
        ("BEGIN; SET LOCAL work_mem = '6MB'; SET my.var = 'y'; ROLLBACK", "5MB"),
        (savepoints, "6MB"),
    ] {
        one.run(sql).await;
        assert_eq!(two.cell("SHOW work_mem").await, "4MB", "after {sql}");
        assert_eq!(one.cell("SHOW work_mem").await, expected, "after {sql}");
        assert_eq!(one.cell("SELECT current_setting('my.var', true)").await, "", "after {sql}");
    }
}

#[tokio::test]
async fn a_reset_goes_back_to_what_the_client_started_with() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    let options = "-c work_mem=3MB -c my.var=first -c role=carol -c search_path=elsewhere";
    let mut client = site.connect_to(site.target("alice").parameter("options", options)).await;
    let mut other = site.connect("alice").await;
    let asked = "SELECT current_setting('work_mem') || current_setting('my.var', true) \
                 || current_user || current_setting('search_path')";
    let started = "3MBfirstcarolelsewhere";
    let changed =
        "SET work_mem = '5MB'; SET my.var = 'second'; SET ROLE alice; SET search_path = b";
    let singly = "RESET work_mem; RESET my.var; RESET ROLE; RESET search_path";
    let defaults = "SET work_mem TO DEFAULT; RESET my.var; RESET ROLE; SET search_path = DEFAULT";
    for sql in [singly, defaults, "DISCARD ALL"] {
        client.run(changed).await;
        assert_ne!(other.cell(asked).await, started);
        assert_eq!(client.cell(asked).await, "5MBsecondaliceb", "before {sql}");
        client.run(sql).await;
        assert_eq!(client.cell(asked).await, started, "after {sql}");
    }
    client.run(changed).await;
    client.run("RESET ALL").await;
    assert_eq!(client.cell(asked).await, "3MBfirstaliceelsewhere", "RESET ALL keeps the role");
}

#[tokio::test]
async fn a_customized_setting_set_to_nothing_is_not_what_the_client_started_with() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    let target = site.target("alice").parameter("options", "-c my.var=first");
    let mut client = site.connect_to(target).await;
    let mut other = site.connect("alice").await;
    client.run("SET my.var = ''").await;
    assert_eq!(other.cell("SELECT current_setting('my.var', true)").await, "");
    assert_eq!(client.cell("SELECT current_setting('my.var', true)").await, "");
}

#[tokio::test]
async fn a_role_that_is_gone_lets_nothing_run_without_it() {
    let mut site = Site::pooled(&[("pool.size", "1")]).await;
    site.expect_complaint("does not exist");
    site.expect_complaint("permission denied to set role");
    let mut superuser = site.superuser().await;
    let role = format!("passing_{}", site.database);
    superuser.run(&format!("CREATE ROLE {role}; GRANT {role} TO alice")).await;
    superuser.run("CREATE TABLE log (a text); GRANT INSERT, SELECT ON log TO public").await;
    let mut client = site.connect("alice").await;
    let mut other = site.connect("alice").await;
    client.run(&format!("SET ROLE {role}")).await;
    assert_eq!(other.cell("SELECT current_user").await, "alice");
    assert_eq!(client.cell("SELECT current_user").await, role);
    assert_eq!(other.cell("SELECT current_user").await, "alice");
    superuser.run(&format!("DROP ROLE {role}")).await;
    let outcome = client.query("INSERT INTO log VALUES (current_user)").await;
    assert!(!outcome.is_ok_and(|answer| answer.error.is_none()), "it ran without its role");
    assert_eq!(other.cell("SELECT count(*) FROM log").await, "0");
}

#[tokio::test]
async fn a_hostile_search_path_and_a_short_timeout_do_not_mislead_the_pooler() {
    let (site, mut one, mut two) = two_on_one().await;
    let sql = "CREATE SCHEMA hostile; \
        CREATE FUNCTION hostile.concat_ws(text, text) RETURNS text LANGUAGE sql AS $$SELECT ''$$; \
        CREATE FUNCTION hostile.eq(text, text) RETURNS bool LANGUAGE sql AS $$SELECT false$$; \
        CREATE OPERATOR hostile.= (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile.eq); \
        CREATE VIEW hostile.pg_settings AS SELECT 1 AS name; \
        GRANT USAGE ON SCHEMA hostile TO public";
    site.superuser().await.run(sql).await;
    one.run("SET search_path = hostile, pg_catalog; SET statement_timeout = '2s'").await;
    one.run("SET work_mem = '5MB'").await;
    assert_eq!(two.cell("SHOW search_path").await, "\"$user\", public");
    assert_eq!(two.cell("SHOW work_mem").await, "4MB");
    assert_eq!(one.cell("SHOW work_mem").await, "5MB");
    assert_eq!(one.cell("SHOW statement_timeout").await, "2s");
}

/// What pins, how the client ends it, and the reason by which it is counted.
const PINS: [(&str, &str, &str); 7] = [
    ("SELECT pg_advisory_lock(7)", "SELECT pg_advisory_unlock(7)", "advisory_lock"),
    ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "CLOSE c", "with_hold_cursor"),
    ("PREPARE mine AS SELECT 1", "DEALLOCATE mine", "prepared_statement"),
    ("LISTEN somewhere", "UNLISTEN somewhere", "listen"),
    ("CREATE TEMP TABLE t (a int)", "DROP TABLE t", "temporary"),
    ("SELECT 1 AS a INTO TEMP t", "DISCARD TEMP", "temporary"),
    ("CREATE TYPE pg_temp.pair AS (a int, b int)", "DISCARD ALL", "temporary"),
];

#[tokio::test]
async fn a_client_keeps_its_connection_until_the_server_says_that_nothing_is_left() {
    let site = Site::pooled(&[("pool.size", "2")]).await;
    let mut one = site.connect("alice").await;
    let mut two = site.connect("alice").await;
    let mut counted = std::collections::BTreeMap::new();
    for (begins, ends, reason) in PINS {
        one.run(begins).await;
        site.metric_reaches("poolwright_pinned_connections", "database", |now| now == 1.0).await;
        *counted.entry(reason).or_insert(0.0) += 1.0;
        let counts = site.pooler().metric("poolwright_pins_total", reason).await;
        assert_eq!(counts, counted[reason], "{begins}: {reason}");
        let own = one.cell("SELECT pg_backend_pid()").await;
        for _ in 0..2 {
            assert_ne!(two.cell("SELECT pg_backend_pid()").await, own, "{begins}: not kept");
            assert_eq!(one.cell("SELECT pg_backend_pid()").await, own, "{begins}: not kept");
        }
        one.run(ends).await;
        site.metric_reaches("poolwright_pinned_connections", "database", |now| now == 0.0).await;
    }
    assert_eq!(site.pooler().metric("poolwright_resets_total", "database").await, 0.0);
}

#[tokio::test]
async fn what_pins_is_not_lost_with_something_else_that_ends() {
    let site = Site::direct().await.with_users("chief", 1).await;
    site.superuser().await.run("ALTER ROLE chief0 SUPERUSER").await;
    let site = site.behind_a_pooler(&[("pool.size", "1")]).await;
    let target = site.target("chief0").parameter("options", "-c work_mem=3MB -c my.var=first");
    for (begins, asked, seen) in [
        ("SET SESSION AUTHORIZATION carol", "SELECT session_user", "carol"),
        (
            "SELECT set_config('my.var', repeat('x', 40000), false)",
            "SELECT length(current_setting('my.var'))",
            "40000",
        ),
        (
            "SELECT set_config('its.var', repeat('x', 40000), false)",
            "SELECT COALESCE(length(current_setting('its.var', true)), 0)",
            "40000",
        ),
    ] {
        let (mut one, mut two) =
            (site.connect_to(target.clone()).await, site.connect_to(target.clone()).await);
        let clean = two.cell(asked).await;
        one.run(begins).await;
        one.run("SET work_mem = '5MB'").await;
        one.run("CLOSE ALL").await;
        assert_eq!(one.cell(asked).await, seen, "{begins}: itself");
        assert_eq!(one.cell("SHOW work_mem").await, "5MB", "{begins}: itself");
        one.terminate().await.unwrap();
        assert_eq!(two.cell(asked).await, clean, "{begins}: another client");
        two.terminate().await.unwrap();
    }
}

#[tokio::test]
async fn what_ends_with_its_transaction_pins_nobody() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    let mut one = site.connect("alice").await;
    let mut two = site.connect("alice").await;
    for sql in [
        "CREATE TEMP TABLE t (a int) ON COMMIT DROP",
        "BEGIN; LISTEN a; ROLLBACK",
        "BEGIN; CREATE TEMP TABLE t (a int); DROP TABLE t; COMMIT",
        "SELECT pg_advisory_xact_lock(7)",
        "BEGIN; SELECT pg_advisory_lock(7); SELECT pg_advisory_unlock(7); COMMIT",
        "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1; CLOSE c; COMMIT",
    ] {
        one.run(sql).await;
        assert_eq!(two.cell("SELECT 'served'").await, "served", "after {sql}");
    }
    assert_eq!(site.pooler().metric("poolwright_pins_total", "database").await, 0.0);
}

#[tokio::test]
async fn a_pinned_client_that_leaves_leaves_nothing() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    for (begins, ..) in PINS {
        let mut one = site.connect("alice").await;
        one.run(begins).await;
        one.run("SET work_mem = '5MB'").await;
        one.terminate().await.unwrap();
        let mut two = site.connect("alice").await;
        let left = "(SELECT count(*) FROM pg_cursors WHERE is_holdable) \
            + (SELECT count(*) FROM pg_prepared_statements WHERE from_sql) \
            + (SELECT count(*) FROM pg_listening_channels()) \
            + (SELECT count(*) FROM pg_type WHERE typnamespace = pg_my_temp_schema()) \
            || current_setting('work_mem')";
        let left = format!("SELECT ({LOCKS}) + {left}");
        assert_eq!(two.cell(&left).await, "04MB", "after {begins}");
        two.terminate().await.unwrap();
    }
}

#[tokio::test]
async fn a_notification_reaches_an_idle_pinned_client() {
    let site = Site::pooled(&[("pool.size", "2")]).await;
    let mut listener = site.connect("alice").await;
    listener.run("LISTEN somewhere").await;
    let mut other = site.connect("alice").await;
    other.run("NOTIFY somewhere, 'first'").await;
    let told = listener.receive().await.unwrap();
    assert_eq!(told.tag, b'A');
    listener.run("SET work_mem = '5MB'").await;
    other.run("NOTIFY somewhere, 'second'").await;
    assert_eq!(listener.receive().await.unwrap().tag, b'A');
    assert_eq!(listener.cell("SHOW work_mem").await, "5MB");
}

#[tokio::test]
async fn at_most_all_but_one_of_a_pools_connections_are_pinned() {
    let site = Site::pooled(&[("pool.size", "2")]).await;
    let mut one = site.connect("alice").await;
    one.run("SELECT pg_advisory_lock(1)").await;
    let mut two = site.connect("alice").await;
    two.run("SELECT pg_advisory_lock(2)").await;
    ends(&mut two, "53400", "pool.size").await;
    assert_eq!(site.connect("alice").await.cell("SELECT 'goes on'").await, "goes on");
    let locks = format!("{LOCKS} AND objid = 2");
    site.eventually(&locks, "0").await;
    assert_eq!(one.cell("SELECT pg_advisory_unlock(1)").await, "t");
}

#[tokio::test]
async fn clients_of_a_forced_user_share_the_bound_on_pinned_connections() {
    let password = password_of("scott");
    let forced = [("databases.0.user", "scott"), ("databases.0.password", &*password)];
    let site = Site::pooled(&[&forced[..], &[("pool.size", "2")]].concat()).await;
    let (mut alice, mut bob) = (site.connect("alice").await, site.connect("bob").await);
    alice.run("LISTEN a").await;
    bob.run("LISTEN b").await;
    ends(&mut bob, "53400", "pool.size").await;
    assert_eq!(site.connect("bob").await.cell("SELECT session_user").await, "scott");
}

#[tokio::test]
async fn a_lock_that_is_handed_over_pins_the_next_client() {
    let site = Site::pooled(&[("pool.size", "2")]).await;
    let mut holder = site.connect("alice").await;
    let mut next = site.connect("alice").await;
    holder.run("SELECT pg_advisory_lock(1)").await;
    for _ in 0..20 {
        next.send(Flight::new().query("SELECT pg_advisory_lock(1)").bytes()).await.unwrap();
        assert_eq!(holder.cell("SELECT pg_advisory_unlock(1)").await, "t");
        next.until_ready().await.unwrap();
        std::mem::swap(&mut holder, &mut next);
    }
    assert_eq!(holder.cell("SELECT pg_advisory_unlock(1)").await, "t");
}

#[tokio::test]
async fn in_a_pool_of_one_a_pin_ends_when_its_client_is_idle_for_too_long() {
    let site = Site::pooled(&[("pool.size", "1"), ("pool.pinTimeout", "300ms")]).await;
    let mut one = site.connect("alice").await;
    one.run("LISTEN somewhere").await;
    let mut two = site.connect("alice").await;
    assert_eq!(two.cell("SELECT 'served'").await, "served");
    ends(&mut one, "57P05", "pool.pinTimeout").await;
}

#[tokio::test]
async fn where_pinning_is_an_error_what_would_pin_is_refused_before_it_runs() {
    let site = Site::pooled(&[("pool.size", "1"), ("pool.pinning", "error")]).await;
    let mut one = site.connect("alice").await;
    for (begins, ..) in &PINS[..6] {
        let refused = one.query(begins).await.unwrap();
        let error = refused.error.unwrap_or_else(|| panic!("{begins} was not refused"));
        assert_eq!(error.code, "0A000", "{begins}");
        assert!(error.hint.contains("pool.pinning"), "{error:?}");
        let flight = Flight::new().unnamed(begins, &[]).sync();
        let told = one.exchange(&flight).await.unwrap();
        assert!(told.iter().any(|it| it.tag == b'E' && it.fields().code == "0A000"), "{told:?}");
    }
    one.run("SET work_mem = '5MB'").await;
    one.run("CREATE TEMP TABLE t (a int) ON COMMIT DROP").await;
    assert_eq!(site.connect("alice").await.cell("SHOW work_mem").await, "4MB");
    assert_eq!(one.cell("SHOW work_mem").await, "5MB");
    one.run("DO $$ BEGIN PERFORM pg_advisory_lock(7); END $$").await;
    ends(&mut one, "0A000", "pool.pinning").await;
    assert_eq!(site.connect("alice").await.cell(LOCKS).await, "0");
}

#[tokio::test]
async fn where_pinning_is_off_session_state_is_lost_and_reaches_nobody() {
    let site = Site::pooled(&[("pool.size", "1"), ("pool.pinning", "off")]).await;
    let mut one = site.connect("alice").await;
    let mut two = site.connect("alice").await;
    one.run("SET work_mem = '5MB'; LISTEN a").await;
    for client in [&mut two, &mut one] {
        assert_eq!(client.cell("SHOW work_mem").await, "4MB");
        assert_eq!(client.cell("SELECT count(*) FROM pg_listening_channels()").await, "0");
    }
}

#[tokio::test]
async fn a_function_that_the_settings_call_harmless_is_not_asked_about() {
    let site = Site::pooled(&[("pool.harmlessFunctions", "[public.harmless]")]).await;
    let sql = "CREATE FUNCTION harmless() RETURNS text AS 'SELECT pg_advisory_lock(1)::text' LANGUAGE sql; \
        CREATE FUNCTION other() RETURNS text AS 'SELECT pg_advisory_lock(2)::text' LANGUAGE sql";
    site.superuser().await.run(sql).await;
    let mut client = site.connect("alice").await;
    let pins = || site.pooler().metric("poolwright_pins_total", "advisory_lock");
    // A question comes behind the reply, and before the client's next request.
    for (call, expected) in [("SELECT public.harmless()", 0.0), ("SELECT public.other()", 1.0)] {
        client.run(call).await;
        client.run("SELECT 1").await;
        assert_eq!(pins().await, expected, "{call}");
    }
}

#[tokio::test]
async fn where_sequences_pin_a_client_reads_its_own_value() {
    let site = Site::pooled(&[("pool.size", "2"), ("pool.sequences", "pin")]).await;
    site.superuser()
        .await
        .run("CREATE TABLE s (id serial); GRANT ALL ON s, s_id_seq TO public")
        .await;
    let mut one = site.connect("alice").await;
    let mut two = site.connect("alice").await;
    let refused = one.query("SELECT lastval()").await.unwrap().error.unwrap();
    assert_eq!(refused.code, "55000");
    assert!(refused.hint.contains("pool.sequences"), "{refused:?}");
    one.run("INSERT INTO s DEFAULT VALUES").await;
    site.superuser().await.run("INSERT INTO s DEFAULT VALUES").await;
    two.run("SELECT 1").await;
    assert_eq!(one.cell("SELECT lastval()").await, "1");
    assert_eq!(one.cell("SELECT currval('s_id_seq')").await, "1");
    assert_eq!(site.pooler().metric("poolwright_pins_total", "sequence").await, 1.0);
}

#[tokio::test]
async fn a_cancel_after_the_end_does_not_hit_the_poolers_question() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    let mut one = site.connect("alice").await;
    for round in 0..30 {
        one.send(Flight::new().query(&format!("SET work_mem = '{}MB'", 5 + round)).bytes())
            .await
            .unwrap();
        site.target("alice").cancel(&one.key).await.unwrap();
        one.until_ready().await.unwrap();
        let _ = one.query("SELECT 1").await.unwrap();
    }
    assert_eq!(site.connect("alice").await.cell("SHOW work_mem").await, "4MB");
}

#[tokio::test]
async fn a_statement_prepared_under_one_role_or_path_is_not_another_ones() {
    let (site, mut one, mut two) = two_on_one().await;
    let sql = "CREATE SCHEMA a; CREATE SCHEMA b; CREATE TABLE a.t AS SELECT 'a' AS which; \
        CREATE TABLE b.t AS SELECT 'b' AS which; GRANT USAGE ON SCHEMA a, b TO public; \
        GRANT SELECT ON a.t, b.t TO public";
    site.superuser().await.run(sql).await;
    for (client, path) in [(&mut one, "a"), (&mut two, "b")] {
        client.run(&format!("BEGIN; SET search_path = {path}")).await;
        client.exchange(&Flight::new().parse("s", "SELECT which FROM t").sync()).await.unwrap();
        client.run("COMMIT").await;
    }
    for _ in 0..2 {
        for (client, path) in [(&mut one, "a"), (&mut two, "b")] {
            let flight = Flight::new().run("s", &[]).sync();
            let row = format!("Row({path})");
            client.expect(flight, &["Bound", &row, "Done(SELECT 1)", "Ready(I)"]).await;
        }
    }
}

#[tokio::test]
async fn what_a_connect_query_has_set_is_every_clients() {
    let query = ("databases.0.connectQuery", "SET work_mem = '7MB'");
    let site = Site::pooled(&[query, ("pool.size", "1")]).await;
    let mut one = site.connect("alice").await;
    let mut two = site.connect("alice").await;
    let statements = [
        "SET lock_timeout = '5s'",
        "RESET lock_timeout",
        "SET work_mem = '8MB'; SET work_mem = '7MB'",
        "DISCARD ALL",
        "RESET ALL",
    ];
    for sql in statements {
        one.run(sql).await;
        for _ in 0..2 {
            for client in [&mut one, &mut two] {
                assert_eq!(client.cell("SHOW work_mem").await, "7MB", "after {sql}");
            }
        }
    }
    one.run("SET work_mem = '8MB'").await;
    for _ in 0..2 {
        assert_eq!(one.cell("SHOW work_mem").await, "8MB");
        assert_eq!(two.cell("SHOW work_mem").await, "7MB");
    }
}

#[tokio::test]
async fn a_client_has_its_own_role_path_and_startup_beside_those_of_a_connect_query() {
    let site = Site::direct().await;
    let grant = "CREATE SCHEMA a; CREATE SCHEMA b; GRANT bob, scott TO alice";
    site.superuser().await.run(grant).await;
    let query = (
        "databases.0.connectQuery",
        "SET ROLE bob; SET search_path = a; SET TimeZone = 'Asia/Tokyo'",
    );
    let site = site.behind_a_pooler(&[query, ("pool.size", "1")]).await;
    let mut plain = site.connect("alice").await;
    assert_eq!(plain.parameters["TimeZone"], "Asia/Tokyo");
    let target = site.target("alice").parameter("TimeZone", "UTC");
    let mut other = site.connect_to(target).await;
    assert_eq!(other.parameters["TimeZone"], "UTC");
    let seen = "SELECT concat_ws(' ', current_user, current_setting('search_path'), current_setting('TimeZone'))";
    for _ in 0..2 {
        assert_eq!(plain.cell(seen).await, "bob a Asia/Tokyo");
        assert_eq!(other.cell(seen).await, "bob a UTC");
    }
    other.run("SET ROLE scott; SET search_path = b").await;
    for _ in 0..2 {
        assert_eq!(other.cell(seen).await, "scott b UTC");
        assert_eq!(plain.cell(seen).await, "bob a Asia/Tokyo");
    }
}

#[tokio::test]
async fn a_drain_closes_a_pinned_client_between_its_transactions() {
    let site = Site::pooled(&[("pool.size", "2")]).await;
    let mut one = site.connect("alice").await;
    one.run("LISTEN somewhere").await;
    site.pooler().signal("TERM");
    ends(&mut one, "57P01", "administrator command").await;
}

#[tokio::test]
async fn a_statement_timeout_too_short_for_the_poolers_question_ends_no_client_at_random() {
    let (_site, mut one, mut two) = two_on_one().await;
    one.run("SET statement_timeout = '100ms'").await;
    for _ in 0..20 {
        one.run("SET work_mem = '5MB'").await;
        assert_eq!(two.cell("SHOW statement_timeout").await, "0");
    }
    assert_eq!(one.cell("SHOW work_mem").await, "5MB");
}
