//! One (database, user) as the rim knows it: its pool, its counts, and what servers have said about
//! settings, so that a login need not ask again.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use poolwright_pool::PoolId;
use poolwright_session::parameters::{Current, Wanted};
use poolwright_settings::{Patience, PoolMode, PoolSettings};
use poolwright_wire::write;

use crate::homes::Part;
use crate::metrics::DatabaseCounts;

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
    mode: Cell<PoolMode>,
    pub patience: Cell<Patience>,
    /// One of the limits to what a client does with a server connection is set.
    hurried: Cell<bool>,
    /// How long a client may be queued before it is told.
    pub query_wait_notify: Cell<Option<Duration>>,
    /// ParameterStatus of a fresh server connection.
    base: RefCell<Option<BTreeMap<String, String>>>,
    /// By wanted name and value.
    answers: RefCell<HashMap<(String, String), Known>>,
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
            mode: Cell::new(pool_settings.mode),
            patience: Cell::default(),
            hurried: Cell::new(false),
            query_wait_notify: Cell::new(None),
            base: RefCell::default(),
            answers: RefCell::default(),
        };
        tenant.follow(pool_settings);
        tenant
    }

    /// Session mode: a client keeps its server connection between transactions.
    pub fn keeps_connection(&self) -> bool {
        self.mode.get() == PoolMode::Session
    }

    /// Statement mode: no transaction outlives a request.
    pub fn is_by_statement(&self) -> bool {
        self.mode.get() == PoolMode::Statement
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
        self.mode.set(pool.mode);
        self.patience.set(pool.patience);
        self.query_wait_notify.set(pool.query_wait_notify);
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

    /// Tells a client with these settings what a server with them would report; `None`, and nothing
    /// is written, if a server must be asked.
    pub fn report(&self, wanted: &Wanted, out: &mut Vec<u8>) -> Option<()> {
        let base = self.base.borrow();
        let base = base.as_ref()?;
        let mut own = Vec::new();
        for (name, value) in wanted.iter() {
            if let Known::Reported(name, value) = self.known(name, value)? {
                own.push((name, value));
            }
        }
        let replaced = |name: &String| own.iter().any(|(other, _)| other == name);
        let kept = base.iter().filter(|(name, _)| !replaced(name));
        for (name, value) in kept.chain(own.iter().map(|(name, value)| (name, value))) {
            write::parameter_status(out, name.as_bytes(), value.as_bytes());
        }
        Some(())
    }

    /// Learns from a server that has the wanted settings applied.
    pub fn learn(&self, current: &Current, wanted: &Wanted) {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let base: BTreeMap<_, _> = current.base().map(owned).collect();
        let reported: BTreeMap<_, _> = current.reported().map(owned).collect();
        let mut answers = self.answers.borrow_mut();
        let mut known_base = self.base.borrow_mut();
        if known_base.as_ref() != Some(&base) || answers.len() > ANSWERS_LIMIT {
            answers.clear();
        }
        for (name, value) in wanted.iter() {
            let found = reported.iter().find(|(spelled, _)| spelled.eq_ignore_ascii_case(name));
            let known = match found {
                None => Known::Silent,
                Some((spelled, value)) if base.get(spelled) == Some(value) => Known::Default,
                Some((spelled, value)) => Known::Reported(spelled.clone(), value.clone()),
            };
            answers.insert((name.to_owned(), value.to_owned()), known);
        }
        *known_base = Some(base);
    }

    /// Forgets what servers said: the settings point elsewhere now.
    pub fn forget_answers(&self) {
        self.base.replace(None);
        self.answers.borrow_mut().clear();
    }
}
