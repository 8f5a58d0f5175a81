//! One (database, user) as the rim knows it: its pool, its counts, and what servers have said about
//! settings, so that a login need not ask again.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use poolwright_pool::PoolId;
use poolwright_session::Session;
use poolwright_session::lexer::Harmless;
use poolwright_session::parameters::{Base, Current, Wanted};
use poolwright_settings::{Isolation, Patience, Pinning, PoolMode, PoolSettings, Sequences};
use poolwright_wire::write;
use tokio::sync::Notify;

use crate::conn::ServerConn;
use crate::homes::Part;
use crate::metrics::{DatabaseCounts, Level};

/// Answers kept for one tenant; past it, all are asked anew.
const ANSWERS_LIMIT: usize = 256;

pub struct Tenant {
    /// The name in the settings.
    pub database: Rc<str>,
    pub user: Box<str>,
    pub pool: PoolId,
    /// This worker's part in the database.
    pub part: Part,
    pub counts: Rc<DatabaseCounts>,
    /// The settings do not have it any more.
    pub is_gone: Cell<bool>,
    rules: Cell<Rules>,
    pub pinned: Rc<Pinned>,
    pub patience: Cell<Patience>,
    /// One of the limits to what a client does with a server connection is set.
    hurried: Cell<bool>,
    /// How long a client waits for a server connection.
    pub wait_timeout: Cell<Option<Duration>>,
    /// How long a client may be queued before it is told.
    pub query_wait_notify: Cell<Option<Duration>>,
    /// Functions that leave a session as it is, as the settings say today.
    pub harmless: Rc<Harmless>,
    /// What the youngest server connection has reported, and its number.
    base: RefCell<Option<(u64, Base)>>,
    /// By wanted name and value.
    answers: RefCell<HashMap<(String, String), Known>>,
}

/// Clients of one pool that are pinned. Those whom a database gives one user share a pool.
#[derive(Default)]
pub struct Pinned {
    clients: Level,
    one_less: Notify,
}

impl Pinned {
    /// Until fewer than `max` are pinned.
    pub async fn room(&self, max: u32) {
        while self.clients.get() >= u64::from(max) {
            self.one_less.notified().await;
        }
    }

    pub fn rise(&self) {
        self.clients.rise();
    }

    pub fn fall(&self) {
        self.clients.fall();
        self.one_less.notify_one();
    }
}

/// How long clients keep a server connection, as the settings say today.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub keep: Keep,
    /// No transaction outlives a request.
    pub by_statement: bool,
    /// Currval and lastval are served, and who may have called nextval is pinned.
    pub pins_sequences: bool,
    /// Each change of client costs a DISCARD ALL.
    pub strict: bool,
    /// Clients that may be pinned at once, 1 or more.
    pub max_pinned: u32,
    /// How long a pinned client may be idle.
    pub pin_timeout: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The whole session.
    Session,
    /// The transaction, and as long as the session has state that cannot follow the client.
    Pinned,
    /// The transaction; what would pin is an error.
    Refused,
    /// The transaction; session state is lost.
    Transaction,
}

impl Rules {
    pub fn new(pool: &PoolSettings, part: Part) -> Rules {
        let keep = match (pool.mode, pool.pinning) {
            (PoolMode::Session, _) => Keep::Session,
            (_, Pinning::Pin) => Keep::Pinned,
            (_, Pinning::Error) => Keep::Refused,
            (_, Pinning::Off) => Keep::Transaction,
        };
        let size = part.of(pool.size);
        let transaction = pool.mode != PoolMode::Session;
        Rules {
            keep,
            by_statement: pool.mode == PoolMode::Statement,
            pins_sequences: transaction && pool.sequences == Sequences::Pin,
            strict: pool.isolation == Isolation::Strict,
            max_pinned: size.saturating_sub(1).max(1),
            pin_timeout: pool.pin_timeout.filter(|_| transaction && size <= 1),
        }
    }

    /// The server is asked about its session before the connection goes on.
    pub fn tracks(&self) -> bool {
        matches!(self.keep, Keep::Pinned | Keep::Refused)
    }
}

/// What a server makes of a wanted setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// It is the server's own setting already.
    Default,
    /// It is accepted, and not reported.
    Silent,
    /// It is accepted, and reported so: name, value.
    Reported(String, String),
}

