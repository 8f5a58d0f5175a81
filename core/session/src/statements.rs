//! Prepared statements by their text, so that clients who prepare the same share one name on a
//! server; and which of them one server connection holds. It never sees a reply.

use std::collections::HashMap;
use std::rc::{Rc, Weak};

use crate::lexer::Look;

/// A named statement as servers know it.
#[derive(Debug)]
pub struct Statement {
    pub id: u64,
    /// Its name on servers: `pw_` and the id.
    pub name: Box<[u8]>,
    /// The Parse message's body behind the name: text and parameter types.
    pub body: Box<[u8]>,
    pub look: Look,
}

/// The name of no statement: ids begin at 1.
pub const NO_STATEMENT: &[u8] = b"pw_";

/// Where a text means one thing (invariant I10): the pool, and what the client has set that decides
/// how names and literals are read: search_path, DateStyle, TimeZone, client_encoding, …
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    pub pool: u32,
    /// [`crate::parameters::Wanted::meaning`]
    pub settings: Box<str>,
}

/// All statements that some client holds, by scope and text.
#[derive(Default)]
pub struct Statements {
    known: HashMap<(Scope, Box<[u8]>), Weak<Statement>>,
    last_id: u64,
    last_unnamed: u64,
    sweep_at: usize,
}

impl Statements {
    /// The statement for this body: an existing one, or a new one whose text `look` looks at.
    pub fn intern(
        &mut self,
        scope: &Scope,
        body: &[u8],
        look: impl FnOnce() -> Look,
    ) -> Rc<Statement> {
        let key = (scope.clone(), Box::from(body));
        if let Some(statement) = self.known.get(&key).and_then(Weak::upgrade) {
            return statement;
        }
        self.sweep();
        self.last_id += 1;
        let statement = Rc::new(Statement {
            id: self.last_id,
            name: format!("pw_{}", self.last_id).into_bytes().into(),
            body: body.into(),
            look: look(),
        });
        self.known.insert(key, Rc::downgrade(&statement));
        statement
    }

    /// A number for an unnamed statement, never 0.
    pub fn next_unnamed(&mut self) -> u64 {
        self.last_unnamed += 1;
        self.last_unnamed
    }

    /// Forgets statements that no client holds, once the map has doubled.
    fn sweep(&mut self) {
        if self.known.len() >= self.sweep_at {
            self.known.retain(|_, statement| statement.strong_count() > 0);
            self.sweep_at = (2 * self.known.len()).max(1024);
        }
    }
}

/// The statements that one server connection holds, at most `max`, the least recently used evicted.
/// As long as one holds a statement, clients who prepare its text anew get the same.
#[derive(Debug)]
pub struct Held {
    max: usize,
    used: HashMap<u64, Use>,
    clock: u64,
}

#[derive(Debug)]
struct Use {
    statement: Rc<Statement>,
    last: u64,
}

impl Held {
    pub fn new(max: usize) -> Held {
        Held { max: max.max(1), used: HashMap::new(), clock: 0 }
    }

    /// Whether the statement is there; if so, it counts as used now.
    pub fn touch(&mut self, id: u64) -> bool {
        self.clock += 1;
        let clock = self.clock;
        self.used.get_mut(&id).map(|held| held.last = clock).is_some()
    }

    /// Takes a statement in; answers the one to evict first, if it is full.
    pub fn insert(&mut self, statement: &Rc<Statement>) -> Option<Rc<Statement>> {
        let evicted = if self.used.len() >= self.max { self.oldest() } else { None };
        self.clock += 1;
        let held = Use { statement: Rc::clone(statement), last: self.clock };
        self.used.insert(statement.id, held);
        evicted.and_then(|id| self.used.remove(&id)).map(|held| held.statement)
    }

    fn oldest(&self) -> Option<u64> {
        self.used.iter().min_by_key(|(_, held)| held.last).map(|(id, _)| *id)
    }

    /// Takes back an eviction that did not happen.
    pub fn restore(&mut self, statement: Rc<Statement>) {
        self.used.insert(statement.id, Use { statement, last: 0 });
    }

    pub fn remove(&mut self, id: u64) {
        self.used.remove(&id);
    }

    pub fn clear(&mut self) {
        self.used.clear();
    }

    pub fn ids(&self) -> impl Iterator<Item = u64> {
        self.used.keys().copied()
    }

    pub fn max(&self) -> usize {
        self.max
    }

    pub fn len(&self) -> usize {
        self.used.len()
    }

    pub fn is_empty(&self) -> bool {
        self.used.is_empty()
    }
}
