//! A named statement whose first use in a transaction fails, though PostgreSQL itself would have run
//! it: prepared anew and run again, with all that the client has sent behind. Never once something
//! of the transaction has run.

use std::rc::Rc;

use poolwright_wire::{TargetKind, TransactionStatus, server as tag, write};

use super::Server;
use crate::client::Session;
use crate::replies::{Described, Edit, Reply, Undo};
use crate::sink::Sink;
use crate::statements::Statement;

/// What is kept of a flight to be sent again, in bytes; longer ones are not.
const LIMIT: usize = 8 * 1024;

/// What was sent since the Bind or Describe that may have to be sent again.
// In this order in memory: what every request touches stands together.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct Again {
    /// What the server said first to a Describe, until it is known how it ends.
    withheld: Vec<u8>,
    armed: bool,
    /// Where in the output the bytes begin that are not kept yet.
    from: usize,
    kept: Vec<u8>,
}

impl Again {
    /// More is to come behind `output`.
    pub(crate) fn go_on(&mut self, output: &[u8]) {
        self.from = output.len();
    }

    fn arm(&mut self, output: &[u8]) {
        self.armed = true;
        self.kept.clear();
        self.from = output.len();
    }

    pub(crate) fn disarm(&mut self) {
        self.armed = false;
    }

    /// Nothing is sent again, and nothing is withheld.
    pub(super) fn forget(&mut self) {
        self.armed = false;
        self.withheld.clear();
    }

    pub(super) fn is_armed(&self) -> bool {
        self.armed
    }

    /// Keeps what came since.
    #[inline]
    pub(crate) fn keep(&mut self, output: &[u8]) {
        if self.armed {
            let fresh = &output[self.from..];
            self.armed = self.kept.len() + fresh.len() <= LIMIT;
            if self.armed {
                self.kept.extend_from_slice(fresh);
            }
        }
    }
}

impl Server {
    /// A Bind or Describe of a named statement that the server holds is to be written behind
    /// `output`: if nothing of its transaction comes before, it may be sent again.
    #[inline]
    pub(crate) fn try_with(&mut self, output: &[u8]) {
        if self.is_next_first() {
            self.again.arm(output);
        }
    }

    /// Whether what is sent next is the first of its transaction that the server gets to do.
    #[inline]
    pub(crate) fn is_next_first(&self) -> bool {
        // Answers wait for what the pooler sends ahead, the client's settings.
        let injected = |reply: &Reply| reply.is_own() || matches!(reply, Reply::Answer(..));
        self.status() == TransactionStatus::Idle
            && !self.flight_sent
            && self.replies.iter().all(injected)
    }

    /// Bytes of the pooler's own for the server, ahead of all that the client sends from now on.
    pub fn take_resent(&mut self) -> Option<Vec<u8>> {
        if self.resent.is_empty() { None } else { Some(std::mem::take(&mut self.resent)) }
    }

    /// The server has said what the described statement takes: the client hears it once it is known
    /// that the rest does not fail.
    pub(super) fn withhold(&mut self, body: &[u8]) {
        let withheld = &mut self.again.withheld;
        withheld.clear();
        withheld.push(tag::PARAMETER_DESCRIPTION);
        withheld.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
        withheld.extend_from_slice(body);
    }

    /// Gives the client what was withheld.
    pub(super) fn let_go(&mut self, present: bool, sink: &mut Sink<'_>) {
        if !self.again.withheld.is_empty() {
            if present {
                sink.own().extend_from_slice(&self.again.withheld);
            }
            self.again.withheld.clear();
        }
    }

    /// Whether what failed first can be sent again: all of it is kept, and nothing has been sent
    /// behind the Sync of its flight.
    pub(super) fn can_try_again(&self) -> bool {
        let sync = self.replies.iter().position(|reply| matches!(reply, Reply::Sync { .. }));
        let is_last = sync.is_none_or(|at| at + 1 == self.replies.len());
        self.again.armed && !self.half_sent && is_last
    }

    /// Names by which the client uses the statement first in what is owed stand for what it is now.
    pub(super) fn renew_first_uses(&self, id: u64, session: &mut Session) {
        for reply in &self.replies {
            if let Reply::Bind { statement, first: Some(name), .. }
            | Reply::Describe { statement, first: Some(name) } = reply
                && *statement == id
            {
                session.renew_name(&name.0, id);
            }
        }
    }

    /// Prepares the statement anew and sends again what failed.
    pub(super) fn try_again(&mut self, statement: &Rc<Statement>, session: &mut Session) {
        self.again.forget();
        let synced = match self.replies.back_mut() {
            Some(Reply::Sync { edits, .. }) => {
                self.edits_ahead += u32::from(!std::mem::replace(edits, true));
                true
            }
            _ => false,
        };
        if !synced {
            self.flight_edits = true;
            write::sync(&mut self.resent);
        }
        write::close(&mut self.resent, TargetKind::Statement, &statement.name);
        write::parse_head(&mut self.resent, &statement.name, statement.body.len() as u32);
        self.resent.extend_from_slice(&statement.body);
        write::describe(&mut self.resent, TargetKind::Statement, &statement.name);
        self.resent.extend_from_slice(&self.again.kept);
        self.held.renew(statement);
        self.renew_first_uses(statement.id, session);
        let undo = Edit { held: Some(statement.id), ..Edit::default() }.into();
        self.replies.push_front(Described::reply(statement, None, false));
        self.replies.push_front(Reply::Parse { injected: true, undo });
        self.replies.push_front(Reply::Close { injected: true, undo: Undo::Nothing });
        self.replies.push_front(Reply::Sync { edits: false, injected: true, bare: false });
    }
}
