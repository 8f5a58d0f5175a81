//! Results and requests far larger than what the pooler may hold at once.

use poolwright_tests::pg::Flight;
use poolwright_tests::process::peak_memory_kib;
use poolwright_tests::site::Site;

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
