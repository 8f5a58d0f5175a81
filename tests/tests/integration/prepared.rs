//! Named and unnamed prepared statements, kept for a client whichever server it gets.

use poolwright_tests::pg::{Client, Flight, message::transcript};
use poolwright_tests::site::Site;

three_ways!(1:
    a_named_statement_lives_over_transactions,
    two_clients_may_use_one_name_for_different_texts,
    a_closed_name_is_free_again,
    an_unnamed_statement_outlives_its_transaction,
    a_failed_parse_leaves_no_statement,
    a_parse_that_was_skipped_left_no_statement,
    a_close_that_was_skipped_closed_nothing,
    discard_all_forgets_the_statements_of_this_client,
    a_query_forgets_the_unnamed_statement,
    a_statement_that_fails_at_its_second_use_says_so_once,
    many_statements_all_stay_usable,
    a_long_statement_that_comes_in_pieces_is_prepared,
    the_types_given_at_parse_are_kept,
    a_parse_in_a_failed_transaction_is_refused,
    equal_texts_mean_what_the_settings_of_each_client_say,
    equal_texts_mean_the_tables_of_each_clients_search_path,
    a_changed_table_spoils_a_statement_of_a_client_that_knows_it,
    a_client_that_prepares_after_a_change_hears_nothing_of_it,
    a_changed_table_that_gives_the_same_spoils_nothing,
    deallocate_gives_up_a_statement_of_the_protocol,
    deallocate_in_a_failed_transaction_gives_up_nothing,
    deallocate_all_works_among_other_statements,
    execute_runs_a_statement_of_the_protocol,
    execute_of_a_statement_that_no_longer_works_says_so_once,
    sql_and_the_protocol_share_their_names,
);

async fn prepare(client: &mut Client, name: &str, sql: &str) {
    client.expect(Flight::new().parse(name, sql).sync(), &["Parsed", "Ready(I)"]).await;
}

async fn gives(client: &mut Client, name: &str, row: &str) {
    let row = format!("Row({row})");
    let expected = ["Bound", &row, "Done(SELECT 1)", "Ready(I)"];
    client.expect(Flight::new().run(name, &[]).sync(), &expected).await;
}

async fn unknown(client: &mut Client, name: &str) {
    let flight = Flight::new().run(name, &[]).sync();
    client.expect(flight, &["Error(26000)", "Ready(I)"]).await;
}

async fn a_named_statement_lives_over_transactions(site: &Site) {
    let mut client = site.connect("alice").await;
    prepare(&mut client, "one", "SELECT 'first' AS a").await;
    for _ in 0..10 {
        gives(&mut client, "one", "first").await;
        let describe = Flight::new().describe_statement("one").sync();
        client.expect(describe, &["Takes()", "Columns(a)", "Ready(I)"]).await;
    }
}

async fn two_clients_may_use_one_name_for_different_texts(site: &Site) {
    let mut one = site.connect("alice").await;
    let mut two = site.connect("alice").await;
    prepare(&mut one, "s1", "SELECT 'of one'").await;
    prepare(&mut two, "s1", "SELECT 'of two'").await;
    for _ in 0..5 {
        gives(&mut one, "s1", "of one").await;
        gives(&mut two, "s1", "of two").await;
    }
    let close = Flight::new().close_statement("s1").sync();
    one.expect(close, &["Closed", "Ready(I)"]).await;
    unknown(&mut one, "s1").await;
    gives(&mut two, "s1", "of two").await;
}

async fn a_closed_name_is_free_again(site: &Site) {
    let mut client = site.connect("alice").await;
    for text in ["a", "b", "a"] {
        let sql = format!("SELECT '{text}'");
        let row = format!("Row({text})");
        let flight = Flight::new().parse("s", &sql).run("s", &[]).close_statement("s").sync();
        let expected = ["Parsed", "Bound", &row, "Done(SELECT 1)", "Closed", "Ready(I)"];
        client.expect(flight, &expected).await;
    }
    let both = Flight::new().parse("s", "SELECT 1").close_statement("s").parse("s", "SELECT 2");
    let expected = ["Parsed", "Closed", "Parsed", "Bound", "Row(2)", "Done(SELECT 1)", "Ready(I)"];
    client.expect(both.run("s", &[]).sync(), &expected).await;
}

