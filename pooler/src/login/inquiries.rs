//! Users whom the settings do not list, as servers know them: asked for at a login, and remembered for
//! a while. It judges no proof.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use poolwright_settings::Secret;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::LoginError;
use super::nobody::SAMPLE;
use crate::clock::sleep_until;
use crate::crew::Crew;
use crate::homes::Homes;
use crate::worker::{Inquiry, Message};

/// Answers remembered; beyond it those that are too old go, or all. One is about 250 bytes.
const REMEMBERED: usize = 10_000;
/// That there is nobody of a name is remembered for so long at most: somebody may be made.
const NOBODY: Duration = Duration::from_secs(2);
/// An answer that is too old serves for so long where the server cannot be asked.
const LAST_KNOWN: Duration = Duration::from_secs(600);

/// Nobody is known sooner than a server mostly takes to say so, since that would tell who is known here.
const LEAST: Duration = Duration::from_millis(3);
/// For a server that takes longer, nobody who is known waits longer than this.
const MOST: Duration = Duration::from_millis(100);

/// What servers have said.
#[derive(Default)]
pub struct Inquiries {
    crew: Rc<Crew>,
    homes: Option<Rc<Homes>>,
    answers: RefCell<HashMap<Name, Answer>>,
    /// How long each server took for its last answer.
    took: RefCell<HashMap<String, Duration>>,
}

/// Servers have users of their own.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Name {
    server: String,
    user: String,
}

struct Answer {
    secret: Option<Secret>,
    at: Instant,
    /// A proof did not fit since.
    is_doubted: bool,
}

impl Answer {
    fn is_younger(&self, age: Duration) -> bool {
        self.at.elapsed() < age
    }
}

impl Inquiries {
    pub fn new(crew: Rc<Crew>, homes: Rc<Homes>) -> Inquiries {
        Inquiries { crew, homes: Some(homes), ..Inquiries::default() }
    }

    /// Returns when a server would have answered a question that was put at `began`.
    pub(super) async fn wait_as_if_asked(&self, server: &str, began: Instant) {
        let took = self.took.borrow().get(server).copied().unwrap_or_default();
        sleep_until(began + took.clamp(LEAST, MOST)).await;
    }

    /// The secret of a user of this server; `None`: nobody of that name may log in.
    ///
    /// # Errors
    /// The server cannot be asked, and has not been for long.
    pub(super) async fn find(
        &self,
        server: &str,
        user: &str,
        age: Duration,
    ) -> Result<Option<Secret>, LoginError> {
        let name = Name { server: server.to_owned(), user: user.to_owned() };
        if let Some(secret) = self.remembered(&name, age) {
            return Ok(secret);
        }
        let began = Instant::now();
        match self.ask(&name).await {
            Some(secret) => {
                self.took.borrow_mut().insert(name.server.clone(), began.elapsed());
                self.remember(name, secret.clone(), age);
                Ok(secret)
            }
            None => self.remembered_at_all(&name).ok_or(LoginError::NotFoundOut),
        }
    }

    /// A proof did not fit: the secret may be another by now, which the server is asked if it can be.
    pub(super) fn doubt(&self, server: &str, user: &str) {
        let name = Name { server: server.to_owned(), user: user.to_owned() };
        if let Some(answer) = self.answers.borrow_mut().get_mut(&name) {
            answer.is_doubted = true;
        }
    }

    /// Of the users who were found the one that has the first turn, and their secret.
    pub(super) fn first(
        &self,
        turn: impl Fn(&str, &Secret) -> Option<u64>,
    ) -> Option<(u64, Secret)> {
        let answers = self.answers.borrow();
        let found = answers.iter().take(SAMPLE).filter_map(|(name, answer)| {
            let secret = answer.secret.as_ref()?;
            Some((turn(&name.user, secret)?, secret))
        });
        found.min_by_key(|(turn, _)| *turn).map(|(turn, secret)| (turn, secret.clone()))
    }

    /// As if the server had said so.
    #[cfg(test)]
    pub(super) fn hear(&self, server: &str, user: &str, secret: &str) {
        let name = Name { server: server.to_owned(), user: user.to_owned() };
        self.remember(name, Some(Secret::new(secret)), LAST_KNOWN);
    }

    fn remembered(&self, name: &Name, age: Duration) -> Option<Option<Secret>> {
        let answers = self.answers.borrow();
        let answer = answers.get(name)?;
        let age = if answer.secret.is_some() { age } else { age.min(NOBODY) };
        (!answer.is_doubted && answer.is_younger(age)).then(|| answer.secret.clone())
    }

    fn remembered_at_all(&self, name: &Name) -> Option<Option<Secret>> {
        let answers = self.answers.borrow();
        let answer = answers.get(name).filter(|it| it.is_younger(LAST_KNOWN))?;
        Some(answer.secret.clone())
    }

    fn remember(&self, name: Name, secret: Option<Secret>, age: Duration) {
        let mut answers = self.answers.borrow_mut();
        if answers.len() >= REMEMBERED {
            answers.retain(|_, answer| answer.secret.is_some() && answer.is_younger(age));
        }
        if answers.len() >= REMEMBERED {
            answers.clear();
        }
        answers.insert(name, Answer { secret, at: Instant::now(), is_doubted: false });
    }

    /// By the worker that is home to the server's askers; `None`: it found out nothing.
    async fn ask(&self, name: &Name) -> Option<Option<Secret>> {
        let worker = self.homes.as_ref()?.asker(&name.server);
        let (answer, finding) = oneshot::channel();
        let Name { server, user } = name.clone();
        self.crew.tell(worker, Message::Inquiry(Inquiry { server, user, answer }));
        finding.await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_is_known_waits_as_long_as_the_last_answer_took_within_bounds() {
        let inquiries = Inquiries::default();
        let mut waited = Vec::new();
        for took in [None, Some(1), Some(20), Some(5_000)] {
            if let Some(took) = took {
                let took = Duration::from_millis(took);
                inquiries.took.borrow_mut().insert("main".to_owned(), took);
            }
            let began = Instant::now();
            inquiries.wait_as_if_asked("main", began).await;
            waited.push(began.elapsed().as_millis());
        }
        assert_eq!(waited, [3, 3, 20, 100]);
        let began = Instant::now();
        tokio::time::advance(MOST).await;
        inquiries.wait_as_if_asked("main", began).await;
        assert_eq!(began.elapsed(), MOST, "who has been asked for waits no more");
    }
}
