//! What the rules cost: nanoseconds for one transaction, a request and a return, in a few states
//! of the pools; once for a worker that has all caps itself, once for one whose slots are lent. It
//! prints and judges nothing.
//! `cargo run --release -p poolwright-pool --example cost [part of a name]`
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "it measures time")]

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::{Duration, Instant};

use poolwright_pool::{
    Bank, Cap, ClientId, ConnId, DatabaseId, DatabaseLimits, Effect, Event, Lender, PoolId,
    PoolLimits, Pools, ServerId, ServerLimits, Statement, Tuning, Word,
};

/// The fastest of so many parts is printed: other programs disturb it least.
const PARTS: u32 = 2000;
const TRANSACTIONS: u32 = 1000;
/// Simulated time from one event to the next.
const STEP: Duration = Duration::from_micros(5);

/// One state of the pools.
struct Case {
    name: &'static str,
    databases: u32,
    pools_each: u32,
    database_max: u32,
    pool_size: u32,
    /// Pools that clients use, spread over all of them.
    active: u32,
    /// Clients of each.
    clients: u32,
}

const CASES: [Case; 6] = [
    Case { name: "idle connections", clients: 1, ..BASE },
    Case { name: "64 clients over a pool of 20", clients: 64, ..BASE },
    Case { name: "2,000 clients over a pool of 20", clients: 2000, ..BASE },
    Case {
        name: "4 x 16 clients over a database of 20",
        pools_each: 4,
        active: 4,
        clients: 16,
        ..BASE
    },
    Case {
        name: "100 pools configured, 100 active",
        databases: 10,
        pools_each: 10,
        active: 100,
        clients: 2,
        ..BASE
    },
    Case {
        name: "10,000 pools configured, 100 active",
        databases: 1000,
        pools_each: 10,
        active: 100,
        clients: 2,
        ..BASE
    },
];

const BASE: Case = Case {
    name: "",
    databases: 1,
    pools_each: 1,
    database_max: 20,
    pool_size: 20,
    active: 1,
    clients: 1,
};

/// The bank of a process with one worker, and how often it was asked.
struct Counter {
    bank: Bank,
    words: u32,
}

impl Lender for Counter {
    fn tell(&mut self, cap: Cap, word: Word) -> Statement {
        self.words += 1;
        self.bank.tell(0, cap, word, &mut Vec::new())
    }
}

struct World {
    pools: Pools,
    counter: Option<Counter>,
    now: Duration,
    effects: Vec<Effect>,
    /// Connections in use, the longest first, and who has them.
    busy: VecDeque<(ClientId, ConnId)>,
    pool_of: Vec<PoolId>,
}

impl World {
    fn new(case: &Case, lent: bool) -> World {
        let mut counter = lent.then(|| Counter { bank: Bank::new(1), words: 0 });
        let mut set = |cap, max| {
            if let Some(counter) = &mut counter {
                counter.bank.set_max(cap, max, &mut Vec::new());
            }
        };
        let mut pools = match lent {
            true => Pools::borrowing(1, Tuning::default()),
            false => Pools::new(1),
        };
        pools.set_server(ServerId(0), ServerLimits { max: 100_000, logins: 100_000 });
        set(Cap::Server(ServerId(0)), 100_000);
        for database in (0..case.databases).map(DatabaseId) {
            let limits = DatabaseLimits { server: ServerId(0), max: case.database_max };
            pools.set_database(database, limits);
            set(Cap::Database(database), case.database_max);
        }
        let count = case.databases * case.pools_each;
        let all: Vec<PoolId> = (0..count)
            .map(|pool| {
                let database = DatabaseId(pool / case.pools_each);
                pools.pool(database, &format!("user{pool}"), limits(case.pool_size))
            })
            .collect();
        let active = (0..case.active).map(|index| all[(index * (count / case.active)) as usize]);
        let pool_of = (0..case.clients).flat_map(|_| active.clone()).collect();
        let (now, effects, busy) = (Duration::ZERO, Vec::new(), VecDeque::new());
        World { pools, counter, now, effects, busy, pool_of }
    }

    fn handle(&mut self, event: Event) {
        self.now += STEP;
        match &mut self.counter {
            Some(counter) => self.pools.handle_with(self.now, event, counter, &mut self.effects),
            None => self.pools.handle(self.now, event, &mut self.effects),
        }
        let mut opened = Vec::new();
        for effect in self.effects.drain(..) {
            match effect {
                Effect::Assign { client, conn } => self.busy.push_back((client, conn)),
                Effect::Open { conn, .. } => opened.push(conn),
                Effect::Close { .. } | Effect::Refuse { .. } => panic!("{effect:?}"),
            }
        }
        for conn in opened {
            self.handle(Event::Opened { conn });
        }
        while self.pools.next_deadline().is_some_and(|due| due <= self.now) {
            self.handle(Event::Timer);
        }
    }

    fn request(&mut self, client: ClientId) {
        let pool = self.pool_of[client.0 as usize];
        self.handle(Event::Request { client, pool });
    }

    /// The longest user gives back and asks anew.
    fn transaction(&mut self) {
        let (client, conn) = self.busy.pop_front().expect("somebody is served");
        self.handle(Event::Returned { conn, reuse: true });
        self.request(client);
    }
}

fn limits(size: u32) -> PoolLimits {
    PoolLimits {
        size,
        min: 1,
        reserve: 0,
        reserve_timeout: Duration::from_secs(1),
        wait_timeout: Some(Duration::from_secs(120)),
        idle_timeout: Duration::from_secs(600),
        lifetime: (Duration::from_secs(3000), Duration::from_secs(6000)),
    }
}

fn main() {
    let only = std::env::args().nth(1).unwrap_or_default();
    println!("{:>40}  own caps  lent slots  words to the bank", "");
    for case in CASES.iter().filter(|case| case.name.contains(&only)) {
        let [(own, _), (lent, words)] = [false, true].map(|lent| measure(case, lent));
        println!("{:>40}: {own:5.0} ns    {lent:5.0} ns  {words:17}", case.name);
    }
}

/// Nanoseconds for a transaction, and what all transactions together said to the bank.
fn measure(case: &Case, lent: bool) -> (f64, u32) {
    let mut world = World::new(case, lent);
    for client in 0..world.pool_of.len() {
        world.request(ClientId(client as u32));
    }
    let words = |world: &World| world.counter.as_ref().map_or(0, |counter| counter.words);
    let before = words(&world);
    let fastest = (0..PARTS).map(|_| part(&mut world)).min().unwrap_or_default();
    let each = fastest.as_nanos() as f64 / f64::from(TRANSACTIONS);
    let said = words(&world) - before;
    black_box(&world.pools);
    (each, said)
}

fn part(world: &mut World) -> Duration {
    let start = Instant::now();
    (0..TRANSACTIONS).for_each(|_| world.transaction());
    start.elapsed()
}
