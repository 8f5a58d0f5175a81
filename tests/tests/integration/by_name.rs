//! SQL that names prepared statements, wherever it stands and however it is sent: in PostgreSQL one
//! namespace holds what SQL and the protocol prepare.

use poolwright_tests::pg::{Client, Flight, message::transcript};
use poolwright_tests::site::Site;

three_ways!(1:
    execute_by_parse_runs_a_statement_of_the_protocol,
    what_names_a_statement_may_be_prepared_itself,
    deallocate_by_parse_gives_up_a_statement_of_the_protocol,
    all_statements_are_given_up_by_parse_too,
    prepare_by_parse_shares_its_names,
    names_are_seen_wherever_they_stand_in_a_text,
    each_deallocate_of_a_text_gives_up_its_own,
    a_text_that_fails_gives_up_what_came_before,
    a_name_means_in_a_text_what_it_means_there,
    what_a_text_executes_may_be_made_a_table,
);

async fn prepare(client: &mut Client, name: &str, sql: &str) {
    client.expect(Flight::new().parse(name, sql).sync(), &["Parsed", "Ready(I)"]).await;
}

async fn is_known(client: &mut Client, name: &str) -> bool {
    let flight = Flight::new().describe_statement(name).sync();
    client.send(flight.bytes()).await.unwrap();
    transcript(&client.until_ready().await.unwrap()).len() == 3
}

/// What comes of a flight but for what is prepared and bound.
async fn outcome(client: &mut Client, flight: Flight) -> Vec<String> {
    client.send(flight.bytes()).await.unwrap();
    let mut told = transcript(&client.until_ready().await.unwrap());
    told.retain(|it| it != "Parsed" && it != "Bound");
    told
}

async fn execute_by_parse_runs_a_statement_of_the_protocol(site: &Site) {
    let mut client = site.connect("alice").await;
    let mut other = site.connect("alice").await;
    prepare(&mut client, "S 1", "SELECT 'a' AS n").await;
    for sql in ["EXECUTE \"S 1\"", "execute /* it */ \"S 1\";"] {
        let expected = ["Parsed", "Bound", "Row(a)", "Done(SELECT 1)", "Ready(I)"];
        client.expect(Flight::new().unnamed(sql, &[]).sync(), &expected).await;
        other.run("SELECT 1").await;
        let described = Flight::new().parse("", sql).describe_statement("").sync();
        client.expect(described, &["Parsed", "Takes()", "Columns(n)", "Ready(I)"]).await;
        other.run("SELECT 1").await;
        let kept = Flight::new().bind("", "", &[]).describe_portal("").execute("", 0).sync();
        let expected = ["Bound", "Columns(n)", "Row(a)", "Done(SELECT 1)", "Ready(I)"];
        client.expect(kept, &expected).await;
    }
    let flight = Flight::new().unnamed("EXPLAIN (COSTS off) EXECUTE \"S 1\"", &[]).sync();
    assert!(outcome(&mut client, flight).await[0].contains("Result"));
    let flight = Flight::new().unnamed("EXECUTE s1", &[]).sync();
    assert_eq!(outcome(&mut client, flight).await, ["Error(26000)", "Ready(I)"]);
}

async fn what_names_a_statement_may_be_prepared_itself(site: &Site) {
    let mut client = site.connect("alice").await;
    let mut other = site.connect("alice").await;
    let flight = Flight::new().parse("s", "SELECT 'a' AS n").parse("e", "EXECUTE s");
    let flight = flight.describe_statement("e").sync();
    let told = ["Parsed", "Parsed", "Takes()", "Columns(n)", "Ready(I)"];
    client.expect(flight, &told).await;
    for round in 0..4 {
        other.run(if round == 2 { "DISCARD ALL" } else { "SELECT 1" }).await;
        let expected = ["Bound", "Row(a)", "Done(SELECT 1)", "Ready(I)"];
        client.expect(Flight::new().run("e", &[]).sync(), &expected).await;
    }
    client.expect(Flight::new().close_statement("s").sync(), &["Closed", "Ready(I)"]).await;
    let flight = Flight::new().run("e", &[]).sync();
    assert_eq!(outcome(&mut client, flight).await, ["Error(26000)", "Ready(I)"]);
}

