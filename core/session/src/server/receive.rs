//! What the server sends, message by message: who gets it, and how it moves the model on.

use poolwright_wire::{Header, TransactionStatus, header, read, server as tag, write};

use super::{Confused, Received, Server};
use crate::Rest;
use crate::client::Session;
use crate::mutation::{self, Mutation};
use crate::parameters::READING;
use crate::replies::Reply;
use crate::sink::Sink;

/// The longest body of a message that is looked into, in bytes; longer ones pass unread.
const LOOK_LIMIT: u32 = 64 * 1024;
/// The same for the answer to a query of the pooler's own.
const ANSWER_LIMIT: u32 = 1024 * 1024;

impl Server {
    /// As [`Server::receive_in_place`], with all that goes to the client written; answers how many
    /// bytes were dealt with.
    ///
    /// # Errors
    /// [`Confused`]: close the connection.
    pub fn receive(
        &mut self,
        session: Option<&mut Session>,
        input: &[u8],
        to_client: &mut Vec<u8>,
    ) -> Result<usize, Confused> {
        let Received { used, run } = self.receive_in_place(session, input, to_client)?;
        to_client.extend_from_slice(&input[run]);
        Ok(used)
    }

    /// Takes in what the server sent. Without a session only the pooler's own replies and the
    /// leftovers of a client that is gone are expected.
    ///
    /// # Errors
    /// [`Confused`]: close the connection, when the client has got what was written for it.
    pub fn receive_in_place(
        &mut self,
        session: Option<&mut Session>,
        input: &[u8],
        to_client: &mut Vec<u8>,
    ) -> Result<Received, Confused> {
        let mut sink = Sink::new(input, to_client);
        match self.messages(session, input, &mut sink) {
            Ok(used) => Ok(Received { used, run: sink.into_run() }),
            Err(confused) => {
                sink.own();
                Err(confused)
            }
        }
    }

    fn messages(
        &mut self,
        mut session: Option<&mut Session>,
        input: &[u8],
        sink: &mut Sink<'_>,
    ) -> Result<usize, Confused> {
        let mut at = 0;
        loop {
            let (count, forward) = self.rest.take(input.len() - at);
            if forward {
                sink.pass(at..at + count);
            }
            at += count;
            if self.answers_next() {
                self.answer(session.is_some(), sink.own());
            }
            let left = &input[at..];
            if self.rest != Rest::Header || left.is_empty() {
                return Ok(at);
            }
            let Some(head) = header(left).map_err(|e| Confused(e.to_string()))? else {
                return Ok(at);
            };
            let look = if self.looks_into(&head) { head.length } else { 0 };
            let Some(body) = left.get(5..5 + look as usize) else { return Ok(at) };
            let forward = self.message(head, body, session.as_deref_mut(), sink)?;
            let whole = head.length + 5;
            let forward = forward && session.is_some();
            self.rest = if forward { Rest::Forward(whole) } else { Rest::Skip(whole) };
        }
    }

    /// Whether the client gets this message; moves the model on.
    #[inline(always)]
    fn message(
        &mut self,
        head: Header,
        body: &[u8],
        session: Option<&mut Session>,
        sink: &mut Sink<'_>,
    ) -> Result<bool, Confused> {
        match head.tag {
            tag::DATA_ROW if self.answer.is_some() => self.row(body),
            tag::DATA_ROW | tag::COPY_DATA | tag::COPY_DONE => self.within_result(head.tag),
            tag::READY_FOR_QUERY => self.ready(body, session),
            tag::ERROR_RESPONSE => self.error(body, session, sink),
            tag::PARAMETER_STATUS => self.parameter(body, session, sink.own()),
            tag::NOTIFICATION_RESPONSE if self.is_injected() || session.is_none() => {
                self.keep_notification(head, body);
                Ok(false)
            }
            tag::NOTICE_RESPONSE | tag::NOTIFICATION_RESPONSE => Ok(!self.is_injected()),
            tag::COMMAND_COMPLETE => self.complete(head, body, session),
            tag::COPY_IN_RESPONSE if session.is_none() => Err(Confused(
                "CopyInResponse, and the client that would send the data is gone".to_owned(),
            )),
            tag::COPY_IN_RESPONSE => self.begin_copy_in(),
            tag::PARAMETER_DESCRIPTION | tag::ROW_DESCRIPTION | tag::NO_DATA => {
                self.describe(head, body, session, sink)
            }
            tag::BIND_COMPLETE if self.is_first_use() => {
                self.note_first_use(session);
                self.reply(head.tag)
            }
            _ => self.reply(head.tag),
        }
    }

