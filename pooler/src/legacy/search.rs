//! The look for what was left at one server. Postgres ends a session whose client is gone at once where
//! it waits for a query, by the cancel where one runs, and by itself where it watches
//! ([`CHECK_INTERVAL`]). One that no packet reaches gives its client up as TCP did on this side
//! (`server::vigil`).
//!
//! The look needs a connection. Where all that the cap allows is taken by what may be left, none is
//! opened until the server must have ended it, and then one: it goes again if the look shows that
//! nothing is gone. It never takes the word of the time alone for a backend whose process id it
//! knows, unless nobody lets it look for long.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use poolwright_pool::ServerId;
use poolwright_settings::{ANY, Database};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::witness::{Account, Sight, Witness};
use crate::clock::{sleep, timeout};
use crate::config::Config;
use crate::credential::Credential;
use crate::desk::Desk;
use crate::journal::{Entry, Key};
use crate::server::{CHECK_INTERVAL, ServerTarget, send_cancel};
use crate::treasury::{Look, Treasury};

/// A login that no process waits for ends as soon as the server reads on, since it has no query. So
/// its slot counts as free when it would for a process that lives: after the connect timeout and
/// this.
const HANG_UP: Duration = Duration::from_secs(1);
/// The server has ended what it watches when it has looked twice.
const WATCHED: Duration = CHECK_INTERVAL.saturating_mul(2);
/// What it does not watch ends by its cancel, or when TCP has given up its client. What TCP has given
/// up here may have sent something until then, and is given up there this much later.
const UNWATCHED: Duration = Duration::from_secs(30);
/// Nobody lets us look for so long: what was left counts as gone.
const UNSEEN: Duration = Duration::from_secs(300);
/// How long a round of cancels may take before the look.
const CANCELS: Duration = Duration::from_secs(1);
/// Databases in which a look is tried beside those that were in use.
const OTHERS: usize = 3;
/// Between two looks: at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));

/// What was left at one server.
pub(super) struct Search {
    pub(super) server: String,
    pub(super) id: ServerId,
    pub(super) treasury: Arc<Treasury>,
    pub(super) config: watch::Receiver<Arc<Config>>,
    pub(super) desk: Desk,
}

impl Search {
    pub(super) fn inherit(&self, entries: &[Entry]) {
        let known = entries.iter().filter(|it| key(it).is_some()).count();
        for entry in entries {
            self.treasury.inherit(self.id, key(entry).map(|it| it.process_id));
        }
        if known > 0 {
            self.treasury.set_look(self.id, Look::Planned);
        }
        info!(
            server = self.server,
            backends = known,
            logins = entries.len() - known,
            "an earlier process left connections: they count until they are seen to be gone"
        );
    }

    pub(super) async fn settle(self, entries: Vec<Entry>, more: UnboundedReceiver<Entry>) {
        let begun = Instant::now();
        let (backends, attempts): (Vec<_>, _) =
            entries.into_iter().partition(|it| key(it).is_some());
        let is_watched = |it: &Entry| key(it).is_some_and(|key| key.is_watched);
        let blind = if backends.iter().all(is_watched) { WATCHED } else { UNWATCHED };
        tokio::join!(self.outwait(attempts), self.look_for(backends, blind, more));
        info!(server = self.server, after = ?begun.elapsed(), "nothing of earlier processes is left");
    }

    /// Counted already.
    pub(super) async fn settle_lost(self, lost: Entry, more: UnboundedReceiver<Entry>) {
        self.treasury.set_look(self.id, Look::Planned);
        self.look_for(vec![lost], UNWATCHED, more).await;
        info!(server = self.server, "no connection that TCP gave up is left");
    }

    async fn outwait(&self, attempts: Vec<Entry>) {
        if !attempts.is_empty() {
            let longest = self.target().map(|it| it.connect_timeout).unwrap_or_default();
            sleep(longest + HANG_UP).await;
            attempts.into_iter().for_each(|it| self.end(it));
        }
    }

    /// Looks for them, and for those that are lost meanwhile. `blind`: after this time the server has
    /// ended them, as far as can be told without a look.
    async fn look_for(
        &self,
        mut entries: Vec<Entry>,
        blind: Duration,
        mut more: UnboundedReceiver<Entry>,
    ) {
        let mut begun = Instant::now();
        let (mut dares, mut answered) = (begun + blind, begun);
        let mut witness = None;
        let (mut pause, mut tries) = (PAUSE.0, 0);
        self.cancel(&entries).await;
        loop {
            while let Ok(entry) = more.try_recv() {
                entries.push(entry);
                (begun, answered) = (Instant::now(), Instant::now());
                dares = dares.max(begun + UNWATCHED);
            }
            if entries.is_empty() {
                if witness.is_none() {
                    break;
                }
                // More may be lost meanwhile.
                self.dismiss(witness.take()).await;
                continue;
            }
            if witness.is_none() && (self.has_room() || Instant::now() >= dares) {
                witness = self.send_witness(&entries, tries).await;
                tries += 1;
            }
            if let Some(sight) = self.look(&mut witness, &entries).await {
                answered = Instant::now();
                let (ours, is_late) = (self.ours(), begun.elapsed() >= UNWATCHED);
                let is_there = |it: &Entry| sight.may_have(it, is_late) && !ours(it);
                let gone = entries.extract_if(.., |it| !is_there(it));
                gone.for_each(|it| self.end(it));
                if !self.has_room() {
                    // It showed that there is one connection too many.
                    self.dismiss(witness.take()).await;
                    dares = answered + UNWATCHED;
                }
                self.cancel(&entries).await;
            }
            if entries.is_empty() {
                continue;
            }
            if self.target().is_none() || answered.elapsed() >= UNSEEN {
                warn!(server = self.server, "what was left could not be looked for");
                self.treasury.journal.doubt();
                entries.drain(..).for_each(|it| self.end(it));
            }
            let until_it_dares = dares.checked_duration_since(Instant::now());
            sleep(until_it_dares.map_or(pause, |it| pause.min(it))).await;
            pause = (pause * 2).min(PAUSE.1);
        }
        self.treasury.set_look(self.id, Look::None);
    }