async fn deallocate_by_parse_gives_up_a_statement_of_the_protocol(site: &Site) {
    let mut client = site.connect("alice").await;
    prepare(&mut client, "s", "SELECT 1").await;
    client.run("BEGIN").await;
    assert_eq!(client.fails("SELECT 1/0").await, "22012");
    let give_up = || Flight::new().unnamed("DEALLOCATE PREPARE s", &[]).sync();
    assert_eq!(outcome(&mut client, give_up()).await, ["Error(25P02)", "Ready(E)"]);
    client.run("ROLLBACK").await;
    assert!(is_known(&mut client, "s").await);
    let expected = ["Parsed", "Bound", "Done(DEALLOCATE)", "Ready(I)"];
    client.expect(give_up(), &expected).await;
    assert!(!is_known(&mut client, "s").await);
    assert_eq!(outcome(&mut client, give_up()).await, ["Error(26000)", "Ready(I)"]);
    prepare(&mut client, "s", "SELECT 2").await;
    prepare(&mut client, "d", "DEALLOCATE s").await;
    let flight = Flight::new().run("d", &[]).parse("s", "SELECT 3").run("s", &[]).sync();
    let told = ["Done(DEALLOCATE)", "Row(3)", "Done(SELECT 1)", "Ready(I)"];
    assert_eq!(outcome(&mut client, flight).await, told);
}

async fn all_statements_are_given_up_by_parse_too(site: &Site) {
    let mut client = site.connect("alice").await;
    for sql in ["DEALLOCATE ALL", "DISCARD ALL", "deallocate prepare all"] {
        prepare(&mut client, "s", "SELECT 1").await;
        let flight = Flight::new().unnamed(sql, &[]).sync();
        assert_eq!(outcome(&mut client, flight).await.len(), 2, "{sql}");
        assert!(!is_known(&mut client, "s").await, "{sql}");
    }
}

async fn prepare_by_parse_shares_its_names(site: &Site) {
    let mut client = site.connect("alice").await;
    prepare(&mut client, "s", "SELECT 'of the protocol'").await;
    let flight = Flight::new().unnamed("PREPARE s AS SELECT 'by SQL'", &[]).sync();
    assert_eq!(outcome(&mut client, flight).await, ["Error(42P05)", "Ready(I)"]);
    let flight = Flight::new().unnamed("PREPARE t AS SELECT 'by SQL'", &[]).sync();
    assert_eq!(outcome(&mut client, flight).await, ["Done(PREPARE)", "Ready(I)"]);
    let flight = Flight::new().run("t", &[]).unnamed("EXECUTE t", &[]).sync();
    let told = ["Row(by SQL)", "Done(SELECT 1)", "Row(by SQL)", "Done(SELECT 1)", "Ready(I)"];
    assert_eq!(outcome(&mut client, flight).await, told);
    let flight = Flight::new().unnamed("DEALLOCATE t", &[]).sync();
    assert_eq!(outcome(&mut client, flight).await, ["Done(DEALLOCATE)", "Ready(I)"]);
}

async fn names_are_seen_wherever_they_stand_in_a_text(site: &Site) {
    let mut client = site.connect("alice").await;
    let mut other = site.connect("alice").await;
    prepare(&mut client, "s", "SELECT 's' AS n").await;
    prepare(&mut client, "t", "SELECT 't' AS n").await;
    for _ in 0..2 {
        let text = "BEGIN; EXECUTE s; SELECT ';EXECUTE s' AS m; COMMIT; EXECUTE T;";
        let expected = [
            "Done(BEGIN)",
            "Columns(n)",
            "Row(s)",
            "Done(SELECT 1)",
            "Columns(m)",
            "Row(;EXECUTE s)",
            "Done(SELECT 1)",
            "Done(COMMIT)",
            "Columns(n)",
            "Row(t)",
            "Done(SELECT 1)",
            "Ready(I)",
        ];
        client.expect(Flight::new().query(text), &expected).await;
        other.run("SELECT 1").await;
    }
    let flight = Flight::new().query("SET my.var = 'a'; DEALLOCATE s");
    client.expect(flight, &["Done(SET)", "Done(DEALLOCATE)", "Ready(I)"]).await;
    other.run("SELECT 1").await;
    assert_eq!(client.cell("SHOW my.var").await, "a");
    assert!(!is_known(&mut client, "s").await && is_known(&mut client, "t").await);
}

