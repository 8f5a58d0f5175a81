//! All cells. Adding one is one line in [`NAMES`] and one in [`find`].
//! Never compares subjects of one cell under different loads, unless that is what the cell shows.

use poolwright_benches::job::{Tls, Work};

use super::{Cell, Entry, Load};
use crate::setup::{Backend, Login, Setup, Tidying};

/// Every cell, in the order in which they run.
pub const NAMES: &[&str] = &[
    "simple-16",
    "simple-64",
    "simple-200",
    "extended-16",
    "extended-64",
    "extended-200",
    "prepared-16",
    "prepared-64",
    "prepared-200",
    "prepared-tls-64",
    "parameters-64",
    "isolation-64",
    "ceiling-simple",
    "ceiling-prepared",
    "latency-1",
    "workers-64",
    "workers-200",
    "workers-prepared-64",
    "tail-200",
    "tail-2000",
    "rows",
    "rows-tls",
    "connect-trust",
    "connect-scram",
    "connect-tls",
    "connect-tls-resumed",
    "idle",
    "idle-tls",
    "pools-10000",
];

/// The cells that a commit can move.
pub const QUICK: &[&str] = &[
    "simple-16",
    "simple-64",
    "extended-64",
    "prepared-16",
    "prepared-64",
    "prepared-tls-64",
    "rows",
    "connect-scram",
];

const ALL: [&str; 7] =
    ["direct", "relay", "sketch", "poolwright", "pgbouncer", "odyssey", "pgagroal"];
/// Those that clients can log in to.
const HOSTS: [&str; 7] =
    ["direct", "sketch", "sketch-homed", "poolwright", "pgbouncer", "odyssey", "pgagroal"];
const POOLERS: [&str; 4] = ["poolwright", "pgbouncer", "odyssey", "pgagroal"];
/// Those in which clients wait for each other.
const QUEUES: [&str; 5] = ["sketch", "poolwright", "pgbouncer", "odyssey", "pgagroal"];
/// Those that can hold ten thousand clients in one process.
const HOLDERS: [&str; 3] = ["poolwright", "pgbouncer", "odyssey"];

/// The cell of this name; PROTOCOL-CLIENTS with any number of clients too.
pub fn find(name: &str) -> Option<Cell> {
    let (about, entries) = match name {
        "prepared-tls-64" => ("clients with TLS", prepared_tls()),
        "parameters-64" => (
            "simple protocol; each client with its own application_name and search_path, or without",
            parameters(),
        ),
        "isolation-64" => (
            "simple protocol; the session is reset before each change of client, or never",
            isolation(),
        ),
        "ceiling-simple" => (CEILING, ceiling(Work::Simple)),
        "ceiling-prepared" => (CEILING, ceiling(Work::Prepared)),
        "latency-1" => {
            ("one client, simple protocol", of(&ALL, Setup::default(), load(Work::Simple, 1)))
        }
        "workers-64" => (WORKERS, workers(Work::Simple, 64)),
        "workers-200" => (WORKERS, workers(Work::Simple, 200)),
        "workers-prepared-64" => (WORKERS, workers(Work::Prepared, 64)),
        "tail-200" => (TAIL, plain(&QUEUES, Work::Simple, 200)),
        "tail-2000" => (TAIL, plain(&QUEUES, Work::Simple, 2_000)),
        "rows" => (ROWS, plain(&ALL, Work::Rows, 8)),
        "rows-tls" => (ROWS, with_tls(plain(&POOLERS, Work::Rows, 8), Tls::Full)),
        "connect-trust" => (CONNECT, connect(&HOSTS, Login::Trust)),
        "connect-scram" => (CONNECT, connect(&HOSTS[1..], Login::Scram)),
        "connect-tls" => (CONNECT, with_tls(connect(&POOLERS, Login::Trust), Tls::Full)),
        "connect-tls-resumed" => (CONNECT, with_tls(connect(&POOLERS, Login::Trust), Tls::Resumed)),
        "idle" => (IDLE, idle()),
        "idle-tls" => (IDLE, with_tls(idle(), Tls::Full)),
        "pools-10000" => (POOLS, pools()),
        _ => ("", protocol(name)?),
    };
    Some(Cell { name: name.to_owned(), about, entries })
}

const CEILING: &str = "64 clients, a backend that answers at once: what one worker can do at most. \
    Where `cores` is well below 1, the load was the limit, not the subject";
const WORKERS: &str = "8 databases with pools of 4, or one with a pool of 20. Two cores hold load \
    and backend too, so a throughput of 1.8 x shows on a bigger machine only";
const TAIL: &str = "simple protocol over 20 server connections: how evenly clients are served";
const ROWS: &str = "8 clients, results of 10 MB: each transaction is one";
const CONNECT: &str = "16 clients that connect, log in, ask one query and leave: each transaction \
    is one such visit; the client's salted password is kept";
const IDLE: &str = "10,000 clients that stay after one query each, and 16 that work, or those 16 \
    alone; KiB: growth of the resident memory for each that stays";
const POOLS: &str = "300 clients of 100 pools, simple protocol, among 10,000 configured pools \
    (10 databases x 1,000 users, each used once before) or 100; the backend is the stub, since \
    PostgreSQL would spend minutes on the 10,000 logins";

fn load(work: Work, clients: u32) -> Load {
    Load { work, clients, idle: 0, active_pools: u32::MAX, tls: Tls::No, logins: 32, sources: 1 }
}