async fn an_unnamed_statement_outlives_its_transaction(site: &Site) {
    let mut client = site.connect("alice").await;
    let mut other = site.connect("alice").await;
    prepare(&mut client, "", "SELECT 'mine'").await;
    for _ in 0..3 {
        let flight = Flight::new().unnamed("SELECT 'other'", &[]).sync();
        other
            .expect(flight, &["Parsed", "Bound", "Row(other)", "Done(SELECT 1)", "Ready(I)"])
            .await;
        gives(&mut client, "", "mine").await;
    }
    let describe = Flight::new().describe_statement("").sync();
    client.expect(describe, &["Takes()", "Columns(?column?)", "Ready(I)"]).await;
}

async fn a_failed_parse_leaves_no_statement(site: &Site) {
    let mut client = site.connect("alice").await;
    let failed = Flight::new().parse("s", "SELECT * FROM nowhere").sync();
    client.expect(failed, &["Error(42P01)", "Ready(I)"]).await;
    unknown(&mut client, "s").await;
    prepare(&mut client, "s", "SELECT 'now'").await;
    gives(&mut client, "s", "now").await;
    let failed = Flight::new().parse("", "SELECT * FROM nowhere").sync();
    client.expect(failed, &["Error(42P01)", "Ready(I)"]).await;
    unknown(&mut client, "").await;
}

async fn a_parse_that_was_skipped_left_no_statement(site: &Site) {
    let mut client = site.connect("alice").await;
    let flight = Flight::new().parse("", "SELEC").parse("s", "SELECT 'skipped'").sync();
    client.expect(flight, &["Error(42601)", "Ready(I)"]).await;
    unknown(&mut client, "s").await;
    prepare(&mut client, "s", "SELECT 'real'").await;
    gives(&mut client, "s", "real").await;
}

async fn a_close_that_was_skipped_closed_nothing(site: &Site) {
    let mut client = site.connect("alice").await;
    prepare(&mut client, "s", "SELECT 'kept'").await;
    let flight = Flight::new().parse("", "SELEC").close_statement("s").sync();
    client.expect(flight, &["Error(42601)", "Ready(I)"]).await;
    gives(&mut client, "s", "kept").await;
    let again = Flight::new().parse("s", "SELECT 'new'").sync();
    client.expect(again, &["Error(42P05)", "Ready(I)"]).await;
}

async fn discard_all_forgets_the_statements_of_this_client(site: &Site) {
    let mut client = site.connect("alice").await;
    let mut other = site.connect("alice").await;
    for sql in ["DISCARD ALL", "DEALLOCATE ALL"] {
        prepare(&mut client, "s", "SELECT 'mine'").await;
        let _ = other.exchange(&Flight::new().parse("s", "SELECT 'other'").sync()).await.unwrap();
        client.run(sql).await;
        unknown(&mut client, "s").await;
        gives(&mut other, "s", "other").await;
    }
}

async fn a_query_forgets_the_unnamed_statement(site: &Site) {
    let mut client = site.connect("alice").await;
    prepare(&mut client, "", "SELECT 'gone'").await;
    client.run("SELECT 1").await;
    unknown(&mut client, "").await;
}

async fn a_statement_that_fails_at_its_second_use_says_so_once(site: &Site) {
    let mut client = site.connect("alice").await;
    let mut other = site.connect("alice").await;
    client.run("CREATE TABLE t (a int)").await;
    prepare(&mut client, "s", "SELECT count(*) FROM t").await;
    gives(&mut client, "s", "0").await;
    other.run("DROP TABLE t").await;
    let flight = Flight::new().run("s", &[]).sync().unnamed("SELECT 'next'", &[]).sync();
    let next = ["Parsed", "Bound", "Row(next)", "Done(SELECT 1)", "Ready(I)"];
    let expected = [&["Error(42P01)", "Ready(I)"], &next[..]].concat();
    client.expect(flight, &expected).await;
}

