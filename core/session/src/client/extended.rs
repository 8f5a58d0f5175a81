//! The extended protocol: names of statements are the client's own, servers know them by text.
//! Whatever a later message relies on has been confirmed, or fails in the same flight.

use std::rc::Rc;

use poolwright_wire::{Header, TargetKind, client as tag, read, write};

use super::by_name::parsed::hold_executed;
use super::meaning::adopt;
use super::preparing::{For, make_known};
use super::refusal;
use super::refuse::Refusal;
use super::{LOOK_LIMIT, Output, Pause, STATEMENT_LIMIT, Session, Verdict};
use crate::doubts::Doubts;
use crate::lexer::Look;
use crate::replies::{Answer, First, Reply, Undo};
use crate::server::{Drops, Server};
use crate::statements::{ByName, Shape, Statement};

impl Session {
    pub(super) fn bind(
        &mut self,
        server: &mut Server,
        head: Header,
        body: &[u8],
        out: &mut Output,
    ) -> Result<Verdict, Pause> {
        let names = match read::bind_names(body, head.length) {
            Ok(Some(names)) => names,
            Err(error) => return Ok(self.refuse(server, error.into(), out)),
            Ok(None) if (body.len() as u32) < head.length.min(LOOK_LIMIT) => {
                return Ok(Verdict::Fetch(head.length.min(LOOK_LIMIT)));
            }
            Ok(None) => {
                let refusal = Refusal::too_long("the names in a Bind", LOOK_LIMIT);
                return Ok(self.refuse(server, refusal, out));
            }
        };
        if names.statement.is_empty() {
            return self.bind_unnamed(server, out);
        }
        let (statement, first, by_name) = match self.find(server, names.statement, true, out)? {
            Found::Here(statement, first, by_name) => (statement, first, by_name),
            Found::BySql => {
                self.note_bind(server, Look::UNDECIDABLE, b"", (0, None), Undo::Nothing);
                return Ok(Verdict::Forward);
            }
            Found::Refused(refusal) => return Ok(self.refuse(server, refusal, out)),
        };
        if !statement.look.doubts.is_none() {
            self.mind_undoing(server, statement.look, &statement.body)?;
        }
        let undo = match self.rely_on_any(server, by_name.as_deref(), &mut out.to_server) {
            Ok(undo) => undo,
            Err(refusal) => return Ok(self.refuse(server, refusal, out)),
        };
        server.try_with(&out.to_server);
        let rest = head.length - names.consumed as u32;
        write::bind_head(&mut out.to_server, names.portal, &statement.name, rest);
        self.note_bind(server, statement.look, &statement.body, (statement.id, first), undo);
        Ok(Verdict::Rewritten(names.consumed as u32))
    }

    /// `body`: the Parse message's, behind the name.
    pub(super) fn note_bind(
        &self,
        server: &mut Server,
        look: Look,
        body: &[u8],
        (statement, first): (u64, Option<Box<First>>),
        undo: Undo,
    ) {
        self.note_statement(server, look, body);
        server.flight_edits |= !look.doubts.is_none();
        if look.doubts.is_any(Doubts::ENDS) {
            server.drops = Drops::Bound;
        }
        server.send_extended(Reply::Bind { statement, first, undo });
    }

    /// A statement that is about to run; `body`: the Parse message's, behind the name.
    pub(super) fn note_statement(&self, server: &mut Server, look: Look, body: &[u8]) {
        server.note(look);
        if look.doubts.is_any(Doubts::CUSTOMS) {
            server.note_customs(body.split(|byte| *byte == 0).next().unwrap_or_default());
        }
    }

    pub(super) fn describe(
        &mut self,
        server: &mut Server,
        body: &[u8],
        out: &mut Output,
    ) -> Result<Verdict, Pause> {
        let target = match read::describe(body) {
            Ok(target) => target,
            Err(error) => return Ok(self.refuse(server, error.into(), out)),
        };
        match (target.kind, target.name) {
            (TargetKind::Portal, _) => {}
            (TargetKind::Statement, b"") => {
                if let Some(refusal) = self.rely_on_unnamed(server, &mut out.to_server)? {
                    return Ok(self.refuse(server, refusal, out));
                }
                server.send_extended(Reply::DescribeUnnamed { number: self.unnamed.number });
                return Ok(Verdict::Forward);
            }
            (TargetKind::Statement, name) => match self.find(server, name, false, out)? {
                Found::Here(statement, first, _) => {
                    server.try_with(&out.to_server);
                    write::describe(&mut out.to_server, TargetKind::Statement, &statement.name);
                    server.send_extended(Reply::Describe { statement: statement.id, first });
                    return Ok(Verdict::Skip);
                }
                Found::BySql => {}
                Found::Refused(refusal) => return Ok(self.refuse(server, refusal, out)),
            },
        }
        server.send_extended(Reply::Describe { statement: 0, first: None });
        Ok(Verdict::Forward)
    }

