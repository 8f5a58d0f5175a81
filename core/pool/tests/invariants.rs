//! Random worlds: logins that take their time or fail, clients that come,
//! leave and hold on, servers that hang up. `Pools` checks itself after every
//! event; these tests check what only the outside can see.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use poolwright_pool::{
    ClientId, ConnId, DatabaseId, DatabaseLimits, Effect, Event, PoolId, PoolLimits, Pools,
    ServerId, ServerLimits, UserId,
};
use proptest::prelude::*;

const POOLS: u32 = 7;
const DATABASES: u32 = 3;
const USERS: u32 = 2;

#[derive(Debug, Clone)]
enum Op {
    Request(u32),
    Take(u32),
    Abandon(prop::sample::Index),
    Opened(prop::sample::Index),
    Failed(prop::sample::Index, bool),
    Returned(prop::sample::Index, bool),
    Closed(prop::sample::Index),
    Lingers(prop::sample::Index),
    HungUp(prop::sample::Index),
    Wait(u64),
    Late(u64),
    ServerMax(u32),
    DatabaseMax(u32, u32),
    PoolSize(u32, u32),
    UserMax(u32, u32),
    Bind(u32),
    Reconnect,
    Forget(u32),
}

fn op() -> impl Strategy<Value = Op> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        8 => (0..POOLS).prop_map(Op::Request),
        6 => (0..POOLS).prop_map(Op::Take),
        2 => index().prop_map(Op::Abandon),
        9 => index().prop_map(Op::Opened),
        1 => (index(), any::<bool>()).prop_map(|(index, retry)| Op::Failed(index, retry)),
        12 => (index(), prop::bool::weighted(0.9)).prop_map(|(index, reuse)| Op::Returned(index, reuse)),
        6 => index().prop_map(Op::Closed),
        2 => index().prop_map(Op::Lingers),
        1 => index().prop_map(Op::HungUp),
        8 => prop_oneof![1u64..50, 400u64..700, 1000u64..30_000].prop_map(Op::Wait),
        2 => (1u64..700).prop_map(Op::Late),
        1 => (0u32..9).prop_map(Op::ServerMax),
        1 => (0..DATABASES, 0u32..6).prop_map(|(database, max)| Op::DatabaseMax(database, max)),
        1 => (0..POOLS, 0u32..4).prop_map(|(pool, size)| Op::PoolSize(pool, size)),
        1 => (0..USERS, 0u32..6).prop_map(|(user, max)| Op::UserMax(user, max)),
        2 => (0..POOLS).prop_map(Op::Bind),
        1 => Just(Op::Reconnect),
        1 => (0..POOLS).prop_map(Op::Forget),
    ]
}

/// The outside: what the effects said, kept apart from what the pools believe.
struct World {
    pools: Pools,
    /// What is returned goes the short way, where there is one.
    puts_back: bool,
    now: Duration,
    waiting: BTreeMap<ClientId, PoolId>,
    opening: BTreeSet<ConnId>,
    idle: BTreeSet<ConnId>,
    busy: BTreeSet<ConnId>,
    closing: BTreeSet<ConnId>,
    home: BTreeMap<ConnId, PoolId>,
    server_max: u32,
    database_max: Vec<u32>,
    sizes: Vec<u32>,
    user_max: Vec<u32>,
    /// Pools that count under their user's cap.
    bound: BTreeSet<PoolId>,
}

fn limits(size: u32) -> PoolLimits {
    PoolLimits {
        size,
        min: size.min(1),
        reserve: 1,
        reserve_timeout: Duration::from_secs(1),
        wait_timeout: Some(Duration::from_secs(20)),
        idle_timeout: Duration::from_secs(60),
        lifetime: (Duration::from_secs(30), Duration::from_secs(90)),
    }
}

/// A user has pools in all databases.
fn user_of(pool: PoolId) -> UserId {
    UserId(pool.0 / DATABASES % USERS)
}

fn database_of(pool: PoolId) -> DatabaseId {
    DatabaseId(pool.0 % DATABASES)
}

impl World {
    fn new(seed: u64, puts_back: bool) -> World {
        let mut world = World {
            pools: Pools::new(seed),
            puts_back,
            now: Duration::ZERO,
            waiting: BTreeMap::new(),
            opening: BTreeSet::new(),
            idle: BTreeSet::new(),
            busy: BTreeSet::new(),
            closing: BTreeSet::new(),
            home: BTreeMap::new(),
            server_max: 6,
            database_max: vec![4; DATABASES as usize],
            sizes: vec![3; POOLS as usize],
            user_max: vec![3; USERS as usize],
            bound: BTreeSet::new(),
        };
        world.pools.set_server(ServerId(0), ServerLimits { max: 6, logins: 2 });
        for database in 0..DATABASES {
            world.set_database(database, 4);
        }
        for pool in 0..POOLS {
            world.set_pool(pool, 3);
        }
        for user in 0..USERS {
            world.set_user(user, 3);
        }
        world
    }

