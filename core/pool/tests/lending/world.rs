//! Workers, a bank and a clock, moved by random operations. News is delivered when an operation
//! says so.

use std::time::Duration;

use poolwright_pool::{
    Cap, CloseReason, ConnId, DatabaseId, DatabaseLimits, Effect, Event, PoolId, PoolLimits, Pools,
    ServerId, ServerLimits, Tuning, UserId,
};
use proptest::prelude::*;

use crate::office::Office;
use crate::worker::Worker;

pub const POOLS: u32 = 7;
pub const DATABASES: u32 = 3;
pub const USERS: u32 = 2;
const SERVER: Cap = Cap::Server(ServerId(0));

#[derive(Debug, Clone)]
pub enum Op {
    Deliver(usize),
    Request(usize, u32),
    Abandon(usize, usize),
    Opened(usize, usize),
    Failed(usize, usize, bool),
    Returned(usize, usize, bool),
    Closed(usize, usize),
    Lingers(usize, usize),
    HungUp(usize, usize),
    Wait(u64),
    Late(u64),
    ServerMax(u32),
    DatabaseMax(u32, u32),
    UserMax(u32, u32),
    PoolSize(usize, u32, u32),
    Reconnect(usize),
    Forget(usize, u32),
}

pub fn op() -> impl Strategy<Value = Op> {
    let i = || 0usize..12;
    prop_oneof![
        10 => i().prop_map(Op::Deliver),
        12 => (i(), 0..POOLS).prop_map(|(worker, pool)| Op::Request(worker, pool)),
        2 => (i(), i()).prop_map(|(worker, client)| Op::Abandon(worker, client)),
        9 => (i(), i()).prop_map(|(worker, conn)| Op::Opened(worker, conn)),
        1 => (i(), i(), any::<bool>()).prop_map(|(worker, conn, retry)| Op::Failed(worker, conn, retry)),
        12 => (i(), i(), prop::bool::weighted(0.9))
            .prop_map(|(worker, conn, reuse)| Op::Returned(worker, conn, reuse)),
        6 => (i(), i()).prop_map(|(worker, conn)| Op::Closed(worker, conn)),
        2 => (i(), i()).prop_map(|(worker, conn)| Op::Lingers(worker, conn)),
        1 => (i(), i()).prop_map(|(worker, conn)| Op::HungUp(worker, conn)),
        8 => prop_oneof![1u64..50, 400u64..700, 1000u64..30_000].prop_map(Op::Wait),
        2 => (1u64..700).prop_map(Op::Late),
        1 => (0u32..9).prop_map(Op::ServerMax),
        1 => (0..DATABASES, 0u32..6).prop_map(|(database, max)| Op::DatabaseMax(database, max)),
        1 => (0..USERS, 0u32..6).prop_map(|(user, max)| Op::UserMax(user, max)),
        1 => (i(), 0..POOLS, 0u32..4).prop_map(|(worker, pool, size)| Op::PoolSize(worker, pool, size)),
        1 => i().prop_map(Op::Reconnect),
        1 => (i(), 0..POOLS).prop_map(|(worker, pool)| Op::Forget(worker, pool)),
    ]
}

pub struct World {
    pub workers: Vec<Worker>,
    pub office: Office,
    pub now: Duration,
    /// For each cap, the most that may be open: the cap, or what was lent before it was lowered.
    ceilings: Vec<(Cap, u32)>,
    /// Pools count under their users' caps.
    capped: bool,
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

fn database_of(pool: PoolId) -> DatabaseId {
    DatabaseId(pool.0 % DATABASES)
}

/// A user has pools in all databases; one pool counts under nobody's cap.
fn user_of(pool: PoolId) -> Option<UserId> {
    (pool.0 + 1 < POOLS).then_some(UserId(pool.0 / DATABASES))
}

fn pick<T: Copy>(all: impl Iterator<Item = T>, index: usize) -> Option<T> {
    let all: Vec<T> = all.collect();
    (!all.is_empty()).then(|| all[index % all.len()])
}

impl World {
    pub fn new(workers: usize, seed: u64) -> World {
        let pools = |index| Pools::borrowing(seed + index as u64, Tuning::default());
        World::with((0..workers).map(|index| Worker::new(pools(index), false)).collect(), true)
    }

    /// One worker, without users' caps.
    pub fn lent(seed: u64) -> World {
        let pools = Pools::borrowing(seed, Tuning::default());
        World::with(vec![Worker::new(pools, false)], false)
    }

