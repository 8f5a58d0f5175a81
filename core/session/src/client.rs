//! The rules for each message of a client: whether it needs a server, what becomes of it on the way
//! there, and what the pooler answers itself. It decides from the header and a bounded start of the
//! body; the rest streams through.

mod by_name;
mod extended;
mod meaning;
mod preparing;
mod refuse;
mod state;
mod unnamed;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use poolwright_wire::write::ErrorFields;
use poolwright_wire::{Header, TransactionStatus, client as tag, header, read, write};

use crate::Rest;
use crate::doubts::Doubts;
use crate::lexer::{Harmless, Look, look_with};
use crate::parameters::{Base, Current, TOLD, Wanted};
use crate::replies::{Naming, Reply};
use crate::server::{Pace, Proof, Server};
use crate::statements::{Named, Scope, Statement, Statements};
pub(crate) use refuse::REFUSED;
use refuse::Refusal;
pub use state::{Kind, State};
use unnamed::{Unnamed, mind_proof};

/// Text longer than this is not looked at and counts as changing anything, in bytes.
pub const LOOK_LIMIT: u32 = 16 * 1024;
/// The longest named prepared statement, in bytes.
pub const STATEMENT_LIMIT: u32 = 1024 * 1024;
/// What one client's named statements may weigh together, in bytes.
pub const STATEMENTS_LIMIT: usize = 16 * 1024 * 1024;

/// Bytes on their way out.
#[derive(Debug, Default)]
pub struct Output {
    pub to_server: Vec<u8>,
    pub to_client: Vec<u8>,
}

/// How far [`Session::send`] came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Bytes of the input dealt with; the rest is to be given again.
    pub consumed: usize,
    pub pause: Pause,
}

/// Why [`Session::send`] stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pause {
    /// This many bytes are needed to go on, counted from the first one not consumed; 0: any.
    More(usize),
    /// The next message needs a server connection.
    NeedServer,
    /// The next message must wait until the server has sent what it owes.
    Hold,
    /// Whether it must is for [`Server::set_pace`] to say.
    Crowd,
    /// The client said goodbye.
    Terminate,
    /// The client is to be told and closed.
    Fatal(Fatal),
}

/// What ends a session; the client's fault, and not to be repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fatal {
    pub sqlstate: &'static str,
    pub message: String,
}

impl Fatal {
    /// What a client is told that leaves a transaction open where none may be; PgBouncer's text.
    pub fn block() -> Fatal {
        let message = "transaction blocks not allowed in statement pooling mode".to_owned();
        Fatal { sqlstate: "0A000", message }
    }

    fn violation(message: impl Into<String>) -> Fatal {
        Fatal { sqlstate: "08P01", message: message.into() }
    }
}

/// What the session has done since it began; counters that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Simple queries and Executes.
    pub queries: u64,
    /// ReadyForQuery messages that reported no open transaction.
    pub transactions: u64,
}

/// One client after login.
// In this order in memory: what every request touches stands together.
#[repr(C)]
pub struct Session {
    rest: Rest,
    /// The rest belongs to a message for the server.
    rest_is_sent: bool,
    refused: Refused,
    /// Text that surely makes a session's state which cannot follow the client is refused.
    pub refuses_pins: bool,
    pub counts: Counts,
    pub wanted: Wanted,
    /// What the client was told at its login, but for its own settings.
    pub told: Base,
    unnamed: Unnamed,
    /// What RESET goes back to.
    startup: Wanted,
    /// Functions that leave a session as it is, beside PostgreSQL's own.
    pub harmless: Rc<Harmless>,
    scope: Scope,
    statements: Rc<RefCell<Statements>>,
    /// Ordered, since a client could choose names that meet in a hash table.
    names: BTreeMap<Box<[u8]>, Named>,
    names_weight: usize,
}

/// How much of what the client sent falls with a request that never got a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Refused {
    #[default]
    Nothing,
    /// The next message: a simple query or function call.
    Message,
    /// Everything up to the next Sync.
    Flight,
}

