//! The extended query protocol: Parse, Bind, Describe, Execute, Close, Flush, Sync.

use poolwright_tests::pg::{Flight, message::transcript};
use poolwright_tests::site::Site;

three_ways!(1:
    an_unnamed_flight_is_answered_in_order,
    describe_tells_columns_and_parameter_types,
    an_error_skips_the_rest_up_to_sync,
    a_flush_brings_answers_before_the_sync,
    a_portal_gives_its_rows_in_portions_inside_a_transaction,
    a_portal_is_gone_after_its_transaction,
    the_wrong_name_is_an_error_of_its_own_kind,
    an_empty_statement_has_an_empty_answer,
    a_sync_alone_is_answered_alone,
    a_simple_query_may_follow_without_a_sync,
    a_close_of_something_unknown_is_no_error,
);

async fn an_unnamed_flight_is_answered_in_order(site: &Site) {
    let mut client = site.connect("alice").await;
    for number in ["1", "2", "3"] {
        let flight = Flight::new().unnamed("SELECT $1::int + 1", &[number]).sync();
        let row = format!("Row({})", number.parse::<i32>().unwrap() + 1);
        client.expect(flight, &["Parsed", "Bound", &row, "Done(SELECT 1)", "Ready(I)"]).await;
    }
}

async fn describe_tells_columns_and_parameter_types(site: &Site) {
    let mut client = site.connect("alice").await;
    let sql = "SELECT $1::int AS a, $2::text AS b";
    let flight = Flight::new().parse("", sql).describe_statement("").sync();
    client.expect(flight, &["Parsed", "Takes(23,25)", "Columns(a,b)", "Ready(I)"]).await;
    let flight = Flight::new().parse("", sql).bind("", "", &["1", "x"]).describe_portal("").sync();
    client.expect(flight, &["Parsed", "Bound", "Columns(a,b)", "Ready(I)"]).await;
    let flight = Flight::new().parse("", "CREATE TEMP TABLE x ()").describe_statement("").sync();
    client.expect(flight, &["Parsed", "Takes()", "NoData", "Ready(I)"]).await;
}

async fn an_error_skips_the_rest_up_to_sync(site: &Site) {
    let mut client = site.connect("alice").await;
    let cases: [(Flight, &[&str]); 4] = [
        (Flight::new().unnamed("SELEC", &[]).sync(), &["Error(42601)", "Ready(I)"]),
        (
            Flight::new().unnamed("SELECT 1/$1::int", &["0"]).unnamed("SELECT 2", &[]).sync(),
            &["Parsed", "Error(22012)", "Ready(I)"],
        ),
        (
            Flight::new().unnamed("SELECT $1::int", &["x"]).unnamed("SELECT 2", &[]).sync(),
            &["Parsed", "Error(22P02)", "Ready(I)"],
        ),
        (
            Flight::new().parse("", "SELECT 1").describe_statement("nobody").run("", &[]).sync(),
            &["Parsed", "Error(26000)", "Ready(I)"],
        ),
    ];
    for (flight, expected) in cases {
        client.expect(flight, expected).await;
        assert_eq!(client.cell("SELECT 'still here'").await, "still here");
    }
}

async fn a_flush_brings_answers_before_the_sync(site: &Site) {
    let mut client = site.connect("alice").await;
    let flight = Flight::new().parse("", "SELECT 7").describe_statement("").flush();
    client.send(flight.bytes()).await.unwrap();
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(client.receive().await.unwrap());
    }
    assert_eq!(transcript(&told), ["Parsed", "Takes()", "Columns(?column?)"]);
    let flight = Flight::new().run("", &[]).sync();
    client.expect(flight, &["Bound", "Row(7)", "Done(SELECT 1)", "Ready(I)"]).await;
}

