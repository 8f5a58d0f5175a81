//! The pools of one worker: what they hold, and which rule answers which event.
//! The rules are in the files beneath; nothing here decides.

mod check;
mod counts;
mod evict;
mod failures;
mod feed;
mod lending;
mod moves;
mod retire;
mod settings;
#[cfg(test)]
mod tests;
mod ticks;
mod users;
mod waiting;

use std::collections::HashMap;
use std::time::Duration;

use crate::conns::Conns;
use crate::deadlines::Deadlines;
use crate::event::{Effect, Event};
use crate::ids::{DatabaseId, PoolId, ServerId, UserId};
use crate::lending::{Cap, Lender, Nobody};
use crate::limits::Tuning;
use crate::pool::{Database, Pool, Server, User};
use crate::queue::Places;
use crate::random::Random;

pub use counts::PoolCounts;

/// Every pool of one worker, with the caps that they share.
#[derive(Debug)]
pub struct Pools {
    tuning: Tuning,
    /// The slots of all caps are lent.
    borrows: bool,
    random: Random,
    servers: Vec<Server>,
    databases: Vec<Database>,
    users: Vec<User>,
    pools: Vec<Pool>,
    /// Per database, so that no name of one can meet a name of another.
    names: Vec<HashMap<Box<str>, PoolId>>,
    conns: Conns,
    places: Places,
    deadlines: Deadlines,
    shutting_down: bool,
    /// Pools and deadlines looked at; tests measure work by it.
    steps: u64,
}

/// One call's time and answers, handed from rule to rule.
struct Turn<'a> {
    now: Duration,
    effects: &'a mut Vec<Effect>,
    lender: &'a mut dyn Lender,
    /// A connection was opened or closed, or a client gave up: the bank should know who lacks what.
    moved: bool,
}

impl Pools {
    /// No pools yet. The seed decides the jitter and nothing else.
    pub fn new(seed: u64) -> Pools {
        Pools::with_tuning(seed, Tuning::default())
    }

    pub fn with_tuning(seed: u64, tuning: Tuning) -> Pools {
        Pools {
            tuning,
            borrows: false,
            random: Random::new(seed),
            servers: Vec::new(),
            databases: Vec::new(),
            users: Vec::new(),
            pools: Vec::new(),
            names: Vec::new(),
            conns: Conns::default(),
            places: Places::default(),
            deadlines: Deadlines::default(),
            shutting_down: false,
            steps: 0,
        }
    }

    /// The pools of one worker among several. All caps are lent by a [`crate::Bank`]: use
    /// [`Pools::handle_with`] only. The clocks of all workers are the same.
    pub fn borrowing(seed: u64, tuning: Tuning) -> Pools {
        Pools { borrows: true, ..Pools::with_tuning(seed, tuning) }
    }

    /// Takes one event and appends what is to be done. `now` is the time since
    /// the process started and never goes back. An id that is not in the state
    /// the event speaks of is a mistake of the caller: a panic in debug builds,
    /// ignored in release builds.
    pub fn handle(&mut self, now: Duration, event: Event, effects: &mut Vec<Effect>) {
        debug_assert!(!self.borrows, "the caps are lent, and nobody is there to ask");
        self.handle_with(now, event, &mut Nobody, effects);
    }

    /// The same, with the way to the bank.
    pub fn handle_with(
        &mut self,
        now: Duration,
        event: Event,
        lender: &mut dyn Lender,
        effects: &mut Vec<Effect>,
    ) {
        self.dispatch(&mut Turn { now, effects, lender, moved: false }, event);
        if cfg!(debug_assertions) {
            self.check();
        }
    }

    fn dispatch(&mut self, turn: &mut Turn, event: Event) {
        match event {
            Event::Request { client, pool } => self.request(turn, client, pool),
            Event::Abandon { client } => self.abandon(turn, client),
            Event::Opened { conn } => self.opened(turn, conn),
            Event::OpenFailed { conn, retry, reason } => {
                self.open_failed(turn, conn, retry, &reason)
            }
            Event::Returned { conn, reuse } => self.returned(turn, conn, reuse),
            Event::Closed { conn } => self.closed(turn, conn),
            Event::Lingers { conn } => self.lingers(turn, conn),
            Event::Timer => self.tick(turn),
            Event::News { cap } => self.news(turn, cap),
            Event::Reconnect { server } => self.reconnect(turn, server),
            Event::Forget { pool } => self.forget(turn, pool),
            Event::Shutdown => self.shut_down(turn),
        }
    }

    /// When the next `Event::Timer` is due; zero if it is due at once.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.first()
    }

    fn at(&self, pool: PoolId) -> &Pool {
        &self.pools[pool.0 as usize]
    }

    fn at_mut(&mut self, pool: PoolId) -> &mut Pool {
        &mut self.pools[pool.0 as usize]
    }

    fn database(&self, database: DatabaseId) -> &Database {
        &self.databases[database.0 as usize]
    }

    fn database_mut(&mut self, database: DatabaseId) -> &mut Database {
        &mut self.databases[database.0 as usize]
    }

    fn server(&self, server: ServerId) -> &Server {
        &self.servers[server.0 as usize]
    }

    fn server_mut(&mut self, server: ServerId) -> &mut Server {
        &mut self.servers[server.0 as usize]
    }

    fn server_of(&self, database: DatabaseId) -> ServerId {
        self.database(database).limits.server
    }

    fn user(&self, user: UserId) -> &User {
        &self.users[user.0 as usize]
    }

    fn user_mut(&mut self, user: UserId) -> &mut User {
        &mut self.users[user.0 as usize]
    }

    fn is_full(&self, cap: Cap) -> bool {
        match cap {
            Cap::Server(server) => self.server(server).full(),
            Cap::Database(database) => self.database(database).full(),
            Cap::User(user) => self.user(user).full(),
        }
    }

    /// The caps above a pool.
    fn caps_over(&self, pool: PoolId) -> impl DoubleEndedIterator<Item = Cap> + use<> {
        let pool = self.at(pool);
        let [server, database] = self.caps_of(pool.database);
        [Some(server), Some(database), pool.cap.map(Cap::User)].into_iter().flatten()
    }

    /// The caps above a database's pools.
    fn caps_of(&self, database: DatabaseId) -> [Cap; 2] {
        [Cap::Server(self.server_of(database)), Cap::Database(database)]
    }
}
