//! When something must be looked at again: one entry for each pool or cap that
//! waits for time to pass, none for the others.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::ids::{DatabaseId, PoolId, ServerId, UserId};
use crate::lending::Cap;

/// What is looked at when its time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    Pool(PoolId),
    Database(DatabaseId),
    Server(ServerId),
    User(UserId),
    /// What the bank was told, and what was borrowed. Comes after the others of the same time.
    Loan(Cap),
}

/// Ordered deadlines. Whoever is armed remembers its own time, so that
/// arming it anew can take the old entry out: the set never grows by use.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    all: BTreeSet<(Duration, Subject)>,
    /// Read after every event.
    first: Option<Duration>,
}

impl Deadlines {
    /// Arms `subject` for `at`, unless it is armed for an earlier time already.
    pub(crate) fn arm(&mut self, armed: &mut Option<Duration>, at: Duration, subject: Subject) {
        match *armed {
            Some(earlier) if earlier <= at => return,
            Some(later) => {
                self.all.remove(&(later, subject));
            }
            None => {}
        }
        self.all.insert((at, subject));
        *armed = Some(at);
        self.note_first();
    }

    pub(crate) fn first(&self) -> Option<Duration> {
        self.first
    }

    /// Takes out one subject that is due. The caller clears its `armed`.
    pub(crate) fn pop_due(&mut self, now: Duration) -> Option<Subject> {
        let (at, subject) = *self.all.first()?;
        if at > now {
            return None;
        }
        self.all.pop_first();
        self.note_first();
        Some(subject)
    }

    fn note_first(&mut self) {
        self.first = self.all.first().map(|(at, _)| *at);
    }

    pub(crate) fn contains(&self, at: Duration, subject: Subject) -> bool {
        self.all.contains(&(at, subject))
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }
}
