//! The client's settings on their way ahead of its request, in one packet with it. Where they do not
//! go through, nothing of the request runs (I3b), and what the client has sent of it is answered once
//! (I1, I3). It never decides what the settings are.

use poolwright_wire::{TransactionStatus, write};

use super::{Ahead, Confused, Server, Undoing};
use crate::client::Session;
use crate::mutation::{self, Mutation};
use crate::parameters::Wanted;
use crate::replies::Reply;
use crate::sink::Sink;

/// A cancel request, or a statement_timeout.
pub const CANCELED: &str = "57014";

impl Server {
    /// Sends the client's settings ahead of its request, to be written in one go with it; answers
    /// whether that was possible. Until they are through, no second request is sent.
    pub fn send_settings(&mut self, wanted: &Wanted, to_server: &mut Vec<u8>) -> bool {
        debug_assert!(self.is_quiet());
        if !self.parameters.write_ahead(wanted, to_server) {
            return false;
        }
        self.failure = None;
        self.answer = None;
        self.unnamed = None;
        let before = self.parameters.applied().clone();
        self.replies.push_back(match mutation::is(Mutation::SettingsFailOpen) {
            true => Reply::Injected,
            false => Reply::Settings { before },
        });
        self.ahead = Ahead::Underway;
        self.set_applied(wanted);
        true
    }

    /// Whether the client's stay must end, since its settings do not hold.
    pub fn is_unset(&self) -> bool {
        self.ahead == Ahead::Failed
    }

    /// Whether the settings are all that the server is asked for: the client's request waits for them.
    pub fn owes_settings_only(&self) -> bool {
        self.awaits_settings() && self.replies.len() == 1
    }

    /// Whether nothing may be sent that ends the skipping after an error.
    pub(crate) fn awaits_settings(&self) -> bool {
        self.ahead == Ahead::Underway
    }

    pub(super) fn settings_went_through(&mut self) {
        if self.ahead == Ahead::Underway {
            self.ahead = Ahead::Through;
        }
    }

    /// The next request of the client may reset what it has from its startup.
    pub(crate) fn expect_undoing(&mut self) {
        self.undoing = Undoing::Sent;
    }

    /// A request of the client's is over.
    #[inline]
    pub(super) fn note_undone(&mut self) {
        if self.undoing != Undoing::No {
            self.undoing = match self.status {
                TransactionStatus::Idle => Undoing::Done,
                _ => Undoing::InBlock,
            };
        }
    }

    /// The client's startup values may be gone from the server, and are due before its next request.
    pub fn is_undone(&self) -> bool {
        self.undoing == Undoing::Done
    }

    /// They are there again.
    pub fn set_restored(&mut self) {
        self.undoing = Undoing::No;
    }

    /// The server has not set them, and skips the client's request. What was canceled is the request;
    /// a client whose settings were refused cannot go on.
    pub(super) fn fail_settings(
        &mut self,
        session: Option<&mut Session>,
        sink: &mut Sink<'_>,
    ) -> Result<bool, Confused> {
        let Some(Reply::Settings { before }) = self.replies.pop_front() else { return Ok(false) };
        self.set_applied(&before);
        self.ahead = Ahead::Failed;
        let canceled = self.failure.as_ref().is_some_and(|it| it.sqlstate == CANCELED);
        if session.is_some() && !canceled {
            return Err(Confused("a setting was refused".to_owned()));
        }
        self.failure = None;
        self.again.disarm();
        self.let_go(session.is_some(), sink);
        let ends_itself =
            matches!(self.replies.front(), Some(Reply::Query { .. } | Reply::Function));
        let failed = self.discard_to_sync();
        if ends_itself && session.is_some() {
            self.end_skipped();
        }
        self.take_back(failed, session);
        Ok(canceled)
    }

    /// Ends what the server skips of a simple query: the client gets its ReadyForQuery.
    fn end_skipped(&mut self) {
        self.skipping = false;
        self.replies.push_back(Reply::Sync { edits: false, injected: false, bare: false });
        write::sync(self.behind_half_sent());
    }

    /// Where messages of the pooler's own are written, behind all that was sent, and ahead of what the
    /// client sends from now on but for the rest of a message.
    pub(super) fn behind_half_sent(&mut self) -> &mut Vec<u8> {
        if self.half_sent { &mut self.owed } else { &mut self.resent }
    }

    /// A message that was half sent may have been sent whole since.
    #[inline]
    pub(crate) fn send_owed(&mut self, to_server: &mut Vec<u8>) {
        if !self.owed.is_empty() && !self.half_sent {
            to_server.append(&mut self.owed);
        }
    }

    /// The server is gone and has read nothing of the client's request; what it was to do is taken
    /// back.
    pub(crate) fn abandon(&mut self, session: &mut Session) {
        let unread = self.replies.drain(..).collect();
        self.take_back(unread, Some(session));
    }
}