async fn many_statements_all_stay_usable(site: &Site) {
    let mut client = site.connect("alice").await;
    for number in 0..300 {
        prepare(&mut client, &format!("s{number}"), &format!("SELECT {number}")).await;
    }
    for number in (0..300).rev() {
        gives(&mut client, &format!("s{number}"), &number.to_string()).await;
    }
}

async fn a_long_statement_that_comes_in_pieces_is_prepared(site: &Site) {
    let mut client = site.connect("alice").await;
    let sql = format!("SELECT length('{}')", "x".repeat(500_000));
    let flight = Flight::new().parse("s", &sql).sync();
    for piece in flight.bytes().chunks(100_000) {
        client.send(piece).await.unwrap();
    }
    assert_eq!(transcript(&client.until_ready().await.unwrap()), ["Parsed", "Ready(I)"]);
    gives(&mut client, "s", "500000").await;
}

async fn the_types_given_at_parse_are_kept(site: &Site) {
    let mut one = site.connect("alice").await;
    let mut two = site.connect("alice").await;
    let sql = "SELECT pg_typeof($1)";
    let (int, text) = (23, 25);
    let parse = |types: u32| Flight::new().parse_typed("s", sql, &[types]).sync();
    one.expect(parse(int), &["Parsed", "Ready(I)"]).await;
    two.expect(parse(text), &["Parsed", "Ready(I)"]).await;
    for _ in 0..2 {
        let run = || Flight::new().run("s", &["5"]).sync();
        one.expect(run(), &["Bound", "Row(integer)", "Done(SELECT 1)", "Ready(I)"]).await;
        two.expect(run(), &["Bound", "Row(text)", "Done(SELECT 1)", "Ready(I)"]).await;
    }
}

async fn a_parse_in_a_failed_transaction_is_refused(site: &Site) {
    let mut other = site.connect("alice").await;
    prepare(&mut other, "s", "SELECT 'known'").await;
    let mut client = site.connect("alice").await;
    client.run("BEGIN").await;
    assert_eq!(client.fails("SELECT 1/0").await, "22012");
    let flight = Flight::new().parse("s", "SELECT 'known'").sync();
    client.expect(flight, &["Error(25P02)", "Ready(E)"]).await;
    client.run("ROLLBACK").await;
    unknown(&mut client, "s").await;
    prepare(&mut client, "s", "SELECT 'known'").await;
    gives(&mut client, "s", "known").await;
}

/// Postgres reads such constants when it parses, by the settings of that moment.
async fn equal_texts_mean_what_the_settings_of_each_client_say(site: &Site) {
    let styled = |style: &str, zone: &str| {
        site.target("alice").parameter("DateStyle", style).parameter("TimeZone", zone)
    };
    let mut one = site.connect_to(styled("ISO, MDY", "UTC")).await;
    let mut two = site.connect_to(styled("ISO, DMY", "Asia/Tokyo")).await;
    let sql = "SELECT '1/2/2024'::date, '2024-01-01 12:00'::timestamptz AT TIME ZONE 'UTC'";
    prepare(&mut one, "s", sql).await;
    prepare(&mut two, "s", sql).await;
    for _ in 0..3 {
        gives(&mut one, "s", "2024-01-02|2024-01-01 12:00:00").await;
        gives(&mut two, "s", "2024-02-01|2024-01-01 03:00:00").await;
    }
}

