//! What the workers share about server connections: one number for each name, one clock, and the
//! bank that lends slots. Locked when a connection is opened or closed, or a client waits in vain;
//! never for a transaction that finds a connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use poolwright_pool::{Bank, Cap, DatabaseId, Lender, News, ServerId, Statement, Word};
use poolwright_settings::{Database, Settings};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use crate::worker::Message;

/// One for the process.
pub struct Treasury {
    state: Mutex<State>,
    workers: Vec<UnboundedSender<Message>>,
    /// Where the clocks of all workers begin.
    pub origin: Instant,
}

struct State {
    bank: Bank,
    servers: HashMap<String, ServerId>,
    databases: HashMap<Place, DatabaseId>,
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
    pub fn new(workers: Vec<UnboundedSender<Message>>) -> Arc<Treasury> {
        let bank = Bank::new(workers.len());
        let state = State { bank, servers: HashMap::new(), databases: HashMap::new() };
        Arc::new(Treasury { state: Mutex::new(state), workers, origin: Instant::now() })
    }

    /// Takes over the caps of the settings: those of all servers, and of the databases that have
    /// been asked for.
    pub fn follow(&self, settings: &Settings) {
        let mut news = Vec::new();
        let mut state = self.lock();
        for server in &settings.servers {
            let cap = Cap::Server(state.server(&server.name));
            state.bank.set_max(cap, server.max_connections, &mut news);
        }
        for database in settings.databases.values() {
            if let Some(id) = state.databases.get(&Place::of(database, settings)).copied() {
                state.bank.set_max(Cap::Database(id), database.max_connections, &mut news);
            }
        }
        drop(state);
        self.spread(news);
    }

    /// Has the database's cap set before anybody asks for a slot.
    pub fn open(&self, database: &Database, settings: &Settings) {
        let place = Place::of(database, settings);
        let mut state = self.lock();
        if !state.databases.contains_key(&place) {
            let id = state.database(place);
            drop(state);
            self.set_cap(Cap::Database(id), database.max_connections);
        }
    }

    pub fn set_cap(&self, cap: Cap, max: u32) {
        let mut news = Vec::new();
        self.lock().bank.set_max(cap, max, &mut news);
        self.spread(news);
    }

    pub fn server_id(&self, name: &str) -> ServerId {
        self.lock().server(name)
    }

    pub fn database_id(&self, database: &Database, settings: &Settings) -> DatabaseId {
        self.lock().database(Place::of(database, settings))
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
        let statement = self.treasury.lock().bank.tell(self.worker, cap, word, &mut news);
        self.treasury.spread(news);
        statement
    }
}
