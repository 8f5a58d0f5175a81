//! Unnamed statements that their clients described in an earlier flight, as lib/pq does, and use on
//! another server connection.

use poolwright_tests::pg::{Client, Flight};
use poolwright_tests::site::Site;

/// The client has described a statement, and its server connection is another's since.
async fn described_elsewhere(site: &Site, sql: &str, told: &[&str]) -> (Client, Client) {
    let mut client = site.connect("alice").await;
    let mut other = site.connect("alice").await;
    let backend = client.cell("SELECT pg_backend_pid()").await;
    let flight = Flight::new().parse("", sql).describe_statement("").sync();
    client.expect(flight, &[&["Parsed"], told, &["Ready(I)"]].concat()).await;
    other.run("BEGIN").await;
    assert_eq!(other.cell("SELECT pg_backend_pid()").await, backend, "the client's last one");
    (client, other)
}

async fn site_with_table() -> (Site, Client) {
    let site = Site::pooled(&[("pool.size", "2")]).await;
    let mut owner = site.superuser().await;
    owner.run("CREATE TABLE t (a int DEFAULT 1); GRANT ALL ON t TO alice").await;
    (site, owner)
}

fn run(values: &[&str]) -> Flight {
    Flight::new().run("", values).sync()
}

#[tokio::test]
async fn a_changed_result_is_an_error_and_nothing_of_it_is_committed() {
    for sql in ["SELECT * FROM t", "INSERT INTO t DEFAULT VALUES RETURNING *"] {
        let (site, mut owner) = site_with_table().await;
        let (mut client, mut other) =
            described_elsewhere(&site, sql, &["Takes()", "Columns(a)"]).await;
        owner.run("ALTER TABLE t ADD COLUMN b text DEFAULT 'new'").await;
        for _ in 0..2 {
            client.expect(run(&[]), &["Error(0A000)", "Ready(I)"]).await;
        }
        other.run("COMMIT").await;
        client.expect(run(&[]), &["Error(0A000)", "Ready(I)"]).await;
        assert_eq!(owner.cell("SELECT count(*) FROM t").await, "0", "{sql}");
        let parse = Flight::new().parse("", sql).describe_statement("").sync();
        client.expect(parse, &["Parsed", "Takes()", "Columns(a,b)", "Ready(I)"]).await;
        client.exchange(&run(&[])).await.expect("rows");
        assert_eq!(client.cell("SELECT 'next'").await, "next");
    }
}

#[tokio::test]
async fn an_unchanged_result_comes_as_ever() {
    let (site, mut owner) = site_with_table().await;
    let insert = "INSERT INTO t DEFAULT VALUES RETURNING *";
    let (mut client, mut other) =
        described_elsewhere(&site, insert, &["Takes()", "Columns(a)"]).await;
    client.expect(run(&[]), &["Bound", "Row(1)", "Done(INSERT 0 1)", "Ready(I)"]).await;
    other.run("COMMIT").await;
    let (mut client, _other) =
        described_elsewhere(&site, "TABLE t", &["Takes()", "Columns(a)"]).await;
    owner.run("DROP TABLE t; CREATE TABLE t AS SELECT 2 AS a; GRANT ALL ON t TO alice").await;
    client.expect(run(&[]), &["Bound", "Row(2)", "Done(SELECT 1)", "Ready(I)"]).await;
}

#[tokio::test]
async fn parameters_have_the_types_that_the_client_was_told() {
    let (site, mut owner) = site_with_table().await;
    owner.run("INSERT INTO t VALUES (7)").await;
    let sql = "SELECT count(*) FROM t WHERE a = $1 AND pg_typeof($1) = 'integer'::regtype";
    let told = ["Takes(23)", "Columns(count)"];
    let (mut client, _other) = described_elsewhere(&site, sql, &told).await;
    owner.run("ALTER TABLE t ALTER COLUMN a TYPE bigint").await;
    client.expect(run(&["7"]), &["Bound", "Row(1)", "Done(SELECT 1)", "Ready(I)"]).await;
}

#[tokio::test]
async fn who_has_not_described_it_gets_the_new_columns() {
    let (site, mut owner) = site_with_table().await;
    owner.run("INSERT INTO t VALUES (1)").await;
    let mut client = site.connect("alice").await;
    let mut other = site.connect("alice").await;
    let backend = client.cell("SELECT pg_backend_pid()").await;
    client.expect(Flight::new().parse("", "TABLE t").sync(), &["Parsed", "Ready(I)"]).await;
    other.run("BEGIN").await;
    assert_eq!(other.cell("SELECT pg_backend_pid()").await, backend, "the client's last one");
    owner.run("ALTER TABLE t ADD COLUMN b text DEFAULT 'new'").await;
    client.expect(run(&[]), &["Bound", "Row(1|new)", "Done(SELECT 1)", "Ready(I)"]).await;
}

#[tokio::test]
async fn a_text_longer_than_16_kib_is_not_kept_for_another_connection() {
    for (length, expected) in [
        (16_000, &["Bound", "Row(16000)", "Done(SELECT 1)", "Ready(I)"][..]),
        (17_000, &["Error(54000)", "Ready(I)"]),
    ] {
        let (site, _owner) = site_with_table().await;
        let sql = format!("SELECT length('{}') AS n", "x".repeat(length));
        let (mut client, _other) =
            described_elsewhere(&site, &sql, &["Takes()", "Columns(n)"]).await;
        client.expect(run(&[]), expected).await;
    }
}
