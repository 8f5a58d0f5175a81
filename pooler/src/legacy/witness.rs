//! A connection that sees which backends a server has. It is in no pool and serves no client, so that
//! nobody else's transaction keeps it from looking.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use poolwright_pool::ServerId;

use crate::clock::timeout;
use crate::conn::ServerConn;
use crate::credential::Credential;
use crate::desk::Desk;
use crate::dialer::APPLICATION_NAME;
use crate::journal::{Entry, Key, Note};
use crate::server::{ConnectError, Identity, ServerTarget};
use crate::treasury::Treasury;

/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) struct Witness(Box<ServerConn>);

/// Whose rights are used.
pub(super) struct Account {
    pub(super) database: String,
    pub(super) user: String,
    pub(super) credentials: Vec<Credential>,
}

/// What one server showed of the backends in question.
pub(super) struct Sight {
    addr: SocketAddr,
    /// Process id, database, user.
    backends: BTreeSet<(i32, String, String)>,
}

impl Witness {
    /// # Errors
    /// As [`Desk::connect`].
    pub(super) async fn log_in(
        server: ServerId,
        target: &ServerTarget,
        account: &Account,
        treasury: &Arc<Treasury>,
        desk: &Desk,
    ) -> Result<Witness, ConnectError> {
        let Account { database, user, credentials } = account;
        let mut entry = treasury.begin(server, database, user);
        let more = &[("application_name", APPLICATION_NAME)];
        let identity = Identity { database, user, credential: None, more };
        let done = desk.connect(target, identity, credentials).await;
        let connected = done.inspect_err(|_| entry.end())?;
        entry.opened(Key::of(&connected));
        let listed = treasury.list(server, connected.process_id, entry);
        let target = Rc::new(RefCell::new(target.clone()));
        Ok(Witness(Box::new(ServerConn::new(target, connected, 0, listed, Default::default()))))
    }

    /// Has it look for these backends.
    ///
    /// # Errors
    /// The server did not answer: this connection is of no use any more.
    pub(super) async fn look(
        &mut self,
        backends: impl Iterator<Item = &Key>,
    ) -> anyhow::Result<Sight> {
        let process_ids: Vec<_> = backends.map(|it| it.process_id.to_string()).collect();
        // Named with its schema: the role may have a search_path of its own.
        let question = format!(
            "SELECT pg_catalog.json_agg(pg_catalog.json_build_array(pid, datname, usename))\
             ::pg_catalog.text FROM pg_catalog.pg_stat_activity \
             WHERE pid OPERATOR(pg_catalog.=) ANY ('{{{}}}'::pg_catalog.int4[]) \
             AND datname IS NOT NULL AND usename IS NOT NULL",
            process_ids.join(",")
        );
        let answer = timeout(PATIENCE, self.0.ask(&question)).await;
        let answer = answer.map_err(|_| anyhow!("no answer within {PATIENCE:?}"))??;
        let backends = match &*answer {
            b"" => BTreeSet::new(),
            json => serde_json::from_slice(json).context("read what the server shows")?,
        };
        Ok(Sight { addr: self.0.backend.addr, backends })
    }

    pub(super) async fn leave(self) {
        self.0.close().await;
    }
}

impl Sight {
    /// Whether this backend may still be there. A process id that is in use again counts as long as it
    /// has the same names. A server at another address shows nothing of it: after a while (`is_late`)
    /// it is taken for gone.
    pub(super) fn may_have(&self, entry: &Entry, is_late: bool) -> bool {
        let Note { database, user, backend, .. } = &entry.note;
        let Some(Key { process_id, addr, .. }) = backend else { return false };
        if *addr != self.addr {
            return !is_late;
        }
        let key = (*process_id, named(database), named(user));
        self.backends.contains(&key)
    }
}

/// As the server shows a name: it cuts longer ones.
fn named(name: &str) -> String {
    name[..name.floor_char_boundary(63)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Journal;

    fn entry(process_id: i32, addr: &str, database: &str) -> Entry {
        let mut entry = Journal::none().begin("main", database, "ann");
        let addr = addr.parse().unwrap();
        entry.opened(Key { process_id, secret: Vec::new(), addr, is_watched: true });
        entry
    }

    #[test]
    fn a_backend_is_there_as_long_as_its_process_id_has_its_names() {
        let long = "x".repeat(70);
        let shown = [(7, "shop"), (8, "other"), (9, &long[..63])];
        let backends = shown.map(|(id, database)| (id, database.to_owned(), "ann".to_owned()));
        let here = "127.0.0.1:5432";
        let sight = Sight { addr: here.parse().unwrap(), backends: backends.into() };
        for (process_id, database, expect) in
            [(7, "shop", true), (8, "shop", false), (6, "shop", false), (9, &*long, true)]
        {
            let found = sight.may_have(&entry(process_id, here, database), true);
            assert_eq!(found, expect, "{process_id} {database}");
        }
    }

    #[test]
    fn a_backend_at_another_address_counts_for_a_while() {
        let addr = "127.0.0.1:5432".parse().unwrap();
        let sight = Sight { addr, backends: BTreeSet::new() };
        let elsewhere = entry(7, "127.0.0.2:5432", "shop");
        assert!(sight.may_have(&elsewhere, false) && !sight.may_have(&elsewhere, true));
    }
}