    fn is_first_use(&self) -> bool {
        matches!(self.replies.front(), Some(Reply::Bind { first: Some(_), .. }))
    }

    /// What is owed next has begun: from now on the client may know what the statement gives.
    #[cold]
    pub(super) fn note_first_use(&mut self, session: Option<&mut Session>) {
        if let Some(
            Reply::Bind { statement, first: first @ Some(_), .. }
            | Reply::Describe { statement, first: first @ Some(_) },
        ) = self.replies.front_mut()
            && let Some((name, session)) = first.take().zip(session)
        {
            session.note_use(&name.0, *statement);
        }
    }

    fn looks_into(&self, head: &Header) -> bool {
        match head.tag {
            tag::READY_FOR_QUERY | tag::ERROR_RESPONSE | tag::PARAMETER_STATUS => {
                head.length <= LOOK_LIMIT
            }
            tag::COMMAND_COMPLETE => matches!(head.length, 6 | 11 | 12 | 15),
            tag::DATA_ROW => self.answer.is_some() && head.length <= ANSWER_LIMIT,
            tag::PARAMETER_DESCRIPTION | tag::ROW_DESCRIPTION => {
                self.asks_itself(head.tag) && head.length <= ANSWER_LIMIT
            }
            tag::NOTIFICATION_RESPONSE => head.length <= LOOK_LIMIT,
            _ => false,
        }
    }

    /// A row of the answer to a query that was asked.
    fn row(&mut self, body: &[u8]) -> Result<bool, Confused> {
        let forward = self.within_result(tag::DATA_ROW)?;
        if !forward && !body.is_empty() {
            let value = read::first_column(body).map_err(|e| Confused(e.to_string()))?;
            self.answer = Some(value.unwrap_or_default().to_vec());
        }
        Ok(forward)
    }

    pub(super) fn is_injected(&self) -> bool {
        self.replies.front().is_some_and(Reply::is_own)
    }

    fn unexpected(&self, tag: u8) -> Confused {
        let front = self.replies.front();
        Confused(format!("message '{}' while {front:?} is owed", char::from(tag).escape_default()))
    }

    fn within_result(&self, tag: u8) -> Result<bool, Confused> {
        match self.replies.front() {
            Some(Reply::Query { special, .. }) => Ok(!special.as_ref().is_some_and(|it| it.told)),
            Some(Reply::Execute) => Ok(true),
            Some(reply) if reply.is_own() => Ok(false),
            _ => Err(self.unexpected(tag)),
        }
    }