async fn a_portal_gives_its_rows_in_portions_inside_a_transaction(site: &Site) {
    let mut client = site.connect("alice").await;
    let begin = Flight::new()
        .unnamed("BEGIN", &[])
        .parse("", "SELECT generate_series(1, 3)")
        .bind("p", "", &[])
        .execute("p", 2)
        .sync();
    let portion = ["Row(1)", "Row(2)", "Suspended", "Ready(T)"];
    let expected = [&["Parsed", "Bound", "Done(BEGIN)", "Parsed", "Bound"], &portion[..]].concat();
    client.expect(begin, &expected).await;
    let rest = Flight::new().execute("p", 2).sync();
    client.expect(rest, &["Row(3)", "Done(SELECT 1)", "Ready(T)"]).await;
    let close = Flight::new().close_portal("p").execute("p", 0).sync();
    client.expect(close, &["Closed", "Error(34000)", "Ready(E)"]).await;
    client.run("ROLLBACK").await;
}

async fn a_portal_is_gone_after_its_transaction(site: &Site) {
    let mut client = site.connect("alice").await;
    let flight = Flight::new().parse("", "SELECT generate_series(1, 3)").bind("p", "", &[]).sync();
    client.expect(flight, &["Parsed", "Bound", "Ready(I)"]).await;
    let flight = Flight::new().execute("p", 0).sync();
    client.expect(flight, &["Error(34000)", "Ready(I)"]).await;
}

async fn the_wrong_name_is_an_error_of_its_own_kind(site: &Site) {
    let mut client = site.connect("alice").await;
    let bind = Flight::new().bind("", "nobody", &[]).sync();
    client.expect(bind, &["Error(26000)", "Ready(I)"]).await;
    let describe = Flight::new().describe_portal("nobody").sync();
    client.expect(describe, &["Error(34000)", "Ready(I)"]).await;
    let twice = Flight::new().parse("one", "SELECT 1").parse("one", "SELECT 2").sync();
    client.expect(twice, &["Parsed", "Error(42P05)", "Ready(I)"]).await;
    let again = Flight::new().parse("one", "SELECT 2").sync();
    client.expect(again, &["Error(42P05)", "Ready(I)"]).await;
    let run = Flight::new().run("one", &[]).sync();
    client.expect(run, &["Bound", "Row(1)", "Done(SELECT 1)", "Ready(I)"]).await;
}

async fn an_empty_statement_has_an_empty_answer(site: &Site) {
    let mut client = site.connect("alice").await;
    let flight = Flight::new().unnamed("", &[]).sync();
    client.expect(flight, &["Parsed", "Bound", "Empty", "Ready(I)"]).await;
}

async fn a_sync_alone_is_answered_alone(site: &Site) {
    let mut client = site.connect("alice").await;
    client.expect(Flight::new().sync(), &["Ready(I)"]).await;
    client.expect(Flight::new().sync().sync().sync(), &["Ready(I)", "Ready(I)", "Ready(I)"]).await;
    assert_eq!(client.cell("SELECT 1").await, "1");
}

async fn a_simple_query_may_follow_without_a_sync(site: &Site) {
    let mut client = site.connect("alice").await;
    let flight = Flight::new().unnamed("SELECT 1", &[]).query("SELECT 2 AS b");
    let expected = [
        "Parsed",
        "Bound",
        "Row(1)",
        "Done(SELECT 1)",
        "Columns(b)",
        "Row(2)",
        "Done(SELECT 1)",
        site.postgres.ready_in_a_flight(),
    ];
    client.expect(flight, &expected).await;
    client.expect(Flight::new().sync(), &["Ready(I)"]).await;
}

async fn a_close_of_something_unknown_is_no_error(site: &Site) {
    let mut client = site.connect("alice").await;
    let flight = Flight::new().close_statement("nobody").close_portal("nobody").sync();
    client.expect(flight, &["Closed", "Closed", "Ready(I)"]).await;
    let flight = Flight::new().close_statement("").sync();
    client.expect(flight, &["Closed", "Ready(I)"]).await;
}