async fn equal_texts_mean_the_tables_of_each_clients_search_path(site: &Site) {
    let mut owner = site.connect("alice").await;
    owner.run("CREATE SCHEMA a; CREATE TABLE a.t AS SELECT 7 AS v").await;
    owner.run("CREATE SCHEMA b; CREATE TABLE b.t AS SELECT 'seven'::text AS v").await;
    let in_schema = |name: &str| site.target("alice").parameter("search_path", name);
    let mut one = site.connect_to(in_schema("a")).await;
    let mut two = site.connect_to(in_schema("b")).await;
    prepare(&mut one, "s", "SELECT v FROM t").await;
    prepare(&mut two, "s", "SELECT v FROM t").await;
    for _ in 0..3 {
        gives(&mut one, "s", "7").await;
        gives(&mut two, "s", "seven").await;
    }
}

/// Here, and where its server connection is another's.
#[tokio::test]
async fn a_statement_is_read_anew_once_the_search_path_is_another() {
    let direct = Site::direct().await;
    let pooled = Site::pooled(&[("pool.size", "2")]).await;
    for site in [&direct, &pooled] {
        let mut client = site.connect("alice").await;
        client.run("CREATE SCHEMA a; CREATE TABLE a.t AS SELECT 'of a'::text AS v").await;
        client.run("CREATE SCHEMA b; CREATE TABLE b.t AS SELECT 'of b'::text AS v").await;
        let mut blocker = site.connect("alice").await;
        client.run("SET search_path = a").await;
        prepare(&mut client, "s", "SELECT v FROM t").await;
        gives(&mut client, "s", "of a").await;
        for (path, taken) in [("b", true), ("a", false), ("b", false)] {
            client.run(&format!("SET search_path = {path}")).await;
            if taken {
                blocker.run("BEGIN").await;
            }
            gives(&mut client, "s", &format!("of {path}")).await;
        }
    }
}

/// With a transaction of somebody else on one of two servers, the client has to move.
#[tokio::test]
async fn a_statement_is_prepared_again_on_another_server() {
    let site = Site::pooled(&[("pool.size", "2")]).await;
    let mut client = site.connect("alice").await;
    let mut blocker = site.connect("alice").await;
    prepare(&mut client, "s", "SELECT pg_backend_pid()").await;
    let mut backends = std::collections::BTreeSet::new();
    for round in 0..20 {
        if round % 2 == 0 {
            blocker.run("BEGIN").await;
        } else {
            blocker.run("COMMIT").await;
            client.run("BEGIN").await;
            blocker.run("SELECT 1").await;
            client.run("COMMIT").await;
        }
        let flight = Flight::new().describe_statement("s").run("s", &[]).sync();
        let messages = client.exchange(&flight).await.unwrap();
        let row = messages.iter().find(|message| message.tag == b'D');
        backends.insert(row.unwrap_or_else(|| panic!("no row: {messages:?}")).cells());
    }
    let mut both = site.connect("alice").await;
    blocker.run("ROLLBACK").await;
    both.run("BEGIN").await;
    backends.insert(client.rows("SELECT pg_backend_pid()").await[0].clone());
    gives_any(&mut client, "s").await;
    blocker.run("SELECT 1").await;
    both.run("ROLLBACK").await;
    assert_eq!(site.server_connections().await, 2);
}

async fn gives_any(client: &mut Client, name: &str) {
    let messages = client.exchange(&Flight::new().run(name, &[]).sync()).await.unwrap();
    assert!(messages.iter().all(|message| message.tag != b'E'), "{messages:?}");
}

#[tokio::test]
async fn a_server_keeps_no_more_statements_than_its_limit() {
    let site = Site::pooled(&[("pool.size", "1"), ("preparedStatements.max", "5")]).await;
    let mut client = site.connect("alice").await;
    let mut other = site.connect("alice").await;
    for number in 0..40 {
        prepare(&mut client, &format!("s{number}"), &format!("SELECT {number}")).await;
    }
    let flight = (0..40).fold(Flight::new(), |flight, n| flight.run(&format!("s{n}"), &[])).sync();
    let messages = client.exchange(&flight).await.unwrap();
    let rows = messages.iter().filter(|message| message.tag == b'D').count();
    assert_eq!(rows, 40, "{messages:?}");
    let held = other.cell("SELECT count(*) FROM pg_prepared_statements WHERE NOT from_sql").await;
    assert!(held.parse::<u32>().unwrap() <= 5, "the server holds {held} statements");
    gives(&mut client, "s0", "0").await;
    gives(&mut client, "s39", "39").await;
}

