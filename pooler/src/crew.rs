//! The worker threads, each with a runtime of its own, and the way to speak to them. It starts and
//! awaits them; what they do is theirs.

use std::sync::Arc;
use std::thread;

use anyhow::{Context, anyhow};
use tokio::runtime::{Builder, Handle, LocalOptions};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::clock;
use crate::config::Config;
use crate::desk::Desk;
use crate::lifecycle::Lifecycle;
use crate::metrics::Snapshot;
use crate::treasury::Treasury;
use crate::worker::{self, Message};

/// All workers of the process, by number.
#[derive(Default)]
pub struct Crew(Vec<mpsc::UnboundedSender<Message>>);

/// The workers' ends.
pub struct Ends(Vec<oneshot::Receiver<anyhow::Result<()>>>);

/// Where the workers will be told things, and the way there.
pub struct Inboxes {
    pub senders: Vec<mpsc::UnboundedSender<Message>>,
    receivers: Vec<mpsc::UnboundedReceiver<Message>>,
}

impl Inboxes {
    /// For so many workers.
    pub fn new(count: u32) -> Inboxes {
        let (senders, receivers) = (0..count).map(|_| mpsc::unbounded_channel()).unzip();
        Inboxes { senders, receivers }
    }
}

/// What every worker is given.
#[derive(Clone)]
pub struct Kit {
    pub config: watch::Receiver<Arc<Config>>,
    pub lifecycle: watch::Receiver<Lifecycle>,
    pub desk: Desk,
    pub treasury: Arc<Treasury>,
    pub number: usize,
}

impl Crew {
    /// Starts the workers, whose time the runtime keeps that this is called in.
    ///
    /// # Errors
    /// The system gives no thread or no runtime.
    pub fn start(inboxes: Inboxes, kit: &Kit) -> anyhow::Result<(Crew, Ends)> {
        let Inboxes { senders, receivers } = inboxes;
        let mut ends = Vec::new();
        for (number, inbox) in receivers.into_iter().enumerate() {
            let (end, ended) = oneshot::channel();
            let (kit, keeper) = (Kit { number, ..kit.clone() }, Handle::current());
            thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || {
                    clock::kept_by(keeper);
                    let _ = end.send(work(inbox, kit));
                })
                .context("start a worker's thread")?;
            ends.push(ended);
        }
        Ok((Crew(senders), Ends(ends)))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells a worker; one that has ended hears nothing.
    pub fn tell(&self, worker: usize, message: Message) {
        let _ = self.0[worker].send(message);
    }

    /// The counts of all workers together; `None` if one has ended.
    pub async fn snapshot(&self) -> Option<Snapshot> {
        let mut answers = Vec::new();
        for worker in 0..self.len() {
            let (ask, answer) = oneshot::channel();
            self.tell(worker, Message::Count(ask));
            answers.push(answer);
        }
        let mut whole = Snapshot::default();
        for answer in answers {
            whole.add(answer.await.ok()?);
        }
        Some(whole)
    }
}

fn work(inbox: mpsc::UnboundedReceiver<Message>, kit: Kit) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .build_local(LocalOptions::default())
        .context("start a worker's runtime")?;
    let done = runtime.block_on(worker::run(inbox, kit));
    runtime.shutdown_background();
    done
}

impl Ends {
    /// Waits for all workers; ends at the first that failed.
    ///
    /// # Errors
    /// A worker's error, or its panic.
    pub async fn all(self) -> anyhow::Result<()> {
        let mut ends = JoinSet::new();
        for (number, ended) in self.0.into_iter().enumerate() {
            ends.spawn_local(async move {
                ended.await.unwrap_or_else(|_| Err(anyhow!("worker {number} ended by a defect")))
            });
        }
        while let Some(ended) = ends.join_next().await {
            ended.context("await a worker")??;
        }
        Ok(())
    }
}