/// What becomes of one message.
enum Verdict {
    /// It goes to the server as it is.
    Forward,
    /// It goes nowhere, or was dealt with.
    Skip,
    /// Its start was rewritten: the body behind so many bytes goes to the server.
    Rewritten(u32),
    /// So many bytes of the body are needed to decide.
    Fetch(u32),
}

impl Session {
    pub fn new(pool: u32, wanted: Wanted, statements: Rc<RefCell<Statements>>) -> Session {
        let settings = wanted.meaning().into();
        Session {
            startup: wanted.clone(),
            told: Base::default(),
            wanted,
            counts: Counts::default(),
            harmless: Rc::default(),
            refuses_pins: false,
            scope: Scope { pool, settings },
            statements,
            names: BTreeMap::new(),
            names_weight: 0,
            unnamed: Unnamed::default(),
            rest: Rest::Header,
            rest_is_sent: false,
            refused: Refused::Nothing,
        }
    }

    /// Refuses the request that `input` begins with, while no server is there: the client gets
    /// `error`, then, when its request is over, one ReadyForQuery.
    pub fn refuse_request(&mut self, input: &[u8], error: &ErrorFields<'_>, out: &mut Output) {
        write::error_response(&mut out.to_client, error);
        self.refused = match input.first() {
            Some(&(tag::QUERY | tag::FUNCTION_CALL)) => Refused::Message,
            _ => Refused::Flight,
        };
    }

    /// Refuses the request whose beginning was sent to a server that is gone and has read none of it:
    /// the client gets `error`, then, when its request is over, one ReadyForQuery.
    pub fn refuse_sent(&mut self, server: &mut Server, error: &ErrorFields<'_>, out: &mut Output) {
        write::error_response(&mut out.to_client, error);
        server.abandon(self);
        if let Rest::Forward(left) = self.rest {
            self.rest = Rest::Skip(left);
        }
        match server.open_flight {
            true => self.refused = Refused::Flight,
            false => write::ready_for_query(&mut out.to_client, TransactionStatus::Idle),
        }
    }

    /// This startup parameter is what servers have by themselves: it need not be set.
    pub fn drop_startup(&mut self, name: &str) {
        self.wanted.remove(name);
        self.startup.remove(name);
    }

    /// Keeps what the client was told where sessions begin otherwise now: a default of its role or of
    /// its database changes for sessions to come.
    pub(crate) fn keep_told(&mut self, base: &Base) {
        for name in TOLD {
            let (Some(told), Some(now)) = (self.told.get(name), base.get(name)) else { continue };
            let lower = name.to_ascii_lowercase();
            if told == now || self.startup.get(&lower).is_some() {
                continue;
            }
            self.startup.set(&lower, told);
            if self.wanted.get(&lower).is_none() {
                self.wanted.set(&lower, told);
            }
        }
    }

    /// DISCARD ALL went through at the client's word.
    pub(crate) fn begin_anew(&mut self) {
        self.wanted = self.startup.clone();
    }

    /// A statement of the client's has changed a setting.
    pub(crate) fn take_report(&mut self, current: &mut Current, name: &str, value: &str) {
        current.report_to(name, value, &mut self.wanted, &self.startup);
    }

    pub(crate) fn startup(&self) -> &Wanted {
        &self.startup
    }

    pub(crate) fn startup_value(&self, name: &str) -> Option<Box<str>> {
        self.startup.get(&name.to_ascii_lowercase()).map(Box::from)
    }

    /// Nothing of a message has been dealt with whose rest is to come.
    pub fn at_boundary(&self) -> bool {
        self.rest == Rest::Header
    }

    /// Takes in what the client sent.
    pub fn send(
        &mut self,
        mut server: Option<&mut Server>,
        input: &[u8],
        out: &mut Output,
    ) -> Taken {
        if let Some(server) = server.as_deref_mut() {
            server.again.go_on(&out.to_server);
        }
        let taken = self.messages(server.as_deref_mut(), input, out);
        if let Some(server) = server {
            server.again.keep(&out.to_server);
            server.send_owed(&mut out.to_server);
        }
        taken
    }

