//! Follows the files, and what is pushed in their place, while the pooler runs: a change, or SIGHUP,
//! is loaded as a whole and handed on. Never lets a part of a change through: what has problems is
//! told, and the last good config stays. Once something was pushed, no earlier generation follows.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use poolwright_settings::control::{Answer, Push, Verdict};
use poolwright_settings::{Changes, Problem, Problems, diff};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

use crate::config::{Attempt, Config, Pushed, Seen, load};
use crate::metrics::Metrics;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Problems and changed settings named in the log for one change.
const NAMED: usize = 20;

/// Hands new configs to all who watch.
pub struct Reloader {
    path: PathBuf,
    seen: Seen,
    /// What stands in for the files, and how those beside it were when they were read with it.
    pushed: Option<(Pushed, Seen)>,
    /// What the process started with: the sockets still are as it says.
    started: Arc<Config>,
    config: watch::Sender<Arc<Config>>,
    told: Told,
    metrics: Rc<Metrics>,
}

/// What the log has already been told.
#[derive(Default)]
struct Told {
    problems: Option<Problems>,
    waiting: Vec<String>,
    hints: Vec<Problem>,
}

impl Reloader {
    /// Starts from the config that `seen` belongs to.
    pub fn new(
        path: PathBuf,
        config: Config,
        seen: Seen,
        metrics: Rc<Metrics>,
    ) -> (Self, watch::Receiver<Arc<Config>>) {
        let started = Arc::new(config);
        metrics.settings_generation.set(started.generation);
        let (sender, receiver) = watch::channel(Arc::clone(&started));
        let mut told = Told::default();
        told.hints(started.hints());
        let pushed = None;
        (Self { path, seen, pushed, started, config: sender, told, metrics }, receiver)
    }

