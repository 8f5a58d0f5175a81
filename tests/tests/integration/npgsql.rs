//! What Npgsql (.NET) sends with its defaults, message by message: it pools by itself, and begins
//! each use of a pooled connection with a reset that travels ahead of the first command.

use poolwright_tests::pg::{Client, Flight};
use poolwright_tests::site::Site;

three_ways!(1:
    it_loads_types_in_one_query_of_several_statements,
    each_use_begins_with_discard_all,
    with_prepared_statements_the_reset_spares_them,
    a_transaction_begins_in_the_packet_of_its_first_command,
    a_batch_is_one_flight,
    a_prepared_command_is_described_once_and_given_up_by_close,
    a_failed_command_leaves_a_connection_that_can_be_reset,
);

/// The reset of a connection that has prepared statements.
const SPARING: &str = "SET SESSION AUTHORIZATION DEFAULT;RESET ALL;CLOSE ALL;UNLISTEN *;\
                       SELECT pg_advisory_unlock_all();DISCARD SEQUENCES;DISCARD TEMP";

/// A command without parameters, as each is sent: unnamed, described by its portal.
fn command(flight: Flight, sql: &str) -> Flight {
    flight.parse("", sql).bind("", "", &[]).describe_portal("").execute("", 0)
}

async fn prepare(client: &mut Client, name: &str, sql: &str) {
    let flight = Flight::new().parse(name, sql).describe_statement(name).sync();
    client.expect(flight, &["Parsed", "Takes()", "Columns(a)", "Ready(I)"]).await;
}

async fn it_loads_types_in_one_query_of_several_statements(site: &Site) {
    let mut client = site.connect("alice").await;
    let text = "SELECT version(); SELECT typname FROM pg_type WHERE oid = 25; SELECT enumlabel FROM pg_enum WHERE false";
    let answer = client.query(text).await.unwrap();
    assert_eq!(answer.tags, ["SELECT 1", "SELECT 1", "SELECT 0"]);
    assert_eq!(answer.rows[1], [Some("text".to_owned())]);
}

async fn each_use_begins_with_discard_all(site: &Site) {
    let mut client = site.connect("alice").await;
    for _ in 0..5 {
        client.run("SET lock_timeout = '7s'; SET search_path = pg_catalog").await;
        let flight = command(Flight::new().query("DISCARD ALL"), "SHOW lock_timeout").sync();
        let command =
            ["Parsed", "Bound", "Columns(lock_timeout)", "Row(0)", "Done(SHOW)", "Ready(I)"];
        client.expect(flight, &[&["Done(DISCARD ALL)", "Ready(I)"], &command[..]].concat()).await;
        assert_eq!(client.cell("SHOW search_path").await, "\"$user\", public");
    }
}

async fn with_prepared_statements_the_reset_spares_them(site: &Site) {
    let mut client = site.connect("alice").await;
    prepare(&mut client, "_p1", "SELECT 'kept' AS a").await;
    for _ in 0..5 {
        client.run("SET lock_timeout = '7s'").await;
        let flight = Flight::new().query(SPARING).run("_p1", &[]).sync();
        let reset = [
            "Done(SET)",
            "Done(RESET)",
            "Done(CLOSE CURSOR ALL)",
            "Done(UNLISTEN)",
            "Columns(pg_advisory_unlock_all)",
            "Row()",
            "Done(SELECT 1)",
            "Done(DISCARD SEQUENCES)",
            "Done(DISCARD TEMP)",
            "Ready(I)",
        ];
        let command = ["Bound", "Row(kept)", "Done(SELECT 1)", "Ready(I)"];
        client.expect(flight, &[&reset[..], &command].concat()).await;
        assert_eq!(client.cell("SHOW lock_timeout").await, "0");
    }
}

async fn a_transaction_begins_in_the_packet_of_its_first_command(site: &Site) {
    let mut client = site.connect("alice").await;
    for _ in 0..5 {
        let begin = Flight::new().query("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ");
        let flight = command(begin, "SHOW transaction_isolation").sync();
        let expected = [
            "Done(BEGIN)",
            "Ready(T)",
            "Parsed",
            "Bound",
            "Columns(transaction_isolation)",
            "Row(repeatable read)",
            "Done(SHOW)",
            "Ready(T)",
        ];
        client.expect(flight, &expected).await;
        client.expect(Flight::new().query("COMMIT"), &["Done(COMMIT)", "Ready(I)"]).await;
    }
}

async fn a_batch_is_one_flight(site: &Site) {
    let mut client = site.connect("alice").await;
    for _ in 0..5 {
        let mut flight = Flight::new();
        let mut expected = Vec::new();
        for number in 0..20 {
            flight = command(flight, &format!("SELECT '{number}' AS n"));
            let row = format!("Row({number})");
            expected.extend(
                ["Parsed", "Bound", "Columns(n)", &row, "Done(SELECT 1)"].map(str::to_owned),
            );
        }
        expected.push("Ready(I)".to_owned());
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        client.expect(flight.sync(), &expected).await;
    }
}

async fn a_prepared_command_is_described_once_and_given_up_by_close(site: &Site) {
    let mut client = site.connect("alice").await;
    for _ in 0..3 {
        prepare(&mut client, "_p1", "SELECT 1 AS a").await;
        for _ in 0..3 {
            let flight = Flight::new().run("_p1", &[]).sync();
            client.expect(flight, &["Bound", "Row(1)", "Done(SELECT 1)", "Ready(I)"]).await;
        }
        let close = Flight::new().close_statement("_p1").sync();
        client.expect(close, &["Closed", "Ready(I)"]).await;
    }
}

async fn a_failed_command_leaves_a_connection_that_can_be_reset(site: &Site) {
    let mut client = site.connect("alice").await;
    for _ in 0..3 {
        let begin = Flight::new().query("BEGIN");
        let failed = command(command(begin, "SELECT 1 / 0"), "SELECT 2").sync();
        let expected = ["Done(BEGIN)", "Ready(T)", "Parsed", "Error(22012)", "Ready(E)"];
        client.expect(failed, &expected).await;
        client.expect(Flight::new().query("ROLLBACK"), &["Done(ROLLBACK)", "Ready(I)"]).await;
        let next = command(Flight::new().query("DISCARD ALL"), "SELECT 3 AS n").sync();
        let command = ["Parsed", "Bound", "Columns(n)", "Row(3)", "Done(SELECT 1)", "Ready(I)"];
        client.expect(next, &[&["Done(DISCARD ALL)", "Ready(I)"], &command[..]].concat()).await;
    }
}