    fn set_database(&mut self, database: u32, max: u32) {
        self.database_max[database as usize] = max;
        let limits = DatabaseLimits { server: ServerId(0), max };
        self.pools.set_database(DatabaseId(database), limits);
    }

    fn set_user(&mut self, user: u32, max: u32) {
        self.user_max[user as usize] = max;
        self.pools.set_user(UserId(user), max);
    }

    fn set_pool(&mut self, pool: u32, size: u32) {
        self.sizes[pool as usize] = size;
        let database = database_of(PoolId(pool));
        let id = self.pools.pool(database, &format!("user{pool}"), limits(size));
        assert_eq!(id, PoolId(pool));
    }

    fn pick(set: &BTreeSet<ConnId>, index: prop::sample::Index) -> Option<ConnId> {
        (!set.is_empty()).then(|| *set.iter().nth(index.index(set.len())).unwrap())
    }

    fn handle(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.pools.handle(self.now, event, &mut effects);
        for effect in effects {
            self.obey(effect);
        }
    }

    fn obey(&mut self, effect: Effect) {
        match effect {
            Effect::Open { conn, pool } => {
                assert!(self.home.insert(conn, pool).is_none(), "{conn:?} opened twice");
                self.opening.insert(conn);
                self.caps_hold_for(pool);
            }
            Effect::Assign { client, conn } => {
                let pool = self.waiting.remove(&client).expect("assigned to one who waits");
                assert_eq!(self.home[&conn], pool, "a connection of another pool");
                assert!(self.idle.remove(&conn), "{conn:?} was not free");
                self.busy.insert(conn);
            }
            Effect::Close { conn, .. } => {
                assert!(self.idle.remove(&conn), "{conn:?} closed in use");
                self.closing.insert(conn);
            }
            Effect::Refuse { client, .. } => {
                assert!(self.waiting.remove(&client).is_some(), "{client:?} refused unasked");
            }
        }
    }

