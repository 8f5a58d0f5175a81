//! Several requests sent before the first answer is read.

use poolwright_tests::pg::{Flight, message::transcript};
use poolwright_tests::site::Site;

three_ways!(1:
    every_sync_of_a_pipeline_is_answered_once,
    an_error_ends_only_its_own_part_of_the_pipeline,
    an_unknown_statement_inside_a_pipeline_shifts_no_answer,
    queries_in_a_row_are_answered_in_order,
    a_pipeline_may_hold_whole_transactions,
    a_long_pipeline_does_not_stall,
    a_request_cut_into_single_bytes_is_the_same_request,
);

async fn every_sync_of_a_pipeline_is_answered_once(site: &Site) {
    let mut client = site.connect("alice").await;
    let mut flight = Flight::new();
    let mut expected = Vec::new();
    for number in 0..50 {
        let number = number.to_string();
        flight = flight.unnamed("SELECT $1::text", &[&number]).sync();
        let row = format!("Row({number})");
        let answer = ["Parsed", "Bound", &row, "Done(SELECT 1)", "Ready(I)"];
        expected.extend(answer.map(str::to_owned));
    }
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    client.expect(flight, &expected).await;
}

async fn an_error_ends_only_its_own_part_of_the_pipeline(site: &Site) {
    let mut client = site.connect("alice").await;
    let flight = Flight::new()
        .unnamed("SELECT 1", &[])
        .sync()
        .unnamed("SELECT 1/$1::int", &["0"])
        .unnamed("SELECT 2", &[])
        .sync()
        .unnamed("SELECT 3", &[])
        .sync();
    let expected = [
        "Parsed",
        "Bound",
        "Row(1)",
        "Done(SELECT 1)",
        "Ready(I)",
        "Parsed",
        "Error(22012)",
        "Ready(I)",
        "Parsed",
        "Bound",
        "Row(3)",
        "Done(SELECT 1)",
        "Ready(I)",
    ];
    client.expect(flight, &expected).await;
}

async fn an_unknown_statement_inside_a_pipeline_shifts_no_answer(site: &Site) {
    let mut client = site.connect("alice").await;
    let flight = Flight::new()
        .unnamed("SELECT 1", &[])
        .run("nobody", &[])
        .unnamed("SELECT 2", &[])
        .sync()
        .unnamed("SELECT 3", &[])
        .sync()
        .run("nobody", &[])
        .sync()
        .query("SELECT 4 AS d");
    let expected = [
        "Parsed",
        "Bound",
        "Row(1)",
        "Done(SELECT 1)",
        "Error(26000)",
        "Ready(I)",
        "Parsed",
        "Bound",
        "Row(3)",
        "Done(SELECT 1)",
        "Ready(I)",
        "Error(26000)",
        "Ready(I)",
        "Columns(d)",
        "Row(4)",
        "Done(SELECT 1)",
        "Ready(I)",
    ];
    client.expect(flight, &expected).await;
}

async fn queries_in_a_row_are_answered_in_order(site: &Site) {
    let mut client = site.connect("alice").await;
    let flight = Flight::new().query("SELECT 1 AS a").query("SELECT 1/0").query("SELECT 3 AS c");
    let expected = [
        "Columns(a)",
        "Row(1)",
        "Done(SELECT 1)",
        "Ready(I)",
        "Error(22012)",
        "Ready(I)",
        "Columns(c)",
        "Row(3)",
        "Done(SELECT 1)",
        "Ready(I)",
    ];
    client.expect(flight, &expected).await;
}

async fn a_pipeline_may_hold_whole_transactions(site: &Site) {
    let mut client = site.connect("alice").await;
    client.run("CREATE TABLE t (a int)").await;
    let flight = Flight::new()
        .query("BEGIN")
        .unnamed("INSERT INTO t VALUES (1)", &[])
        .sync()
        .query("COMMIT")
        .query("BEGIN")
        .query("INSERT INTO t VALUES (2)")
        .query("ROLLBACK")
        .query("SELECT count(*) AS n FROM t");
    let expected = [
        "Done(BEGIN)",
        "Ready(T)",
        "Parsed",
        "Bound",
        "Done(INSERT 0 1)",
        "Ready(T)",
        "Done(COMMIT)",
        "Ready(I)",
        "Done(BEGIN)",
        "Ready(T)",
        "Done(INSERT 0 1)",
        "Ready(T)",
        "Done(ROLLBACK)",
        "Ready(I)",
        "Columns(n)",
        "Row(1)",
        "Done(SELECT 1)",
        "Ready(I)",
    ];
    client.expect(flight, &expected).await;
}

async fn a_long_pipeline_does_not_stall(site: &Site) {
    let mut client = site.connect("alice").await;
    let mut flight = Flight::new().parse("s", "SELECT $1::int");
    for number in 0..2_000 {
        flight = flight.run("s", &[&number.to_string()]).sync();
    }
    let messages = client.exchange(&flight).await.unwrap();
    let rows: Vec<_> =
        transcript(&messages).into_iter().filter(|word| word.starts_with("Row")).collect();
    let expected: Vec<_> = (0..2_000).map(|number| format!("Row({number})")).collect();
    assert_eq!(rows, expected);
}

async fn a_request_cut_into_single_bytes_is_the_same_request(site: &Site) {
    let mut client = site.connect("alice").await;
    let flight = Flight::new().unnamed("SELECT $1::text", &["bytes"]).sync().query("SELECT 2 AS b");
    for byte in flight.bytes() {
        client.send(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut messages = client.until_ready().await.unwrap();
    messages.extend(client.until_ready().await.unwrap());
    let expected = [
        "Parsed",
        "Bound",
        "Row(bytes)",
        "Done(SELECT 1)",
        "Ready(I)",
        "Columns(b)",
        "Row(2)",
        "Done(SELECT 1)",
        "Ready(I)",
    ];
    assert_eq!(transcript(&messages), expected);
}
