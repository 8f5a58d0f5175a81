//! Prepared statements by their text, so that clients who prepare the same share one name on a
//! server; and which of them one server connection holds. It never sees a reply.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::rc::{Rc, Weak};

use crate::lexer::{Does, Look};

/// A named statement as servers know it.
#[derive(Debug)]
pub struct Statement {
    pub id: u64,
    /// Its name on servers: `pw_` and the id.
    pub name: Box<[u8]>,
    /// The Parse message's body behind the name: text and parameter types.
    pub body: Box<[u8]>,
    /// Of the scope in which its text was read.
    pub settings: Box<str>,
    pub look: Look,
    /// Counts the changes of what it takes and gives, as far as some server has shown them.
    pub generation: Cell<u32>,
    /// What it takes and gives.
    pub shape: Cell<Shape>,
}

/// What a statement takes and gives: a hash over the types of its parameters, and names and types of
/// its columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    #[default]
    Unknown,
    /// Neither parameters nor columns: it cannot change.
    Nothing,
    Of(u64),
}

impl Statement {
    /// Notes what it takes and gives on a server that prepared it just now; a change begins another
    /// generation. Answers whether it did.
    pub fn note_shape(&self, shape: Shape) -> bool {
        let before = self.shape.replace(shape);
        let changed = before != Shape::Unknown && before != shape;
        if changed {
            self.generation.set(self.generation.get() + 1);
        }
        changed
    }

    /// A server has refused to run it as it was prepared there.
    pub fn outdate(&self) {
        self.generation.set(self.generation.get() + 1);
        self.shape.set(Shape::Unknown);
    }
}

/// What one client's name stands for.
#[derive(Clone, Debug)]
pub struct Named {
    pub statement: Rc<Statement>,
    /// The statement's generation when the client prepared it, or used it first.
    generation: u32,
    /// The client has used it, and so may know what it takes and gives.
    pub told: bool,
    /// It names another statement.
    pub by_name: Option<Rc<ByName>>,
}

/// What a statement does with another, which its text names.
#[derive(Debug)]
pub struct ByName {
    pub does: Does,
    /// The client's name for the other.
    pub name: Box<[u8]>,
    /// What it stood for when this statement was parsed; `None`: nothing of the protocol's.
    pub statement: Option<Rc<Statement>>,
}

impl Named {
    pub fn new(statement: &Rc<Statement>, by_name: Option<Rc<ByName>>) -> Named {
        let generation = statement.generation.get();
        Named { statement: Rc::clone(statement), generation, told: false, by_name }
    }

    /// Takes the statement as it is now.
    pub fn renew(&mut self) {
        self.generation = self.statement.generation.get();
    }

    /// The statement has changed since the client was told what it takes and gives. A client that
    /// was not told takes it as it is now.
    pub fn has_changed(&mut self) -> bool {
        let outdated = self.generation != self.statement.generation.get();
        if outdated && !self.told {
            self.renew();
        }
        outdated && self.told
    }
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
            settings: scope.settings.clone(),
            look: look(),
            generation: Cell::default(),
            shape: Cell::default(),
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

/// What the statements of one server connection may weigh together, in bytes of their messages.
const HELD_LIMIT: usize = 16 * 1024 * 1024;

/// The statements that one server connection holds, at most `max` and 16 MiB, the
/// least recently used evicted. As long as one holds a statement, clients who prepare its text anew
/// get the same.
#[derive(Debug)]
pub struct Held {
    max: usize,
    used: BTreeMap<u64, Use>,
    weight: usize,
    clock: u64,
}

/// A statement that a server holds.
#[derive(Debug)]
pub struct Use {
    pub statement: Rc<Statement>,
    /// The statement's generation when the server prepared it.
    generation: u32,
    last: u64,
}

impl Held {
    pub fn new(max: usize) -> Held {
        Held { max: max.max(1), used: BTreeMap::new(), weight: 0, clock: 0 }
    }

    /// Whether the statement is there as it is now; if so, it counts as used now.
    pub fn touch(&mut self, statement: &Statement) -> bool {
        self.clock += 1;
        match self.used.get_mut(&statement.id) {
            Some(held) if held.generation == statement.generation.get() => {
                held.last = self.clock;
                true
            }
            _ => false,
        }
    }

    /// None may be there, or of use: each is prepared anew when it is needed next.
    pub fn spoil(&mut self) {
        for held in self.used.values_mut() {
            held.generation = held.generation.wrapping_sub(1);
        }
    }

    /// Whether it is there as it was before a change that is known.
    pub fn is_stale(&self, statement: &Statement) -> bool {
        let held = self.used.get(&statement.id);
        held.is_some_and(|held| held.generation != statement.generation.get())
    }

    pub fn get(&self, id: u64) -> Option<&Rc<Statement>> {
        self.used.get(&id).map(|held| &held.statement)
    }

    /// Takes a statement in; answers those to close first: as it was, and what there is no room for.
    pub fn insert(&mut self, statement: &Rc<Statement>) -> Vec<Use> {
        let mut closed: Vec<Use> = self.remove(statement.id).into_iter().collect();
        let weight = statement.body.len();
        while self.used.len() >= self.max || self.weight + weight > HELD_LIMIT {
            let Some(oldest) = self.oldest().and_then(|id| self.remove(id)) else { break };
            closed.push(oldest);
        }
        self.clock += 1;
        let generation = statement.generation.get();
        self.add(Use { statement: Rc::clone(statement), generation, last: self.clock });
        closed
    }

    fn oldest(&self) -> Option<u64> {
        self.used.iter().min_by_key(|(_, held)| held.last).map(|(id, _)| *id)
    }

    fn add(&mut self, held: Use) {
        self.weight += held.statement.body.len();
        if let Some(before) = self.used.insert(held.statement.id, held) {
            self.weight -= before.statement.body.len();
        }
    }

    /// Takes back an eviction that did not happen.
    pub fn restore(&mut self, evicted: Use) {
        self.add(Use { last: 0, ..evicted });
    }

    /// What the server holds of it is the statement as it is now.
    pub fn renew(&mut self, statement: &Statement) {
        if let Some(held) = self.used.get_mut(&statement.id) {
            held.generation = statement.generation.get();
        }
    }

    pub fn remove(&mut self, id: u64) -> Option<Use> {
        let removed = self.used.remove(&id)?;
        self.weight -= removed.statement.body.len();
        Some(removed)
    }

    pub fn clear(&mut self) {
        self.used.clear();
        self.weight = 0;
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
