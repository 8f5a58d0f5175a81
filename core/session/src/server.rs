//! The model of one server connection: what it owes, what state it is in, what it holds. It is fed
//! with the bytes that the server sends and says which of them the client gets.

use std::collections::VecDeque;

use poolwright_wire::{Header, TargetKind, TransactionStatus, header, read, server as tag, write};

use crate::Rest;
use crate::client::Session;
use crate::lexer::{Look, Reading, Suspicion};
use crate::parameters::{Current, Wanted};
use crate::replies::{Reply, Undo};
use crate::statements::{Held, NO_STATEMENT};

/// The server sent what the model does not expect: nobody may use the connection again, and the
/// client that has it must be told and closed. `0` says what, for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unexpected from the server: {0}")]
pub struct Confused(pub String);

/// The longest body of a message that is looked into, in bytes; longer ones pass unread.
const LOOK_LIMIT: u32 = 64 * 1024;

/// What the server says of a statement that it does not hold.
const MISSING: &[u8] = b"26000";
/// What the server says of a text that is no SQL.
const SYNTAX_ERROR: &[u8] = b"42601";

#[derive(Debug)]
pub struct Server {
    pub(crate) replies: VecDeque<Reply>,
    rest: Rest,
    status: TransactionStatus,
    /// Extended messages were sent that no Sync has ended.
    pub(crate) open_flight: bool,
    /// The open flight edits prepared statements.
    pub(crate) flight_edits: bool,
    /// Flights that edit prepared statements, ended by the client and not yet by the server.
    pub(crate) edits_ahead: u32,
    /// An error was reported: the server skips messages until a Sync that was not yet sent.
    pub(crate) skipping: bool,
    /// The server waits for CopyData.
    pub(crate) copy_in: bool,
    /// CopyData was sent for which the server has not asked, and no end of it.
    pub(crate) early_data: bool,
    pub(crate) held: Held,
    /// The number of the unnamed statement that the server holds.
    pub(crate) unnamed: Option<u64>,
    pub(crate) suspicion: Option<Suspicion>,
    /// The client may have called nextval since its stay began.
    advanced: bool,
    /// A RESET or DISCARD ALL went through, whose ParameterStatus messages come before
    /// ReadyForQuery (since PostgreSQL 14).
    resetting: bool,
    /// A message to the server has begun and not ended.
    pub(crate) half_sent: bool,
    parameters: Current,
    reading: Reading,
    /// The first error of an injected query.
    failure: Option<Failure>,
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
            flight_edits: false,
            edits_ahead: 0,
            skipping: false,
            copy_in: false,
            early_data: false,
            held: Held::new(statements),
            unnamed: None,
            suspicion: None,
            advanced: false,
            resetting: false,
            half_sent: false,
            parameters: Current::new(parameters),
            reading: Reading::default(),
            failure: None,
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

    /// Why the session must be reset before another client gets it.
    pub fn suspicion(&self) -> Option<Suspicion> {
        self.suspicion
    }

    /// No message is half sent or half read, no reply is owed, no transaction is open (I2, I7).
    pub fn is_free(&self) -> bool {
        self.status == TransactionStatus::Idle && self.is_quiet()
    }

    /// As [`Server::is_free`], though a transaction may be open.
    pub fn is_quiet(&self) -> bool {
        self.replies.is_empty()
            && !self.open_flight
            && !self.skipping
            && !self.copy_in
            && !self.half_sent
            && self.rest == Rest::Header
    }

    /// The client has got the beginning of a message and not its end.
    pub fn is_half_forwarded(&self) -> bool {
        matches!(self.rest, Rest::Forward(_))
    }

