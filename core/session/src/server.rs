//! The model of one server connection: what it owes, what state it is in, what it holds. It is fed
//! with the bytes that the server sends and says which of them the client gets.

mod again;
mod failure;
mod proof;
mod receive;
mod settings;
mod shape;
mod state;

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

use poolwright_wire::{TargetKind, TransactionStatus, write};

pub(crate) use proof::Proof;
pub use settings::CANCELED;
pub(crate) use shape::of_columns;

use crate::doubts::Doubts;
use crate::lexer::{Look, Reading};
use crate::mutation::{self, Mutation};
use crate::parameters::{Current, Wanted};
use crate::replies::{Answer, Reply, Special, Undo};
use crate::statements::{Held, NO_STATEMENT};
use crate::survey::Pins;
use crate::{Pause, Rest, Session};
use again::Again;

/// The server sent what the model does not expect: nobody may use the connection again, and the
/// client that has it must be told and closed. `0` says what, for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unexpected from the server: {0}")]
pub struct Confused(pub String);

/// What was taken in, and what of it goes to the client as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes dealt with. The rest, an incomplete message, is to be given again with more behind it.
    pub used: usize,
    /// A run of the input for the client, behind what was written for it.
    pub run: Range<usize>,
}

// In this order in memory: what every request touches stands together.
#[repr(C)]
#[derive(Debug)]
pub struct Server {
    pub(crate) replies: VecDeque<Reply>,
    rest: Rest,
    /// Flights that edit prepared statements, ended by the client and not yet by the server.
    pub(crate) edits_ahead: u32,
    status: TransactionStatus,
    /// Extended messages were sent that no Sync has ended.
    pub(crate) open_flight: bool,
    /// Some of the open flight was sent to the server.
    flight_sent: bool,
    /// Something of it, or of what was sent since the last request ended, has the server begin or
    /// go on with a transaction; a Close does not.
    flight_runs: bool,
    /// The open flight edits prepared statements.
    pub(crate) flight_edits: bool,
    pub(crate) drops: Drops,
    /// An error was reported: the server skips messages until a Sync that was not yet sent.
    pub(crate) skipping: bool,
    /// The server waits for CopyData.
    pub(crate) copy_in: bool,
    /// CopyData was sent for which the server has not asked, and no end of it.
    pub(crate) early_data: bool,
    /// A message to the server has begun and not ended.
    pub(crate) half_sent: bool,
    pub(crate) proof: Proof,
    ahead: Ahead,
    undoing: Undoing,
    pace: Pace,
    /// They are, and none of them may leave a transaction open.
    by_statement: bool,
    /// One of them did.
    left_block: bool,
    /// What the client that has the connection may have changed since the server was asked.
    doubts: Doubts,
    /// Something of what is not answered yet sets what holds until its transaction ends.
    pub(crate) sets_locally: bool,
    /// The client may have called nextval since its stay began.
    advanced: bool,
    /// A RESET or DISCARD ALL went through, whose ParameterStatus messages come before
    /// ReadyForQuery (since PostgreSQL 14).
    resetting: bool,
    /// Customized settings may be set whose names nobody knows.
    unseen: bool,
    /// What only this connection has, as the server said last.
    pins: Pins,
    reading: Reading,
    /// A RESET or DISCARD ALL went through since the server was asked.
    was_reset: bool,
    /// A DISCARD ALL of a client's went through, and none of the pooler's since.
    was_discarded: bool,
    /// The number of the unnamed statement that the server holds.
    pub(crate) unnamed: Option<u64>,
    parameters: Current,
    /// The first column of the last row of an injected query, where that is of interest.
    answer: Option<Vec<u8>>,
    pub(crate) again: Again,
    /// Messages of the pooler's own that are due behind the one that is half sent.
    owed: Vec<u8>,
    /// What is to be sent again, until it has been taken.
    resent: Vec<u8>,
    /// The first error of an injected query.
    failure: Option<Failure>,
    pub(crate) held: Held,
    /// Names that the client may have given by SQL since the session was last reset.
    pub(crate) sql_names: Vec<Box<[u8]>>,
    /// Customized settings that clients' text has named since the server was asked, in lower case.
    customs: Vec<Box<str>>,
    /// Notifications that came amid the pooler's own queries, as whole messages.
    notifications: Vec<u8>,
}

/// What has become of the settings that went ahead of the client's first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ahead {
    /// They hold, or none were sent.
    Through,
    /// The server has not said yet.
    Underway,
    /// They do not hold, and the client's stay ends.
    Failed,
}

/// Whether something in the open flight may drop statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drops {
    No,
    /// What may is bound.
    Bound,
    /// The server is to say at once what became of what runs.
    Asked,
}

