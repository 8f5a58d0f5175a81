//! What a server still owes for the messages it was sent, in order. A queue of values: who sends
//! and who reads is for others to say.

use std::collections::VecDeque;
use std::hash::DefaultHasher;
use std::rc::Rc;

use poolwright_wire::write;

use crate::parameters::Wanted;
use crate::statements::{Named, Statement, Use};

/// One message's replies.
#[derive(Debug)]
pub enum Reply {
    /// A simple query: everything up to ReadyForQuery. `edits`: it may drop prepared statements.
    Query {
        edits: bool,
        special: Option<Box<Special>>,
    },
    /// A function call: up to ReadyForQuery.
    Function,
    /// The end of a flight of extended messages: ReadyForQuery, for the client or for the pooler.
    /// `bare`: of none that has the server begin or go on with a transaction.
    Sync {
        edits: bool,
        injected: bool,
        bare: bool,
    },
    /// ParseComplete, for the client or for the pooler.
    Parse {
        injected: bool,
        undo: Undo,
    },
    /// BindComplete. `statement`: its id, 0 for the unnamed one; `first`: its name, if the client had
    /// not used it by that; `undo`: for one that edits names.
    Bind {
        statement: u64,
        first: Option<Box<First>>,
        undo: Undo,
    },
    /// What a statement takes and gives, or a portal gives (`statement`: 0); `first` as with Bind.
    Describe {
        statement: u64,
        first: Option<Box<First>>,
    },
    /// The same of the unnamed statement, known by its number.
    DescribeUnnamed {
        number: u64,
    },
    /// The same for the pooler, of a statement that was prepared just before.
    Shape(Box<Described>),
    /// What the unnamed statement gives, for the pooler; `columns`: what its client was told.
    Proof {
        columns: u64,
    },
    Execute,
    /// CloseComplete, for the client or for the pooler.
    Close {
        injected: bool,
        undo: Undo,
    },
    /// The pooler answers this itself, when its turn comes.
    Answer(Answer, Undo),
    /// A message made to fail: this error goes to the client in place of the server's.
    Refuse(Box<[u8]>),
    /// The rest of a flight of which the client has been told that it failed: everything up to
    /// ReadyForQuery, which answers the Sync behind.
    Muted,
    /// The client ended a COPY before the server asked for its data.
    CopyEnd,
    /// The pooler's own query: everything up to ReadyForQuery, for nobody else's eyes.
    Injected,
    /// The client's settings, ahead of its request: everything up to ReadyForQuery. An error makes the
    /// server skip the request too. `before`: what was set.
    Settings {
        before: Wanted,
    },
}

/// The client's name for a statement that it had not used by it. Boxed, so that a queue of replies
/// stays small.
#[derive(Clone, Debug)]
pub struct First(pub Box<[u8]>);

/// A statement whose shape the pooler asked for.
#[derive(Debug)]
pub struct Described {
    pub statement: Rc<Statement>,
    /// The client's name for it, if the client itself prepares it here.
    pub name: Option<Box<[u8]>>,
    /// The client's messages wait for the answer: one of `edits_ahead`.
    pub awaited: bool,
    /// Over what has come of it.
    pub hasher: DefaultHasher,
    /// It takes parameters.
    pub takes: bool,
}

impl Described {
    pub fn reply(statement: &Rc<Statement>, name: Option<Box<[u8]>>, awaited: bool) -> Reply {
        let statement = Rc::clone(statement);
        let hasher = DefaultHasher::new();
        Reply::Shape(Box::new(Described { statement, name, awaited, hasher, takes: false }))
    }
}

/// What is unusual about a simple query.
#[derive(Debug, Default)]
pub struct Special {
    /// The text was made to fail; this error goes to the client in place of the server's.
    pub refusal: Option<Box<[u8]>>,
    /// For each DEALLOCATE of a name, in turn, which of the client's goes with it.
    pub given_up: VecDeque<Option<Box<[u8]>>>,
    /// What was sent ahead of it failed, and the client has been told: only its end is news.
    pub told: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    ParseComplete,
    CloseComplete,
}

impl Answer {
    pub fn write(self, to_client: &mut Vec<u8>) {
        match self {
            Answer::ParseComplete => write::parse_complete(to_client),
            Answer::CloseComplete => write::close_complete(to_client),
        }
    }
}

/// What to take back when the server never did what it was sent (invariant I4).
#[derive(Debug, Default)]
pub enum Undo {
    #[default]
    Nothing,
    /// An unnamed statement that the server was to get, by number; `own`: from the client, which
    /// was to have it.
    Unnamed { number: u64, own: bool },
    /// Boxed, so that a queue of replies stays small.
    Named(Box<Edit>),
}

/// A change of named statements.
#[derive(Debug, Default)]
pub struct Edit {
    pub naming: Option<Naming>,
    /// A statement that the server was to get.
    pub held: Option<u64>,
    /// A statement that the server was to lose.
    pub evicted: Option<Use>,
}

impl Undo {
    /// Of a client's name alone.
    pub fn naming(name: Box<[u8]>, before: Option<Named>) -> Undo {
        Edit { naming: Some(Naming { name, before }), ..Edit::default() }.into()
    }
}

impl From<Edit> for Undo {
    fn from(edit: Edit) -> Undo {
        Undo::Named(edit.into())
    }
}

/// A client's name for a statement, and what it named before.
#[derive(Debug)]
pub struct Naming {
    pub name: Box<[u8]>,
    pub before: Option<Named>,
}

impl Reply {
    /// Everything up to ReadyForQuery is for nobody else's eyes: the pooler's own query, a client's
    /// settings sent ahead, or what the client has been told of already.
    pub fn is_own(&self) -> bool {
        matches!(self, Reply::Injected | Reply::Settings { .. } | Reply::Muted)
    }

    /// An error in its place makes the server skip everything up to the next Sync.
    pub fn fails_flight(&self) -> bool {
        match self {
            Reply::Parse { .. }
            | Reply::Bind { .. }
            | Reply::Describe { .. }
            | Reply::DescribeUnnamed { .. }
            | Reply::Shape(_)
            | Reply::Proof { .. }
            | Reply::Execute
            | Reply::Close { .. }
            | Reply::Refuse(_) => true,
            Reply::Query { .. }
            | Reply::Function
            | Reply::Sync { .. }
            | Reply::Answer(..)
            | Reply::Muted
            | Reply::CopyEnd
            | Reply::Injected
            | Reply::Settings { .. } => false,
        }
    }

    pub fn into_undo(self) -> Option<Undo> {
        match self {
            Reply::Parse { undo, .. }
            | Reply::Bind { undo, .. }
            | Reply::Close { undo, .. }
            | Reply::Answer(_, undo) => Some(undo),
            _ => None,
        }
    }
}
