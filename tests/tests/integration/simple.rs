//! The simple query protocol.

use poolwright_tests::pg::Flight;
use poolwright_tests::site::Site;

three_ways!(1:
    each_query_gets_its_own_answer,
    a_transaction_keeps_its_state_over_many_queries,
    a_failed_transaction_stays_failed_until_it_ends,
    a_long_query_arrives_whole,
    notices_reach_the_client_that_caused_them,
);

async fn each_query_gets_its_own_answer(site: &Site) {
    let mut client = site.connect("alice").await;
    let cases: [(&str, &[&str]); 8] = [
        ("SELECT 1 AS a", &["Columns(a)", "Row(1)", "Done(SELECT 1)", "Ready(I)"]),
        ("", &["Empty", "Ready(I)"]),
        (";", &["Empty", "Ready(I)"]),
        (
            "SELECT 1 AS a; SELECT NULL AS b",
            &[
                "Columns(a)",
                "Row(1)",
                "Done(SELECT 1)",
                "Columns(b)",
                "Row(null)",
                "Done(SELECT 1)",
                "Ready(I)",
            ],
        ),
        (
            "SELECT 1 AS a; SELECT 1/0; SELECT 2",
            &["Columns(a)", "Row(1)", "Done(SELECT 1)", "Error(22012)", "Ready(I)"],
        ),
        ("SELEC", &["Error(42601)", "Ready(I)"]),
        (
            "SELECT FROM generate_series(1, 2)",
            &["Columns()", "Row()", "Row()", "Done(SELECT 2)", "Ready(I)"],
        ),
        ("BEGIN; SELECT 1/0", &["Done(BEGIN)", "Error(22012)", "Ready(E)"]),
    ];
    for (sql, expected) in cases {
        client.expect(Flight::new().query(sql), expected).await;
    }
    client.run("ROLLBACK").await;
}

async fn a_transaction_keeps_its_state_over_many_queries(site: &Site) {
    let mut client = site.connect("alice").await;
    client.run("CREATE TABLE t (a int)").await;
    client.expect(Flight::new().query("BEGIN"), &["Done(BEGIN)", "Ready(T)"]).await;
    let backend = client.cell("SELECT pg_backend_pid()").await;
    for number in 0..20 {
        client.run(&format!("INSERT INTO t VALUES ({number})")).await;
        assert_eq!(client.cell("SELECT pg_backend_pid()").await, backend);
    }
    assert_eq!(client.cell("SELECT count(*) FROM t").await, "20");
    client.expect(Flight::new().query("ROLLBACK"), &["Done(ROLLBACK)", "Ready(I)"]).await;
    assert_eq!(client.cell("SELECT count(*) FROM t").await, "0");
}

async fn a_failed_transaction_stays_failed_until_it_ends(site: &Site) {
    let mut client = site.connect("alice").await;
    client.run("BEGIN").await;
    client.expect(Flight::new().query("SELECT nothing"), &["Error(42703)", "Ready(E)"]).await;
    client.expect(Flight::new().query("SELECT 1"), &["Error(25P02)", "Ready(E)"]).await;
    client.expect(Flight::new().query("COMMIT"), &["Done(ROLLBACK)", "Ready(I)"]).await;
    assert_eq!(client.cell("SELECT 1").await, "1");
}

async fn a_long_query_arrives_whole(site: &Site) {
    let mut client = site.connect("alice").await;
    for length in [1_000, 8_190, 8_192, 70_000, 3_000_000] {
        let text = "x".repeat(length);
        let sql = format!("SELECT length('{text}'), '{text}'");
        let rows = client.rows(&sql).await;
        assert_eq!(rows[0][0].as_deref(), Some(length.to_string().as_str()));
        assert_eq!(rows[0][1].as_ref().map(String::len), Some(length));
    }
}

async fn notices_reach_the_client_that_caused_them(site: &Site) {
    let mut client = site.connect("alice").await;
    let sql = "DO $$ BEGIN RAISE NOTICE 'seen'; END $$";
    client.expect(Flight::new().query(sql), &["Notice(00000)", "Done(DO)", "Ready(I)"]).await;
    client
        .expect(
            Flight::new().query("SELECT 1 AS a"),
            &["Columns(a)", "Row(1)", "Done(SELECT 1)", "Ready(I)"],
        )
        .await;
}