async fn each_deallocate_of_a_text_gives_up_its_own(site: &Site) {
    let mut client = site.connect("alice").await;
    for name in ["a", "b", "c"] {
        prepare(&mut client, name, "SELECT 1").await;
    }
    let text = "PREPARE q AS SELECT 1; DEALLOCATE a; DEALLOCATE q; DEALLOCATE c; SELECT 1 AS n";
    let given_up = ["Done(DEALLOCATE)"; 3];
    let rows = ["Columns(n)", "Row(1)", "Done(SELECT 1)", "Ready(I)"];
    let expected = [&["Done(PREPARE)"], &given_up[..], &rows[..]].concat();
    client.expect(Flight::new().query(text), &expected).await;
    let known = [is_known(&mut client, "a").await, is_known(&mut client, "b").await];
    assert_eq!(known, [false, true]);
    assert!(!is_known(&mut client, "c").await);
}

async fn a_text_that_fails_gives_up_what_came_before(site: &Site) {
    let mut client = site.connect("alice").await;
    prepare(&mut client, "a", "SELECT 1").await;
    prepare(&mut client, "b", "SELECT 1").await;
    let flight = Flight::new().query("DEALLOCATE a; SELECT 1/0; DEALLOCATE b");
    let expected = ["Done(DEALLOCATE)", "Columns(?column?)", "Error(22012)", "Ready(I)"];
    let told = outcome(&mut client, flight).await;
    assert!(told == expected || told == [expected[0], expected[2], expected[3]], "{told:?}");
    assert!(!is_known(&mut client, "a").await && is_known(&mut client, "b").await);
}

async fn a_name_means_in_a_text_what_it_means_there(site: &Site) {
    let mut client = site.connect("alice").await;
    prepare(&mut client, "s", "SELECT 'of the protocol' AS n").await;
    let rows = |row| ["Columns(n)".to_owned(), format!("Row({row})"), "Done(SELECT 1)".to_owned()];
    let told = outcome(&mut client, Flight::new().query("EXECUTE s; PREPARE s AS SELECT 1")).await;
    let end = ["Error(42P05)".to_owned(), "Ready(I)".to_owned()];
    assert_eq!(told, [&rows("of the protocol")[..], &end].concat());
    let text = "DEALLOCATE s; PREPARE s AS SELECT 'by SQL' AS n; EXECUTE s";
    let told = outcome(&mut client, Flight::new().query(text)).await;
    let begin = ["Done(DEALLOCATE)".to_owned(), "Done(PREPARE)".to_owned()];
    assert_eq!(told, [&begin[..], &rows("by SQL"), &end[1..]].concat());
    assert_eq!(client.cell("EXECUTE s").await, "by SQL");
    let told = outcome(&mut client, Flight::new().query("DEALLOCATE s; EXECUTE s")).await;
    assert_eq!(told, ["Done(DEALLOCATE)", "Error(26000)", "Ready(I)"]);
    assert!(!is_known(&mut client, "s").await);
}

async fn what_a_text_executes_may_be_made_a_table(site: &Site) {
    let mut client = site.connect("alice").await;
    prepare(&mut client, "s", "SELECT 'a' AS n").await;
    client.run("CREATE TABLE made AS EXECUTE s; INSERT INTO made VALUES ('b')").await;
    let flight = Flight::new().unnamed("CREATE TABLE other AS EXECUTE s", &[]).sync();
    assert_eq!(outcome(&mut client, flight).await.len(), 2);
    assert_eq!(client.cell("SELECT string_agg(n, '') FROM made").await, "ab");
    assert_eq!(client.cell("SELECT n FROM other").await, "a");
}

#[tokio::test]
async fn what_names_a_statement_that_was_replaced_says_so() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    let mut client = site.connect("alice").await;
    prepare(&mut client, "s", "SELECT 1").await;
    prepare(&mut client, "e", "EXECUTE s").await;
    let flight = Flight::new().close_statement("s").parse("s", "SELECT 2").run("e", &[]).sync();
    let told = ["Closed", "Parsed", "Error(0A000)", "Ready(I)"];
    client.expect(flight, &told).await;
}