    /// The same, and it has all caps itself.
    pub fn alone(seed: u64) -> World {
        World::with(vec![Worker::new(Pools::new(seed), true)], false)
    }

    fn with(workers: Vec<Worker>, capped: bool) -> World {
        let databases = (0..DATABASES).map(|id| (Cap::Database(DatabaseId(id)), 0));
        let users = (0..USERS).filter(|_| capped).map(|id| (Cap::User(UserId(id)), 0));
        let ceilings = databases.chain([(SERVER, 0)]).chain(users).collect();
        let office = Office::new(workers.len());
        let mut world = World { workers, office, now: Duration::ZERO, ceilings, capped };
        world.set_limits();
        world
    }

    fn set_limits(&mut self) {
        self.set_server(6);
        (0..DATABASES).for_each(|database| self.set_database(database, 4));
        (0..USERS).for_each(|user| self.set_user(user, 4));
        for worker in 0..self.workers.len() {
            (0..POOLS).for_each(|pool| self.set_pool(worker, pool, 3));
        }
    }

    fn set_server(&mut self, max: u32) {
        self.office.set_max(SERVER, max);
        self.check_caps();
        for worker in &mut self.workers {
            worker.pools.set_server(ServerId(0), ServerLimits { max, logins: 2 });
        }
    }

    fn set_database(&mut self, database: u32, max: u32) {
        self.office.set_max(Cap::Database(DatabaseId(database)), max);
        self.check_caps();
        for worker in &mut self.workers {
            let limits = DatabaseLimits { server: ServerId(0), max };
            worker.pools.set_database(DatabaseId(database), limits);
        }
    }

    fn set_user(&mut self, user: u32, max: u32) {
        self.office.set_max(Cap::User(UserId(user)), max);
        self.check_caps();
        for worker in &mut self.workers {
            worker.pools.set_user(UserId(user), max);
        }
    }

    fn set_pool(&mut self, worker: usize, pool: u32, size: u32) {
        let database = database_of(PoolId(pool));
        let pools = &mut self.workers[worker].pools;
        let id = pools.pool(database, &format!("user{pool}"), limits(size));
        assert_eq!(id, PoolId(pool));
        if let Some(user) = user_of(id).filter(|_| self.capped) {
            pools.bind(id, user);
        }
    }

    /// Connections of all workers under a cap.
    pub fn open(&self, cap: Cap) -> u32 {
        self.workers.iter().map(|worker| World::open_in(worker, cap)).sum()
    }

    fn open_in(worker: &Worker, cap: Cap) -> u32 {
        let counts = |pool: &&PoolId| match cap {
            Cap::Server(_) => true,
            Cap::Database(database) => database_of(**pool) == database,
            Cap::User(user) => user_of(**pool) == Some(user),
        };
        worker.home.values().filter(counts).count() as u32
    }

    pub fn handle(&mut self, worker: usize, event: Event) -> Vec<Effect> {
        let one = &mut self.workers[worker];
        let effects = one.handle(self.now, event, &mut self.office, worker);
        self.check_caps();
        effects
    }

    fn check_caps(&mut self) {
        if self.workers.iter().any(|worker| worker.alone) {
            return;
        }
        let mut ceilings = std::mem::take(&mut self.ceilings);
        for (cap, ceiling) in &mut ceilings {
            let (max, lent) = self.office.bank.counts(*cap);
            *ceiling = max.max((*ceiling).min(lent));
            assert!(lent <= *ceiling, "{lent} slots of {cap:?} are lent");
            let open = self.open(*cap);
            assert!(open <= *ceiling, "{open} connections under {cap:?} of {ceiling}");
        }
        self.ceilings = ceilings;
    }

    pub fn apply(&mut self, op: Op) -> Vec<Effect> {
        match op {
            Op::Deliver(index) => self.deliver(index),
            Op::Wait(millis) => self.wait(Duration::from_millis(millis)),
            // The timers come behind what else has happened.
            Op::Late(millis) => {
                self.now += Duration::from_millis(millis);
                Vec::new()
            }
            Op::ServerMax(max) => {
                self.set_server(max);
                Vec::new()
            }
            Op::DatabaseMax(database, max) => {
                self.set_database(database, max);
                Vec::new()
            }
            Op::UserMax(user, max) => {
                self.set_user(user, max);
                Vec::new()
            }
            Op::Request(worker, _)
            | Op::Abandon(worker, _)
            | Op::Opened(worker, _)
            | Op::Failed(worker, ..)
            | Op::Returned(worker, ..)
            | Op::Closed(worker, _)
            | Op::Lingers(worker, _)
            | Op::HungUp(worker, _)
            | Op::PoolSize(worker, ..)
            | Op::Reconnect(worker)
            | Op::Forget(worker, _) => self.apply_to(worker % self.workers.len(), op),
        }
    }

