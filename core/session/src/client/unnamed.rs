//! The unnamed statement: it goes as it comes, and is kept to be parsed anew on another server, as its
//! client was told of it.

use std::rc::Rc;

use poolwright_wire::{Header, WireError, client as tag, read, server as reply, write};

use super::by_name::parsed::hold_executed;
use super::meaning::{spoilt_by, text_of};
use super::preparing::with_text;
use super::refuse::Refusal;
use super::{LOOK_LIMIT, Output, Pause, Session, Verdict};
use crate::lexer::{Look, Reading, look_with, only_reads};
use crate::parameters::Wanted;
use crate::replies::{Reply, Undo};
use crate::server::{Confused, Proof, Server, of_columns};
use crate::statements::ByName;

/// Statements up to this length are kept when unnamed, in bytes.
const KEPT_LIMIT: u32 = LOOK_LIMIT;

/// The client's unnamed statement.
// In this order in memory: what every request touches stands together.
#[repr(C)]
#[derive(Default)]
pub(super) struct Unnamed {
    /// Counts all unnamed statements of all clients, so that servers can tell them apart; 0: none.
    pub number: u64,
    /// The Parse message's body behind the name; `None` if it was too long to keep.
    body: Option<Vec<u8>>,
    look: Look,
    /// How its text was read when it was looked at.
    reading: Reading,
    /// It names another statement.
    by_name: Option<Rc<ByName>>,
    /// What the client wanted set when it was parsed.
    wanted: Wanted,
    told: Told,
    /// What the client was told of its parameters: their types, as in a Parse message. `None` if it was
    /// too long to keep.
    types: Option<Vec<u8>>,
}

/// What a client was told of its unnamed statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Told {
    #[default]
    Nothing,
    /// Its parameters, and that it has no columns.
    NoColumns,
    /// Its parameters, and its columns, of which this is a hash.
    Columns(u64),
    /// Columns that are others by now, which the client knows too.
    Outdated,
}

impl Session {
    pub(super) fn parse_unnamed(
        &mut self,
        server: &mut Server,
        head: Header,
        body: &[u8],
        out: &mut Output,
    ) -> Result<Verdict, Pause> {
        let mut rewritten = false;
        if !self.is_unnamed_again(server, head, body) {
            rewritten = match self.take_unnamed(server, head, body, out)? {
                Ok(rewritten) => rewritten,
                Err(error) => return Ok(self.refuse(server, error.into(), out)),
            };
        }
        self.unnamed.number = self.statements.borrow_mut().next_unnamed();
        self.unnamed.told = Told::Nothing;
        server.unnamed = Some(self.unnamed.number);
        server.flight_edits = true;
        let undo = Undo::Unnamed { number: self.unnamed.number, own: true };
        server.send_extended(Reply::Parse { injected: false, undo });
        Ok(if rewritten { Verdict::Skip } else { Verdict::Forward })
    }

    /// Many a client prepares the same text again and again: it has been looked at, and there was
    /// nothing in it.
    fn is_unnamed_again(&self, server: &Server, head: Header, body: &[u8]) -> bool {
        let Unnamed { body: kept, look, reading, wanted, .. } = &self.unnamed;
        let whole = body.len() == head.length as usize;
        let same = whole && kept.as_deref().is_some_and(|kept| *kept == body[1..]);
        same && look.doubts.is_none() && *reading == server.reading() && *wanted == self.wanted
    }

    /// Takes an unnamed statement over; answers whether another was written in its place.
    fn take_unnamed(
        &mut self,
        server: &mut Server,
        head: Header,
        body: &[u8],
        out: &mut Output,
    ) -> Result<Result<bool, WireError>, Pause> {
        let whole = body.len() == head.length as usize;
        let message = match whole.then(|| read::parse(body)).transpose() {
            Ok(message) => message.filter(|_| head.length <= KEPT_LIMIT),
            Err(error) => return Ok(Err(error)),
        };
        let mut found = Look::UNDECIDABLE;
        let mut changed = None;
        if let Some(message) = &message {
            found = look_with(message.query, server.reading(), &self.harmless);
            if !found.doubts.is_none() {
                changed = self.change_parsed(server, message.query)?;
            }
        }
        self.unnamed.look = found;
        self.unnamed.reading = server.reading();
        self.unnamed.by_name = None;
        if self.unnamed.wanted != self.wanted {
            self.unnamed.wanted = self.wanted.clone();
        }
        if message.is_some() {
            let kept = self.unnamed.body.get_or_insert_default();
            kept.clear();
            kept.extend_from_slice(&body[1..]);
        } else {
            self.unnamed.body = None;
        }
        if let Some((changed, message)) = changed.zip(message) {
            hold_executed(server, &changed.by_name, &self.wanted, &mut out.to_server);
            let new = with_text(&changed.text, message.query, &body[1..]);
            write::parse_head(&mut out.to_server, b"", new.len() as u32);
            out.to_server.extend_from_slice(&new);
            self.unnamed.body = Some(new);
            self.unnamed.by_name = Some(changed.by_name);
        }
        Ok(Ok(self.unnamed.by_name.is_some()))
    }