/// A text of almost a MB that gives its number.
fn long(number: usize) -> String {
    format!("SELECT {number} FROM (SELECT '{}') AS a", "x".repeat(900_000))
}

#[tokio::test]
async fn a_server_keeps_no_more_than_16_mib_of_statements() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    let mut one = site.connect("alice").await;
    let mut two = site.connect("alice").await;
    for number in 0..10 {
        prepare(&mut one, &format!("s{number}"), &long(number)).await;
        prepare(&mut two, &format!("s{number}"), &long(number + 10)).await;
    }
    let sum = "SELECT sum(length(statement)) FROM pg_prepared_statements WHERE NOT from_sql";
    let held: usize = one.cell(sum).await.parse().unwrap();
    assert!(held > 8 << 20 && held <= 16 << 20, "the server holds {held} bytes of statements");
    gives(&mut one, "s0", "0").await;
    gives(&mut two, "s9", "19").await;
}

#[tokio::test]
async fn a_named_statement_has_one_mib_at_most_and_all_of_a_client_have_16() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    let mut client = site.connect("alice").await;
    let too_long = format!("SELECT length('{}')", "x".repeat(1 << 20));
    let flight = Flight::new().parse("s", &too_long).sync();
    client.expect(flight, &["Error(54000)", "Ready(I)"]).await;
    let flight = Flight::new().unnamed(&too_long, &[]).sync();
    let told = ["Parsed", "Bound", "Row(1048576)", "Done(SELECT 1)", "Ready(I)"];
    client.expect(flight, &told).await;
    let most = (16 << 20) / long(0).len();
    for number in 0..most {
        prepare(&mut client, &format!("s{number}"), &long(number)).await;
    }
    let one_more = || Flight::new().parse("one more", &long(most)).sync();
    client.expect(one_more(), &["Error(54000)", "Ready(I)"]).await;
    client.expect(Flight::new().close_statement("s3").sync(), &["Closed", "Ready(I)"]).await;
    client.expect(one_more(), &["Parsed", "Ready(I)"]).await;
    gives(&mut client, "one more", &most.to_string()).await;
}

#[tokio::test]
async fn equal_texts_of_many_clients_are_prepared_once_on_a_server() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    for _ in 0..10 {
        let mut client = site.connect("alice").await;
        prepare(&mut client, "s", "SELECT 'shared'").await;
        gives(&mut client, "s", "shared").await;
    }
    let mut client = site.connect("alice").await;
    let sql = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%''shared''%'";
    assert_eq!(client.cell(sql).await, "1");
}

async fn table_of_alice(site: &Site) {
    site.superuser()
        .await
        .run("CREATE TABLE t AS SELECT 1 AS a; ALTER TABLE t OWNER TO alice")
        .await;
}

const CHANGE: &str = "ALTER TABLE t ADD COLUMN b text DEFAULT 'new'";

async fn a_changed_table_spoils_a_statement_of_a_client_that_knows_it(site: &Site) {
    table_of_alice(site).await;
    let mut client = site.connect("alice").await;
    let mut other = site.connect("alice").await;
    prepare(&mut client, "s", "SELECT * FROM t").await;
    gives(&mut client, "s", "1").await;
    other.run(CHANGE).await;
    for _ in 0..2 {
        let flight = Flight::new().run("s", &[]).sync();
        client.expect(flight, &["Error(0A000)", "Ready(I)"]).await;
        let describe = Flight::new().describe_statement("s").sync();
        let told = transcript(&client.exchange(&describe).await.unwrap());
        assert!(told.ends_with(&["Error(0A000)".into(), "Ready(I)".into()]), "{told:?}");
        assert_eq!(client.fails("EXECUTE s").await, "0A000");
    }
    client.run("DEALLOCATE s").await;
    prepare(&mut client, "s", "SELECT * FROM t").await;
    gives(&mut client, "s", "1|new").await;
    other.run("ALTER TABLE t DROP COLUMN a").await;
    client.run("BEGIN").await;
    let flight = Flight::new().run("s", &[]).sync();
    client.expect(flight, &["Error(0A000)", "Ready(E)"]).await;
    client.run("ROLLBACK").await;
}

