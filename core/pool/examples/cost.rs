//! What the rules cost: nanoseconds for one transaction, a request and a return, in a few states
//! of the pools. It prints and judges nothing.
//! `cargo run --release -p poolwright-pool --example cost`
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "it measures time")]

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::{Duration, Instant};

use poolwright_pool::{
    ClientId, ConnId, DatabaseId, DatabaseLimits, Effect, Event, PoolId, PoolLimits, Pools,
    ServerId, ServerLimits,
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

struct World {
    pools: Pools,
    now: Duration,
    effects: Vec<Effect>,
    /// Connections in use, the longest first, and who has them.
    busy: VecDeque<(ClientId, ConnId)>,
    pool_of: Vec<PoolId>,
}

impl World {
    fn new(case: &Case) -> World {
        let mut pools = Pools::new(1);
        pools.set_server(ServerId(0), ServerLimits { max: 100_000, logins: 100_000 });
        for database in (0..case.databases).map(DatabaseId) {
            let limits = DatabaseLimits { server: ServerId(0), max: case.database_max };
            pools.set_database(database, limits);
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
        World { pools, now, effects, busy, pool_of }
    }

    fn handle(&mut self, event: Event) {
        self.now += STEP;
        self.pools.handle(self.now, event, &mut self.effects);
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
    for case in &CASES {
        let mut world = World::new(case);
        for client in 0..world.pool_of.len() {
            world.request(ClientId(client as _));
        }
        let fastest = (0..PARTS).map(|_| part(&mut world)).min().unwrap_or_default();
        let each = fastest.as_nanos() as f64 / f64::from(TRANSACTIONS);
        black_box(&world.pools);
        println!("{:>40}: {each:6.1} ns", case.name);
    }
}

fn part(world: &mut World) -> Duration {
    let start = Instant::now();
    (0..TRANSACTIONS).for_each(|_| world.transaction());
    start.elapsed()
}