    /// A simple query of the pooler's own; the connection must be quiet. Its replies reach nobody.
    pub fn inject(&mut self, sql: &str, to_server: &mut Vec<u8>) {
        debug_assert!(self.is_quiet());
        self.failure = None;
        self.unnamed = None;
        self.replies.push_back(Reply::Injected);
        write::query(to_server, sql.as_bytes());
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

    /// DISCARD ALL went through.
    pub fn set_reset(&mut self) {
        self.parameters.set_reset();
        self.held.clear();
        self.unnamed = None;
        self.suspicion = None;
    }

    /// Ends the open flight of a client that is gone as Postgres would: nothing of it stays. False
    /// where only closing helps: inside a message, or a COPY.
    pub fn finish_flight(&mut self, to_server: &mut Vec<u8>) -> bool {
        if self.half_sent || self.copy_in {
            return false;
        }
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

    pub(crate) fn send_sync(&mut self) {
        let edits = std::mem::take(&mut self.flight_edits);
        self.edits_ahead += u32::from(edits);
        self.open_flight = false;
        self.skipping = false;
        self.replies.push_back(Reply::Sync { edits });
    }

    /// A query ends the open flight, as a Sync does, but does not end the skipping after an error.
    pub(crate) fn send_query(&mut self, look: Look, refusal: Option<Box<[u8]>>) {
        let edits = std::mem::take(&mut self.flight_edits) || look.suspicion.is_some();
        self.edits_ahead += u32::from(edits);
        self.open_flight = false;
        self.unnamed = None;
        self.note(look);
        self.replies.push_back(Reply::Query { edits, refusal });
    }

    pub(crate) fn send_extended(&mut self, reply: Reply) {
        self.open_flight = true;
        self.replies.push_back(reply);
    }

    /// Text that is about to run.
    pub(crate) fn note(&mut self, look: Look) {
        self.suspicion = self.suspicion.or(look.suspicion);
        self.advanced |= look.advances;
    }

    /// Whether what currval and lastval answer can be the client's own doing: some text of this
    /// stay may have called nextval.
    pub(crate) fn may_run(&self, look: Look) -> bool {
        !look.reads || look.advances || self.advanced
    }

    /// A client begins its stay: what sequences gave before was another's.
    pub fn begin_stay(&mut self) {
        self.advanced = false;
    }

    /// Takes in what the server sent; answers how many bytes were dealt with. The rest, an
    /// incomplete message, is to be given again with more behind it. Without a session only the
    /// pooler's own replies and the leftovers of a client that is gone are expected.
    ///
    /// # Errors
    /// [`Confused`]: close the connection.
    pub fn receive(
        &mut self,
        mut session: Option<&mut Session>,
        input: &[u8],
        to_client: &mut Vec<u8>,
    ) -> Result<usize, Confused> {
        let mut at = 0;
        loop {
            at += self.rest.pass(&input[at..], to_client);
            self.answer(session.is_some(), to_client);
            let left = &input[at..];
            if self.rest != Rest::Header || left.is_empty() {
                return Ok(at);
            }
            let Some(head) = header(left).map_err(|e| Confused(e.to_string()))? else {
                return Ok(at);
            };
            let look = if looked_into(&head) { head.length } else { 0 };
            let Some(body) = left.get(5..5 + look as usize) else { return Ok(at) };
            let forward = self.message(head, body, session.as_deref_mut(), to_client)?;
            let whole = head.length + 5;
            let forward = forward && session.is_some();
            self.rest = if forward { Rest::Forward(whole) } else { Rest::Skip(whole) };
        }
    }

    /// Whether the client gets this message; moves the model on.
    fn message(
        &mut self,
        head: Header,
        body: &[u8],
        session: Option<&mut Session>,
        to_client: &mut Vec<u8>,
    ) -> Result<bool, Confused> {
        match head.tag {
            tag::DATA_ROW | tag::COPY_DATA | tag::COPY_DONE => self.within_result(head.tag),
            tag::READY_FOR_QUERY => self.ready(body, session),
            tag::ERROR_RESPONSE => self.error(body, session, to_client),
            tag::PARAMETER_STATUS => self.parameter(body, session, to_client),
            tag::NOTICE_RESPONSE | tag::NOTIFICATION_RESPONSE => Ok(!self.is_injected()),
            tag::COMMAND_COMPLETE => self.complete(head, body, session),
            tag::COPY_IN_RESPONSE if session.is_none() => Err(Confused(
                "CopyInResponse, and the client that would send the data is gone".to_owned(),
            )),
            tag::COPY_IN_RESPONSE => self.begin_copy_in(),
            _ => self.reply(head.tag),
        }
    }

    fn is_injected(&self) -> bool {
        matches!(self.replies.front(), Some(Reply::Injected))
    }

    fn unexpected(&self, tag: u8) -> Confused {
        let front = self.replies.front();
        Confused(format!("message '{}' while {front:?} is owed", char::from(tag).escape_default()))
    }

    fn within_result(&self, tag: u8) -> Result<bool, Confused> {
        match self.replies.front() {
            Some(Reply::Query { .. } | Reply::Execute) => Ok(true),
            Some(Reply::Injected) => Ok(false),
            _ => Err(self.unexpected(tag)),
        }
    }

    /// Replies that one message in the queue is owed.
    fn reply(&mut self, message: u8) -> Result<bool, Confused> {
        let (forward, done) = match (self.replies.front(), message) {
            (Some(Reply::Injected), _) => (false, false),
            (Some(Reply::Parse { injected, .. }), tag::PARSE_COMPLETE) => (!injected, true),
            (Some(Reply::Close { injected, .. }), tag::CLOSE_COMPLETE) => (!injected, true),
            (Some(Reply::Bind), tag::BIND_COMPLETE) => (true, true),
            (Some(Reply::Describe), tag::PARAMETER_DESCRIPTION) => (true, false),
            (Some(Reply::Describe), tag::ROW_DESCRIPTION | tag::NO_DATA) => (true, true),
            (Some(Reply::Execute), tag::EMPTY_QUERY_RESPONSE | tag::PORTAL_SUSPENDED) => {
                (true, true)
            }
            (Some(Reply::Execute), tag::COPY_OUT_RESPONSE) => (true, false),
            (Some(Reply::Function), tag::FUNCTION_CALL_RESPONSE) => (true, false),
            (
                Some(Reply::Query { .. }),
                tag::ROW_DESCRIPTION | tag::EMPTY_QUERY_RESPONSE | tag::COPY_OUT_RESPONSE,
            ) => (true, false),
            _ => return Err(self.unexpected(message)),
        };
        if done {
            self.replies.pop_front();
        }
        Ok(forward)
    }

    fn complete(
        &mut self,
        head: Header,
        body: &[u8],
        session: Option<&mut Session>,
    ) -> Result<bool, Confused> {
        let forward = self.within_result(head.tag)?;
        if matches!(self.replies.front(), Some(Reply::Execute)) {
            self.replies.pop_front();
        }
        self.resetting |= matches!(body, b"RESET\0" | b"DISCARD ALL\0");
        if body == b"DISCARD ALL\0" {
            self.parameters.set_reset();
        }
        if matches!(body, b"DISCARD ALL\0" | b"DEALLOCATE ALL\0") {
            self.held.clear();
            if let Some(session) = session {
                session.forget_names();
            }
        }
        Ok(forward)
    }

    fn ready(&mut self, body: &[u8], session: Option<&mut Session>) -> Result<bool, Confused> {
        self.status = read::ready_for_query(body).map_err(|e| Confused(e.to_string()))?;
        let (forward, edits) = match self.replies.pop_front() {
            Some(Reply::Query { edits, .. } | Reply::Sync { edits }) => (true, edits),
            Some(Reply::Function) => (true, false),
            Some(Reply::Injected) => (false, false),
            other => {
                return Err(Confused(format!("ReadyForQuery while {other:?} is owed")));
            }
        };
        self.edits_ahead -= u32::from(edits);
        self.copy_in = false;
        self.resetting = false;
        if let Some(session) = session.filter(|_| forward) {
            session.count_ready(self.status);
        }
        Ok(forward)
    }

    /// An error ends what is owed for one message, and in a flight all that follows up to Sync (I1).
    fn error(
        &mut self,
        body: &[u8],
        session: Option<&mut Session>,
        to_client: &mut Vec<u8>,
    ) -> Result<bool, Confused> {
        self.copy_in = false;
        if self.is_injected() {
            self.note_failure(body);
            return Ok(false);
        }
        let sqlstate = read::report(body).map(|report| report.sqlstate).unwrap_or_default();
        if let Some(Reply::Query { refusal: Some(refusal), .. }) = self.replies.front() {
            let expected = sqlstate == SYNTAX_ERROR;
            if expected && session.is_some() {
                to_client.extend_from_slice(refusal);
            }
            return Ok(!expected);
        }
        if !self.replies.front().is_some_and(Reply::fails_flight) {
            return Ok(true);
        }
        let end = self.replies.iter().position(|reply| matches!(reply, Reply::Sync { .. }));
        let failed: Vec<Reply> = self.replies.drain(..end.unwrap_or(self.replies.len())).collect();
        if end.is_none() {
            self.skipping = true;
            self.open_flight = false;
            self.early_data = false;
        }
        let expected = sqlstate == MISSING;
        let refusal = match failed.first() {
            Some(Reply::Refuse(refusal)) if expected => Some(refusal),
            _ => None,
        };
        if let Some(refusal) = refusal.filter(|_| session.is_some()) {
            to_client.extend_from_slice(refusal);
        }
        let forward = refusal.is_none();
        self.take_back(failed, session);
        Ok(forward)
    }

    /// Undoes what a failed flight was to do, the last first (I4).
    fn take_back(&mut self, failed: Vec<Reply>, mut session: Option<&mut Session>) {
        let edits = |reply: &&Reply| matches!(reply, Reply::Query { edits: true, .. });
        self.edits_ahead -= failed.iter().filter(edits).count() as u32;
        for undo in failed.into_iter().rev().filter_map(Reply::into_undo) {
            let Undo { naming, held, evicted, unnamed, held_unnamed } = undo;
            if let Some(id) = held {
                self.held.remove(id);
            }
            if let Some(statement) = evicted {
                self.held.restore(statement);
            }
            if held_unnamed.is_some() && self.unnamed == held_unnamed {
                self.unnamed = None;
            }
            if let Some(session) = session.as_deref_mut() {
                session.take_back(naming, unnamed);
            }
        }
    }

    fn note_failure(&mut self, body: &[u8]) {
        if self.failure.is_some() {
            return;
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let report = read::report(body).unwrap_or_default();
        self.failure =
            Some(Failure { sqlstate: text(report.sqlstate), message: text(report.message) });
    }

    /// A client that resets a parameter goes back to its own startup value, which it is told; the
    /// server gets it at the next difference.
    fn parameter(
        &mut self,
        body: &[u8],
        session: Option<&mut Session>,
        to_client: &mut Vec<u8>,
    ) -> Result<bool, Confused> {
        let (name, value) = read::parameter_status(body).map_err(|e| Confused(e.to_string()))?;
        let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        let mut forward = !self.is_injected();
        match session.filter(|_| forward) {
            Some(session) => {
                self.parameters.report_to(&name, &value, &mut session.wanted);
                if let Some(own) = session.startup_value(&name).filter(|_| self.resetting) {
                    write::parameter_status(to_client, name.as_bytes(), own.as_bytes());
                    session.wanted.set(&name, &own);
                    forward = false;
                }
            }
            None => self.parameters.report(&name, &value),
        }
        self.read_settings();
        Ok(forward)
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

    /// In copy-in mode the server ignores the Syncs that were sent before it asked for data, unless
    /// the client had ended the COPY already.
    fn begin_copy_in(&mut self) -> Result<bool, Confused> {
        let extended = match self.replies.front() {
            Some(Reply::Query { .. }) => false,
            Some(Reply::Execute) => true,
            _ => return Err(self.unexpected(tag::COPY_IN_RESPONSE)),
        };
        let mut index = 1;
        while let Some(reply) = self.replies.get(index) {
            match reply {
                Reply::Sync { edits } => {
                    self.edits_ahead -= u32::from(*edits);
                    self.flight_edits |= edits;
                    self.open_flight = extended;
                    self.replies.remove(index);
                }
                Reply::CopyEnd => {
                    self.replies.remove(index);
                    return Ok(true);
                }
                _ => index += 1,
            }
        }
        self.copy_in = true;
        self.early_data = false;
        Ok(true)
    }

    /// Gives the client the answers whose turn has come.
    pub(crate) fn answer(&mut self, present: bool, to_client: &mut Vec<u8>) {
        if self.rest != Rest::Header {
            return;
        }
        self.early_data &= !self.replies.is_empty();
        while let Some(Reply::Answer(..) | Reply::CopyEnd) = self.replies.front() {
            match self.replies.pop_front() {
                Some(Reply::Answer(answer, _)) if present => answer.write(to_client),
                _ => {}
            }
        }
    }
}

fn looked_into(head: &Header) -> bool {
    let whole = match head.tag {
        tag::READY_FOR_QUERY | tag::ERROR_RESPONSE | tag::PARAMETER_STATUS => true,
        tag::COMMAND_COMPLETE => matches!(head.length, 6 | 12 | 15),
        _ => false,
    };
    whole && head.length <= LOOK_LIMIT
}
