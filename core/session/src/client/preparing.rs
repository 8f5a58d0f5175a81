//! Preparing named statements: names are the client's own, servers know a statement by its text.

use std::rc::Rc;

use poolwright_wire::{Header, TargetKind, TransactionStatus, read, write};

use super::by_name::parsed::{self, hold_executed};
use super::meaning::{alone, is_doubtful};
use super::refuse::Refusal;
use super::{LOOK_LIMIT, Output, Pause, STATEMENT_LIMIT, STATEMENTS_LIMIT, Session, Verdict};
use crate::lexer::{Look, look_with};
use crate::mutation::{self, Mutation};
use crate::replies::{Answer, Described, Edit, Naming, Reply, Undo};
use crate::server::Server;
use crate::statements::{Named, Statement, Use};

impl Session {
    pub(super) fn parse(
        &mut self,
        server: &mut Server,
        head: Header,
        body: &[u8],
        out: &mut Output,
    ) -> Result<Verdict, Pause> {
        let name = match read::parse_name(body, head.length) {
            Ok(Some(name)) => name,
            Ok(None) => {
                let refusal = Refusal::too_long("the name of a prepared statement", LOOK_LIMIT);
                return Ok(self.refuse(server, refusal, out));
            }
            Err(error) => return Ok(self.refuse(server, error.into(), out)),
        };
        if name.name.is_empty() {
            return self.parse_unnamed(server, head, body, out);
        }
        if server.edits_ahead > 0 {
            return Err(Pause::Hold);
        }
        server.mind_drops(&mut out.to_server)?;
        let name: Box<[u8]> = name.name.into();
        if self.names.contains_key(&name) {
            return Ok(self.refuse(server, Refusal::duplicate(&name), out));
        }
        if head.length > STATEMENT_LIMIT {
            let refusal = Refusal::too_long("a named prepared statement", STATEMENT_LIMIT);
            return Ok(self.refuse(server, refusal, out));
        }
        if body.len() < head.length as usize {
            return Ok(Verdict::Fetch(head.length));
        }
        self.parse_named(server, name, body, out)
    }

    fn parse_named(
        &mut self,
        server: &mut Server,
        name: Box<[u8]>,
        body: &[u8],
        out: &mut Output,
    ) -> Result<Verdict, Pause> {
        let message = match read::parse(body) {
            Ok(message) => message,
            Err(error) => return Ok(self.refuse(server, error.into(), out)),
        };
        if self.names_weight + body.len() > STATEMENTS_LIMIT {
            let limit = STATEMENTS_LIMIT as u32;
            let refusal = Refusal::too_long("all prepared statements of a client together", limit);
            return Ok(self.refuse(server, refusal, out));
        }
        let reading = server.reading();
        let harmless = Rc::clone(&self.harmless);
        let look = || match message.query.len() as u32 {
            ..LOOK_LIMIT => look_with(message.query, reading, &harmless),
            _ => Look::UNDECIDABLE,
        };
        let mut rest = &body[name.len() + 1..];
        let short = message.query.len() < LOOK_LIMIT as usize && parsed::may_name(message.query);
        let changed = short.then(|| self.change_parsed(server, message.query)).transpose()?;
        let changed = changed.flatten();
        let new;
        if let Some(changed) = &changed {
            hold_executed(server, &changed.by_name, &self.wanted, &mut out.to_server);
            new = with_text(&changed.text, message.query, rest);
            rest = &new;
        }
        self.scope.settings = self.wanted.meaning().into();
        if mutation::is(Mutation::StatementsKeyedByText) {
            self.scope.settings = Box::default();
        }
        let mut statements = self.statements.borrow_mut();
        if is_doubtful(rest, server) {
            self.scope.settings = alone(&self.scope.settings, &mut statements).into();
        }
        let statement = statements.intern(&self.scope, rest, look);
        drop(statements);
        if server.held.touch(&statement) && server.is_behind_another() {
            return Err(Pause::Hold);
        }
        if server.may_know(&name) {
            try_name(server, &name, rest, &mut out.to_server);
        }
        let by_name = changed.map(|changed| changed.by_name);
        self.insert_name(name.clone(), Named::new(&statement, by_name));
        server.flight_edits = true;
        if server.status() == TransactionStatus::Failed {
            make_unknown(server, &statement, &mut out.to_server);
        }
        if server.held.touch(&statement) {
            let undo = Undo::naming(name, None);
            server.send_answer(Answer::ParseComplete, undo, &mut out.to_client);
        } else {
            make_known(server, &statement, For::Client(name), &mut out.to_server);
        }
        Ok(Verdict::Skip)
    }
}

/// A Parse message's body behind the name, with another text.
pub(super) fn with_text(new: &[u8], old: &[u8], rest: &[u8]) -> Vec<u8> {
    [new, &rest[old.len()..]].concat()
}

/// For whom a statement is prepared on a server.
pub(super) enum For {
    /// For a client that prepares it by this name.
    Client(Box<[u8]>),
    /// For one that has prepared it elsewhere. `awaited`: it waits for what the statement takes and
    /// gives.
    Pooler { awaited: bool },
}

/// Closes a statement on the server, so that the server judges its text anew: in a failed
/// transaction it takes only what ends one.
fn make_unknown(server: &mut Server, statement: &Rc<Statement>, to_server: &mut Vec<u8>) {
    if let Some(held) = server.held.remove(statement.id) {
        close_held(server, held, to_server);
    }
}

fn close_held(server: &mut Server, held: Use, to_server: &mut Vec<u8>) {
    write::close(to_server, TargetKind::Statement, &held.statement.name);
    let undo = Edit { evicted: Some(held), ..Edit::default() }.into();
    server.send_extended(Reply::Close { injected: true, undo });
}

/// Prepares a text under the client's own name and closes it: fails if SQL has given the name.
fn try_name(server: &mut Server, name: &[u8], body: &[u8], to_server: &mut Vec<u8>) {
    write::parse_head(to_server, name, body.len() as u32);
    to_server.extend_from_slice(body);
    server.send_extended(Reply::Parse { injected: true, undo: Undo::Nothing });
    write::close(to_server, TargetKind::Statement, name);
    server.send_extended(Reply::Close { injected: true, undo: Undo::Nothing });
}

/// Prepares a statement on the server, evicting others if it holds too many, and asks what it takes
/// and gives.
pub(super) fn make_known(
    server: &mut Server,
    statement: &Rc<Statement>,
    for_whom: For,
    to_server: &mut Vec<u8>,
) {
    for evicted in server.held.insert(statement) {
        close_held(server, evicted, to_server);
    }
    let (name, awaited) = match for_whom {
        For::Client(name) => (Some(name), false),
        For::Pooler { awaited } => (None, awaited),
    };
    server.flight_edits = true;
    write::parse_head(to_server, &statement.name, statement.body.len() as u32);
    to_server.extend_from_slice(&statement.body);
    if name.is_none() && mutation::is(Mutation::InjectedWithoutSlot) {
        return;
    }
    let naming = name.clone().map(|name| Naming { name, before: None });
    let undo = Edit { naming, held: Some(statement.id), ..Edit::default() }.into();
    server.send_extended(Reply::Parse { injected: name.is_none(), undo });
    write::describe(to_server, TargetKind::Statement, &statement.name);
    server.edits_ahead += u32::from(awaited);
    server.send_extended(Described::reply(statement, name, awaited));
}