fn entry(peer: &'static str, setup: Setup, load: Load) -> Entry {
    // pgagroal 2.1 mixes up clients that come or go at the same time.
    let alone = peer == "pgagroal";
    let load = Load { logins: if alone { 1 } else { load.logins }, ..load };
    Entry { peer, variant: "", setup, load, fresh: alone, touched: false }
}

fn of(peers: &[&'static str], setup: Setup, load: Load) -> Vec<Entry> {
    peers.iter().map(|peer| entry(peer, setup.clone(), load)).collect()
}

fn plain(peers: &[&'static str], work: Work, clients: u32) -> Vec<Entry> {
    let base = Setup::default();
    let (prepared, crowded) = (work == Work::Prepared, clients > base.pool);
    of(peers, Setup { prepared, crowded, ..base }, load(work, clients))
}

fn with_tls(entries: Vec<Entry>, tls: Tls) -> Vec<Entry> {
    let secure = |entry: Entry| Entry {
        setup: Setup { tls: true, ..entry.setup },
        load: Load { tls, ..entry.load },
        ..entry
    };
    entries.into_iter().map(secure).collect()
}

fn protocol(name: &str) -> Option<Vec<Entry>> {
    let (protocol, clients) = name.split_once('-')?;
    let clients = clients.parse().ok().filter(|clients| *clients > 0)?;
    let work = match protocol {
        "simple" => Work::Simple,
        "extended" => Work::Extended,
        "prepared" => Work::Prepared,
        _ => return None,
    };
    Some(plain(&ALL, work, clients))
}

fn prepared_tls() -> Vec<Entry> {
    with_tls(plain(&POOLERS, Work::Prepared, 64), Tls::Full)
}

fn parameters() -> Vec<Entry> {
    let without = plain(&["sketch", "poolwright", "pgbouncer"], Work::Simple, 64);
    let with = without.iter().map(|entry| Entry {
        variant: "own parameters",
        setup: Setup { parameters: true, ..entry.setup.clone() },
        ..entry.clone()
    });
    with.chain(without.iter().cloned()).collect()
}

fn isolation() -> Vec<Entry> {
    let usual = plain(&HOLDERS[..2], Work::Simple, 64);
    let other = |place: usize, variant, tidying| {
        let entry = usual[place].clone();
        Entry { variant, setup: Setup { tidying, ..entry.setup }, ..entry }
    };
    let others = [
        other(0, "strict", Tidying::Always),
        other(0, "no pinning", Tidying::Never),
        other(1, "resets always", Tidying::Always),
    ];
    others.into_iter().chain(usual.iter().cloned()).collect()
}

fn ceiling(work: Work) -> Vec<Entry> {
    let on_stub =
        |entry: Entry| Entry { setup: Setup { backend: Backend::Stub, ..entry.setup }, ..entry };
    plain(&ALL, work, 64).into_iter().map(on_stub).collect()
}

fn workers(work: Work, clients: u32) -> Vec<Entry> {
    let with = |peer, variant, workers, databases, pool| {
        let prepared = work == Work::Prepared;
        let cap = databases * pool;
        let base =
            Setup { workers, databases, pool, cap, prepared, crowded: true, ..Setup::default() };
        Entry { variant, ..entry(peer, base, load(work, clients)) }
    };
    vec![
        with("poolwright", "2 workers", 2, 8, 4),
        with("poolwright", "1 worker", 1, 8, 4),
        with("pgbouncer", "2 processes", 2, 8, 4),
        with("odyssey", "2 workers", 2, 8, 4),
        with("poolwright", "2 workers, 1 database", 2, 1, 20),
        with("pgbouncer", "2 processes, 1 database", 2, 1, 20),
    ]
}

fn connect(peers: &[&'static str], login: Login) -> Vec<Entry> {
    let setup = Setup { login, ..Setup::default() };
    let mut entries = of(peers, setup, load(Work::Connect, 16));
    // PostgreSQL itself lets only 127.0.0.1 in, and is too slow to run out of ports.
    let poolers = entries.iter_mut().filter(|entry| entry.peer != "direct");
    poolers.for_each(|entry| entry.load.sources = 100);
    entries
}

fn idle() -> Vec<Entry> {
    let without = plain(&HOLDERS, Work::Simple, 16).into_iter();
    let without = without.map(|entry| Entry { variant: "alone", fresh: true, ..entry });
    let with = |entry: Entry| Entry {
        variant: "",
        load: Load { idle: 10_000, sources: 10, ..entry.load },
        ..entry
    };
    without.flat_map(|entry| [with(entry.clone()), entry]).collect()
}

fn pools() -> Vec<Entry> {
    let with = |peer, variant, databases, users| {
        let base = Setup {
            backend: Backend::Stub,
            databases,
            users,
            pool: 3,
            cap: 15_000,
            idle_timeout: 5,
            ..Setup::default()
        };
        let load = Load { active_pools: 100, ..load(Work::Simple, 300) };
        // The sketch would keep what it opens.
        Entry { variant, touched: peer != "sketch", ..entry(peer, base, load) }
    };
    vec![
        // It has a pool for each database, and would not notice others than those that are active.
        with("sketch", "", 100, 1),
        with("poolwright", "", 10, 1_000),
        with("poolwright", "100 pools", 10, 10),
        with("pgbouncer", "", 10, 1_000),
        with("pgbouncer", "100 pools", 10, 10),
    ]
}
