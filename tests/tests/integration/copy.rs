//! COPY in both directions.

use poolwright_tests::pg::{Client, Flight, message::transcript};
use poolwright_tests::site::Site;

three_ways!(1:
    rows_copied_in_can_be_read_and_copied_out,
    a_copy_that_the_client_fails_stores_nothing,
    a_copy_that_the_server_fails_stores_nothing,
    a_copy_in_the_extended_protocol_needs_its_own_sync,
    two_copies_may_stand_in_one_query,
    syncs_and_flushes_inside_a_copy_are_ignored,
    a_big_copy_passes_both_ways,
);

const SELECT_ALL: &str = "SELECT string_agg(a::text, ',' ORDER BY a) AS all FROM t";

async fn table(site: &Site) -> Client {
    let mut client = site.connect("alice").await;
    client.run("CREATE TABLE t (a int)").await;
    client
}

async fn still_works(client: &mut Client) {
    client
        .expect(
            Flight::new().query("SELECT 1 AS a"),
            &["Columns(a)", "Row(1)", "Done(SELECT 1)", "Ready(I)"],
        )
        .await;
}

async fn rows_copied_in_can_be_read_and_copied_out(site: &Site) {
    let mut client = table(site).await;
    let flight =
        Flight::new().query("COPY t FROM STDIN").copy_data(b"1\n2\n").copy_data(b"3\n").copy_done();
    client.expect(flight, &["CopyIn", "Done(COPY 3)", "Ready(I)"]).await;
    assert_eq!(client.cell(SELECT_ALL).await, "1,2,3");
    let out = Flight::new().query("COPY t TO STDOUT");
    let expected =
        ["CopyOut", "Data(1)", "Data(2)", "Data(3)", "CopyDone", "Done(COPY 3)", "Ready(I)"];
    client.expect(out, &expected).await;
    still_works(&mut client).await;
}

async fn a_copy_that_the_client_fails_stores_nothing(site: &Site) {
    let mut client = table(site).await;
    let flight = Flight::new().query("COPY t FROM STDIN").copy_data(b"1\n").copy_fail("no more");
    client.expect(flight, &["CopyIn", "Error(57014)", "Ready(I)"]).await;
    assert_eq!(client.cell(SELECT_ALL).await, "");
    still_works(&mut client).await;
}

async fn a_copy_that_the_server_fails_stores_nothing(site: &Site) {
    let mut client = table(site).await;
    let flight = Flight::new()
        .query("COPY t FROM STDIN")
        .copy_data(b"1\n")
        .copy_data(b"not a number\n")
        .copy_data(b"3\n")
        .copy_done();
    client.expect(flight, &["CopyIn", "Error(22P02)", "Ready(I)"]).await;
    assert_eq!(client.cell(SELECT_ALL).await, "");
    let nowhere = Flight::new().query("COPY nowhere FROM STDIN").copy_data(b"1\n").copy_done();
    client.expect(nowhere, &["Error(42P01)", "Ready(I)"]).await;
    still_works(&mut client).await;
}

async fn a_copy_in_the_extended_protocol_needs_its_own_sync(site: &Site) {
    let mut client = table(site).await;
    let flight =
        Flight::new().unnamed("COPY t FROM STDIN", &[]).copy_data(b"7\n").copy_done().sync();
    client.expect(flight, &["Parsed", "Bound", "CopyIn", "Done(COPY 1)", "Ready(I)"]).await;
    let failed =
        Flight::new().unnamed("COPY t FROM STDIN", &[]).copy_data(b"x\n").copy_done().sync();
    client.expect(failed, &["Parsed", "Bound", "CopyIn", "Error(22P02)", "Ready(I)"]).await;
    let out = Flight::new().unnamed("COPY t TO STDOUT", &[]).sync();
    let expected =
        ["Parsed", "Bound", "CopyOut", "Data(7)", "CopyDone", "Done(COPY 1)", "Ready(I)"];
    client.expect(out, &expected).await;
    still_works(&mut client).await;
}