/// How a client's requests are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As is to be found out: it depends on whether others wait for the connection.
    Unasked,
    AsTheyCome,
    /// Each after the reply to the one before.
    OneByOne,
}

/// Whether the client has reset what it has from its startup, which the server does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Undoing {
    No,
    /// A request was sent that may do so: the next one waits.
    Sent,
    /// One did, in a transaction that is open.
    InBlock,
    /// One did, and its transaction is over.
    Done,
}

/// What the server said to a query of the pooler's own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (SQLSTATE {sqlstate})")]
pub struct Failure {
    pub sqlstate: String,
    pub message: String,
}

impl Server {
    /// A connection after login. `parameters`: what ParameterStatus said; `statements`: how many
    /// prepared statements it may hold.
    pub fn new(
        parameters: impl IntoIterator<Item = (String, String)>,
        statements: usize,
    ) -> Server {
        let mut server = Server {
            replies: VecDeque::new(),
            rest: Rest::Header,
            status: TransactionStatus::Idle,
            open_flight: false,
            flight_sent: false,
            flight_runs: false,
            flight_edits: false,
            drops: Drops::No,
            edits_ahead: 0,
            skipping: false,
            copy_in: false,
            early_data: false,
            held: Held::new(statements),
            sql_names: Vec::new(),
            unnamed: None,
            proof: Proof::Given,
            ahead: Ahead::Through,
            undoing: Undoing::No,
            owed: Vec::new(),
            pace: Pace::AsTheyCome,
            by_statement: false,
            left_block: false,
            doubts: Doubts::NONE,
            sets_locally: false,
            customs: Vec::new(),
            was_reset: false,
            was_discarded: false,
            pins: Pins::NONE,
            unseen: false,
            notifications: Vec::new(),
            advanced: false,
            resetting: false,
            again: Again::default(),
            resent: Vec::new(),
            half_sent: false,
            parameters: Current::new(parameters),
            reading: Reading::default(),
            failure: None,
            answer: None,
        };
        server.read_settings();
        server
    }

    pub fn status(&self) -> TransactionStatus {
        self.status
    }

    pub fn parameters(&self) -> &Current {
        &self.parameters
    }

    pub(crate) fn reading(&self) -> Reading {
        self.reading
    }

    /// No message is half sent or half read, no reply is owed, no transaction is open (I2, I7).
    pub fn is_free(&self) -> bool {
        let idle = self.status == TransactionStatus::Idle;
        (idle || mutation::is(Mutation::ReleaseInTransaction)) && self.is_quiet()
    }

    /// As [`Server::is_free`], though a transaction may be open.
    pub fn is_quiet(&self) -> bool {
        (self.replies.is_empty() || mutation::is(Mutation::ReleaseWithRepliesOwed))
            && !self.open_flight
            && !self.skipping
            && !self.copy_in
            && !self.half_sent
            && self.rest == Rest::Header
    }

    /// Replies are on their way that no further message has to bring: a client that says goodbye
    /// behind its requests gets them first.
    pub(crate) fn owes_whole_requests(&self) -> bool {
        let awaits_sync = self.open_flight || self.skipping;
        !self.replies.is_empty() && !awaits_sync && !self.copy_in
    }

    /// The client has got the beginning of a message and not its end.
    pub fn is_half_forwarded(&self) -> bool {
        matches!(self.rest, Rest::Forward(_))
    }

    /// A simple query of the pooler's own; the connection must be quiet. Its replies reach nobody.
    pub fn inject(&mut self, sql: &str, to_server: &mut Vec<u8>) {
        debug_assert!(self.is_quiet());
        self.failure = None;
        self.answer = None;
        self.unnamed = None;
        self.replies.push_back(Reply::Injected);
        write::query(to_server, sql.as_bytes());
    }

    /// As [`Server::inject`], for a query of one row and column, see [`Server::answered`].
    pub fn ask(&mut self, sql: &str, to_server: &mut Vec<u8>) {
        self.inject(sql, to_server);
        self.answer = Some(Vec::new());
    }

    /// As [`Server::ask`], for a query with one parameter, `$1`, which travels apart from it.
    pub fn ask_about(&mut self, sql: &str, parameter: &str, to_server: &mut Vec<u8>) {
        debug_assert!(self.is_quiet());
        self.failure = None;
        self.unnamed = None;
        self.replies.push_back(Reply::Injected);
        write::parse(to_server, b"", sql.as_bytes(), &[]);
        write::bind_one(to_server, parameter.as_bytes());
        write::execute(to_server, b"", 0);
        write::sync(to_server);
        self.answer = Some(Vec::new());
    }

