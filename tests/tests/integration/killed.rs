//! A pooler that was killed has a successor that counts what it left open: at no instant are there
//! more connections than one of them may hold.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use poolwright_settings::control::{Left, ServerReport};
use poolwright_tests::control::Control;
use poolwright_tests::pg::Flight;
use poolwright_tests::pooler::{Pooler, STATE_DIR, Variable};
use poolwright_tests::postgres::Options;
use poolwright_tests::process;
use poolwright_tests::sampler::Sampler;
use poolwright_tests::site::{Site, start_postgres};

/// Connections that one pooler may hold.
const SLOTS: u32 = 4;

/// A folder that is thrown away.
struct State(PathBuf);

impl State {
    fn new() -> State {
        State(process::scratch("state").unwrap())
    }

    fn variable(&self) -> Variable {
        (STATE_DIR, self.0.clone().into())
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A PostgreSQL with no more slots than one pooler may have connections and a pooler before it whose
/// state is kept there, if anywhere.
async fn site(state: Option<&State>) -> (Site, Control) {
    // Two for the superusers that look on: theirs are ordinary ones.
    let max_connections = SLOTS + 2 + Options::default().superuser_reserved;
    let options = Options { max_connections, ..Options::default() };
    let mut site = Site::on(start_postgres(options).await.unwrap()).await;
    let control = Control::prepare().unwrap();
    site.settings = control.open_in(site.settings.clone());
    site.environment = state.map(State::variable).into_iter().collect();
    let slots = SLOTS.to_string();
    let changes = [("servers.0.maxConnections", &*slots), ("pool.size", "9"), ("workers", "2")];
    (site.behind_a_pooler(&changes).await, control)
}

async fn report(control: &Control) -> ServerReport {
    control.report().await.unwrap().servers.remove("main").expect("the only server")
}

/// Has so many connections run each of these queries, which take long.
async fn occupy(site: &Site, queries: &[&str]) -> Vec<poolwright_tests::pg::Client> {
    let mut clients = Vec::new();
    for query in queries {
        let mut client = site.connect("alice").await;
        client.send(Flight::new().query(query).bytes()).await.unwrap();
        clients.push(client);
    }
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'alice' AND state = 'active'
         AND datname = '{}'",
        site.database
    );
    site.eventually(&sql, &queries.len().to_string()).await;
    clients
}

const SLEEP: &str = "SELECT pg_sleep(60)";
/// Nothing but a lost client ends it.
const DEAF: &str = "DO $$ BEGIN LOOP
    BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END;
END LOOP; END $$";

/// Kills the pooler, starts the next one and has more clients come than there are slots: the most
/// connections that there were at a time.
async fn succeed(site: Site) -> (Site, u64) {
    let (site, most, _) = succeed_timed(site).await;
    (site, most)
}

/// As [`succeed`], and when the first of the clients has asked, after the kill.
async fn succeed_timed(mut site: Site) -> (Site, u64, Duration) {
    let target = site.postgres.target("postgres", "postgres");
    let sampler = Sampler::start(target, Duration::from_millis(1)).await.unwrap();
    site.pooler = None;
    let begun = Instant::now();
    let site = site.behind_a_pooler(&[]).await;
    println!("the successor is ready after {:?}", begun.elapsed());
    let busy = (0..2 * SLOTS).map(|number| {
        let target = site.target(["alice", "bob"][number as usize % 2]);
        tokio::spawn(async move {
            let mut client = target.connect().await.unwrap();
            client.send(Flight::new().query("SELECT pg_sleep(0.3)").bytes()).await.unwrap();
            let asked = begun.elapsed();
            let answer = client.until_ready().await.unwrap();
            assert!(answer.iter().all(|message| message.tag != b'E'), "{answer:?}");
            asked
        })
    });
    let mut asked = Duration::MAX;
    for client in busy.collect::<Vec<_>>() {
        asked = asked.min(client.await.unwrap());
    }
    println!("its clients are served after {:?}", begun.elapsed());
    let peaks = sampler.stop().await.unwrap();
    println!("{peaks:?}");
    (site, peaks.total, asked)
}

#[tokio::test]
async fn a_successor_and_what_was_left_never_hold_more_than_one_may() {
    let state = State::new();
    let (site, control) = site(Some(&state)).await;
    let clients = occupy(&site, &[SLEEP; SLOTS as usize]).await;
    assert_eq!(report(&control).await.open, SLOTS);
    let (site, most) = succeed(site).await;
    assert_eq!(most, u64::from(SLOTS));
    let after = report(&control).await;
    assert_eq!((after.max, after.open, after.left), (SLOTS, SLOTS, Some(Left::default())));
    drop((site, clients));
}

#[tokio::test]
async fn what_does_not_heed_its_cancel_counts_until_it_has_ended() {
    let state = State::new();
    let (site, control) = site(Some(&state)).await;
    let clients = occupy(&site, &[DEAF, SLEEP, DEAF, DEAF]).await;
    let (site, most) = succeed(site).await;
    assert_eq!(most, u64::from(SLOTS));
    assert_eq!(report(&control).await.left, Some(Left::default()));
    drop((site, clients));
}

#[tokio::test]
async fn connections_at_rest_keep_no_successor_waiting_for_long() {
    let state = State::new();
    let (site, control) = site(Some(&state)).await;
    let mut clients = Vec::new();
    for _ in 0..SLOTS {
        let mut client = site.connect("alice").await;
        client.run("BEGIN").await;
        clients.push(client);
    }
    for client in &mut clients {
        client.run("COMMIT").await;
    }
    assert_eq!(report(&control).await.open, SLOTS);
    let (site, most) = succeed(site).await;
    assert_eq!(most, u64::from(SLOTS));
    assert_eq!(report(&control).await.left, Some(Left::default()));
    drop((site, clients));
}

#[tokio::test]
async fn without_a_journal_a_successor_opens_all_that_it_may() {
    let (mut site, control) = site(None).await;
    let clients = occupy(&site, &[DEAF; SLOTS as usize]).await;
    assert_eq!(report(&control).await.left, None);
    site.expect_complaint("server login failed");
    let (site, _, asked) = succeed_timed(site).await;
    // Later than that Postgres may have seen by itself that nobody is there.
    let is_early = asked < Duration::from_millis(500);
    assert!(!is_early || site.pooler().log().contains("53300"), "{}", site.pooler().log());
    drop((site, clients));
}

#[tokio::test]
async fn what_two_killed_poolers_left_counts_for_the_third() {
    let state = State::new();
    let (mut site, control) = site(Some(&state)).await;
    let clients = occupy(&site, &[DEAF; SLOTS as usize]).await;
    site.pooler = None;
    let site = site.behind_a_pooler(&[]).await;
    let second = report(&control).await;
    assert_eq!((second.open, second.left.unwrap().backends.len()), (SLOTS, SLOTS as usize));
    let (site, most) = succeed(site).await;
    assert_eq!(most, u64::from(SLOTS));
    drop((site, clients));
}

#[tokio::test]
async fn an_orderly_end_leaves_nothing_in_the_journal() {
    let state = State::new();
    let (mut site, control) = site(Some(&state)).await;
    site.connect("alice").await.run("SELECT 1").await;
    let journal = || std::fs::read_to_string(state.0.join("connections.journal")).unwrap();
    assert!(journal().contains("alice"), "{}", journal());
    site.pooler().signal("TERM");
    let status = site.pooler.as_mut().unwrap().wait(Duration::from_secs(30));
    assert!(status.expect("it must end").success());
    assert_eq!(journal().lines().filter(|line| !line.trim().is_empty()).count(), 1);
    let site = site.behind_a_pooler(&[]).await;
    assert_eq!(report(&control).await.left, Some(Left::default()));
    assert!(!site.pooler().log().contains("an earlier process"));
}

#[tokio::test]
async fn a_state_folder_belongs_to_one_pooler_at_a_time() {
    let state = State::new();
    let (site, _control) = site(Some(&state)).await;
    let environment = [state.variable()];
    let second = Pooler::start_in(site.settings.clone(), &environment);
    let error = second.await.err().expect("the folder is in use").to_string();
    let expected = "another process keeps its journal there";
    assert!(error.contains(expected) && error.contains("POOLWRIGHT_STATE_DIR"), "{error}");
}
