//! A client's settings go ahead of its request; a cancel that meets them cancels the request, of
//! which nothing has run, and the client goes on.

use poolwright_tests::pg::{Client, Flight, message::transcript};
use poolwright_tests::site::Site;

/// A site with one server connection, where the settings of `client`, which another's hide, wait for
/// a lock until `locker` ends its transaction.
struct Blocked {
    site: Site,
    client: Client,
    locker: Client,
}

const CONFIG: &str = "CREATE TEXT SEARCH CONFIGURATION public.odd (COPY = pg_catalog.simple)";

async fn blocked() -> Blocked {
    blocked_where("SELECT 1").await
}

/// In a database that this has changed, for sessions to come.
async fn blocked_where(sql: &str) -> Blocked {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    let mut locker = site.superuser().await;
    locker.run(sql).await;
    locker.run("CREATE TABLE log (who text); GRANT ALL ON log TO public").await;
    locker.run(CONFIG).await;
    let target = site.target("alice").parameter("default_text_search_config", "public.odd");
    let mut client = site.connect_to(target).await;
    client.run("SELECT 1").await;
    site.connect("alice").await.run("SELECT 1").await;
    locker.run("DROP TEXT SEARCH CONFIGURATION public.odd").await;
    locker.run(CONFIG).await;
    Blocked { site, client, locker }.lock().await
}

impl Blocked {
    async fn lock(mut self) -> Blocked {
        self.locker.run("BEGIN; LOCK TABLE pg_ts_config IN ACCESS EXCLUSIVE MODE").await;
        self
    }

    /// Sends this, and answers once its settings wait.
    async fn send(&mut self, flight: &Flight) {
        self.client.send(flight.bytes()).await.unwrap();
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = '{}'",
            self.site.database
        );
        self.site.eventually(&sql, "1").await;
    }

    /// The client is told this, still has its settings, and nothing of its request has run.
    async fn ends(mut self, expected: &[&str]) {
        self.locker.run("COMMIT").await;
        let told = transcript(&self.client.until_ready().await.unwrap());
        assert_eq!(told, expected);
        assert_eq!(self.client.cell("SHOW default_text_search_config").await, "public.odd");
        assert_eq!(self.client.cell("SELECT count(*) FROM log").await, "0");
        assert_eq!(
            self.site.connect("alice").await.cell("SELECT 'others go on'").await,
            "others go on"
        );
    }
}

const INSERT: &str = "INSERT INTO log VALUES ('ran')";

#[tokio::test]
async fn a_cancel_that_meets_a_clients_settings_cancels_its_request() {
    for request in [
        Flight::new().query(INSERT),
        Flight::new().unnamed(INSERT, &[]).sync(),
        Flight::new().parse("s", INSERT).run("s", &[]).sync(),
    ] {
        let mut blocked = blocked().await;
        blocked.send(&request).await;
        blocked.site.target("alice").cancel(&blocked.client.key).await.unwrap();
        blocked.ends(&["Error(57014)", "Ready(I)"]).await;
    }
}

#[tokio::test]
async fn a_cancel_on_the_server_or_its_timeout_cancels_the_request_too() {
    let mut site = blocked().await;
    site.send(&Flight::new().query(INSERT)).await;
    let cancel = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity
        WHERE wait_event_type = 'Lock' AND datname = current_database()";
    assert_eq!(site.locker.cell(cancel).await, "1");
    site.ends(&["Error(57014)", "Ready(I)"]).await;
}

#[tokio::test]
async fn a_statement_timeout_that_meets_a_clients_settings_cancels_its_request() {
    let limit = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET statement_timeout = 2000',
        current_database()); END $$";
    let mut blocked = blocked_where(limit).await;
    blocked.send(&Flight::new().query(INSERT)).await;
    let waits = "SELECT count(*) FROM pg_stat_activity
        WHERE wait_event_type = 'Lock' AND datname = current_database()";
    blocked.site.eventually(waits, "0").await;
    blocked.ends(&["Error(57014)", "Ready(I)"]).await;
}

#[tokio::test]
async fn a_pipeline_goes_on_behind_the_request_that_was_canceled() {
    let mut blocked = blocked().await;
    let next = Flight::new().query("SELECT 'next'");
    blocked.send(&Flight::new().unnamed(INSERT, &[]).sync().raw(next.bytes())).await;
    blocked.site.target("alice").cancel(&blocked.client.key).await.unwrap();
    let told = transcript(&blocked.client.until_ready().await.unwrap());
    assert_eq!(told, ["Error(57014)", "Ready(I)"]);
    blocked.ends(&["Columns(?column?)", "Row(next)", "Done(SELECT 1)", "Ready(I)"]).await;
}

#[tokio::test]
async fn a_flight_that_goes_on_after_its_cancel_is_discarded_up_to_its_sync() {
    let mut blocked = blocked().await;
    blocked.send(&Flight::new().parse("", INSERT).bind("", "", &[]).flush()).await;
    blocked.site.target("alice").cancel(&blocked.client.key).await.unwrap();
    assert_eq!(transcript(&[blocked.client.receive().await.unwrap()]), ["Error(57014)"]);
    let rest = Flight::new().execute("", 0).query(INSERT).sync();
    blocked.client.send(rest.bytes()).await.unwrap();
    blocked.ends(&["Ready(I)"]).await;
}

/// The first statement of a client waits for its settings in a round trip of their own.
#[tokio::test]
async fn a_cancel_that_meets_settings_in_their_own_round_trip_cancels_the_request() {
    let mut blocked = blocked().await;
    blocked.locker.run("ROLLBACK").await;
    let target = blocked.site.target("alice").parameter("default_text_search_config", "public.odd");
    let target = target.parameter("client_encoding", "LATIN1");
    blocked.client = blocked.site.connect_to(target).await;
    blocked.client.run("SELECT 1").await;
    blocked.site.connect("alice").await.run("SELECT 1").await;
    blocked.locker.run("DROP TEXT SEARCH CONFIGURATION public.odd").await;
    blocked.locker.run(CONFIG).await;
    let mut blocked = blocked.lock().await;
    blocked.send(&Flight::new().unnamed(INSERT, &[]).sync()).await;
    blocked.site.target("alice").cancel(&blocked.client.key).await.unwrap();
    blocked.ends(&["Error(57014)", "Ready(I)"]).await;
}
