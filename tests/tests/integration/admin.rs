//! The admin port: probes and metrics.

use poolwright_tests::site::Site;

#[tokio::test]
async fn the_probes_answer_and_unknown_paths_do_not() {
    let site = Site::pooled(&[]).await;
    assert_eq!(site.pooler().get("/healthz").await.unwrap().0, 200);
    assert_eq!(site.pooler().get("/readyz").await.unwrap().0, 200);
    assert_eq!(site.pooler().get("/nothing").await.unwrap().0, 404);
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let site = Site::pooled(&[("pool.size", "2"), ("servers.0.maxConnections", "17")]).await;
    let mut client = site.connect("alice").await;
    for _ in 0..10 {
        client.run("BEGIN").await;
        client.run("COMMIT").await;
    }
    let label = format!("database=\"{}\"", site.database);
    let metric = |name: &'static str| site.pooler().metric(name, &label);
    assert_eq!(metric("poolwright_transactions_total").await, 10.0);
    assert_eq!(metric("poolwright_queries_total").await, 20.0);
    assert_eq!(metric("poolwright_client_connections").await, 1.0);
    assert_eq!(metric("poolwright_server_connections").await, 1.0);
    assert_eq!(metric("poolwright_requests_cut_total").await, 0.0);
    assert_eq!(site.pooler().metric("poolwright_server_connections_max", "main").await, 17.0);
    assert!(site.target("alice").password("wrong").connect().await.is_err());
    assert_eq!(site.pooler().metric("poolwright_login_failures_total", "").await, 1.0);
}

#[tokio::test]
async fn no_metric_carries_a_users_name() {
    let site = Site::pooled(&[]).await;
    site.connect("alice").await.run("SELECT 1").await;
    let _ = site.target("nobody_at_all").connect().await;
    let (_, metrics) = site.pooler().get("/metrics").await.unwrap();
    assert!(metrics.contains("# TYPE poolwright_transactions"), "{metrics}");
    assert!(!metrics.contains("alice") && !metrics.contains("nobody_at_all"), "{metrics}");
    assert!(!metrics.contains("secret of"), "{metrics}");
    assert!(!site.pooler().log().contains("secret of"), "a password is in the log");
}
