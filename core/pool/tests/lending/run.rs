//! Workers under load in simulated time: clients that ask again as soon as they are served, logins
//! and goodbyes that take their time, notices that are late. It measures and asserts nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use poolwright_pool::{
    Cap, ClientId, ConnId, DatabaseId, DatabaseLimits, Effect, Event, News, PoolId, PoolLimits,
    Pools, ServerId, ServerLimits, Tuning, UserId,
};

use crate::office::Office;
use crate::worker::Worker;

pub const LOGIN: Duration = Duration::from_millis(20);
pub const GOODBYE: Duration = Duration::from_millis(5);
const POST: Duration = Duration::from_millis(1);

/// So many clients of one worker's only pool, for so long transactions.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub clients: u32,
    pub length: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Opened(ConnId),
    Closed(ConnId),
    Returned(ConnId),
    News(Cap),
}

pub struct Run {
    pub office: Office,
    pub workers: Vec<Worker>,
    loads: Vec<Load>,
    now: Duration,
    agenda: BTreeSet<(Duration, u64, usize, Next)>,
    order: u64,
    asked: BTreeMap<(usize, ClientId), Duration>,
    /// By worker, in the order of their ends.
    pub waits: Vec<Vec<Duration>>,
    pub closes: u32,
}

fn limits() -> PoolLimits {
    PoolLimits {
        size: 100,
        min: 0,
        reserve: 0,
        reserve_timeout: Duration::from_secs(1),
        wait_timeout: None,
        idle_timeout: Duration::from_secs(600),
        lifetime: (Duration::from_secs(3600), Duration::from_secs(3600)),
    }
}

impl Run {
    /// Workers that share one database on one server.
    pub fn new(workers: usize, server_max: u32, database_max: u32) -> Run {
        let mut office = Office::new(workers);
        office.set_max(Cap::Server(ServerId(0)), server_max);
        office.set_max(Cap::Database(DatabaseId(0)), database_max);
        let workers: Vec<Worker> = (0..workers).map(|_| Run::worker()).collect();
        let count = workers.len();
        Run {
            office,
            workers,
            loads: vec![Load { clients: 0, length: Duration::ZERO }; count],
            now: Duration::ZERO,
            agenda: BTreeSet::new(),
            order: 0,
            asked: BTreeMap::new(),
            waits: vec![Vec::new(); count],
            closes: 0,
        }
    }

    fn worker() -> Worker {
        let mut pools = Pools::borrowing(1, Tuning::default());
        pools.set_server(ServerId(0), ServerLimits { max: 0, logins: 2 });
        pools.set_database(DatabaseId(0), DatabaseLimits { server: ServerId(0), max: 0 });
        assert_eq!(pools.pool(DatabaseId(0), "ann", limits()), PoolId(0));
        Worker::new(pools, false)
    }

    /// More or fewer clients from now on; those who are served or wait stay until they are served.
    pub fn load(&mut self, worker: usize, clients: u32, length: Duration) {
        let before = std::mem::replace(&mut self.loads[worker], Load { clients, length }).clients;
        (before..clients).for_each(|client| self.ask(worker, ClientId(client)));
    }

    /// The settings come anew: the pools of all workers have other limits, and their user has a cap.
    pub fn cap_user(&mut self, max: u32) {
        self.office.set_max(Cap::User(UserId(0)), max);
        for worker in &mut self.workers {
            let limits = PoolLimits { size: 90, ..limits() };
            let pool = worker.pools.pool(DatabaseId(0), "ann", limits);
            worker.pools.bind(pool, UserId(0));
        }
    }

    /// A transaction ends at this moment, before anything else happens.
    pub fn end_transaction(&mut self, worker: usize) {
        let mut agenda = self.agenda.iter();
        let entry = *agenda
            .find(|(.., who, next)| *who == worker && matches!(next, Next::Returned(_)))
            .expect("a transaction");
        self.agenda.remove(&entry);
        self.happen(worker, entry.3);
    }

    /// One worker's connections, closing ones included.
    pub fn open(&self, worker: usize) -> usize {
        self.workers[worker].home.len()
    }

    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.next_time().filter(|at| *at <= end) {
            self.now = at;
            match self.agenda.first().copied().filter(|(due, ..)| *due <= at) {
                Some(entry) => {
                    self.agenda.remove(&entry);
                    self.happen(entry.2, entry.3);
                }
                None => self.timers(),
            }
        }
        self.now = end;
    }

    fn next_time(&self) -> Option<Duration> {
        let deadlines = self.workers.iter().filter_map(|worker| worker.pools.next_deadline());
        let agenda = self.agenda.first().map(|(at, ..)| *at);
        deadlines.chain(agenda).min().map(|at| at.max(self.now))
    }

    fn timers(&mut self) {
        for worker in 0..self.workers.len() {
            if self.workers[worker].pools.next_deadline().is_some_and(|due| due <= self.now) {
                self.tell(worker, Event::Timer);
            }
        }
    }

    fn happen(&mut self, worker: usize, next: Next) {
        let outside = &mut self.workers[worker];
        match next {
            Next::Opened(conn) => {
                outside.opening.remove(&conn);
                outside.idle.insert(conn);
                self.tell(worker, Event::Opened { conn });
            }
            Next::Closed(conn) => {
                outside.closing.remove(&conn);
                outside.home.remove(&conn);
                self.tell(worker, Event::Closed { conn });
            }
            Next::Returned(conn) => {
                let client = outside.busy.remove(&conn).expect("somebody had it");
                outside.idle.insert(conn);
                self.tell(worker, Event::Returned { conn, reuse: true });
                if client.0 < self.loads[worker].clients {
                    self.ask(worker, client);
                }
            }
            Next::News(cap) => self.tell(worker, Event::News { cap }),
        }
    }

    fn ask(&mut self, worker: usize, client: ClientId) {
        self.asked.insert((worker, client), self.now);
        self.workers[worker].waiting.insert(client, PoolId(0));
        self.tell(worker, Event::Request { client, pool: PoolId(0) });
    }

    fn tell(&mut self, worker: usize, event: Event) {
        let effects = self.workers[worker].handle(self.now, event, &mut self.office, worker);
        for effect in effects {
            self.obey(worker, effect);
        }
        for News { worker, cap } in std::mem::take(&mut self.office.news) {
            self.later(POST, worker, Next::News(cap));
        }
    }

    fn obey(&mut self, worker: usize, effect: Effect) {
        match effect {
            Effect::Open { conn, .. } => self.later(LOGIN, worker, Next::Opened(conn)),
            Effect::Close { conn, .. } => {
                self.closes += 1;
                self.later(GOODBYE, worker, Next::Closed(conn));
            }
            Effect::Assign { client, conn } => {
                let since = self.asked.remove(&(worker, client)).expect("it has asked");
                self.waits[worker].push(self.now - since);
                self.later(self.loads[worker].length, worker, Next::Returned(conn));
            }
            Effect::Refuse { client, why } => panic!("{client:?} refused: {why}"),
        }
    }

    fn later(&mut self, wait: Duration, worker: usize, next: Next) {
        self.order += 1;
        self.agenda.insert((self.now + wait, self.order, worker, next));
    }
}