#[tokio::test]
async fn a_statement_stays_spoilt_though_its_table_is_changed_back() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    table_of_alice(&site).await;
    let mut client = site.connect("alice").await;
    let mut other = site.connect("alice").await;
    prepare(&mut client, "s", "SELECT * FROM t").await;
    gives(&mut client, "s", "1").await;
    for change in [CHANGE, "ALTER TABLE t DROP COLUMN b"] {
        other.run(change).await;
        let flight = Flight::new().run("s", &[]).sync();
        client.expect(flight, &["Error(0A000)", "Ready(I)"]).await;
    }
    client.expect(Flight::new().close_statement("s").sync(), &["Closed", "Ready(I)"]).await;
    prepare(&mut client, "s", "SELECT * FROM t").await;
    gives(&mut client, "s", "1").await;
}

/// PostgreSQL tells the parameters first each time.
#[tokio::test]
async fn a_describe_that_fails_may_do_so_at_once() {
    let (direct, pooled) = (Site::direct().await, Site::pooled(&[("pool.size", "1")]).await);
    for (site, later) in [(direct, &["Takes()"][..]), (pooled, &[])] {
        table_of_alice(&site).await;
        let mut client = site.connect("alice").await;
        let mut other = site.connect("alice").await;
        prepare(&mut client, "s", "SELECT * FROM t").await;
        prepare(&mut client, "t", "SELECT a FROM t").await;
        gives(&mut client, "s", "1").await;
        other.run(CHANGE).await;
        let describe = |name| Flight::new().describe_statement(name).sync();
        client.expect(describe("s"), &["Takes()", "Error(0A000)", "Ready(I)"]).await;
        client.expect(describe("s"), &[later, &["Error(0A000)", "Ready(I)"]].concat()).await;
        other.run("DROP TABLE t").await;
        other.run("DISCARD ALL").await;
        client.expect(describe("t"), &[later, &["Error(42P01)", "Ready(I)"]].concat()).await;
    }
}

async fn a_client_that_prepares_after_a_change_hears_nothing_of_it(site: &Site) {
    table_of_alice(site).await;
    let mut before = site.connect("alice").await;
    prepare(&mut before, "s", "SELECT * FROM t").await;
    gives(&mut before, "s", "1").await;
    site.superuser().await.run(CHANGE).await;
    for _ in 0..3 {
        let mut client = site.connect("alice").await;
        let flight = Flight::new().parse("t", "SELECT * FROM t").describe_statement("t").sync();
        client.expect(flight, &["Parsed", "Takes()", "Columns(a,b)", "Ready(I)"]).await;
        prepare(&mut client, "s", "SELECT * FROM t").await;
        let flight = Flight::new().bind("", "s", &[]).describe_portal("").execute("", 0).sync();
        let expected = ["Bound", "Columns(a,b)", "Row(1|new)", "Done(SELECT 1)", "Ready(I)"];
        client.expect(flight, &expected).await;
    }
    let spoiled = Flight::new().run("s", &[]).sync();
    before.expect(spoiled, &["Error(0A000)", "Ready(I)"]).await;
}

