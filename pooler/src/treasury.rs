//! What the workers share about server connections: one number for each name, one clock, the bank
//! that lends slots, what the operator granted, which backends there are, and what is left of earlier
//! processes and lost connections. Locked when a connection is opened or closed, or a client waits in vain; never for a
//! transaction that finds a connection.

mod left;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use poolwright_pool::{Bank, Cap, DatabaseId, Lender, News, ServerId, Statement, UserId, Word};
use poolwright_settings::control::Grants;
use poolwright_settings::{Database, Server, Settings};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use crate::config::Config;
use crate::journal::{Entry, Journal};
use crate::worker::Message;
use left::Left;
pub use left::Look;

/// Of a user whose limit is gone.
const UNLIMITED: u32 = 1_000_000;

/// One for the process.
pub struct Treasury {
    state: Mutex<State>,
    workers: Vec<UnboundedSender<Message>>,
    left_open: AtomicBool,
    /// Who looks for backends of which nobody knows whether they live.
    searcher: OnceLock<UnboundedSender<Entry>>,
    pub journal: Arc<Journal>,
    /// Where the clocks of all workers begin.
    pub origin: Instant,
}

struct State {
    bank: Bank,
    servers: HashMap<String, ServerId>,
    databases: HashMap<Place, DatabaseId>,
    /// Those whose connections are counted, since the settings limited them once.
    users: HashMap<String, UserId>,
    granted: Option<Grants>,
    /// What the process may have open, whoever opened it.
    maxima: HashMap<ServerId, u32>,
    /// Host and port, as the settings had them last.
    addresses: HashMap<ServerId, (String, u16)>,
    /// Servers that have another name now: what is open to them counts there.
    renamed: HashMap<ServerId, ServerId>,
    left: HashMap<ServerId, Left>,
    backends: BTreeSet<(ServerId, i32)>,
    troubles: HashMap<ServerId, String>,
}

/// A database is another one where it is elsewhere.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Place {
    name: String,
    server: String,
    dbname: String,
}

impl Place {
    fn of(database: &Database, settings: &Settings) -> Place {
        let server = settings.servers[database.server].name.clone();
        Place { name: database.name.clone(), server, dbname: database.dbname.clone() }
    }
}

impl Treasury {
    pub fn new(workers: Vec<UnboundedSender<Message>>, journal: Arc<Journal>) -> Arc<Treasury> {
        let state = State {
            bank: Bank::new(workers.len()),
            servers: HashMap::new(),
            databases: HashMap::new(),
            users: HashMap::new(),
            granted: None,
            maxima: HashMap::new(),
            addresses: HashMap::new(),
            renamed: HashMap::new(),
            left: HashMap::new(),
            backends: BTreeSet::new(),
            troubles: HashMap::new(),
        };
        Arc::new(Treasury {
            state: Mutex::new(state),
            workers,
            left_open: AtomicBool::new(false),
            searcher: OnceLock::new(),
            journal,
            origin: Instant::now(),
        })
    }

    /// Takes over the caps of the settings: those of all servers, and of the databases that have
    /// been asked for.
    pub fn follow(&self, config: &Config) {
        let mut news = Vec::new();
        self.lock().follow(config, &mut news);
        self.spread(news);
    }

    /// Takes over what the operator granted; false if it is of an earlier epoch than what holds.
    pub fn grant(&self, grants: Grants, config: &Config) -> bool {
        let mut news = Vec::new();
        let mut state = self.lock();
        let is_late = state.granted.as_ref().is_some_and(|it| grants.epoch < it.epoch);
        if !is_late {
            state.granted = Some(grants);
            state.follow(config, &mut news);
        }
        drop(state);
        self.spread(news);
        !is_late
    }

    /// The epoch of what was granted last; 0: nothing was.
    pub fn epoch(&self) -> u64 {
        self.lock().granted.as_ref().map_or(0, |it| it.epoch)
    }

    /// How many connections to a server the process may have, and how many there are, with those that
    /// earlier processes left and those that TCP gave up.
    pub fn counts(&self, server: &str) -> (u32, u32) {
        let mut state = self.lock();
        let id = state.server(server);
        state.counts(id)
    }