    /// What the server answered to the query that was asked; empty: nothing, NULL, or more than a
    /// MiB.
    ///
    /// # Errors
    /// What the server said first against it.
    pub fn answered(&mut self) -> Result<Vec<u8>, Failure> {
        let answer = self.answer.take();
        self.injected().map(|()| answer.unwrap_or_default())
    }

    /// The end of an injected query.
    ///
    /// # Errors
    /// What the server said first against it.
    pub fn injected(&mut self) -> Result<(), Failure> {
        self.failure.take().map_or(Ok(()), Err)
    }

    /// The settings are now as `wanted`.
    pub fn set_applied(&mut self, wanted: &Wanted) {
        self.parameters.set_applied(wanted);
    }

    /// All named statements of the server's session went.
    pub(crate) fn forget_statements(&mut self) {
        self.held.clear();
        self.sql_names.clear();
    }

    /// Whether the server may know a statement by a name that the client gave it by SQL.
    pub(crate) fn may_know(&self, name: &[u8]) -> bool {
        self.sql_names.iter().any(|known| **known == *name)
    }

    /// DISCARD ALL went through.
    pub fn set_reset(&mut self) {
        self.parameters.set_reset();
        self.forget_statements();
        self.unnamed = None;
        self.forget_state();
    }

    /// Ends the open flight of a client that is gone as Postgres would: nothing of it stays. False
    /// where only closing helps: inside a message, or a COPY.
    pub fn finish_flight(&mut self, to_server: &mut Vec<u8>) -> bool {
        let torn = self.half_sent && !mutation::is(Mutation::HalfMessageKept);
        if torn || self.copy_in {
            return false;
        }
        to_server.append(&mut self.resent);
        if self.open_flight {
            write::describe(to_server, TargetKind::Statement, NO_STATEMENT);
            self.send_extended(Reply::Refuse(Box::default()));
        }
        if self.open_flight || self.skipping {
            self.send_sync();
            write::sync(to_server);
        }
        true
    }

    /// Nothing is owed, and only a Sync ends the skipping: what a client that is gone leaves when
    /// its flight fails after it.
    pub fn awaits_sync(&self) -> bool {
        self.skipping && self.replies.is_empty()
    }

    pub(crate) fn send_sync(&mut self) {
        self.push_sync(false);
    }

    /// Ends what the pooler sends ahead of a query, so that an error there cannot make the server
    /// skip the query; not inside a client's flight.
    pub(crate) fn end_ahead(&mut self, to_server: &mut Vec<u8>) {
        write::sync(to_server);
        self.push_sync(true);
    }

    /// A flight is open, or may have failed: only the client's Sync ends what the server skips then.
    pub(crate) fn may_skip(&self) -> bool {
        let since_sync = self.replies.iter().rev();
        let mut since_sync = since_sync.take_while(|reply| !matches!(reply, Reply::Sync { .. }));
        self.open_flight || since_sync.any(Reply::fails_flight)
    }

    fn push_sync(&mut self, injected: bool) {
        let edits = std::mem::take(&mut self.flight_edits);
        self.edits_ahead += u32::from(edits);
        self.open_flight = false;
        self.flight_sent = false;
        self.drops = Drops::No;
        self.skipping = false;
        let bare = !std::mem::take(&mut self.flight_runs);
        self.replies.push_back(Reply::Sync { edits, injected, bare });
    }

    /// A query ends the open flight, as a Sync does, but does not end the skipping after an error.
    pub(crate) fn send_query(&mut self, look: Look, special: Option<Box<Special>>) {
        let edits = std::mem::take(&mut self.flight_edits) || !look.doubts.is_none();
        self.edits_ahead += u32::from(edits);
        self.open_flight = false;
        self.flight_sent = false;
        self.drops = Drops::No;
        self.flight_runs = false;
        self.unnamed = None;
        self.note(look);
        self.replies.push_back(Reply::Query { edits, special });
    }

    pub(crate) fn send_extended(&mut self, reply: Reply) {
        self.open_flight = true;
        self.flight_sent = true;
        self.flight_runs |= !matches!(reply, Reply::Close { .. });
        self.replies.push_back(reply);
    }

    /// What the open flight may drop is gone, or stays, before names are looked up behind it.
    ///
    /// # Errors
    /// That is not known yet.
    #[inline]
    pub(crate) fn mind_drops(&mut self, to_server: &mut Vec<u8>) -> Result<(), Pause> {
        if self.drops == Drops::No { Ok(()) } else { self.await_drops(to_server) }
    }

