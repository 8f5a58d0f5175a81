//! Errors that the server reports: what is no longer owed, and what is taken back (I1, I4).

use poolwright_wire::read;

use super::{Confused, Failure, Proof, Server};
use crate::client::{REFUSED, Session};
use crate::mutation::{self, Mutation};
use crate::replies::{Edit, Reply, Special, Undo};
use crate::sink::Sink;

/// What the server says of a statement that it does not hold.
const MISSING: &[u8] = b"26000";

/// Why a statement that the server should hold cannot be used there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The server does not have it.
    Lost,
    /// It gives something else than when it was prepared.
    Outdated,
}

impl Fault {
    fn of(sqlstate: &[u8], body: &[u8]) -> Option<Fault> {
        let report = || read::report(body).unwrap_or_default();
        match sqlstate {
            MISSING => Some(Fault::Lost),
            b"0A000" => report().is_changed_result().then_some(Fault::Outdated),
            _ => None,
        }
    }
}

impl Server {
    /// An error ends what is owed for one message, and in a flight all that follows up to Sync (I1).
    pub(super) fn error(
        &mut self,
        body: &[u8],
        session: Option<&mut Session>,
        sink: &mut Sink<'_>,
    ) -> Result<bool, Confused> {
        self.copy_in = false;
        if self.is_injected() {
            if matches!(self.replies.front(), Some(Reply::Muted)) {
                return Ok(false);
            }
            let fatal = self.note_failure(body);
            let ahead = matches!(self.replies.front(), Some(Reply::Settings { .. }));
            return if ahead && !fatal { self.fail_settings(session, sink) } else { Ok(false) };
        }
        let sqlstate = read::report(body).map(|report| report.sqlstate).unwrap_or_default();
        if let Some(Reply::Query { special: Some(special), .. }) = self.replies.front_mut() {
            let special = std::mem::take(&mut **special);
            if special.refusal.is_none() && Fault::of(sqlstate, body).is_some() {
                self.held.spoil();
            }
            return Ok(fail_special(special, body, session.is_some(), sink.own()));
        }
        if !self.replies.front().is_some_and(Reply::fails_flight) {
            return Ok(true);
        }
        let mut session = session;
        let fault = Fault::of(sqlstate, body);
        let used = match self.replies.front() {
            Some(
                Reply::Bind { statement: id @ 1.., first, .. }
                | Reply::Describe { statement: id @ 1.., first },
            ) => fault.map(|_| (*id, first.clone())),
            Some(Reply::Execute) if fault.is_some() => {
                self.held.spoil();
                None
            }
            _ => None,
        };
        if let Some(((id, first), fault)) = used.as_ref().zip(fault)
            && self.mend(*id, first.as_ref().map(|first| &*first.0), fault, session.as_deref_mut())
        {
            return Ok(false);
        }
        self.again.disarm();
        self.let_go(session.is_some(), sink);
        let failed = self.discard_to_sync();
        self.tell_next_query();
        let expected = sqlstate == MISSING;
        let refusal = match failed.first() {
            Some(Reply::Refuse(refusal)) if expected => Some(refusal),
            _ => None,
        };
        if let Some(refusal) = refusal.filter(|_| session.is_some()) {
            sink.own().extend_from_slice(refusal);
        }
        let forward = refusal.is_none();
        self.take_back(failed, session);
        if let Some((id, _)) = used.filter(|_| fault == Some(Fault::Lost)) {
            self.held.remove(id);
        }
        Ok(forward)
    }

    /// What is owed no longer, since the server skips it; with no Sync behind it, what follows too.
    pub(super) fn discard_to_sync(&mut self) -> Vec<Reply> {
        let end = match mutation::is(Mutation::NoDiscardToSync) {
            true => Some(1),
            false => self.replies.iter().position(|reply| matches!(reply, Reply::Sync { .. })),
        };
        if end.is_none() {
            self.skipping = true;
            self.open_flight = false;
            self.early_data = false;
        }
        self.replies.drain(..end.unwrap_or(self.replies.len())).collect()
    }