    pub(super) fn close(
        &mut self,
        server: &mut Server,
        body: &[u8],
        out: &mut Output,
    ) -> Result<Verdict, Pause> {
        let target = match read::close(body) {
            Ok(target) => target,
            Err(error) => return Ok(self.refuse(server, error.into(), out)),
        };
        if target.kind == TargetKind::Portal {
            server.send_extended(Reply::Close { injected: false, undo: Undo::Nothing });
            return Ok(Verdict::Forward);
        }
        if server.edits_ahead > 0 {
            return Err(Pause::Hold);
        }
        server.mind_drops(&mut out.to_server)?;
        if server.may_know(target.name) && !self.names.contains_key(target.name) {
            server.send_extended(Reply::Close { injected: false, undo: Undo::Nothing });
            return Ok(Verdict::Forward);
        }
        let undo = self.forget(target.name);
        if target.name.is_empty() {
            server.unnamed = None;
        }
        server.flight_edits = true;
        server.send_answer(Answer::CloseComplete, undo, &mut out.to_client);
        Ok(Verdict::Skip)
    }

    /// Without a server nothing can fail before it, so a Close takes effect at once. One that is
    /// malformed is for a server to fail.
    pub(super) fn close_detached(
        &mut self,
        body: &[u8],
        out: &mut Output,
    ) -> Result<Verdict, Pause> {
        let Ok(target) = read::close(body) else { return Err(Pause::NeedServer) };
        if target.kind == TargetKind::Statement {
            self.forget(target.name);
        }
        write::close_complete(&mut out.to_client);
        Ok(Verdict::Skip)
    }

    pub(super) fn forget(&mut self, name: &[u8]) -> Undo {
        if name.is_empty() {
            self.unnamed.number = 0;
        }
        match self.remove_name(name) {
            Some(before) => Undo::naming(name.into(), Some(before)),
            None => Undo::Nothing,
        }
    }

    /// What a name of the client's stands for, once nothing sent before can change that. It is sent
    /// ahead if the server does not hold it; a client that may know what it takes and gives waits
    /// until the server has said whether that is still so.
    fn find(
        &mut self,
        server: &mut Server,
        name: &[u8],
        runs: bool,
        out: &mut Output,
    ) -> Result<Found, Pause> {
        if server.edits_ahead > 0 {
            return Err(Pause::Hold);
        }
        server.mind_drops(&mut out.to_server)?;
        let refuses_pins = self.refuses_pins;
        let Some(named) = self.names.get_mut(name) else {
            return Ok(match server.may_know(name) {
                true => Found::BySql,
                false => Found::Refused(Refusal::missing(name)),
            });
        };
        if named.has_changed() {
            return Ok(Found::Refused(Refusal::changed()));
        }
        if runs && let Some(refusal) = refusal(refuses_pins, server, named.statement.look) {
            return Ok(Found::Refused(refusal));
        }
        if let Some(by_name) = &named.by_name {
            hold_executed(server, by_name, &self.wanted, &mut out.to_server);
        }
        if !server.held.touch(&named.statement) {
            let here = (&self.wanted, self.scope.pool);
            if let Some(refusal) = adopt(named, here, &self.statements, server) {
                return Ok(Found::Refused(refusal));
            }
            if !server.held.touch(&named.statement) {
                let awaited = matches!(named.statement.shape.get(), Shape::Of(_));
                make_known(server, &named.statement, For::Pooler { awaited }, &mut out.to_server);
                if awaited {
                    write::flush(&mut out.to_server);
                    return Err(Pause::Hold);
                }
            }
        }
        let first = (!named.told).then(|| Box::new(First(name.into())));
        Ok(Found::Here(Rc::clone(&named.statement), first, named.by_name.clone()))
    }

    pub(super) fn rely_on_any(
        &mut self,
        server: &mut Server,
        by_name: Option<&ByName>,
        to_server: &mut Vec<u8>,
    ) -> Result<Undo, Refusal> {
        by_name.map_or(Ok(Undo::Nothing), |by_name| self.rely_on_name(server, by_name, to_server))
    }

    pub(super) fn refuse(
        &self,
        server: &mut Server,
        refusal: Refusal,
        out: &mut Output,
    ) -> Verdict {
        refusal.send(server, &mut out.to_server);
        Verdict::Skip
    }
}

/// What a name of a client's stands for.
enum Found {
    /// A statement that the server holds, its name where the client has not used it yet, and what
    /// other it names.
    Here(Rc<Statement>, Option<Box<First>>, Option<Rc<ByName>>),
    /// Perhaps what SQL prepared under that name.
    BySql,
    Refused(Refusal),
}

/// How much of the body of a Parse or Bind must be there before it can be dealt with, if that is
/// more than there is. A server connection is asked for only then: one that must wait for the rest
/// would be free all the while.
pub(super) fn more_of(head: Header, body: &[u8]) -> Option<u32> {
    let needed = match head.tag {
        tag::PARSE => match read::parse_name(body, head.length) {
            Ok(Some(name)) if !name.name.is_empty() && head.length <= STATEMENT_LIMIT => {
                head.length
            }
            _ => 0,
        },
        _ => match read::bind_names(body, head.length) {
            Ok(None) => head.length.min(LOOK_LIMIT),
            _ => 0,
        },
    };
    (body.len() < needed as usize).then_some(needed)
}