    /// The process ids of the backends of this process's connections to a server.
    pub fn backends(&self, server: &str) -> Vec<i32> {
        let mut state = self.lock();
        let id = state.server(server);
        state.backends.iter().filter(|it| it.0 == id).map(|it| it.1).collect()
    }

    /// Why the last try to connect found no server that takes logins.
    pub fn trouble(&self, server: &str) -> Option<String> {
        let mut state = self.lock();
        let id = state.server(server);
        state.troubles.get(&id).cloned()
    }

    /// What became of a try to connect.
    pub fn note_trouble(&self, server: ServerId, trouble: Option<String>) {
        let mut state = self.lock();
        match trouble {
            Some(trouble) => drop(state.troubles.insert(server, trouble)),
            None => drop(state.troubles.remove(&server)),
        }
    }

    /// Notes a login before it begins, for whoever comes after this process.
    pub fn begin(&self, server: ServerId, database: &str, user: &str) -> Entry {
        let state = self.lock();
        let name = state.servers.iter().find(|(_, id)| **id == server);
        let name = name.map(|(name, _)| name.clone()).unwrap_or_default();
        drop(state);
        self.journal.begin(&name, database, user)
    }

    /// Has the backend of a connection in the list until its end.
    pub fn list(self: &Arc<Treasury>, server: ServerId, process_id: i32, entry: Entry) -> Listed {
        self.lock().backends.insert((server, process_id));
        let backend = Some((server, process_id));
        Listed { treasury: Arc::clone(self), backend, entry: Some(entry) }
    }

    /// Where to send what was lost from now on.
    pub fn search_by(&self, searcher: UnboundedSender<Entry>) {
        let _ = self.searcher.set(searcher);
    }

    /// A worker ends, and the server has not confirmed the end of all its connections.
    pub fn leave_open(&self) {
        self.left_open.store(true, Ordering::Relaxed);
    }

    /// Nobody can say of all connections of this process, and of earlier ones, that they are closed.
    pub fn has_left_open(&self) -> bool {
        self.left_open.load(Ordering::Relaxed) || self.lock().has_left()
    }

    /// The number of a database, whose cap is set before anybody asks for a slot.
    pub fn open(&self, database: &Database, config: &Config) -> DatabaseId {
        let place = Place::of(database, config);
        let mut state = self.lock();
        let is_new = !state.databases.contains_key(&place);
        let id = state.database(place);
        if is_new {
            let max = state.database_cap(database, config);
            drop(state);
            self.set_cap(Cap::Database(id), max);
        }
        id
    }

    /// The number of a user whose connections are limited, or were before. A new one's limit is set;
    /// [`Treasury::follow`] keeps it up to date.
    pub fn limited_user(&self, user: &str, settings: &Settings) -> Option<UserId> {
        let mut news = Vec::new();
        let mut state = self.lock();
        if let Some(known) = state.users.get(user) {
            return Some(*known);
        }
        let max = settings.user_connections(user)?;
        let id = UserId(state.users.len() as u32);
        state.users.insert(user.to_owned(), id);
        state.bank.set_max(Cap::User(id), max, &mut news);
        drop(state);
        self.spread(news);
        Some(id)
    }

    pub fn set_cap(&self, cap: Cap, max: u32) {
        let mut news = Vec::new();
        self.lock().bank.set_max(cap, max, &mut news);
        self.spread(news);
    }

    pub fn server_id(&self, name: &str) -> ServerId {
        self.lock().server(name)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spread(&self, news: Vec<News>) {
        for News { worker, cap } in news {
            // A worker that has ended reads no news.
            let _ = self.workers[worker].send(Message::News(cap));
        }
    }
}

impl State {
    fn follow(&mut self, config: &Config, news: &mut Vec<News>) {
        for server in &config.servers {
            let id = self.server(&server.name);
            self.maxima.insert(id, self.server_cap(server));
            self.addresses.insert(id, (server.host.clone(), server.port));
        }
        self.find_renamed(config);
        for id in self.maxima.keys().copied().collect::<Vec<_>>() {
            self.tune(id, news);
        }
        for (user, id) in &self.users {
            let max = config.user_connections(user).unwrap_or(UNLIMITED);
            self.bank.set_max(Cap::User(*id), max, news);
        }
        for (place, id) in self.databases.clone() {
            let Some(database) = config.database(&place.name) else { continue };
            if Place::of(&database, config) == place {
                let max = self.database_cap(&database, config);
                self.bank.set_max(Cap::Database(id), max, news);
            }
        }
    }

