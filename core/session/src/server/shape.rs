//! What a statement takes and gives, as the server says when the pooler asks behind a Parse.

use std::hash::{DefaultHasher, Hash, Hasher};

use poolwright_wire::{Header, read, server as tag};

use super::{Confused, Server};
use crate::client::Session;
use crate::replies::{Described, Reply};
use crate::sink::Sink;
use crate::statements::Shape;

impl Server {
    /// Whether the front of what is owed makes this message worth a look.
    pub(super) fn asks_itself(&self, message: u8) -> bool {
        match self.replies.front() {
            Some(Reply::Shape(_) | Reply::Proof { .. } | Reply::DescribeUnnamed { .. }) => true,
            Some(Reply::Describe { .. }) => {
                message == tag::PARAMETER_DESCRIPTION && self.again.is_armed()
            }
            _ => false,
        }
    }

    /// A message that answers a Describe, or begins the rows of a query.
    pub(super) fn describe(
        &mut self,
        head: Header,
        body: &[u8],
        session: Option<&mut Session>,
        sink: &mut Sink<'_>,
    ) -> Result<bool, Confused> {
        match self.replies.front() {
            Some(Reply::Shape(_)) => return self.shape(head, body, session),
            Some(Reply::Proof { columns }) => {
                return self.prove(*columns, head, body, session, sink);
            }
            Some(Reply::DescribeUnnamed { number }) => {
                if let Some(session) = session {
                    session.note_told(*number, head, body)?;
                }
            }
            Some(Reply::Describe { .. }) => {
                let begins = head.tag == tag::PARAMETER_DESCRIPTION;
                if begins && !body.is_empty() && self.again.is_armed() {
                    self.withhold(body);
                    return Ok(false);
                }
                self.again.disarm();
                self.let_go(session.is_some(), sink);
                if !begins {
                    self.note_first_use(session);
                }
            }
            _ => {}
        }
        self.reply(head.tag)
    }

    /// One of the two messages that answer; nobody else gets them.
    fn shape(
        &mut self,
        head: Header,
        body: &[u8],
        session: Option<&mut Session>,
    ) -> Result<bool, Confused> {
        let Some(Reply::Shape(described)) = self.replies.front_mut() else { return Ok(false) };
        if head.tag == tag::PARAMETER_DESCRIPTION {
            described.takes = head.length > 2;
            head.length.hash(&mut described.hasher);
            body.hash(&mut described.hasher);
            return Ok(false);
        }
        hash_columns(head, body, &mut described.hasher)?;
        if let Some(Reply::Shape(described)) = self.replies.pop_front() {
            self.note_shape(*described, head.tag, session);
        }
        Ok(false)
    }

    fn note_shape(&mut self, described: Described, last: u8, session: Option<&mut Session>) {
        let Described { statement, name, awaited, hasher, takes } = described;
        self.edits_ahead -= u32::from(awaited);
        let shape = match takes || last == tag::ROW_DESCRIPTION {
            true => Shape::Of(hasher.finish()),
            false => Shape::Nothing,
        };
        if !statement.note_shape(shape) {
            return;
        }
        self.held.renew(&statement);
        if let Some(session) = session {
            self.renew_first_uses(statement.id, session);
            if let Some(name) = name {
                session.renew_name(&name, statement.id);
            }
        }
    }
}

/// A hash over the columns that a RowDescription tells, by names and types.
///
/// # Errors
/// [`Confused`]: it is malformed.
pub(crate) fn of_columns(head: Header, body: &[u8]) -> Result<u64, Confused> {
    let mut hasher = DefaultHasher::new();
    hash_columns(head, body, &mut hasher)?;
    Ok(hasher.finish())
}

/// A message that is too long to be read counts by its length alone.
fn hash_columns(head: Header, body: &[u8], hasher: &mut DefaultHasher) -> Result<(), Confused> {
    head.length.hash(hasher);
    if head.tag == tag::ROW_DESCRIPTION && !body.is_empty() {
        for column in read::columns(body).map_err(|error| Confused(error.to_string()))? {
            column.hash(hasher);
        }
    }
    Ok(())
}
