//! Statements that come by Parse and name another: what the name stood for when they were parsed is
//! what they run, and what it stands for is looked up again when they are bound.

use std::rc::Rc;

use super::super::meaning::{adopt, fits};
use super::super::preparing::{For, make_known};
use super::super::refuse::Refusal;
use super::super::{Pause, Session};
use super::{STAND_IN, note_sql_name, send_stand_in};
use crate::lexer::{Does, references};
use crate::parameters::Wanted;
use crate::replies::Undo;
use crate::server::Server;
use crate::statements::{ByName, Statement};

/// A text for the server, and what it does with another statement.
pub struct Changed {
    pub text: Vec<u8>,
    pub by_name: Rc<ByName>,
}

/// Whether `text` may name a statement.
pub fn may_name(text: &[u8]) -> bool {
    const HEADS: [&[u8]; 5] = [b"execute", b"deallocate", b"prepare", b"explain", b"create"];
    let text = text.trim_ascii_start();
    let comment = matches!(text.first(), Some(b'-' | b'/'));
    let begins =
        |head: &&[u8]| text.get(..head.len()).is_some_and(|it| it.eq_ignore_ascii_case(head));
    comment || HEADS.iter().any(begins)
}

impl Session {
    /// What becomes of a text that is parsed; `None`: it names no statement.
    pub fn change_parsed(
        &mut self,
        server: &mut Server,
        text: &[u8],
    ) -> Result<Option<Changed>, Pause> {
        let found = references(text, server.reading());
        let [reference] = &found.found[..] else { return Ok(None) };
        if !found.alone || reference.does == Does::DeallocateAll {
            return Ok(None);
        }
        if server.edits_ahead > 0 {
            return Err(Pause::Hold);
        }
        let here = (&self.wanted, self.scope.pool);
        let statement = self.names.get_mut(&reference.name).map(|named| {
            if !named.has_changed() && !server.held.touch(&named.statement) {
                // If it cannot be used any more, that is told when it is to run.
                let _ = adopt(named, here, &self.statements, server);
            }
            Rc::clone(&named.statement)
        });
        let mut text = text.to_vec();
        let instead = match (reference.does, &statement) {
            (Does::Execute, Some(statement)) => Some(statement.name.to_vec()),
            (Does::Deallocate, Some(statement)) => Some(stand_in_for(statement)),
            _ => None,
        };
        if let Some(instead) = instead {
            text.splice(reference.place.clone(), instead);
        }
        let (does, name) = (reference.does, reference.name.clone());
        Ok(Some(Changed { text, by_name: Rc::new(ByName { does, name, statement }) }))
    }

    /// Something that names another statement is about to run. Giving one up takes effect here, and
    /// what is answered takes it back.
    pub fn rely_on_name(
        &mut self,
        server: &mut Server,
        by_name: &ByName,
        to_server: &mut Vec<u8>,
    ) -> Result<Undo, Refusal> {
        let ByName { does, name, statement } = by_name;
        let now = self.names.get_mut(name);
        if *does == Does::Prepare {
            if now.is_some() {
                return Err(Refusal::duplicate(name));
            }
            note_sql_name(server, name);
            return Ok(Undo::Nothing);
        }
        let (statement, named) = match (statement, now) {
            (None, None) => return Ok(Undo::Nothing),
            (Some(_), None) => return Err(Refusal::missing(name)),
            (Some(then), Some(now)) if Rc::ptr_eq(then, &now.statement) => (then, now),
            (_, Some(_)) => return Err(Refusal::renamed(name)),
        };
        if *does == Does::Deallocate {
            send_stand_in(server, &stand_in_for(statement), to_server);
            return Ok(self.forget(name));
        }
        if named.has_changed() {
            return Err(Refusal::changed());
        }
        if !server.held.touch(statement) {
            return Err(match fits(&statement.settings, &self.wanted) {
                true => Refusal::too_many(2, server.held.max()),
                false => Refusal::renamed(name),
            });
        }
        if let Some(refusal) = self.refusal(server, statement.look) {
            return Err(refusal);
        }
        self.note_statement(server, statement.look, &statement.body);
        Ok(Undo::Nothing)
    }
}

/// The name of what is given up in a statement's place.
fn stand_in_for(statement: &Statement) -> Vec<u8> {
    format!("{STAND_IN}_for_{}", statement.id).into_bytes()
}

/// Makes the server hold what this executes.
pub fn hold_executed(
    server: &mut Server,
    by_name: &ByName,
    wanted: &Wanted,
    to_server: &mut Vec<u8>,
) {
    if by_name.does == Does::Execute
        && let Some(statement) = &by_name.statement
        && !server.held.touch(statement)
        && fits(&statement.settings, wanted)
    {
        make_known(server, statement, For::Pooler { awaited: false }, to_server);
    }
}
