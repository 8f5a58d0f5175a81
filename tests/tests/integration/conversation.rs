//! Random conversations, held with the pooler and with Postgres itself: both must say the same.
//! A failure prints the seed; `POOLWRIGHT_SEED` repeats it.

use std::time::Duration;

use poolwright_tests::pg::{Client, Flight, message::transcript};
use poolwright_tests::random::Random;
use poolwright_tests::site::Site;

const NAMES: [&str; 4] = ["", "s1", "s2", "s3"];
const TEXTS: [&str; 7] = [
    "SELECT $1::text",
    "SELECT 1, 2",
    "SELECT 1/$1::int",
    "SELECT nothing",
    "SELECT generate_series(1, 4)",
    "INSERT INTO t VALUES ($1::int) RETURNING a",
    "",
];
const QUERIES: [&str; 8] = [
    "SELECT 1",
    "SELECT 1; SELECT 2",
    "SELECT 1/0",
    "SELEC",
    "COMMIT",
    "INSERT INTO t VALUES (9)",
    "SELECT count(*) FROM t",
    "DISCARD ALL",
];
const LAST: [&str; 9] = [
    "SELECT 1",
    "BEGIN",
    "BEGIN",
    "SELECT 1/0",
    "SAVEPOINT a",
    "ROLLBACK TO a",
    "COMMIT",
    "ROLLBACK",
    "DISCARD ALL",
];

/// A few requests that end with a Sync or a Query. A failed transaction is left at once, and an
/// open one only at the end of a flight: what a Parse says inside a failed one has its own test.
fn requests(random: &mut Random, status: char) -> Flight {
    if status == 'E' {
        return Flight::new().query(random.pick(&["ROLLBACK", "COMMIT"]));
    }
    let kinds = if status == 'I' { 16 } else { 14 };
    let mut flight = Flight::new();
    for _ in 0..random.below(6) {
        flight = one_request(flight, random, kinds);
    }
    if random.one_in(3) { flight.query(random.pick(&LAST)) } else { flight.sync() }
}

fn one_request(flight: Flight, random: &mut Random, kinds: usize) -> Flight {
    let name = random.pick(&NAMES);
    let portal = random.pick(&["", "p1"]);
    match random.below(kinds) {
        0..4 => flight.parse(name, random.pick(&TEXTS)),
        4..7 => flight.bind(portal, name, &["1"]),
        7 => flight.bind(portal, name, &[]),
        8..10 => in_portions(flight, random, portal, name),
        10 => flight.describe_statement(name),
        11 => flight.describe_portal(portal),
        12 => flight.close_statement(name),
        13 => flight.close_portal(portal),
        14 => flight.query(random.pick(&QUERIES)),
        _ => flight.sync(),
    }
}

/// Execute comes only behind its own Bind: executing an old portal in a failed transaction crashes
/// PostgreSQL 15.
fn in_portions(flight: Flight, random: &mut Random, portal: &str, name: &str) -> Flight {
    let flight = flight.bind(portal, name, &["1"]).execute(portal, random.pick(&[0, 2]));
    if random.one_in(2) { flight.execute(portal, 0) } else { flight }
}

/// How many answers a flight brings depends on its errors, so its end is marked: three Syncs and
/// an empty query, which is allowed in any state and changes none.
const END: [&str; 4] = ["Ready", "Ready", "Empty", "Ready"];

/// One side of a conversation.
struct Voice {
    client: Client,
    /// Of the last ReadyForQuery.
    status: char,
}

impl Voice {
    async fn of(site: &Site) -> Voice {
        Voice { client: site.connect("alice").await, status: 'I' }
    }

    async fn answer(&mut self, flight: &Flight) -> Vec<String> {
        let marked = flight.clone().sync().sync().sync().query("");
        let mut told = Vec::new();
        if let Err(error) = self.client.send(marked.bytes()).await {
            return vec![format!("{error:#}")];
        }
        while !is_end(&told) {
            match self.client.receive_within(Duration::from_secs(10)).await {
                Ok(message) => told.extend(transcript(&[message])),
                Err(error) => {
                    told.push(format!("{error:#}"));
                    break;
                }
            }
        }
        let parts = told.split_inclusive(|word| word.starts_with("Ready"));
        parts.flat_map(|part| self.essence(part)).collect()
    }

    /// What both sides must agree on. Where two things are wrong, the pooler may see the other one
    /// first: that a name is taken, rather than that the text is wrong or the transaction failed.
    fn essence(&mut self, part: &[String]) -> Vec<String> {
        let before = self.status;
        let status = part.last().and_then(|word| word.strip_prefix("Ready(")?.chars().next());
        self.status = status.unwrap_or(before);
        let refused = part.iter().any(|word| word.starts_with("Error"));
        if before == 'E' && self.status == 'E' && refused {
            let rows = part.iter().filter(|word| word.starts_with("Row")).cloned();
            return rows.chain(["Refused".to_owned()]).collect();
        }
        let named = |word: &String| match word.as_str() {
            "Error(42703)" => "Error(42P05)".to_owned(),
            other => other.to_owned(),
        };
        part.iter().map(named).collect()
    }
}

fn is_end(told: &[String]) -> bool {
    let tail = told.last_chunk::<4>();
    tail.is_some_and(|tail| tail.iter().zip(END).all(|(word, end)| word.starts_with(end)))
}

async fn converse(direct: &Site, pooled: &Site, seed: u64) {
    let mut random = Random::new(seed);
    let mut one = Voice::of(direct).await;
    let mut two = Voice::of(pooled).await;
    let mut said = Vec::new();
    for _ in 0..40 {
        let flight = requests(&mut random, one.status);
        let expected = one.answer(&flight).await;
        said.push((String::from_utf8_lossy(flight.bytes()).into_owned(), expected.join(" ")));
        let found = two.answer(&flight).await;
        assert_eq!(found, expected, "seed {seed}, pooled left, after {said:#?}");
    }
}

/// The scenario itself must not depend on chance, or the comparison below means nothing.
#[tokio::test]
async fn a_random_conversation_reads_the_same_at_two_postgres_connections() {
    let (one, two) = (Site::direct().await, Site::direct().await);
    let table = "CREATE UNLOGGED TABLE t (a int); GRANT ALL ON t TO PUBLIC";
    one.superuser().await.run(table).await;
    two.superuser().await.run(table).await;
    for seed in 1..100 {
        converse(&one, &two, seed).await;
    }
}

async fn conversations(size: &str, rounds: u64, neighbours: u64) {
    let direct = Site::direct().await;
    let changes = [("pool.size", size), ("preparedStatements.max", "4")];
    let pooled = Site::pooled(&changes).await;
    let table = "CREATE UNLOGGED TABLE t (a int); GRANT ALL ON t TO PUBLIC";
    direct.superuser().await.run(table).await;
    pooled.superuser().await.run(table).await;
    let beside = crate::neighbours::Neighbours::move_in(&pooled, neighbours);
    let first = Random::seed_or(1);
    for seed in first..first + rounds {
        converse(&direct, &pooled, seed).await;
    }
    beside.move_out().await;
}

#[tokio::test]
async fn a_random_conversation_reads_the_same_as_with_postgres() {
    conversations("1", 60, 0).await;
}

#[tokio::test]
async fn a_random_conversation_beside_neighbours_reads_the_same_as_with_postgres() {
    conversations("2", 40, 3).await;
}