    /// A login starts only within every cap, counting what is still closing.
    fn caps_hold_for(&self, pool: PoolId) {
        let held = |filter: &dyn Fn(&PoolId) -> bool| {
            self.home.values().filter(|pool| filter(pool)).count() as u32
        };
        assert!(held(&|_| true) <= self.server_max, "server cap");
        let database = database_of(pool);
        let most = self.database_max[database.0 as usize];
        assert!(held(&|other| database_of(*other) == database) <= most, "database cap");
        if self.bound.contains(&pool) {
            let user = user_of(pool);
            let counts = |other: &PoolId| self.bound.contains(other) && user_of(*other) == user;
            assert!(held(&counts) <= self.user_max[user.0 as usize], "user cap");
        }
        assert!(held(&|other| *other == pool) <= self.sizes[pool.0 as usize] + 1, "pool cap");
        assert!(self.opening.len() <= 2, "parallel logins");
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Request(pool) => {
                let client = self.free_client();
                self.waiting.insert(client, PoolId(pool));
                self.handle(Event::Request { client, pool: PoolId(pool) });
            }
            Op::Take(pool) => {
                if let Some(conn) = self.pools.take_idle(PoolId(pool)) {
                    let client = self.free_client();
                    self.waiting.insert(client, PoolId(pool));
                    self.obey(Effect::Assign { client, conn });
                }
            }
            Op::Abandon(index) if !self.waiting.is_empty() => {
                let client = *self.waiting.keys().nth(index.index(self.waiting.len())).unwrap();
                self.waiting.remove(&client);
                self.handle(Event::Abandon { client });
            }
            Op::Opened(index) => self.opened(index),
            Op::Failed(index, retry) => {
                if let Some(conn) = Self::pick(&self.opening, index) {
                    self.opening.remove(&conn);
                    self.home.remove(&conn);
                    self.handle(Event::OpenFailed { conn, retry, reason: "no".to_owned() });
                }
            }
            Op::Returned(index, reuse) => self.returned(index, reuse),
            Op::Closed(index) => self.closed(index),
            Op::Lingers(index) => {
                if let Some(conn) = Self::pick(&self.closing, index) {
                    self.handle(Event::Lingers { conn });
                }
            }
            Op::HungUp(index) => {
                if let Some(conn) = Self::pick(&self.idle, index) {
                    self.idle.remove(&conn);
                    self.home.remove(&conn);
                    self.handle(Event::Closed { conn });
                }
            }
            Op::Wait(millis) => self.wait(Duration::from_millis(millis)),
            // The timer comes behind what else has happened.
            Op::Late(millis) => self.now += Duration::from_millis(millis),
            Op::ServerMax(max) => {
                self.server_max = max;
                self.pools.set_server(ServerId(0), ServerLimits { max, logins: 2 });
            }
            Op::DatabaseMax(database, max) => self.set_database(database, max),
            Op::PoolSize(pool, size) => self.set_pool(pool, size),
            Op::UserMax(user, max) => self.set_user(user, max),
            Op::Bind(pool) => {
                self.bound.insert(PoolId(pool));
                self.pools.bind(PoolId(pool), user_of(PoolId(pool)));
            }
            Op::Reconnect => self.handle(Event::Reconnect { server: ServerId(0) }),
            Op::Forget(pool) => self.handle(Event::Forget { pool: PoolId(pool) }),
            Op::Abandon(_) => {}
        }
    }

    /// The least number that does not wait: numbers come back as soon as they may.
    fn free_client(&self) -> ClientId {
        let taken = |client: &ClientId| self.waiting.contains_key(client);
        (0..).map(ClientId).find(|client| !taken(client)).expect("a number is free")
    }

    fn opened(&mut self, index: prop::sample::Index) {
        if let Some(conn) = Self::pick(&self.opening, index) {
            self.opening.remove(&conn);
            self.idle.insert(conn);
            self.handle(Event::Opened { conn });
        }
    }

    fn returned(&mut self, index: prop::sample::Index, reuse: bool) {
        if let Some(conn) = Self::pick(&self.busy, index) {
            self.busy.remove(&conn);
            let next = if reuse { &mut self.idle } else { &mut self.closing };
            next.insert(conn);
            if reuse && self.puts_back && self.pools.put_back(self.now, conn) {
                return;
            }
            self.handle(Event::Returned { conn, reuse });
        }
    }

    fn closed(&mut self, index: prop::sample::Index) {
        if let Some(conn) = Self::pick(&self.closing, index) {
            self.closing.remove(&conn);
            self.home.remove(&conn);
            self.handle(Event::Closed { conn });
        }
    }

    /// Time passes, with a timer event at each deadline on the way.
    fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        let mut rounds = 0;
        while let Some(due) = self.pools.next_deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.handle(Event::Timer);
            let next = self.pools.next_deadline();
            assert!(next.is_none_or(|next| next > self.now), "the timer does not move on");
            rounds += 1;
            assert!(rounds < 10_000, "too many timers");
        }
        self.now = end;
    }

    /// Whatever is under way ends well; then whoever still waits must be served.
    fn settle(&mut self) {
        self.server_max = 6;
        self.pools.set_server(ServerId(0), ServerLimits { max: 6, logins: 2 });
        for database in 0..DATABASES {
            self.set_database(database, 4);
        }
        for pool in 0..POOLS {
            self.set_pool(pool, 3);
        }
        for user in 0..USERS {
            self.set_user(user, 3);
        }
        let first = some_index();
        for _ in 0..2_000 {
            self.wait(Duration::from_millis(20));
            self.opened(first);
            self.returned(first, true);
            self.closed(first);
            if self.waiting.is_empty() && self.busy.is_empty() {
                return;
            }
        }
        panic!("{} clients are left waiting", self.waiting.len());
    }
}

/// What a world has come to.
fn end_of(seed: u64, ops: &[Op], puts_back: bool) -> impl PartialEq + std::fmt::Debug {
    let mut world = World::new(seed, puts_back);
    ops.iter().for_each(|op| world.apply(op.clone()));
    (world.home, world.waiting, world.idle, world.closing, world.pools.next_deadline())
}

/// Any index: it picks some element of each set.
fn some_index() -> prop::sample::Index {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    any::<prop::sample::Index>().new_tree(&mut runner).unwrap().current()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_cap_is_broken_and_nobody_is_forgotten(
        seed in any::<u64>(),
        ops in prop::collection::vec(op(), 1..250),
    ) {
        let mut world = World::new(seed, seed % 2 == 0);
        for op in ops {
            world.apply(op);
        }
        world.settle();
    }

    #[test]
    fn the_same_events_give_the_same_effects(
        seed in any::<u64>(),
        ops in prop::collection::vec(op(), 1..80),
    ) {
        prop_assert_eq!(end_of(seed, &ops, false), end_of(seed, &ops, false));
    }

    #[test]
    fn what_is_put_back_is_returned(
        seed in any::<u64>(),
        ops in prop::collection::vec(op(), 1..160),
    ) {
        prop_assert_eq!(end_of(seed, &ops, true), end_of(seed, &ops, false));
    }
}