    fn messages(
        &mut self,
        mut server: Option<&mut Server>,
        input: &[u8],
        out: &mut Output,
    ) -> Taken {
        let mut consumed = 0;
        loop {
            let (count, forward) = self.rest.take(input.len() - consumed);
            if forward {
                out.to_server.extend_from_slice(&input[consumed..consumed + count]);
            }
            consumed += count;
            if let Some(server) = server.as_deref_mut() {
                server.half_sent = self.rest != Rest::Header && self.rest_is_sent;
            }
            let left = &input[consumed..];
            if self.rest != Rest::Header || left.is_empty() {
                return Taken { consumed, pause: Pause::More(0) };
            }
            match self.message(server.as_deref_mut(), left, out) {
                Ok(count) => consumed += count,
                Err(pause) => return Taken { consumed, pause },
            }
        }
    }

    /// Begins one message; answers how many bytes of it were dealt with.
    fn message(
        &mut self,
        server: Option<&mut Server>,
        left: &[u8],
        out: &mut Output,
    ) -> Result<usize, Pause> {
        let head = header(left).map_err(|e| Pause::Fatal(Fatal::violation(e.to_string())))?;
        let Some(head) = head else { return Err(Pause::More(5)) };
        let mut fetch = first_look(&head);
        let mut server = server;
        loop {
            let Some(body) = left.get(5..5 + fetch as usize) else {
                return Err(Pause::More(5 + fetch as usize));
            };
            let verdict = match server.as_deref_mut() {
                Some(server) => self.attached(server, head, body, out)?,
                None => self.detached(head, body, out)?,
            };
            match verdict {
                Verdict::Fetch(more) => fetch = more,
                Verdict::Skip => {
                    self.begin_rest(Rest::Skip(head.length + 5), false);
                    return Ok(0);
                }
                Verdict::Forward => {
                    self.begin_rest(Rest::Forward(head.length + 5), true);
                    return Ok(0);
                }
                Verdict::Rewritten(used) => {
                    self.begin_rest(Rest::Forward(head.length - used), true);
                    return Ok(5 + used as usize);
                }
            }
        }
    }

    fn begin_rest(&mut self, rest: Rest, is_sent: bool) {
        let empty = matches!(rest, Rest::Forward(0) | Rest::Skip(0));
        self.rest = if empty { Rest::Header } else { rest };
        self.rest_is_sent = is_sent;
    }

    /// Without a server: what the pooler can answer alone.
    fn detached(&mut self, head: Header, body: &[u8], out: &mut Output) -> Result<Verdict, Pause> {
        if self.refused != Refused::Nothing {
            return self.refused(head.tag, out);
        }
        match head.tag {
            tag::TERMINATE => Err(Pause::Terminate),
            // One that is malformed is for a server to fail.
            tag::SYNC | tag::FLUSH if head.length > 0 => Err(Pause::NeedServer),
            tag::SYNC => {
                write::ready_for_query(&mut out.to_client, TransactionStatus::Idle);
                Ok(Verdict::Skip)
            }
            tag::FLUSH | tag::COPY_DATA | tag::COPY_DONE | tag::COPY_FAIL => Ok(Verdict::Skip),
            tag::CLOSE => self.close_detached(body, out),
            tag::PARSE | tag::BIND => extended::more_of(head, body)
                .map_or(Err(Pause::NeedServer), |more| Ok(Verdict::Fetch(more))),
            tag::QUERY => self.query_detached(body, out),
            tag::DESCRIBE | tag::EXECUTE | tag::FUNCTION_CALL => Err(Pause::NeedServer),
            other => Err(unknown(other)),
        }
    }

    fn refused(&mut self, message: u8, out: &mut Output) -> Result<Verdict, Pause> {
        if message == tag::TERMINATE {
            return Err(Pause::Terminate);
        }
        known(message)?;
        if self.refused == Refused::Message || message == tag::SYNC {
            self.refused = Refused::Nothing;
            write::ready_for_query(&mut out.to_client, TransactionStatus::Idle);
        }
        Ok(Verdict::Skip)
    }

