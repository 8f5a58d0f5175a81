//! FunctionCall, which drivers use for large objects: it stands alone, and ends what was not synced.

use poolwright_tests::pg::Flight;
use poolwright_tests::site::Site;

three_ways!(1:
    a_function_gives_its_value,
    an_error_of_a_function_ends_its_call_and_no_more,
    a_call_takes_part_in_a_transaction,
    calls_and_flights_follow_each_other_without_a_wait,
    a_large_object_is_written_and_read,
);

const INT4PL: u32 = 177;
const INT4DIV: u32 = 154;
const LO_CREAT: u32 = 957;
const LO_OPEN: u32 = 952;
const LOWRITE: u32 = 955;
const LO_CLOSE: u32 = 953;

fn call(function: u32, values: &[&str]) -> Flight {
    Flight::new().call(function, values)
}

async fn a_function_gives_its_value(site: &Site) {
    let mut client = site.connect("alice").await;
    for number in ["1", "2", "40"] {
        let value = format!("Value({})", number.parse::<i32>().unwrap() + 2);
        client.expect(call(INT4PL, &[number, "2"]), &[&value, "Ready(I)"]).await;
    }
}

async fn an_error_of_a_function_ends_its_call_and_no_more(site: &Site) {
    let mut client = site.connect("alice").await;
    client.expect(call(INT4DIV, &["1", "0"]), &["Error(22012)", "Ready(I)"]).await;
    client.expect(call(INT4PL, &["x", "0"]), &["Error(22P02)", "Ready(I)"]).await;
    client.expect(call(1, &[]), &["Error(42883)", "Ready(I)"]).await;
    client.expect(call(INT4PL, &["1"]), &["Error(08P01)", "Ready(I)"]).await;
    client.expect(call(INT4PL, &["1", "1"]), &["Value(2)", "Ready(I)"]).await;
}

async fn a_call_takes_part_in_a_transaction(site: &Site) {
    let mut client = site.connect("alice").await;
    client.run("BEGIN").await;
    client.expect(call(INT4PL, &["1", "1"]), &["Value(2)", "Ready(T)"]).await;
    client.expect(call(INT4DIV, &["1", "0"]), &["Error(22012)", "Ready(E)"]).await;
    client.expect(call(INT4PL, &["1", "1"]), &["Error(25P02)", "Ready(E)"]).await;
    client.expect(Flight::new().query("ROLLBACK"), &["Done(ROLLBACK)", "Ready(I)"]).await;
}

async fn calls_and_flights_follow_each_other_without_a_wait(site: &Site) {
    let mut client = site.connect("alice").await;
    let flight = Flight::new()
        .unnamed("SELECT 'before' AS a", &[])
        .call(INT4PL, &["1", "1"])
        .call(INT4PL, &["2", "2"])
        .query("SELECT 'between' AS a")
        .call(INT4PL, &["3", "3"])
        .unnamed("SELECT 'after' AS a", &[])
        .sync();
    let ready = site.postgres.ready_in_a_flight();
    let expected = [
        "Parsed",
        "Bound",
        "Row(before)",
        "Done(SELECT 1)",
        "Value(2)",
        ready,
        "Value(4)",
        ready,
        "Columns(a)",
        "Row(between)",
        "Done(SELECT 1)",
        ready,
        "Value(6)",
        ready,
        "Parsed",
        "Bound",
        "Row(after)",
        "Done(SELECT 1)",
        "Ready(I)",
    ];
    client.expect(flight, &expected).await;
    // What follows an error is skipped up to the Sync, calls too.
    let mut flight = Flight::new().parse("", "SELEC").raw(call(INT4PL, &["1", "1"]).bytes());
    flight = flight.sync().call(INT4PL, &["2", "2"]);
    client.expect(flight, &["Error(42601)", "Ready(I)", "Value(4)", "Ready(I)"]).await;
}

async fn a_large_object_is_written_and_read(site: &Site) {
    let mut client = site.connect("alice").await;
    client.run("BEGIN").await;
    let created = client.exchange(&call(LO_CREAT, &["-1"])).await.unwrap();
    let object = String::from_utf8(created[0].body[4..].to_vec()).unwrap();
    let write = (0x20000 | 0x40000).to_string();
    client.expect(call(LO_OPEN, &[&object, &write]), &["Value(0)", "Ready(T)"]).await;
    client.expect(call(LOWRITE, &["0", "a large object"]), &["Value(14)", "Ready(T)"]).await;
    client.expect(call(LO_CLOSE, &["0"]), &["Value(0)", "Ready(T)"]).await;
    client.run("COMMIT").await;
    let read = format!("SELECT convert_from(lo_get({object}), 'UTF8')");
    assert_eq!(client.cell(&read).await, "a large object");
    client.run(&format!("SELECT lo_unlink({object})")).await;
}
