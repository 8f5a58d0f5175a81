//! Results and requests far larger than what the pooler may hold at once.

use std::time::Duration;

use poolwright_tests::pg::message::transcript;
use poolwright_tests::pg::{Client, Flight};
use poolwright_tests::process::peak_memory_kib;
use poolwright_tests::site::Site;

/// How long PostgreSQL may think about a message of 1 GB.
const LONG: Duration = Duration::from_secs(120);

async fn bytes_of(site: &Site, sql: &str) -> usize {
    let mut client = site.connect("alice").await;
    client.send(Flight::new().query(sql).bytes()).await.unwrap();
    let mut total = 0;
    loop {
        let (tag, length) = client.skim().await.unwrap();
        total += length;
        if tag == b'Z' {
            return total;
        }
    }
}

#[tokio::test]
async fn big_results_pass_in_bounded_memory() {
    let site = Site::pooled(&[("pool.size", "2")]).await;
    site.connect("alice").await.run("SELECT 1").await;
    let before = peak_memory_kib(site.pooler().id()).unwrap();
    let cases = [
        ("one row of 10 MB", "SELECT repeat('x', 10000000)", 10_000_000),
        ("one row of 200 MB", "SELECT repeat('x', 200000000)", 200_000_000),
        (
            "200 MB in rows of 1 KB",
            "SELECT repeat('x', 1000) FROM generate_series(1, 200000)",
            200_000_000,
        ),
        (
            "a COPY of 200 MB",
            "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 200000)) TO STDOUT",
            200_000_000,
        ),
    ];
    for (what, sql, least) in cases {
        assert!(bytes_of(&site, sql).await >= least, "{what}");
        let after = peak_memory_kib(site.pooler().id()).unwrap();
        assert!(after < before + 20_000, "{what}: {before} KiB before, {after} KiB after");
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_takes_no_memory_either() {
    let site = Site::pooled(&[("pool.size", "3")]).await;
    let mut other = site.connect("alice").await;
    other.run("SELECT 1").await;
    let before = peak_memory_kib(site.pooler().id()).unwrap();
    let mut lazy = Vec::new();
    for _ in 0..2 {
        let mut client = site.connect("alice").await;
        let sql = "SELECT repeat('x', 1000) FROM generate_series(1, 200000)";
        client.send(Flight::new().query(sql).bytes()).await.unwrap();
        client.receive().await.unwrap();
        lazy.push(client);
    }
    for _ in 0..50 {
        assert_eq!(other.cell("SELECT 'served'").await, "served");
    }
    let after = peak_memory_kib(site.pooler().id()).unwrap();
    assert!(after < before + 20_000, "{before} KiB before, {after} KiB after");
}

#[tokio::test]
async fn a_big_request_passes_in_bounded_memory() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    let mut client = site.connect("alice").await;
    client.run("CREATE TABLE b (a text)").await;
    let before = peak_memory_kib(site.pooler().id()).unwrap();
    let line = format!("{}\n", "y".repeat(9_999));
    client.send(Flight::new().query("COPY b FROM STDIN").bytes()).await.unwrap();
    let block = Flight::new().copy_data(line.as_bytes());
    for _ in 0..10_000 {
        client.send(block.bytes()).await.unwrap();
    }
    client
        .expect(
            Flight::new().copy_done().query("SELECT 1 AS a"),
            &["CopyIn", "Done(COPY 10000)", "Ready(I)"],
        )
        .await;
    client.until_ready().await.unwrap();
    let after = peak_memory_kib(site.pooler().id()).unwrap();
    assert!(after < before + 20_000, "{before} KiB before, {after} KiB after");
}

const PIECE: usize = 1 << 20;
/// As long as a value of PostgreSQL can be, less what comes around it in a message.
const LONGEST: usize = (1 << 30) - 1000;

/// Bytes that tell where they stand, so that none can be lost or doubled unseen.
fn piece(from: usize, length: usize) -> Vec<u8> {
    (from..from + length).map(|at| (at / 251 + at) as u8).collect()
}

fn pieces(size: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..size).step_by(PIECE).map(move |from| (from, PIECE.min(size - from)))
}

