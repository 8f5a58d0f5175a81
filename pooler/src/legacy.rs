//! What was left open at the servers, by processes that were killed and by connections that TCP has
//! given up: it has their queries cancelled, counts them under this process's cap, and looks for them
//! until they are gone.

mod search;
mod witness;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::sync::mpsc::error::SendError;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use tokio::task::spawn_local;
use tracing::warn;

use crate::config::Config;
use crate::desk::Desk;
use crate::journal::{Entry, Note};
use crate::treasury::Treasury;
use search::Search;

/// Looks for what is left, server by server.
struct Searches {
    /// They end when nothing is left.
    running: HashMap<String, UnboundedSender<Entry>>,
    treasury: Arc<Treasury>,
    config: watch::Receiver<Arc<Config>>,
    desk: Desk,
}

/// Counts what earlier processes left, before anything is opened, and has it looked for, as is what
/// this process loses from now on. Call it where `spawn_local` works.
pub fn settle(
    entries: Vec<Entry>,
    treasury: &Arc<Treasury>,
    config: &watch::Receiver<Arc<Config>>,
    desk: &Desk,
) {
    let mut by_server = BTreeMap::<String, Vec<Entry>>::new();
    for entry in entries {
        by_server.entry(entry.note.server.clone()).or_default().push(entry);
    }
    let (treasury, config, desk) = (Arc::clone(treasury), config.clone(), desk.clone());
    let (searcher, lost) = mpsc::unbounded_channel();
    treasury.search_by(searcher);
    let mut searches = Searches { running: HashMap::new(), treasury, config, desk };
    for (server, entries) in by_server {
        let (search, more) = searches.begin(&server);
        search.inherit(&entries);
        spawn_local(search.settle(entries, more));
    }
    spawn_local(searches.follow(lost));
}

impl Searches {
    fn begin(&mut self, server: &str) -> (Search, UnboundedReceiver<Entry>) {
        let (sender, more) = mpsc::unbounded_channel();
        self.running.insert(server.to_owned(), sender);
        let (treasury, config, desk) =
            (Arc::clone(&self.treasury), self.config.clone(), self.desk.clone());
        let (server, id) = (server.to_owned(), treasury.server_id(server));
        (Search { server, id, treasury, config, desk }, more)
    }

    async fn follow(mut self, mut lost: UnboundedReceiver<Entry>) {
        while let Some(entry) = lost.recv().await {
            let Note { server, database, user, .. } = entry.note.clone();
            warn!(server, database, user, "TCP gave a connection up: it counts until it is gone");
            let sent = match self.running.get(&server) {
                Some(search) => search.send(entry),
                None => Err(SendError(entry)),
            };
            let Err(SendError(entry)) = sent else { continue };
            let (search, more) = self.begin(&server);
            spawn_local(search.settle_lost(entry, more));
        }
    }
}
