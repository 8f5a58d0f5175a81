//! SQL that names a prepared statement. In PostgreSQL one namespace holds what SQL and the protocol
//! prepare; servers know a client's statements by other names, so such text is changed on its way.

use std::rc::Rc;

use poolwright_wire::{Header, TargetKind, TransactionStatus, client as tag, read, write};

use super::extended::{For, make_known};
use super::refuse::Refusal;
use super::{Output, Pause, Session, Verdict};
use crate::lexer::{Look, Named, Reading, named};
use crate::replies::{Reply, Special, Undo};
use crate::server::Server;
use crate::statements::Statement;

/// The name of an empty statement that is there to be given up; ids begin at 1.
const STAND_IN: &[u8] = b"pw_0";
/// Gives the stand-in up: done by the server, it fails when the client's own would.
const GIVE_UP: &[u8] = b"DEALLOCATE pw_0";

/// How many names that SQL gave are known at a time; those beyond are not seen by the protocol.
const SQL_NAMES_LIMIT: usize = 1000;

impl Session {
    /// Without a server nothing can fail before it, so what a client gives up is gone at once.
    pub(super) fn query_detached(
        &mut self,
        body: &[u8],
        out: &mut Output,
    ) -> Result<Verdict, Pause> {
        let given_up = match body.first() {
            Some(b'd' | b'D' | b' ' | b'\t' | b'\n' | b'\r' | b'-' | b'/') => self.give_up(body),
            _ => None,
        };
        let Some(tag) = given_up else { return Err(Pause::NeedServer) };
        self.begin_query();
        self.count_ready(TransactionStatus::Idle);
        write::command_complete(&mut out.to_client, tag);
        write::ready_for_query(&mut out.to_client, TransactionStatus::Idle);
        Ok(Verdict::Skip)
    }

    fn give_up(&mut self, body: &[u8]) -> Option<&'static [u8]> {
        let text = read::query(body).ok().filter(|text| text.is_ascii())?;
        match named(text, Reading::default())? {
            Named::Deallocate(name) => self.remove_name(&name).map(|_| b"DEALLOCATE".as_slice()),
            Named::DeallocateAll => {
                self.forget_names();
                Some(b"DEALLOCATE ALL")
            }
            _ => None,
        }
    }

    /// Deals with a query that may name one of the client's statements; `None`: it does not.
    pub(super) fn query_by_name(
        &mut self,
        server: &mut Server,
        head: Header,
        body: &[u8],
        look: Look,
        out: &mut Output,
    ) -> Result<Option<Verdict>, Pause> {
        let whole = body.len() == head.length as usize;
        let text = if whole { body.strip_suffix(b"\0").unwrap_or(body) } else { body };
        let Some(named) = named(text, server.reading()) else { return Ok(None) };
        let name = match &named {
            Named::Deallocate(_) if !whole => return Ok(None),
            Named::Deallocate(name) | Named::Execute(name, _) | Named::Prepare(name) => name,
            Named::DeallocateAll => return Ok(None),
        };
        if server.edits_ahead > 0 || server.awaits_settings() {
            return Err(Pause::Hold);
        }
        let Some(of_protocol) = self.names.get_mut(name) else {
            if matches!(named, Named::Prepare(_)) {
                note_sql_name(server, name);
            }
            return Ok(None);
        };
        let changed = of_protocol.has_changed();
        let statement = Rc::clone(&of_protocol.statement);
        Ok(match named {
            Named::Execute(..) if changed => {
                self.begin_query();
                Refusal::changed().send_in_place_of_query(server, &mut out.to_server);
                Some(Verdict::Skip)
            }
            Named::Deallocate(name) => Some(self.deallocate(server, &name, out)),
            Named::Execute(_, place) => {
                let (before, behind) = (&text[..place.start], place.end as u32);
                self.execute_by_name(server, head, &statement, (before, behind), look, out)
            }
            Named::Prepare(name) => {
                self.begin_query();
                Refusal::duplicate(&name).send_in_place_of_query(server, &mut out.to_server);
                Some(Verdict::Skip)
            }
            Named::DeallocateAll => None,
        })
    }

    /// The server gives up a stand-in: others may use the statement itself.
    fn deallocate(&mut self, server: &mut Server, name: &[u8], out: &mut Output) -> Verdict {
        self.begin_query();
        let in_flight = server.may_skip();
        write::close(&mut out.to_server, TargetKind::Statement, STAND_IN);
        server.send_extended(Reply::Close { injected: true, undo: Undo::default() });
        write::parse(&mut out.to_server, STAND_IN, b"", &[]);
        server.send_extended(Reply::Parse { injected: true, undo: Undo::default() });
        if !in_flight {
            server.end_ahead(&mut out.to_server);
        }
        server.flight_edits = true;
        write::query(&mut out.to_server, GIVE_UP);
        let special = Special { undo: self.forget(name), ..Special::default() };
        server.send_query(Look::default(), Some(special.into()));
        Verdict::Skip
    }

    /// `None`, which fails for want of the name: inside a flight that no Sync has ended, nothing can
    /// be sent ahead that might fail.
    fn execute_by_name(
        &mut self,
        server: &mut Server,
        head: Header,
        statement: &Rc<Statement>,
        (before, behind): (&[u8], u32),
        look: Look,
        out: &mut Output,
    ) -> Option<Verdict> {
        if let Some(refusal) = self.refusal(server, statement.look) {
            self.begin_query();
            refusal.send_in_place_of_query(server, &mut out.to_server);
            return Some(Verdict::Skip);
        }
        let in_flight = server.may_skip();
        let held = server.held.touch(statement);
        if in_flight && !held {
            return None;
        }
        self.begin_query();
        if !held {
            make_known(server, statement, For::Pooler { awaited: false }, &mut out.to_server);
            server.end_ahead(&mut out.to_server);
        }
        self.note_statement(server, statement.look, &statement.body);
        let kept = before.len() + statement.name.len();
        let length = 4 + kept as u32 + head.length - behind;
        out.to_server.push(tag::QUERY);
        out.to_server.extend_from_slice(&length.to_be_bytes());
        out.to_server.extend_from_slice(before);
        out.to_server.extend_from_slice(&statement.name);
        server.send_query(look, None);
        Some(Verdict::Rewritten(behind))
    }

    /// A simple query begins, whatever becomes of it.
    pub(super) fn begin_query(&mut self) {
        self.counts.queries += 1;
        self.unnamed.number = 0;
    }
}

fn note_sql_name(server: &mut Server, name: &[u8]) {
    if !server.may_know(name) && server.sql_names.len() < SQL_NAMES_LIMIT {
        server.sql_names.push(name.into());
    }
}