    /// Takes note of what is wrong with a statement; answers whether it is hidden from the client.
    /// `first`: the name of a use that was the first when it was sent.
    fn mend(
        &mut self,
        id: u64,
        first: Option<&[u8]>,
        fault: Fault,
        session: Option<&mut Session>,
    ) -> bool {
        // It may have made room for another in the same flight.
        let known = || session.as_ref().and_then(|session| session.statement(id));
        let Some(statement) = self.held.get(id).cloned().or_else(known) else { return false };
        if fault == Fault::Outdated && !self.held.is_stale(&statement) {
            statement.outdate();
        }
        let Some(session) = session.filter(|_| self.can_try_again()) else { return false };
        let is_first = first.is_some_and(|name| !session.has_used(name, id));
        if is_first || fault == Fault::Lost {
            self.try_again(&statement, session);
            return true;
        }
        false
    }

    /// The client has been told of an error in what was sent ahead of its query.
    fn tell_next_query(&mut self) {
        if let Some(Reply::Sync { injected: true, .. }) = self.replies.front()
            && let Some(Reply::Query { special, .. }) = self.replies.get_mut(1)
        {
            special.get_or_insert_default().told = true;
        }
    }

    /// Undoes what a failed flight was to do, the last first (I4).
    pub(super) fn take_back(&mut self, failed: Vec<Reply>, mut session: Option<&mut Session>) {
        let edits = |reply: &&Reply| match reply {
            Reply::Query { edits, .. } => *edits,
            Reply::Shape(described) => described.awaited,
            _ => false,
        };
        self.edits_ahead -= failed.iter().filter(edits).count() as u32;
        if failed.iter().any(|reply| matches!(reply, Reply::Proof { .. })) {
            self.proof = Proof::Given;
        }
        if mutation::is(Mutation::EditsNotTakenBack) {
            return;
        }
        for undo in failed.into_iter().rev().filter_map(Reply::into_undo) {
            self.undo(undo, session.as_deref_mut());
        }
    }

    fn undo(&mut self, undo: Undo, session: Option<&mut Session>) {
        match undo {
            Undo::Nothing => {}
            Undo::Unnamed { number, own } => {
                self.unnamed.take_if(|held| *held == number);
                if let Some(session) = session.filter(|_| own) {
                    session.take_back_unnamed(number);
                }
            }
            Undo::Named(edit) => {
                let Edit { naming, held, evicted } = *edit;
                if let Some(id) = held {
                    self.held.remove(id);
                }
                if let Some(statement) = evicted {
                    self.held.restore(statement);
                }
                if let Some((session, naming)) = session.zip(naming) {
                    session.take_back(naming);
                }
            }
        }
    }

    /// Answers whether the error ends the server's session.
    fn note_failure(&mut self, body: &[u8]) -> bool {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let report = read::report(body).unwrap_or_default();
        self.failure.get_or_insert_with(|| Failure {
            sqlstate: text(report.sqlstate),
            message: text(report.message),
        });
        report.severity != b"ERROR"
    }
}

/// A query that was made to fail, or was to do more than its text says; answers whether the client
/// gets the server's error.
fn fail_special(special: Special, body: &[u8], present: bool, to_client: &mut Vec<u8>) -> bool {
    let Special { refusal, told, .. } = special;
    let failing = |message: &[u8]| message.windows(REFUSED.len()).any(|it| it == REFUSED);
    let made_to = read::report(body).is_ok_and(|it| it.sqlstate == MISSING && failing(it.message));
    let refusal = refusal.filter(|_| made_to);
    if let Some(refusal) = refusal.as_ref().filter(|_| present) {
        to_client.extend_from_slice(refusal);
    }
    !told && refusal.is_none()
}