    /// Replies that one message in the queue is owed.
    pub(super) fn reply(&mut self, message: u8) -> Result<bool, Confused> {
        let (forward, done) = match (self.replies.front(), message) {
            (Some(reply), _) if reply.is_own() => (false, false),
            (Some(Reply::Parse { injected, .. }), tag::PARSE_COMPLETE) => {
                (!injected || mutation::is(Mutation::InjectedRepliesShown), true)
            }
            (Some(Reply::Close { injected, .. }), tag::CLOSE_COMPLETE) => (!injected, true),
            (Some(Reply::Bind { .. }), tag::BIND_COMPLETE) => {
                self.again.disarm();
                (true, true)
            }
            (
                Some(Reply::Describe { .. } | Reply::DescribeUnnamed { .. }),
                tag::PARAMETER_DESCRIPTION,
            ) => (true, false),
            (
                Some(Reply::Describe { .. } | Reply::DescribeUnnamed { .. }),
                tag::ROW_DESCRIPTION | tag::NO_DATA,
            ) => (true, true),
            (Some(Reply::Execute), tag::EMPTY_QUERY_RESPONSE | tag::PORTAL_SUSPENDED) => {
                (true, true)
            }
            (Some(Reply::Execute), tag::COPY_OUT_RESPONSE) => (true, false),
            (Some(Reply::Function), tag::FUNCTION_CALL_RESPONSE) => (true, false),
            (
                Some(Reply::Query { special, .. }),
                tag::ROW_DESCRIPTION | tag::EMPTY_QUERY_RESPONSE | tag::COPY_OUT_RESPONSE,
            ) => (!special.as_ref().is_some_and(|it| it.told), false),
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
        let discards = body == b"DISCARD ALL\0";
        if discards || body == b"RESET\0" {
            self.resetting = true;
            self.was_reset |= forward;
        }
        if discards {
            self.parameters.set_reset();
            self.was_discarded |= forward;
        }
        if body == b"DEALLOCATE\0" {
            self.deallocated(session);
            return Ok(forward);
        }
        if discards || body == b"DEALLOCATE ALL\0" {
            self.forget_statements();
            if let Some(session) = session {
                session.forget_names();
                if discards {
                    session.begin_anew();
                }
            }
        }
        Ok(forward)
    }

    /// A query has given up a statement, perhaps in place of one of the client's.
    fn deallocated(&mut self, session: Option<&mut Session>) {
        if let Some(Reply::Query { special: Some(special), .. }) = self.replies.front_mut()
            && let Some(Some(name)) = special.given_up.pop_front()
            && let Some(session) = session
        {
            session.forget_name(&name);
        }
    }

    /// A Sync alone ends no transaction: where the server says so right behind a request that was
    /// part of a flight's transaction, that is open still (PostgreSQL 18), and fails the next request.
    fn ready(&mut self, body: &[u8], session: Option<&mut Session>) -> Result<bool, Confused> {
        let told = read::ready_for_query(body).map_err(|e| Confused(e.to_string()))?;
        let before = std::mem::replace(&mut self.status, told);
        let (forward, edits) = match self.replies.pop_front() {
            Some(Reply::Query { edits, .. }) => (true, edits),
            Some(Reply::Sync { edits, injected, bare }) => {
                if bare && before == TransactionStatus::Open {
                    self.status = before;
                }
                (!injected, edits)
            }
            Some(Reply::Function) => (true, false),
            Some(Reply::Injected | Reply::Settings { .. }) => {
                self.settings_went_through();
                (false, false)
            }
            Some(Reply::Muted) => return self.ready(body, session),
            other => {
                return Err(Confused(format!("ReadyForQuery while {other:?} is owed")));
            }
        };
        self.edits_ahead -= u32::from(edits);
        if self.sets_locally && self.replies.is_empty() && !self.open_flight {
            // The client has read what it set, as far as servers tell.
            self.sets_locally = false;
        }
        self.copy_in = false;
        self.resetting = false;
        if let Some(session) = session.filter(|_| forward) {
            session.count_ready(self.status);
            self.note_undone();
        }
        self.left_block = self.by_statement && self.status != TransactionStatus::Idle;
        Ok(forward && !self.left_block)
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
        let is_muted = matches!(self.replies.front(), Some(Reply::Muted));
        let mut forward = !self.is_injected() || is_muted;
        match session.filter(|_| forward) {
            Some(session) => {
                session.take_report(&mut self.parameters, &name, &value);
                let is_base = self.resetting && self.parameters.is_base(&name, &value);
                if let Some(own) = session.startup_value(&name).filter(|_| is_base) {
                    write::parameter_status(to_client, name.as_bytes(), own.as_bytes());
                    session.wanted.set(&name, &own);
                    forward = false;
                }
            }
            None => self.parameters.report(&name, &value),
        }
        if READING.contains(&&*name) {
            self.read_settings();
        }
        Ok(forward)
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
                Reply::Sync { edits, .. } => {
                    self.edits_ahead -= u32::from(*edits);
                    self.flight_edits |= edits;
                    (self.open_flight, self.flight_sent) = (extended, extended);
                    self.flight_runs = extended;
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

    /// Whether an answer's turn may have come.
    fn answers_next(&self) -> bool {
        self.early_data || matches!(self.replies.front(), Some(Reply::Answer(..) | Reply::CopyEnd))
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