impl Tenant {
    pub fn new(
        database: Rc<str>,
        user: Box<str>,
        pool: PoolId,
        pinned: Rc<Pinned>,
        part: Part,
        counts: Rc<DatabaseCounts>,
        pool_settings: &PoolSettings,
    ) -> Tenant {
        let tenant = Tenant {
            database,
            user,
            pool,
            part,
            counts,
            is_gone: Cell::new(false),
            rules: Cell::new(Rules::new(pool_settings, part)),
            pinned,
            patience: Cell::default(),
            hurried: Cell::new(false),
            wait_timeout: Cell::new(None),
            query_wait_notify: Cell::new(None),
            harmless: Rc::default(),
            base: RefCell::default(),
            answers: RefCell::default(),
        };
        tenant.follow(pool_settings);
        tenant
    }

    /// Adds what the session has done since the last time.
    pub fn count(&self, session: &mut Session) {
        let done = std::mem::take(&mut session.counts);
        self.counts.queries.add(done.queries);
        self.counts.transactions.add(done.transactions);
    }

    /// How long its clients keep a server connection.
    pub fn rules(&self) -> Rules {
        self.rules.get()
    }

    /// Whether a client with a server connection is to be watched.
    pub fn is_hurried(&self) -> bool {
        self.hurried.get()
    }

    /// Takes over what the settings say today.
    pub fn follow(&self, pool: &PoolSettings) {
        let Patience { query, idle_transaction, transaction, client_idle } = pool.patience;
        let idle = client_idle.filter(|_| pool.mode == PoolMode::Session);
        let limits = [query, idle_transaction, transaction, idle];
        self.hurried.set(limits.iter().any(Option::is_some));
        self.rules.set(Rules::new(pool, self.part));
        self.patience.set(pool.patience);
        self.wait_timeout.set(pool.wait_timeout);
        self.query_wait_notify.set(pool.query_wait_notify);
        self.harmless.set(&pool.harmless_functions);
    }

    /// What the servers made of this setting before.
    pub fn known(&self, name: &str, value: &str) -> Option<Known> {
        let key = (name.to_owned(), value.to_owned());
        if let Some(known) = self.answers.borrow().get(&key) {
            return Some(known.clone());
        }
        let plain = value.len() < 64 && value.bytes().all(|b| (0x20..0x7f).contains(&b));
        (name == "application_name" && plain)
            .then(|| Known::Reported("application_name".to_owned(), value.to_owned()))
    }

    /// Tells a client with these settings what a server with them would report, and answers what one
    /// would without them; `None`, and nothing is written, if a server must be asked.
    pub fn report(&self, wanted: &Wanted, out: &mut Vec<u8>) -> Option<Base> {
        let base = self.base.borrow();
        let (_, base) = base.as_ref()?;
        let mut own = Vec::new();
        for (name, value) in wanted.iter() {
            if let Known::Reported(name, value) = self.known(name, value)? {
                own.push((name, value));
            }
        }
        let replaced = |name: &str| own.iter().any(|(other, _)| other == name);
        let kept = base.iter().filter(|(name, _)| !replaced(name));
        for (name, value) in kept {
            write::parameter_status(out, name.as_bytes(), value.as_bytes());
        }
        for (name, value) in &own {
            write::parameter_status(out, name.as_bytes(), value.as_bytes());
        }
        Some(Rc::clone(base))
    }

    /// Learns what sessions begin with now, if no younger connection has told.
    pub fn learn_base(&self, conn: &ServerConn) {
        let base = conn.model.parameters().base();
        let mut known = self.base.borrow_mut();
        let is_late = known.as_ref().is_some_and(|(number, _)| conn.number < *number);
        let is_known = known.as_ref().is_some_and(|(_, known)| known == base);
        if !is_late && !is_known {
            self.answers.borrow_mut().clear();
            *known = Some((conn.number, Rc::clone(base)));
        }
    }

    /// Learns from a server that has the wanted settings applied.
    pub fn learn(&self, current: &Current, wanted: &Wanted) {
        let mut answers = self.answers.borrow_mut();
        if answers.len() > ANSWERS_LIMIT {
            answers.clear();
        }
        for (name, value) in wanted.iter() {
            let mut reported = current.reported();
            let found = reported.find(|(spelled, _)| spelled.eq_ignore_ascii_case(name));
            let known = match found {
                None => Known::Silent,
                Some((spelled, value)) if current.is_base(spelled, value) => Known::Default,
                Some((spelled, value)) => Known::Reported(spelled.to_owned(), value.to_owned()),
            };
            answers.insert((name.to_owned(), value.to_owned()), known);
        }
    }

    /// Forgets what servers said: the settings point elsewhere now.
    pub fn forget_answers(&self) {
        self.base.replace(None);
        self.answers.borrow_mut().clear();
    }
}