    /// Looks at the files every second, loads them at every SIGHUP, and takes over what is pushed.
    ///
    /// # Errors
    /// SIGHUP cannot be listened to.
    #[expect(clippy::disallowed_methods, reason = "it runs on the main thread, which keeps time")]
    pub async fn run(
        mut self,
        mut pushes: mpsc::Receiver<(Push, oneshot::Sender<Answer>)>,
    ) -> std::io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.look().await,
                _ = hangup.recv() => self.reload().await,
                Some((push, reply)) = pushes.recv() => {
                    let answer = self.take(push).await;
                    // Whoever asked may have left.
                    let _ = reply.send(answer);
                }
            }
        }
    }

    /// Loads the files if one of them is not as it was.
    async fn look(&mut self) {
        let (seen, beside) = (self.seen.clone(), self.pushed.as_ref().map(|it| it.1.clone()));
        let is_stale =
            move || Attempt::is_stale(&seen) || beside.as_ref().is_some_and(Attempt::is_stale);
        let stale = spawn_blocking(is_stale).await;
        if stale.unwrap_or(true) {
            self.reload().await;
        }
    }

    async fn reload(&mut self) {
        let Some((files, seen)) = self.load(Pushed::default()).await else { return };
        self.seen = seen;
        if files.as_ref().is_ok_and(|news| news.config.is_torn()) {
            return info!("settings and users are of different generations: waiting for the other");
        }
        let current = self.config.borrow().generation;
        let later = files.as_ref().is_ok_and(|news| news.config.generation > current);
        match self.pushed.take() {
            // What was pushed stands; its certificates may have been renewed on disk.
            Some((pushed, _)) if !later => {
                let Some((result, seen)) = self.load(pushed.clone()).await else { return };
                self.pushed = Some((pushed, seen));
                self.judge(result);
            }
            _ => self.judge(files),
        }
    }

    /// Takes over settings that were pushed, unless later ones are in force.
    async fn take(&mut self, push: Push) -> Answer {
        let pushed = Pushed::new(push, &self.path);
        let (verdict, problems) = match self.load(pushed.clone()).await {
            Some((Ok(news), _)) if news.config.generation < self.config.borrow().generation => {
                warn!(generation = ?news.config.generation, "pushed settings are older: refused");
                (Verdict::Outdated, Vec::new())
            }
            Some((Ok(news), seen)) => {
                self.pushed = Some((pushed, seen));
                self.accept(news);
                (Verdict::Applied, Vec::new())
            }
            Some((Err(problems), _)) => {
                let texts = problems.0.iter().take(NAMED).map(ToString::to_string).collect();
                self.reject(problems);
                (Verdict::Rejected, texts)
            }
            None => (Verdict::Rejected, vec!["settings could not be read: a defect".to_owned()]),
        };
        let hash = self.pushed.as_ref().and_then(|it| it.0.hash.clone());
        Answer { verdict, generation: self.config.borrow().generation, hash, problems }
    }

    /// Reads off the front's thread, since files may be slow and large. `None`: a defect, which has
    /// been told.
    async fn load(&self, pushed: Pushed) -> Option<Loaded> {
        let path = self.path.clone();
        let (started, old) = (Arc::clone(&self.started), Arc::clone(&self.config.borrow()));
        let attempt = spawn_blocking(move || {
            let (result, seen) = load(&path, &pushed).into_parts();
            (result.map(|new| News::of(new, &old, &started)), seen)
        });
        attempt.await.map_err(|panic| error!(%panic, "settings could not be read: a defect")).ok()
    }

    fn judge(&mut self, result: Result<News, Problems>) {
        match result {
            Ok(news) => self.accept(news),
            Err(problems) => self.reject(problems),
        }
    }

    fn accept(&mut self, news: News) {
        self.told.problems = None;
        if news.live.is_empty() && news.restart.is_empty() && !news.has_new_certificates {
            return;
        }
        let generation = news.config.generation;
        let (count, certificates) = (news.live.len(), news.has_new_certificates);
        let settings = news.live[..count.min(NAMED)].join(" ");
        info!(?generation, count, settings, certificates, "changed settings are taken over");
        self.told.waiting(news.waiting);
        self.told.hints(news.hints);
        self.metrics.settings_generation.set(generation);
        self.config.send_replace(Arc::new(news.config));
    }

    fn reject(&mut self, problems: Problems) {
        self.metrics.settings_rejected.add(1);
        if self.told.problems.as_ref() == Some(&problems) {
            return;
        }
        let count = problems.0.len();
        error!(count, file = ?self.path, "settings are refused; the last good ones stay");
        for problem in problems.0.iter().take(NAMED) {
            error!(setting = problem.path, "{problem}");
        }
        self.told.problems = Some(problems);
    }
}

/// What became of one look at the files.
type Loaded = (Result<News, Problems>, Seen);

/// A config and what is new about it; made off the worker's thread, since both may be large.
struct News {
    config: Config,
    /// Settings that differ from the config before and are taken over.
    live: Vec<String>,
    /// Settings that differ from the config before and need a restart.
    restart: Vec<String>,
    /// Settings that differ from what the process started with and need a restart.
    waiting: Vec<String>,
    hints: Vec<Problem>,
    has_new_certificates: bool,
}

impl News {
    fn of(config: Config, old: &Config, started: &Config) -> Self {
        let Changes { mut live, restart } = diff(old, &config);
        if config.totals != old.totals {
            live.push("totals".to_owned());
        }
        let waiting = diff(started, &config).restart;
        let has_new_certificates = !config.has_certificates_of(old);
        Self { live, restart, waiting, hints: config.hints(), has_new_certificates, config }
    }
}

impl Told {
    /// Says once what a change cannot reach in a running process.
    fn waiting(&mut self, waiting: Vec<String>) {
        if !waiting.is_empty() && waiting != self.waiting {
            let settings = waiting.join(" ");
            warn!(settings, "these settings differ and wait for the next start");
        }
        self.waiting = waiting;
    }

    /// Says once what is probably not meant.
    fn hints(&mut self, hints: Vec<Problem>) {
        if hints != self.hints {
            for hint in hints.iter().take(NAMED) {
                info!(setting = hint.path, "hint: {hint}");
            }
        }
        self.hints = hints;
    }
}

#[cfg(test)]
mod tests;