    /// Has queries cancelled that are still under way. Who had none, or is gone, does not mind.
    async fn cancel(&self, entries: &[Entry]) {
        let Some(target) = self.target() else { return };
        let mut cancels = JoinSet::new();
        for Key { process_id, secret, addr, .. } in entries.iter().filter_map(key).cloned() {
            let target = target.clone();
            cancels.spawn_local(async move {
                if let Err(error) = send_cancel(&target, addr, process_id, &secret).await {
                    debug!(%addr, process_id, %error, "cancel request not delivered");
                }
            });
        }
        let _ = timeout(CANCELS, cancels.join_all()).await;
    }

    async fn send_witness(&self, entries: &[Entry], tries: usize) -> Option<Witness> {
        let (target, accounts) = (self.target()?, self.accounts(entries));
        let account = accounts.get(tries % accounts.len().max(1))?;
        self.treasury.set_look(self.id, Look::UnderWay);
        let witness = Witness::log_in(self.id, &target, account, &self.treasury, &self.desk).await;
        if let Err(error) = &witness {
            info!(server = self.server, %error, "the server cannot be looked at yet");
            self.treasury.set_look(self.id, Look::Planned);
        }
        witness.ok()
    }

    async fn look(&self, witness: &mut Option<Witness>, entries: &[Entry]) -> Option<Sight> {
        let seen = witness.as_mut()?.look(entries.iter().filter_map(key)).await;
        if let Err(error) = &seen {
            info!(server = self.server, %error, "the server did not show its connections");
            self.dismiss(witness.take()).await;
        }
        seen.ok()
    }

    async fn dismiss(&self, witness: Option<Witness>) {
        if let Some(witness) = witness {
            witness.leave().await;
            self.treasury.set_look(self.id, Look::Planned);
        }
    }

    fn end(&self, mut entry: Entry) {
        entry.end();
        self.treasury.forget(self.id, key(&entry).map(|it| it.process_id));
    }

    fn has_room(&self) -> bool {
        self.treasury.has_room_to_look(self.id)
    }

    /// Whether a process id is that of a connection of this process by now.
    fn ours(&self) -> impl Fn(&Entry) -> bool {
        let ours = self.treasury.backends(&self.server);
        move |it| key(it).is_some_and(|key| ours.contains(&key.process_id))
    }

    /// `None`: the settings have no such server any more.
    fn target(&self) -> Option<ServerTarget> {
        let config = self.config.borrow();
        let mut servers = config.servers.iter().zip(&config.server_tls);
        let (server, tls) = servers.find(|(it, _)| it.name == self.server)?;
        Some(ServerTarget::of(server, tls, &config.limits))
    }

    /// Who may log in to look: first those who were logged in.
    fn accounts(&self, entries: &[Entry]) -> Vec<Account> {
        let config = self.config.borrow();
        let forced = |user: &str| {
            let all = config.databases.values().filter_map(|it| it.forced.as_ref());
            all.filter(|it| it.user == user).max_by_key(|it| it.password.is_some())
        };
        let credentials = |user: &str| match forced(user) {
            Some(forced) => Some(Credential::all_of_forced(forced, &config)),
            None => config.users.get(user).map(Credential::all_of),
        };
        let known = entries.iter().map(|it| (it.note.database.clone(), it.note.user.clone()));
        let known: BTreeSet<_> = known.filter(|it| credentials(&it.1).is_some()).collect();
        let is_there =
            |it: &&Database| it.dbname != ANY && config.servers[it.server].name == self.server;
        let user = config.users.values().max_by_key(|user| user.server_password.is_some());
        let databases = config.databases.values().filter(is_there);
        let others = user
            .into_iter()
            .flat_map(|user| databases.clone().map(|it| (it.dbname.clone(), user.name.clone())));
        let account = |(database, user): (String, String)| {
            let credentials = credentials(&user)?;
            Some(Account { database, user, credentials })
        };
        let asker = self.asker(&config);
        let others = known.into_iter().chain(others.take(OTHERS)).filter_map(account);
        asker.into_iter().chain(others).collect()
    }

    /// Who asks the server for users may look there, too.
    fn asker(&self, config: &Config) -> Option<Account> {
        let query = config.auth_query.as_ref()?;
        let is_there =
            |it: &&Database| it.dbname != ANY && config.servers[it.server].name == self.server;
        let database = query.dbname.clone();
        let database = database
            .or_else(|| config.databases.values().find(is_there).map(|it| it.dbname.clone()))?;
        let credentials = query.password.iter().filter_map(Credential::of).collect();
        Some(Account { database, user: query.user.clone(), credentials })
    }
}

fn key(entry: &Entry) -> Option<&Key> {
    entry.note.backend.as_ref()
}