    fn apply_to(&mut self, worker: usize, op: Op) -> Vec<Effect> {
        let event = match op {
            Op::Request(_, pool) => Some(self.request(worker, PoolId(pool))),
            Op::Abandon(_, index) => {
                let waiting = &mut self.workers[worker].waiting;
                let client = pick(waiting.keys().copied(), index);
                client.inspect(|client| {
                    waiting.remove(client);
                });
                client.map(|client| Event::Abandon { client })
            }
            Op::Opened(_, index) => self.opened(worker, index),
            Op::Failed(_, index, retry) => self.failed(worker, index, retry),
            Op::Returned(_, index, reuse) => self.returned(worker, index, reuse),
            Op::Closed(_, index) => self.closed(worker, index),
            Op::Lingers(_, index) => {
                let closing = self.workers[worker].closing.iter().copied();
                pick(closing, index).map(|conn| Event::Lingers { conn })
            }
            Op::HungUp(_, index) => {
                let one = &mut self.workers[worker];
                pick(one.idle.iter().copied(), index).map(|conn| {
                    one.idle.remove(&conn);
                    one.home.remove(&conn);
                    Event::Closed { conn }
                })
            }
            Op::Reconnect(_) => Some(Event::Reconnect { server: ServerId(0) }),
            Op::Forget(_, pool) => Some(Event::Forget { pool: PoolId(pool) }),
            Op::PoolSize(_, pool, size) => {
                self.set_pool(worker, pool, size);
                None
            }
            _ => None,
        };
        event.map(|event| self.handle(worker, event)).unwrap_or_default()
    }

    pub fn request(&mut self, worker: usize, pool: PoolId) -> Event {
        let one = &mut self.workers[worker];
        let client = one.free_client();
        one.waiting.insert(client, pool);
        Event::Request { client, pool }
    }

    fn opened(&mut self, worker: usize, index: usize) -> Option<Event> {
        let one = &mut self.workers[worker];
        let conn = pick(one.opening.iter().copied(), index)?;
        one.opening.remove(&conn);
        one.idle.insert(conn);
        Some(Event::Opened { conn })
    }

    fn failed(&mut self, worker: usize, index: usize, retry: bool) -> Option<Event> {
        let one = &mut self.workers[worker];
        let conn = pick(one.opening.iter().copied(), index)?;
        one.opening.remove(&conn);
        one.home.remove(&conn);
        Some(Event::OpenFailed { conn, retry, reason: "no".to_owned() })
    }

    fn returned(&mut self, worker: usize, index: usize, reuse: bool) -> Option<Event> {
        let one = &mut self.workers[worker];
        let conn: ConnId = pick(one.busy.keys().copied(), index)?;
        one.busy.remove(&conn);
        let next = if reuse { &mut one.idle } else { &mut one.closing };
        next.insert(conn);
        if reuse && one.pools.put_back(self.now, conn) {
            return None;
        }
        Some(Event::Returned { conn, reuse })
    }

    fn closed(&mut self, worker: usize, index: usize) -> Option<Event> {
        let one = &mut self.workers[worker];
        let conn = pick(one.closing.iter().copied(), index)?;
        one.closing.remove(&conn);
        one.home.remove(&conn);
        Some(Event::Closed { conn })
    }

    fn deliver(&mut self, index: usize) -> Vec<Effect> {
        if self.office.news.is_empty() {
            return Vec::new();
        }
        let which = index % self.office.news.len();
        let news = self.office.news.swap_remove(which);
        self.handle(news.worker, Event::News { cap: news.cap })
    }

    pub fn deliver_all(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        while !self.office.news.is_empty() {
            effects.extend(self.deliver(0));
        }
        effects
    }

    fn next_deadline(&self) -> Option<(Duration, usize)> {
        let workers = self.workers.iter().enumerate();
        workers.filter_map(|(index, one)| Some((one.pools.next_deadline()?, index))).min()
    }