async fn a_changed_table_that_gives_the_same_spoils_nothing(site: &Site) {
    table_of_alice(site).await;
    let mut client = site.connect("alice").await;
    let mut other = site.connect("alice").await;
    prepare(&mut client, "s", "SELECT a FROM t").await;
    gives(&mut client, "s", "1").await;
    other.run(CHANGE).await;
    gives(&mut client, "s", "1").await;
    other.run("DROP TABLE t; CREATE TABLE t AS SELECT 2 AS a").await;
    gives(&mut client, "s", "2").await;
}

/// Only the lexer's blind spots leave a server without its statements: here a trigger.
#[tokio::test]
async fn a_statement_that_the_server_lost_is_prepared_anew() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    let mut owner = site.superuser().await;
    owner.run("CREATE TABLE t (a int); GRANT ALL ON t TO alice").await;
    owner
        .run(
            "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS \
             $$BEGIN EXECUTE 'DEALLOCATE ALL'; RETURN NEW; END$$; \
             CREATE TRIGGER lose BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION lose()",
        )
        .await;
    let mut client = site.connect("alice").await;
    prepare(&mut client, "s", "SELECT count(*) FROM t").await;
    for round in 1..4 {
        client.run("INSERT INTO t VALUES (1)").await;
        gives(&mut client, "s", &round.to_string()).await;
    }
    client.run("BEGIN; INSERT INTO t VALUES (1)").await;
    let flight = Flight::new().run("s", &[]).sync();
    client.expect(flight, &["Error(26000)", "Ready(E)"]).await;
    client.run("ROLLBACK").await;
    gives(&mut client, "s", "3").await;
}

/// As PHP's PDO gives up its statements.
async fn deallocate_gives_up_a_statement_of_the_protocol(site: &Site) {
    let mut client = site.connect("alice").await;
    for sql in ["DEALLOCATE s", "deallocate prepare /* it */ \"s\" ;"] {
        prepare(&mut client, "s", "SELECT 1").await;
        client.run("BEGIN").await;
        client.expect(Flight::new().query(sql), &["Done(DEALLOCATE)", "Ready(T)"]).await;
        client.expect(Flight::new().query(sql), &["Error(26000)", "Ready(E)"]).await;
        client.run("ROLLBACK").await;
        unknown(&mut client, "s").await;
        prepare(&mut client, "s", "SELECT 2").await;
        client.expect(Flight::new().query(sql), &["Done(DEALLOCATE)", "Ready(I)"]).await;
        unknown(&mut client, "s").await;
    }
}

async fn deallocate_in_a_failed_transaction_gives_up_nothing(site: &Site) {
    let mut client = site.connect("alice").await;
    prepare(&mut client, "s", "SELECT 'kept'").await;
    client.run("BEGIN").await;
    assert_eq!(client.fails("SELECT 1/0").await, "22012");
    client.expect(Flight::new().query("DEALLOCATE s"), &["Error(25P02)", "Ready(E)"]).await;
    client.run("ROLLBACK").await;
    gives(&mut client, "s", "kept").await;
    let skipped = Flight::new().parse("", "SELEC").query("DEALLOCATE s").sync();
    client.send(skipped.bytes()).await.unwrap();
    let told = transcript(&client.until_ready().await.unwrap());
    assert_eq!(told, ["Error(42601)", "Ready(I)"]);
    gives(&mut client, "s", "kept").await;
}

async fn deallocate_all_works_among_other_statements(site: &Site) {
    let mut client = site.connect("alice").await;
    prepare(&mut client, "s", "SELECT 1").await;
    client.run("BEGIN; DEALLOCATE ALL; SELECT 1; COMMIT").await;
    unknown(&mut client, "s").await;
    prepare(&mut client, "s", "SELECT 2").await;
    let flight = Flight::new().query("DEALLOCATE PREPARE ALL");
    client.expect(flight, &["Done(DEALLOCATE ALL)", "Ready(I)"]).await;
    unknown(&mut client, "s").await;
}