async fn two_copies_may_stand_in_one_query(site: &Site) {
    let mut client = table(site).await;
    let sql = "COPY t FROM STDIN; COPY t FROM STDIN; SELECT count(*) AS n FROM t";
    client.send(Flight::new().query(sql).bytes()).await.unwrap();
    let mut told = vec![client.receive().await.unwrap()];
    client.send(Flight::new().copy_data(b"1\n").copy_done().bytes()).await.unwrap();
    told.push(client.receive().await.unwrap());
    told.push(client.receive().await.unwrap());
    client.send(Flight::new().copy_data(b"2\n").copy_done().bytes()).await.unwrap();
    told.extend(client.until_ready().await.unwrap());
    let expected = [
        "CopyIn",
        "Done(COPY 1)",
        "CopyIn",
        "Done(COPY 1)",
        "Columns(n)",
        "Row(2)",
        "Done(SELECT 1)",
        "Ready(I)",
    ];
    assert_eq!(transcript(&told), expected);
}

async fn syncs_and_flushes_inside_a_copy_are_ignored(site: &Site) {
    let mut client = table(site).await;
    client.send(Flight::new().query("COPY t FROM STDIN").bytes()).await.unwrap();
    assert_eq!(client.receive().await.unwrap().tag, b'G');
    let flight = Flight::new().copy_data(b"1\n").sync().flush().copy_data(b"2\n").copy_done();
    client.send(flight.bytes()).await.unwrap();
    let told = client.until_ready().await.unwrap();
    assert_eq!(transcript(&told), ["Done(COPY 2)", "Ready(I)"]);
    still_works(&mut client).await;
}

async fn a_big_copy_passes_both_ways(site: &Site) {
    let mut client = site.connect("alice").await;
    client.run("CREATE TABLE b (a text)").await;
    let line = format!("{}\n", "y".repeat(9_999));
    let mut flight = Flight::new().query("COPY b FROM STDIN");
    for _ in 0..1_000 {
        flight = flight.copy_data(line.as_bytes());
    }
    client.expect(flight.copy_done(), &["CopyIn", "Done(COPY 1000)", "Ready(I)"]).await;
    let out = client.exchange(&Flight::new().query("COPY b TO STDOUT")).await.unwrap();
    let bytes: usize = out.iter().filter(|m| m.tag == b'd').map(|m| m.body.len()).sum();
    assert_eq!(bytes, 10_000_000);
    still_works(&mut client).await;
}

/// Sends this while the only server connection is another's, so that all is there before the COPY
/// begins.
async fn send_ahead(site: &Site, client: &mut Client, flight: &Flight) {
    let mut holder = site.connect("alice").await;
    holder.run("BEGIN").await;
    client.send(flight.bytes()).await.unwrap();
    let label = "state=\"waiting\"";
    site.metric_reaches("poolwright_client_connections", label, |n| n >= 1.0).await;
    holder.run("COMMIT").await;
}

#[tokio::test]
async fn a_sync_amid_a_copy_that_has_not_begun_ends_its_client() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    let mut client = table(&site).await;
    let flight = Flight::new().query("COPY t FROM STDIN").copy_data(b"1\n").sync();
    send_ahead(&site, &mut client, &flight.copy_data(b"2\n").copy_done()).await;
    let told = client.until_closed().await.unwrap();
    let last = told.last().expect("why").fields();
    assert_eq!((last.severity.as_str(), last.code.as_str()), ("FATAL", "08P01"), "{told:?}");
    let mut next = site.connect("alice").await;
    assert_eq!(next.cell(SELECT_ALL).await, "");
}

#[tokio::test]
async fn a_close_amid_a_copy_that_has_not_begun_is_answered_and_the_copy_goes_on() {
    let flight = || {
        let flight = Flight::new().query("COPY t FROM STDIN").copy_data(b"1\n");
        flight.close_statement("s").copy_data(b"2\n").copy_done()
    };
    let site = Site::pooled(&[("pool.size", "1")]).await;
    let mut client = table(&site).await;
    client.exchange(&Flight::new().parse("s", "SELECT 1").sync()).await.unwrap();
    send_ahead(&site, &mut client, &flight()).await;
    let told = transcript(&client.until_ready().await.unwrap());
    assert_eq!(told, ["CopyIn", "Done(COPY 2)", "Ready(I)"]);
    assert_eq!(transcript(&[client.receive().await.unwrap()]), ["Closed"]);
    assert_eq!(client.cell(SELECT_ALL).await, "1,2");
    still_works(&mut client).await;
    let direct = Site::direct().await;
    let mut client = table(&direct).await;
    client.send(flight().bytes()).await.unwrap();
    let told = client.until_closed().await.unwrap();
    assert_eq!(told.last().expect("why").fields().severity, "FATAL", "{told:?}");
}