    /// Time passes, with a timer event at each deadline on the way.
    fn wait(&mut self, span: Duration) -> Vec<Effect> {
        let end = self.now + span;
        let mut effects = Vec::new();
        while let Some((due, worker)) = self.next_deadline().filter(|(due, _)| *due <= end) {
            self.now = self.now.max(due);
            effects.extend(self.handle(worker, Event::Timer));
            let next = self.workers[worker].pools.next_deadline();
            assert!(next.is_none_or(|next| next > self.now), "the timer does not move on");
        }
        self.now = end;
        effects
    }

    /// The same operation in this world and in another; the effects are the same.
    pub fn apply_in_step(&mut self, other: &mut World, op: Op) {
        if let Op::Wait(millis) = op {
            return self.wait_in_step(other, Duration::from_millis(millis));
        }
        let limits = matches!(
            op,
            Op::ServerMax(_) | Op::DatabaseMax(..) | Op::PoolSize(..) | Op::UserMax(..)
        );
        let mut mine = self.apply(op.clone());
        mine.extend(self.deliver_all());
        let mut theirs = other.apply(op);
        if limits {
            mine.extend(self.handle(0, Event::Timer));
            theirs.extend(other.handle(0, Event::Timer));
        }
        assert_eq!(sorted(mine), sorted(theirs));
    }

    fn wait_in_step(&mut self, other: &mut World, span: Duration) {
        let end = self.now + span;
        let next = |one: &World, two: &World| {
            let all = [one.next_deadline(), two.next_deadline()];
            all.into_iter().flatten().map(|(due, _)| due).min()
        };
        while let Some(due) = next(self, other).filter(|due| *due <= end) {
            self.now = self.now.max(due);
            other.now = self.now;
            let mine = self.handle(0, Event::Timer);
            let theirs = other.handle(0, Event::Timer);
            assert_eq!(sorted(mine), sorted(theirs), "at {due:?}");
        }
        (self.now, other.now) = (end, end);
    }

    /// Whatever is under way ends well; then whoever still waits must be served.
    pub fn settle(&mut self) {
        self.set_limits();
        for _ in 0..2_000 {
            self.wait(Duration::from_millis(20));
            self.deliver_all();
            for worker in 0..self.workers.len() {
                self.move_on(worker);
            }
            let done = |one: &Worker| one.waiting.is_empty() && one.busy.is_empty();
            if self.workers.iter().all(done) {
                return;
            }
        }
        panic!("{} clients are left waiting", self.workers[0].waiting.len());
    }

    fn move_on(&mut self, worker: usize) {
        let events = [
            World::opened,
            |world: &mut World, worker, index| world.returned(worker, index, true),
            World::closed,
        ];
        for event in events {
            if let Some(event) = event(self, worker, 0) {
                self.handle(worker, event);
            }
        }
    }

    /// Nobody wants anything: nothing is closed for anybody, and each slot is used or the bank's.
    pub fn rest(&mut self) {
        for _ in 0..50 {
            self.wait(Duration::from_millis(20));
            self.deliver_all();
            (0..self.workers.len()).for_each(|worker| self.move_on(worker));
        }
        self.workers.iter_mut().for_each(|worker| worker.closed.clear());
        for _ in 0..50 {
            self.wait(Duration::from_millis(500));
            self.deliver_all();
            (0..self.workers.len()).for_each(|worker| self.move_on(worker));
        }
        for worker in &self.workers {
            let why =
                |why: &CloseReason| matches!(why, CloseReason::Lifetime | CloseReason::IdleTimeout);
            assert!(worker.closed.iter().all(why), "{:?}", worker.closed);
            for (cap, _) in &self.ceilings {
                assert_eq!(worker.pools.slots(*cap), World::open_in(worker, *cap), "{cap:?}");
            }
        }
        for (cap, _) in &self.ceilings {
            assert_eq!(self.office.bank.counts(*cap).1, self.open(*cap), "{cap:?}");
        }
    }
}

/// Without the limit that a refusal names: whether a cap is full, a worker with a bank knows only when
/// it has asked.
fn sorted(effects: Vec<Effect>) -> Vec<String> {
    let text = |effect: &Effect| match effect {
        Effect::Refuse { client, why } => format!("Refuse {client:?} {}", why.label()),
        effect => format!("{effect:?}"),
    };
    let mut all: Vec<String> = effects.iter().map(text).collect();
    all.sort();
    all
}
