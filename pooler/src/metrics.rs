//! What the process counts. One thread counts in plain cells; a scrape copies them.
//! Never labels by anything that a client chooses: databases are those of the settings, reasons
//! and states are constants of the code.

mod snapshot;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use poolwright_session::Pins;

pub use snapshot::Snapshot;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Count(Cell<u64>);

impl Count {
    pub fn add(&self, more: u64) {
        self.0.set(self.0.get() + more);
    }

    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// A number of things that there are now.
#[derive(Debug, Default)]
pub struct Level(Cell<u64>);

impl Level {
    pub fn rise(&self) {
        self.0.set(self.0.get() + 1);
    }

    pub fn fall(&self) {
        self.0.set(self.0.get() - 1);
    }

    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// Time that only grows.
#[derive(Debug, Default)]
pub struct Elapsed(Cell<Duration>);

impl Elapsed {
    pub fn add(&self, more: Duration) {
        self.0.set(self.0.get() + more);
    }

    pub fn get(&self) -> Duration {
        self.0.get()
    }
}

/// What one worker counts.
#[derive(Default)]
pub struct Metrics {
    databases: RefCell<BTreeMap<String, Rc<DatabaseCounts>>>,
    server_disconnects: Reasons,
    login_failures: Reasons,
    pub settings_rejected: Count,
    pub settings_generation: Cell<Option<u64>>,
    /// Whether new clients are let in: the listening socket is open. /readyz says the same.
    pub accepting: Cell<bool>,
    source: RefCell<Option<GaugeSource>>,
}

type Reasons = RefCell<BTreeMap<&'static str, u64>>;
type GaugeSource = Box<dyn Fn(&mut Gauges)>;

/// What is counted for one database of the settings. Clients keep a handle on theirs.
#[derive(Debug, Default)]
pub struct DatabaseCounts {
    pub transactions: Count,
    pub queries: Count,
    /// Time that clients waited for a server connection.
    pub client_wait: Elapsed,
    /// Logins at the server that succeeded.
    pub server_connects: Count,
    /// Requests cut after a byte of them had been forwarded.
    pub requests_cut: Count,
    /// Clients that kept their server connection beyond the transaction, by reason, in the order
    /// of the session's labels.
    pub pins: [Count; Pins::LABELS.len()],
    /// DISCARD ALL of the pooler's own.
    pub resets: Count,
    /// Clients that are pinned.
    pub pinned: Level,
    /// Clients by where they stand.
    pub clients_active: Level,
    pub clients_waiting: Level,
    pub clients_idle: Level,
}

/// What is counted anew at each scrape, by whoever holds the lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gauges {
    /// By database and state: `active`, `waiting`, `idle`.
    pub client_connections: BTreeMap<(String, &'static str), u64>,
    /// By database: clients that are pinned.
    pub pinned_connections: BTreeMap<String, u64>,
    /// By database and state.
    pub server_connections: BTreeMap<(String, &'static str), u64>,
    /// By server: the cap.
    pub server_connections_max: BTreeMap<String, u64>,
    /// By server: those that are not for a pool.
    pub replication_connections: BTreeMap<String, u64>,
}

impl DatabaseCounts {
    /// By fixed metric label.
    fn clients(&self) -> [(&'static str, &Level); 3] {
        [
            ("active", &self.clients_active),
            ("waiting", &self.clients_waiting),
            ("idle", &self.clients_idle),
        ]
    }
}

impl Metrics {
    /// The counts of a database. `name` must be one of the settings, never a client's word.
    pub fn database(&self, name: &str) -> Rc<DatabaseCounts> {
        let mut databases = self.databases.borrow_mut();
        match databases.get(name) {
            Some(counts) => Rc::clone(counts),
            None => Rc::clone(databases.entry(name.to_owned()).or_default()),
        }
    }

    pub fn server_disconnected(&self, reason: &'static str) {
        *self.server_disconnects.borrow_mut().entry(reason).or_default() += 1;
    }

    pub fn login_failed(&self, reason: &'static str) {
        *self.login_failures.borrow_mut().entry(reason).or_default() += 1;
    }

    /// Sets who fills in the gauges at a scrape.
    pub fn gauges_from(&self, source: impl Fn(&mut Gauges) + 'static) {
        *self.source.borrow_mut() = Some(Box::new(source));
    }

    /// A copy of everything, to be sent to whoever renders it.
    pub fn snapshot(&self) -> Snapshot {
        let mut gauges = Gauges::default();
        if let Some(source) = self.source.borrow().as_ref() {
            source(&mut gauges);
        }
        for (name, counts) in &*self.databases.borrow() {
            for (state, level) in counts.clients() {
                gauges.client_connections.insert((name.clone(), state), level.get());
            }
            gauges.pinned_connections.insert(name.clone(), counts.pinned.get());
        }
        Snapshot {
            databases: self.databases.borrow().iter().map(snapshot::copy).collect(),
            server_disconnects: self.server_disconnects.borrow().clone(),
            login_failures: self.login_failures.borrow().clone(),
            settings_rejected: self.settings_rejected.get(),
            settings_generation: self.settings_generation.get(),
            accepting: self.accepting.get(),
            gauges,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