    fn find_renamed(&mut self, config: &Config) {
        self.renamed.clear();
        let is_listed = |name: &str| config.servers.iter().any(|it| it.name == name);
        let (listed, lost): (Vec<_>, Vec<_>) =
            self.servers.iter().partition(|(name, _)| is_listed(name));
        for (_, old) in lost {
            let address = self.addresses.get(old);
            let now = listed.iter().find(|(_, id)| self.addresses.get(id) == address);
            if let (Some(_), Some((_, now))) = (address, now) {
                self.renamed.insert(*old, **now);
                self.maxima.insert(*old, 0);
            }
        }
    }

    fn granted(&self, server: &Server) -> Option<u32> {
        self.granted.as_ref()?.servers.get(&server.name).copied()
    }

    fn server_cap(&self, server: &Server) -> u32 {
        self.granted(server).unwrap_or(server.max_connections)
    }

    /// A database's part of its server's grant: as large as its part of what all poolers may hold
    /// together, or else of what the settings give to this one.
    fn database_cap(&self, database: &Database, config: &Config) -> u32 {
        let server = &config.servers[database.server];
        let Some(granted) = self.granted(server) else { return database.max_connections };
        let totals = &config.totals;
        let of_all =
            || Some((totals.databases.get(&database.name)?, totals.servers.get(&server.name)?));
        let (part, whole) =
            of_all().unwrap_or((&database.max_connections, &server.max_connections));
        let cap = u64::from(*part) * u64::from(granted) / u64::from(*whole).max(1);
        u32::try_from(cap).unwrap_or(granted).clamp(1, granted.max(1))
    }

    fn server(&mut self, name: &str) -> ServerId {
        let next = ServerId(self.servers.len() as u32);
        *self.servers.entry(name.to_owned()).or_insert(next)
    }

    fn database(&mut self, place: Place) -> DatabaseId {
        let next = DatabaseId(self.databases.len() as u32);
        *self.databases.entry(place).or_insert(next)
    }
}

/// One worker's way to the bank.
pub struct Teller {
    pub treasury: Arc<Treasury>,
    pub worker: usize,
}

impl Lender for Teller {
    fn tell(&mut self, cap: Cap, word: Word) -> Statement {
        let mut news = Vec::new();
        let mut state = self.treasury.lock();
        let statement = state.bank.tell(self.worker, cap, word, &mut news);
        if let Cap::Server(server) = cap
            && let Some(now) = state.renamed.get(&server).copied()
        {
            state.tune(now, &mut news);
        }
        drop(state);
        self.treasury.spread(news);
        statement
    }
}

/// A backend's place in the list and in the journal.
pub struct Listed {
    treasury: Arc<Treasury>,
    backend: Option<(ServerId, i32)>,
    entry: Option<Entry>,
}

impl Listed {
    /// The server has ended the connection.
    pub fn end(mut self) {
        if let Some(mut entry) = self.entry.take() {
            entry.end();
        }
    }

    /// Nobody answers, and the backend may live: it counts from now on, before its slot is free, until
    /// it is seen to be gone.
    pub fn lose(mut self) {
        let (backend, entry) = (self.unlist(), self.entry.take());
        let searcher = self.treasury.searcher.get();
        if let (Some((server, process_id)), Some(entry), Some(searcher)) =
            (backend, entry, searcher)
        {
            self.treasury.inherit(server, Some(process_id));
            // Nobody looks any more when the process ends.
            let _ = searcher.send(entry);
        }
    }

    fn unlist(&mut self) -> Option<(ServerId, i32)> {
        let backend = self.backend.take()?;
        self.treasury.lock().backends.remove(&backend);
        Some(backend)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.unlist();
    }
}