    pub(super) fn bind_unnamed(
        &mut self,
        server: &mut Server,
        out: &mut Output,
    ) -> Result<Verdict, Pause> {
        if let Some(refusal) = self.rely_on_unnamed(server, &mut out.to_server)? {
            return Ok(self.refuse(server, refusal, out));
        }
        if let Some(refusal) = self.refusal(server, self.unnamed.look) {
            return Ok(self.refuse(server, refusal, out));
        }
        if !self.unnamed.look.doubts.is_none() {
            let body = self.unnamed.body.as_deref().unwrap_or_default();
            self.mind_undoing(server, self.unnamed.look, body)?;
        }
        let by_name = self.unnamed.by_name.clone();
        let undo = match self.rely_on_any(server, by_name.as_deref(), &mut out.to_server) {
            Ok(undo) => undo,
            Err(refusal) => return Ok(self.refuse(server, refusal, out)),
        };
        let body = self.unnamed.body.as_deref().unwrap_or_default();
        self.note_bind(server, self.unnamed.look, body, (0, None), undo);
        Ok(Verdict::Forward)
    }

    /// Sends the unnamed statement ahead if the server does not hold it; answers why it cannot.
    pub(super) fn rely_on_unnamed(
        &self,
        server: &mut Server,
        to_server: &mut Vec<u8>,
    ) -> Result<Option<Refusal>, Pause> {
        let number = self.unnamed.number;
        let held = number > 0 && server.unnamed == Some(number);
        let same_flight = held && server.open_flight && server.flight_edits;
        if server.edits_ahead > 0 && !same_flight {
            return Err(Pause::Hold);
        }
        if number == 0 {
            return Ok(Some(Refusal::missing(b"")));
        }
        if self.unnamed.told == Told::Outdated {
            return Ok(Some(Refusal::changed()));
        }
        if let Some(by_name) = &self.unnamed.by_name {
            hold_executed(server, by_name, &self.wanted, to_server);
        }
        if held {
            return Ok(None);
        }
        let Some(body) = &self.unnamed.body else {
            return Ok(Some(Refusal::too_long("an unnamed statement kept", KEPT_LIMIT)));
        };
        if self.unnamed.wanted != self.wanted {
            let (then, now) = (self.unnamed.wanted.meaning(), self.wanted.meaning());
            if let Some(setting) = spoilt_by(&then, &now, body) {
                return Ok(Some(Refusal::other_settings(setting)));
            }
        }
        self.parse_again(server, body, to_server);
        Ok(None)
    }

    /// Parses what is kept on another server, with the types that the client was told of, as PostgreSQL
    /// does where a table has changed. A client that was told of columns is to get those.
    fn parse_again(&self, server: &mut Server, body: &[u8], to_server: &mut Vec<u8>) {
        let number = self.unnamed.number;
        let is_first = server.is_next_first();
        let (text, types) = body.split_at((text_of(body).len() + 1).min(body.len()));
        let types = match &self.unnamed.types {
            Some(told) if self.unnamed.told != Told::Nothing => told,
            _ => types,
        };
        write::parse_head(to_server, b"", (text.len() + types.len()) as u32);
        to_server.extend_from_slice(text);
        to_server.extend_from_slice(types);
        server.unnamed = Some(number);
        server.flight_edits = true;
        let undo = Undo::Unnamed { number, own: false };
        server.send_extended(Reply::Parse { injected: true, undo });
        if let Told::Columns(columns) = self.unnamed.told {
            let reads = is_first && only_reads(&text[..text.len() - 1], self.unnamed.reading);
            server.ask_proof(columns, reads, to_server);
        }
    }

    /// What the client is told of an unnamed statement, in two messages.
    pub(crate) fn note_told(
        &mut self,
        number: u64,
        head: Header,
        body: &[u8],
    ) -> Result<(), Confused> {
        if self.unnamed.number != number {
            return Ok(());
        }
        match head.tag {
            reply::PARAMETER_DESCRIPTION if head.length > KEPT_LIMIT => self.unnamed.types = None,
            reply::PARAMETER_DESCRIPTION => {
                let types = self.unnamed.types.get_or_insert_default();
                types.clear();
                types.extend_from_slice(body);
            }
            reply::ROW_DESCRIPTION => {
                self.unnamed.told = Told::Columns(of_columns(head, body)?);
            }
            _ => self.unnamed.told = Told::NoColumns,
        }
        Ok(())
    }

    /// Another server has other columns for the unnamed statement than the client was told of; answers
    /// the error that the client gets.
    pub(crate) fn outdate_unnamed(&mut self) -> Box<[u8]> {
        self.unnamed.told = Told::Outdated;
        Refusal::changed().error()
    }

    /// The server never got this unnamed statement.
    pub(crate) fn take_back_unnamed(&mut self, number: u64) {
        if self.unnamed.number == number {
            self.unnamed.number = 0;
        }
    }
}

/// What may go on before it is known whether the unnamed statement has the columns that the client was
/// told of: what runs it, and the end of a flight that only reads.
///
/// # Errors
/// All else waits.
#[cold]
pub(super) fn mind_proof(
    server: &mut Server,
    head: Header,
    body: &[u8],
    to_server: &mut Vec<u8>,
) -> Result<(), Pause> {
    let runs = match head.tag {
        tag::TERMINATE => return Ok(()),
        tag::BIND => {
            let names = read::bind_names(body, head.length).ok().flatten();
            names.is_some_and(|names| names.statement.is_empty())
        }
        tag::DESCRIBE => body.first() == Some(&b'P'),
        tag::EXECUTE | tag::FLUSH => true,
        tag::SYNC => server.proof == Proof::Expected,
        _ => false,
    };
    if !server.open_flight {
        return Err(Pause::Hold);
    }
    if !runs {
        server.await_proof(to_server);
        return Err(Pause::Hold);
    }
    Ok(())
}