    #[cold]
    fn await_drops(&mut self, to_server: &mut Vec<u8>) -> Result<(), Pause> {
        if !self.replies.iter().any(|reply| matches!(reply, Reply::Execute)) {
            self.drops = Drops::Bound;
            return Ok(());
        }
        if std::mem::replace(&mut self.drops, Drops::Asked) == Drops::Bound {
            write::flush(to_server);
        }
        Err(Pause::Hold)
    }

    pub(crate) fn send_function_call(&mut self) {
        self.note(Look::UNDECIDABLE);
        self.open_flight = false;
        self.flight_sent = false;
        self.drops = Drops::No;
        self.flight_runs = false;
        self.replies.push_back(Reply::Function);
    }

    /// Answers a message in the server's place, when its turn comes.
    pub(crate) fn send_answer(&mut self, answer: Answer, undo: Undo, to_client: &mut Vec<u8>) {
        self.open_flight = true;
        self.replies.push_back(Reply::Answer(answer, undo));
        self.answer(true, to_client);
    }

    /// Text that is about to run.
    pub(crate) fn note(&mut self, look: Look) {
        self.doubts |= look.doubts;
        self.sets_locally |= look.locally;
        self.advanced |= look.advances;
    }

    /// Whether what currval and lastval answer can be the client's own doing: some text of this
    /// stay may have called nextval.
    pub(crate) fn may_run(&self, look: Look) -> bool {
        let own = look.advances || self.advanced || mutation::is(Mutation::SequencesLeak);
        !look.reads || own
    }

    /// A client begins its stay: what sequences gave before was another's. `by_statement`: it ends
    /// with the reply to its first request, a simple query or a pipeline up to its Sync.
    pub fn begin_stay(&mut self, by_statement: bool) {
        self.ahead = Ahead::Through;
        self.undoing = Undoing::No;
        self.failure = None;
        self.advanced = false;
        self.again.forget();
        self.by_statement = by_statement;
        self.set_pace(false);
        self.left_block = false;
        if !self.doubts.is_none() {
            self.forget_doubts();
        }
    }

    /// A client that was told other settings than this session began with keeps them; false if so.
    #[inline]
    pub fn meet(&mut self, session: &mut Session) -> bool {
        let is_told = Rc::ptr_eq(self.parameters.base(), &session.told)
            || self.parameters.share_base(&session.told);
        if !is_told {
            session.keep_told(self.parameters.base());
        }
        is_told
    }

    /// Others wait for the connection, or none does: whether the client's next request waits for the
    /// reply to the one before.
    pub fn set_pace(&mut self, others_wait: bool) {
        let waits = others_wait && !mutation::is(Mutation::NotPaced);
        let one_by_one = waits || self.by_statement;
        self.pace = if one_by_one { Pace::OneByOne } else { Pace::AsTheyCome };
    }

    /// Time has passed: whether others wait is to be asked before the next request that may have to
    /// wait for it, see [`crate::Pause::Crowd`].
    pub fn forget_pace(&mut self) {
        if !self.by_statement {
            self.pace = Pace::Unasked;
        }
    }

    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// A stay by statement has left a transaction open, which the client was not told.
    pub fn left_block(&self) -> bool {
        self.left_block
    }

    /// A request before this one is not over: the transaction may have failed by its end.
    pub(crate) fn is_behind_another(&self) -> bool {
        let ends =
            |it: &Reply| matches!(it, Reply::Query { .. } | Reply::Function | Reply::Sync { .. });
        self.replies.iter().any(ends)
    }

    /// How the next request is taken. It may have to wait where one was sent whole that is not over,
    /// and waits there until the client's settings have gone through. A COPY's data belongs to the
    /// request that asks for it.
    pub(crate) fn pace_of_next(&self) -> Pace {
        let own = self.replies.back().is_none_or(Reply::is_own);
        let behind_whole = !own && !self.open_flight && !self.copy_in;
        let waits = behind_whole || self.is_unset() && !self.skipping;
        match self.ahead {
            Ahead::Through if behind_whole && self.undoing == Undoing::Sent => Pace::OneByOne,
            Ahead::Through if behind_whole => self.pace,
            Ahead::Underway | Ahead::Failed if waits => Pace::OneByOne,
            _ => Pace::AsTheyCome,
        }
    }

    fn read_settings(&mut self) {
        const UNSAFE: [&str; 7] =
            ["BIG5", "GB18030", "GBK", "JOHAB", "SHIFT_JIS_2004", "SJIS", "UHC"];
        let encoding = self.parameters.get("client_encoding").unwrap_or("");
        self.reading = Reading {
            ascii_safe: !UNSAFE.iter().any(|name| name.eq_ignore_ascii_case(encoding)),
            conforming: self.parameters.get("standard_conforming_strings") != Some("off"),
        };
    }
}