    fn attached(
        &mut self,
        server: &mut Server,
        head: Header,
        body: &[u8],
        out: &mut Output,
    ) -> Result<Verdict, Pause> {
        match server.pace_of_next() {
            Pace::AsTheyCome => {}
            Pace::Unasked => return Err(Pause::Crowd),
            Pace::OneByOne => return Err(Pause::Hold),
        }
        if server.proof != Proof::Given {
            mind_proof(server, head, body, &mut out.to_server)?;
        }
        match head.tag {
            tag::TERMINATE if server.owes_whole_requests() => return Err(Pause::Hold),
            tag::TERMINATE => return Err(Pause::Terminate),
            tag::SYNC if !server.copy_in => {
                if server.early_data && !server.skipping {
                    return Err(ambiguous_sync());
                }
                if server.skipping {
                    server.send_owed(&mut out.to_server);
                }
                server.send_sync();
                return Ok(Verdict::Forward);
            }
            _ if server.skipping => return known(head.tag).map(|()| Verdict::Skip),
            // The server ignores it during a COPY; one that has just failed would not (I2).
            tag::SYNC => return Ok(Verdict::Skip),
            tag::FLUSH if head.length > 0 && !server.copy_in && !server.early_data => {
                return Ok(self.refuse(server, Refusal::not_empty("Flush"), out));
            }
            tag::FLUSH => return Ok(Verdict::Forward),
            tag::COPY_DATA | tag::COPY_DONE | tag::COPY_FAIL => {
                return Ok(copy_message(server, head.tag));
            }
            _ => {}
        }
        if server.copy_in {
            known(head.tag)?;
            let message = "unexpected message during COPY from stdin: expected CopyData, CopyDone or CopyFail";
            return Err(Pause::Fatal(Fatal::violation(message)));
        }
        match head.tag {
            tag::QUERY => self.query(server, head, body, out),
            tag::FUNCTION_CALL => {
                server.send_function_call();
                Ok(Verdict::Forward)
            }
            tag::PARSE => self.parse(server, head, body, out),
            tag::BIND => self.bind(server, head, body, out),
            tag::DESCRIBE => self.describe(server, body, out),
            tag::CLOSE => self.close(server, body, out),
            tag::EXECUTE => {
                self.counts.queries += 1;
                server.send_extended(Reply::Execute);
                Ok(Verdict::Forward)
            }
            other => Err(unknown(other)),
        }
    }

    fn query(
        &mut self,
        server: &mut Server,
        head: Header,
        body: &[u8],
        out: &mut Output,
    ) -> Result<Verdict, Pause> {
        let whole = body.len() == head.length as usize;
        let text = read::query(body).ok().filter(|_| whole);
        let look = text
            .map_or(Look::UNDECIDABLE, |text| look_with(text, server.reading(), &self.harmless));
        if !look.doubts.is_none() {
            self.mind_undoing(server, look, text.unwrap_or_default())?;
        }
        if !look.doubts.is_none()
            && let Some(verdict) = self.query_by_name(server, head, body, look, out)?
        {
            return Ok(verdict);
        }
        self.begin_query();
        if let Some(refusal) = self.refusal(server, look) {
            refusal.send_in_place_of_query(server, &mut out.to_server);
            return Ok(Verdict::Skip);
        }
        server.send_query(look, None);
        if look.doubts.is_any(Doubts::CUSTOMS) {
            server.note_customs(text.unwrap_or_default());
        }
        Ok(Verdict::Forward)
    }

    /// Text that is about to run may reset what the client has from its startup, as RESET and
    /// DISCARD ALL do: it goes alone, so that what follows finds the client's values.
    fn mind_undoing(&self, server: &mut Server, look: Look, text: &[u8]) -> Result<(), Pause> {
        const WORDS: [&[u8]; 3] = [b"reset", b"default", b"discard"];
        let has = |word: &&[u8]| text.windows(word.len()).any(|it| it.eq_ignore_ascii_case(word));
        let sets = look.doubts.is_any(Doubts::SETTINGS.and(Doubts::ENDS));
        if self.startup.is_empty() || !sets || !WORDS.iter().any(has) {
            return Ok(());
        }
        if server.is_behind_another() {
            return Err(Pause::Hold);
        }
        server.expect_undoing();
        Ok(())
    }

