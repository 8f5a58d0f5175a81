//! What nobody sees a transaction leave, here by a trigger: who reads it next, and who never does.

use poolwright_tests::pg::Flight;
use poolwright_tests::site::Site;

const LEAVES: &str = "INSERT INTO t VALUES (1)";
const LEFT: &str = "SHOW work_mem";

/// In a pool of one connection, with a table that leaves a setting behind.
async fn site(changes: &[(&str, &str)]) -> Site {
    let site = Site::direct().await;
    let sql = "CREATE TABLE t (a int); GRANT ALL ON t TO public; \
        CREATE FUNCTION unseen() RETURNS trigger LANGUAGE plpgsql AS \
        $$ BEGIN PERFORM set_config('work_mem', '9MB', false); RETURN NEW; END $$; \
        CREATE TRIGGER unseen BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION unseen()";
    site.superuser().await.run(sql).await;
    let one = ("pool.size", "1");
    site.behind_a_pooler(&[&[one], changes].concat()).await
}

async fn resets(site: &Site) -> f64 {
    site.pooler().metric("poolwright_resets_total", "database").await
}

#[tokio::test]
async fn strict_isolation_resets_at_each_change_of_client_and_keeps_what_each_has_set() {
    let site = site(&[("pool.isolation", "strict")]).await;
    let mut one = site.connect("alice").await;
    let mut two = site.connect("alice").await;
    one.run("SET search_path = elsewhere, public").await;
    one.run(LEAVES).await;
    assert_eq!(one.cell(LEFT).await, "9MB", "it is still the client's own session");
    assert_eq!(two.cell(LEFT).await, "4MB");
    assert_eq!(one.cell("SHOW search_path").await, "elsewhere, public");
    assert!(resets(&site).await >= 2.0);
}

#[tokio::test]
async fn strict_isolation_that_comes_while_the_pooler_runs_undoes_what_was_left_before() {
    let site = site(&[("generation", "1")]).await;
    site.connect("alice").await.run(LEAVES).await;
    let settings = site.settings.clone().with("pool.isolation", "strict").with("generation", "2");
    site.pooler().write_settings(&settings).unwrap();
    site.pooler().signal("HUP");
    site.metric_reaches("poolwright_settings_generation", "", |seen| seen == 2.0).await;
    assert_eq!(site.connect("alice").await.cell(LEFT).await, "4MB");
}

#[tokio::test]
async fn a_strict_user_reads_nothing_of_a_tracked_one_that_shares_its_pool() {
    let (shared, strict) = (("databases.0.user", "scott"), ("users.1.pool.isolation", "strict"));
    let site = site(&[shared, strict]).await;
    let (mut tracked, mut strict) = (site.connect("alice").await, site.connect("bob").await);
    for _ in 0..3 {
        assert_eq!(strict.cell(LEFT).await, "4MB");
        tracked.run(LEAVES).await;
    }
    assert_eq!(tracked.cell(LEFT).await, "9MB");
}

#[tokio::test]
async fn a_reset_that_does_not_end_costs_its_client_the_session_and_nobody_else() {
    let reset = ("serverResetQuery", "SELECT pg_advisory_xact_lock(1)");
    let site = site(&[("pool.isolation", "strict"), reset]).await;
    let mut superuser = site.superuser().await;
    superuser.run("SELECT pg_advisory_lock(1)").await;
    site.connect("alice").await.run("SELECT 1").await;
    let mut next = site.connect("alice").await;
    next.send(Flight::new().query("SELECT 1").bytes()).await.unwrap();
    let told = next.until_closed().await.unwrap();
    assert_eq!(told.last().expect("why").fields().code, "08006", "{told:?}");
    site.eventually("SELECT count(*) FROM pg_locks WHERE NOT granted", "0").await;
    assert_eq!(site.connect("alice").await.cell("SELECT 'served'").await, "served");
}

#[tokio::test]
async fn a_session_in_session_mode_reads_nothing_of_the_one_before() {
    let site = site(&[("pool.mode", "session")]).await;
    for goodbye in [true, false] {
        let mut one = site.connect("alice").await;
        one.run(LEAVES).await;
        assert_eq!(one.cell(LEFT).await, "9MB", "it is still the client's own session");
        match goodbye {
            true => one.terminate().await.unwrap(),
            false => drop(one),
        }
        let mut two = site.connect("alice").await;
        assert_eq!(two.cell(LEFT).await, "4MB");
        two.terminate().await.unwrap();
    }
    assert_eq!(site.server_connections().await, 1);
}

#[tokio::test]
async fn a_strict_session_reads_nothing_of_a_tracked_client_that_shares_its_pool() {
    let changes = [
        ("databases.0.user", "scott"),
        ("users.1.pool.isolation", "strict"),
        ("users.1.pool.mode", "session"),
    ];
    let site = site(&changes).await;
    site.connect("alice").await.run(LEAVES).await;
    assert_eq!(site.connect("bob").await.cell(LEFT).await, "4MB");
}