async fn execute_runs_a_statement_of_the_protocol(site: &Site) {
    let mut client = site.connect("alice").await;
    let mut other = site.connect("alice").await;
    let int8 = Flight::new().parse_typed("S 1", "SELECT $1 * 2 AS n", &[20]).sync();
    client.expect(int8, &["Parsed", "Ready(I)"]).await;
    for _ in 0..2 {
        let flight = Flight::new().query("EXECUTE \"S 1\"(21); SELECT 'more' AS m");
        let expected = [
            "Columns(n)",
            "Row(42)",
            "Done(SELECT 1)",
            "Columns(m)",
            "Row(more)",
            "Done(SELECT 1)",
        ];
        client.expect(flight, &[&expected[..], &["Ready(I)"]].concat()).await;
        other.run("SELECT 1").await;
    }
    client.run("BEGIN").await;
    assert_eq!(client.cell("execute \"S 1\" (4)").await, "8");
    assert!(client.cell("EXPLAIN (COSTS off) EXECUTE \"S 1\"(4)").await.contains("Result"));
    client.run("COMMIT").await;
    assert_eq!(client.fails("EXECUTE s1(1)").await, "26000");
    assert_eq!(client.fails("EXECUTE \"S 1\"").await, "42601");
    assert_eq!(client.cell("EXECUTE \"S 1\"(5)").await, "10");
}

async fn execute_of_a_statement_that_no_longer_works_says_so_once(site: &Site) {
    let mut client = site.connect("alice").await;
    let mut other = site.connect("alice").await;
    client.run("CREATE TABLE t (a int)").await;
    prepare(&mut client, "s", "SELECT count(*) FROM t").await;
    other.run("DROP TABLE t").await;
    for _ in 0..2 {
        let flight = Flight::new().query("EXECUTE s").query("SELECT 'next' AS a");
        let next = ["Columns(a)", "Row(next)", "Done(SELECT 1)", "Ready(I)"];
        client.expect(flight, &[&["Error(42P01)", "Ready(I)"], &next[..]].concat()).await;
    }
}

async fn sql_and_the_protocol_share_their_names(site: &Site) {
    let mut client = site.connect("alice").await;
    prepare(&mut client, "s", "SELECT 'of the protocol'").await;
    let duplicate = || Flight::new().query("PREPARE s AS SELECT 'by SQL'");
    client.expect(duplicate(), &["Error(42P05)", "Ready(I)"]).await;
    client.run("BEGIN").await;
    client.expect(duplicate(), &["Error(42P05)", "Ready(E)"]).await;
    client.expect(duplicate(), &["Error(25P02)", "Ready(E)"]).await;
    client.run("ROLLBACK").await;
    gives(&mut client, "s", "of the protocol").await;
    client.run("BEGIN").await;
    client.run("PREPARE t AS SELECT 'by SQL'").await;
    let run = || Flight::new().run("t", &[]).sync();
    client.expect(run(), &["Bound", "Row(by SQL)", "Done(SELECT 1)", "Ready(T)"]).await;
    let close = Flight::new().close_statement("t").sync();
    client.expect(close, &["Closed", "Ready(T)"]).await;
    client.run("PREPARE t AS SELECT 'again'").await;
    client.expect(run(), &["Bound", "Row(again)", "Done(SELECT 1)", "Ready(T)"]).await;
    let parse = Flight::new().parse("t", "SELECT 1").sync();
    client.expect(parse, &["Error(42P05)", "Ready(E)"]).await;
    client.run("ROLLBACK").await;
    client.run("DEALLOCATE ALL").await;
}

/// PostgreSQL reads the text first.
#[tokio::test]
async fn a_name_that_is_taken_is_told_before_a_text_that_is_none() {
    let (direct, pooled) = (Site::direct().await, Site::pooled(&[]).await);
    for (site, code) in [(direct, "Error(42601)"), (pooled, "Error(42P05)")] {
        let mut client = site.connect("alice").await;
        prepare(&mut client, "s", "SELECT 1").await;
        client.expect(Flight::new().parse("s", "SELEC").sync(), &[code, "Ready(I)"]).await;
        gives(&mut client, "s", "1").await;
    }
}