#[tokio::test]
async fn a_text_that_executes_more_than_a_server_may_hold_says_so() {
    let site = Site::pooled(&[("pool.size", "1"), ("preparedStatements.max", "1")]).await;
    let mut client = site.connect("alice").await;
    prepare(&mut client, "a", "SELECT 'a'").await;
    prepare(&mut client, "b", "SELECT 'b'").await;
    let refused = client.query("EXECUTE a; EXECUTE b").await.unwrap().error.expect("an error");
    assert_eq!(refused.code, "54000");
    assert!(refused.hint.contains("preparedStatements.max"), "{refused:?}");
    client.run("EXECUTE a; EXECUTE a").await;
    prepare(&mut client, "e", "SELECT 1").await;
    let flight = Flight::new().parse("named", "EXECUTE b").run("named", &[]).sync();
    assert_eq!(outcome(&mut client, flight).await, ["Error(54000)", "Ready(I)"]);
}

#[tokio::test]
async fn execute_amid_a_flight_of_what_is_not_there_says_so() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    let mut client = site.connect("alice").await;
    prepare(&mut client, "s", "SELECT 's'").await;
    site.connect("alice").await.run("DISCARD ALL").await;
    let flight = Flight::new().unnamed("SELECT 1", &[]).query("EXECUTE s");
    let told = client.exchange(&flight).await.unwrap();
    let words = ["Parsed", "Bound", "Row(1)", "Done(SELECT 1)", "Error(0A000)", "Ready(I)"];
    assert_eq!(transcript(&told), words);
    let refused = told[4].fields();
    assert!(refused.message.contains("needs a Sync"), "{refused}");
}

#[tokio::test]
async fn functions_and_what_is_not_read_find_no_statement_of_the_protocol() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    let mut client = site.connect("alice").await;
    prepare(&mut client, "s", "SELECT 's'").await;
    let unread = format!("SELECT '{}'; EXECUTE s", "x".repeat(17_000));
    for text in [
        "DO $$ BEGIN EXECUTE 'EXECUTE s'; END $$",
        "DO $$ BEGIN EXECUTE 'DEALLOCATE s'; END $$",
        &unread,
    ] {
        assert_eq!(client.fails(text).await, "26000", "{text:.50}");
        assert!(is_known(&mut client, "s").await, "{text:.50}");
    }
    let read = format!("SELECT '{}'; EXECUTE s", "x".repeat(16_000));
    client.run(&read).await;
}

/// In PostgreSQL with its Execute.
#[tokio::test]
async fn what_is_sent_by_parse_gives_up_a_statement_when_it_is_bound() {
    let (direct, pooled) = (Site::direct().await, Site::pooled(&[]).await);
    for (site, still_known) in [(direct, true), (pooled, false)] {
        let mut client = site.connect("alice").await;
        prepare(&mut client, "s", "SELECT 's'").await;
        let flight = Flight::new().parse("", "DEALLOCATE s").bind("", "", &[]).sync();
        client.expect(flight, &["Parsed", "Bound", "Ready(I)"]).await;
        assert_eq!(is_known(&mut client, "s").await, still_known);
    }
}

/// It runs up to there, as in PostgreSQL, where the error comes last.
#[tokio::test]
async fn that_a_statement_cannot_be_prepared_any_more_is_told_before_its_text() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    let mut client = site.connect("alice").await;
    client.run("CREATE TABLE gone (a int); CREATE TABLE kept (a int)").await;
    prepare(&mut client, "s", "SELECT a FROM gone").await;
    let mut other = site.connect("alice").await;
    other.run("DROP TABLE gone").await;
    other.run("DISCARD ALL").await;
    let text = "INSERT INTO kept VALUES (1); COMMIT; EXECUTE s";
    let told = outcome(&mut client, Flight::new().query(text)).await;
    assert_eq!(told, ["Error(42P01)", "Notice(25P01)", "Ready(I)"]);
    assert_eq!(other.cell("SELECT count(*) FROM kept").await, "1");
}