    /// Why text that is about to run may not.
    fn refusal(&self, server: &Server, look: Look) -> Option<Refusal> {
        refusal(self.refuses_pins, server, look)
    }

    pub(crate) fn count_ready(&mut self, status: TransactionStatus) {
        self.counts.transactions += u64::from(status == TransactionStatus::Idle);
    }

    /// The server gave a statement up at the client's word.
    pub(crate) fn forget_name(&mut self, name: &[u8]) {
        self.remove_name(name);
    }

    /// The server dropped all named statements at the client's word; the unnamed one stays.
    pub(crate) fn forget_names(&mut self) {
        self.names.clear();
        self.names_weight = 0;
    }

    /// What the client had named is again as it was before a message that the server never obeyed.
    pub(crate) fn take_back(&mut self, Naming { name, before }: Naming) {
        self.remove_name(&name);
        if let Some(before) = before {
            self.insert_name(name, before);
        }
    }

    fn insert_name(&mut self, name: Box<[u8]>, named: Named) {
        self.names_weight += name.len() + named.statement.body.len();
        self.names.insert(name, named);
    }

    fn remove_name(&mut self, name: &[u8]) -> Option<Named> {
        let named = self.names.remove(name)?;
        self.names_weight -= name.len() + named.statement.body.len();
        Some(named)
    }

    /// The server prepared for this name what the statement is now.
    pub(crate) fn renew_name(&mut self, name: &[u8], statement: u64) {
        if let Some(named) = self.names.get_mut(name).filter(|it| it.statement.id == statement) {
            named.renew();
        }
    }

    /// The server has begun to use a statement by this name.
    pub(crate) fn note_use(&mut self, name: &[u8], statement: u64) {
        if let Some(named) = self.names.get_mut(name).filter(|it| it.statement.id == statement) {
            named.told = true;
        }
    }

    /// The client may know what the statement takes and gives by this name.
    pub(crate) fn has_used(&self, name: &[u8], statement: u64) -> bool {
        self.names.get(name).is_some_and(|it| it.statement.id == statement && it.told)
    }

    pub(crate) fn statement(&self, id: u64) -> Option<Rc<Statement>> {
        self.names.values().find(|it| it.statement.id == id).map(|it| Rc::clone(&it.statement))
    }
}

fn refusal(refuses_pins: bool, server: &Server, look: Look) -> Option<Refusal> {
    if refuses_pins && look.doubts.is_any(Doubts::PINS) {
        return Some(Refusal::pin(look.doubts));
    }
    (!server.may_run(look)).then(Refusal::sequence)
}

/// How much of a body is needed for a first decision.
fn first_look(head: &Header) -> u32 {
    match head.tag {
        tag::QUERY | tag::PARSE | tag::DESCRIBE | tag::CLOSE => head.length.min(LOOK_LIMIT),
        tag::BIND => head.length.min(256),
        _ => 0,
    }
}

/// CopyDone and CopyFail may come before the server has asked for data, or after it gave up.
fn copy_message(server: &mut Server, message: u8) -> Verdict {
    let ends = message != tag::COPY_DATA;
    if server.copy_in {
        server.copy_in = !ends;
        return Verdict::Forward;
    }
    if server.replies.is_empty() {
        return Verdict::Skip;
    }
    server.early_data = !ends;
    if ends {
        server.replies.push_back(Reply::CopyEnd);
    }
    Verdict::Forward
}

/// If the server is in a COPY when it gets there, it ignores the Sync, unless the data before has
/// made it fail: nobody could tell how many ReadyForQuery messages are owed (I2).
fn ambiguous_sync() -> Pause {
    Pause::Fatal(Fatal::violation(
        "Sync between CopyData and CopyDone: expected CopyDone or CopyFail, or that the client \
         waits for CopyInResponse before it sends data",
    ))
}

fn known(message: u8) -> Result<(), Pause> {
    const TAGS: &[u8] = b"BCDEFHPQScdf";
    if TAGS.contains(&message) { Ok(()) } else { Err(unknown(message)) }
}

fn unknown(message: u8) -> Pause {
    Pause::Fatal(Fatal::violation(format!(
        "invalid frontend message type {message}: expected one that follows a login"
    )))
}