/// A parameter of so many bytes goes in and comes back as a row, each in one message.
async fn a_value_goes_in_and_comes_out(client: &mut Client, size: usize) {
    let bytea = 17;
    let parse = Flight::new().parse_typed("", "SELECT $1 AS back", &[bytea]);
    client.send(parse.bytes()).await.unwrap();
    let (before, behind) = ([0, 0, 0, 1, 0, 1, 0, 1], [0, 1, 0, 1]);
    let length = (4 + before.len() + 4 + size + behind.len()) as u32;
    let head = [&b"B"[..], &length.to_be_bytes(), &before, &(size as u32).to_be_bytes()].concat();
    client.send(&head).await.unwrap();
    for (from, length) in pieces(size) {
        client.send(&piece(from, length)).await.unwrap();
    }
    client.send(&behind).await.unwrap();
    client.send(Flight::new().execute("", 0).sync().bytes()).await.unwrap();
    assert_eq!(client.receive().await.unwrap().tag, b'1');
    assert_eq!(client.receive_within(LONG).await.unwrap().tag, b'2');
    let mut head = [0; 11];
    client.take(&mut head).await.unwrap();
    let row = [&b"D"[..], &(size as u32 + 10).to_be_bytes(), &[0, 1], &(size as u32).to_be_bytes()];
    assert_eq!(head, row.concat()[..]);
    for (from, length) in pieces(size) {
        let mut came = vec![0; length];
        client.take(&mut came).await.unwrap();
        assert!(came == piece(from, length), "the value differs behind {from} bytes");
    }
    let end = transcript(&client.until_ready().await.unwrap());
    assert_eq!(end, ["Done(SELECT 1)", "Ready(I)"]);
}

/// One CopyData message of so many bytes goes in, rows of a MiB come out.
async fn a_copy_goes_in_and_comes_out(client: &mut Client, size: usize) {
    let rows = size / PIECE;
    client.run("CREATE UNLOGGED TABLE b (a text)").await;
    client.send(Flight::new().query("COPY b FROM STDIN").bytes()).await.unwrap();
    assert_eq!(client.receive().await.unwrap().tag, b'G');
    let head = [&b"d"[..], &((rows * PIECE + 4) as u32).to_be_bytes()].concat();
    client.send(&head).await.unwrap();
    let line = format!("{}\n", "y".repeat(PIECE - 1));
    for _ in 0..rows {
        client.send(line.as_bytes()).await.unwrap();
    }
    client.send(Flight::new().copy_done().bytes()).await.unwrap();
    let done = client.receive_within(LONG).await.unwrap();
    assert_eq!(transcript(&[done]), [format!("Done(COPY {rows})")]);
    client.until_ready().await.unwrap();
    client.send(Flight::new().query("COPY b TO STDOUT").bytes()).await.unwrap();
    let mut bytes = 0;
    loop {
        let (tag, length) = client.skim().await.unwrap();
        bytes += if tag == b'd' { length } else { 0 };
        if tag == b'Z' {
            break;
        }
    }
    assert_eq!(bytes, rows * PIECE);
}

async fn passes_both_ways(size: usize) {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    let mut client = site.connect("alice").await;
    client.run("SELECT 1").await;
    let before = peak_memory_kib(site.pooler().id()).unwrap();
    a_value_goes_in_and_comes_out(&mut client, size).await;
    a_copy_goes_in_and_comes_out(&mut client, size).await;
    let after = peak_memory_kib(site.pooler().id()).unwrap();
    println!("{size} bytes four times: {before} KiB before, {after} KiB at most");
    assert!(after < before + 4_000, "{before} KiB before, {after} KiB after");
}

#[tokio::test]
async fn messages_of_32_mib_pass_both_ways_in_bounded_memory() {
    passes_both_ways(32 << 20).await;
}

/// `make large`: PostgreSQL takes 4 GB of memory for it, and 1 GB of disk.
#[tokio::test]
#[ignore = "takes 4 GB of memory"]
async fn messages_of_1_gib_pass_both_ways_in_bounded_memory() {
    passes_both_ways(LONGEST).await;
}
