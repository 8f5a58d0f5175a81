//! An unnamed statement that is parsed anew for a client that was told on another server what it
//! gives. What runs it is sent at once; where the server then says that it gives something else, the
//! flight fails as in PostgreSQL, and the client reads nothing of what came of it. It never decides
//! which texts only read.

use poolwright_wire::{Header, TargetKind, server as tag, write};

use super::{Confused, Server, of_columns};
use crate::client::Session;
use crate::replies::Reply;
use crate::sink::Sink;
use crate::statements::NO_STATEMENT;

/// Whether the unnamed statement gives what its client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// It does, or the client was told nothing.
    Given,
    /// The server will say, and the flight may end before: it only reads.
    Expected,
    /// The server will say, and the flight does not end before.
    Awaited,
}

impl Server {
    /// Asks what the unnamed statement gives, which was parsed just before. `columns`: what its client
    /// was told; `reads`: the flight only reads.
    pub(crate) fn ask_proof(&mut self, columns: u64, reads: bool, to_server: &mut Vec<u8>) {
        write::describe(to_server, TargetKind::Statement, b"");
        self.send_extended(Reply::Proof { columns });
        self.proof = Proof::Expected;
        if !reads {
            self.await_proof(to_server);
        }
    }

    /// The flight does not end before the server has said, which it does not keep to itself then.
    pub(crate) fn await_proof(&mut self, to_server: &mut Vec<u8>) {
        if self.proof == Proof::Expected {
            self.proof = Proof::Awaited;
            write::flush(to_server);
        }
    }

    /// One of the two messages in which the server says; nobody else gets them.
    pub(super) fn prove(
        &mut self,
        columns: u64,
        head: Header,
        body: &[u8],
        session: Option<&mut Session>,
        sink: &mut Sink<'_>,
    ) -> Result<bool, Confused> {
        if head.tag == tag::PARAMETER_DESCRIPTION {
            return Ok(false);
        }
        let same = head.tag == tag::ROW_DESCRIPTION && of_columns(head, body)? == columns;
        self.replies.pop_front();
        self.proof = Proof::Given;
        if let Some(session) = session.filter(|_| !same) {
            self.fail_unproven(session, sink);
        }
        Ok(false)
    }

    /// The client gets the error in the place of all that comes of the flight. Where its Sync was not
    /// sent, the server is made to fail ahead of it, and takes back what it did.
    fn fail_unproven(&mut self, session: &mut Session, sink: &mut Sink<'_>) {
        self.again.disarm();
        self.unnamed = None;
        sink.own().extend_from_slice(&session.outdate_unnamed());
        let failed = self.discard_to_sync();
        if self.skipping {
            write::describe(self.behind_half_sent(), TargetKind::Statement, NO_STATEMENT);
        }
        self.replies.push_front(Reply::Muted);
        self.take_back(failed, Some(session));
    }
}
