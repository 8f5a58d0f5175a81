//! Asks a server for the secret of a user whom the settings do not list: over a connection of its own
//! for each server, which counts like any other, with the name as a parameter. It believes no answer
//! about anybody else.

use std::rc::Rc;
use std::time::Duration;

use poolwright_pool::{DatabaseLimits, PoolLimits};
use poolwright_settings::{ANY, AuthQuery, Database, PoolMode, PoolSettings, Secret};
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tracing::warn;

use super::{Lease, Worker};
use crate::clock::timeout;
use crate::config::Config;
use crate::conn::RunError;
use crate::homes::Part;
use crate::tenant::Tenant;

/// How long the wait for the connection may take, and then the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// A connection that nobody needs is kept for so long.
const IDLE: Duration = Duration::from_secs(60);
/// Under which name its connections are counted. No database of the settings has an empty name, so
/// that no client's pool is this one.
const LABEL: &str = "authQuery";
const NO_NAME: &str = "";
/// Where the server has only databases that are not named.
const ANYWHERE: &str = "postgres";
/// Of this process, alone.
const WHOLE: Part = Part { place: 0, count: 1 };

/// A user to be asked for.
pub struct Inquiry {
    /// The server's name in the settings.
    pub server: String,
    pub user: String,
    pub answer: oneshot::Sender<Finding>,
}

/// The user's secret, in one of its forms; `None`: there is no such user who may log in. Or why it
/// could not be found out.
pub type Finding = Result<Option<Secret>, String>;

impl Worker {
    pub(super) fn inquire(self: &Rc<Worker>, inquiry: Inquiry) {
        let worker = Rc::clone(self);
        spawn_local(async move {
            let Inquiry { server, user, answer } = inquiry;
            let finding = worker.find(&server, &user).await;
            if let Err(why) = &finding {
                warn!(server, why, "authQuery failed");
            }
            // Whoever asked may have left.
            let _ = answer.send(finding);
        });
    }

    async fn find(self: &Rc<Worker>, server: &str, user: &str) -> Finding {
        let config = self.config.borrow().clone();
        let asked = config.auth_query.as_ref().zip(self.asker(server, &config));
        let (query, tenant) = asked.ok_or("the settings no longer say how")?;
        let mut lease = self.borrow_connection(&tenant).await?;
        match timeout(PATIENCE, lease.ask_about(&wrapped(&query.query), user)).await {
            Ok(Ok(answer)) => {
                self.release(&tenant, lease);
                read(&answer, user)
            }
            Ok(Err(RunError::Refused(failure))) => {
                self.release(&tenant, lease);
                Err(failure.to_string())
            }
            Ok(Err(RunError::Lost(lost))) => {
                lease.discard(lost.label());
                Err(lost.to_string())
            }
            Err(_) => {
                lease.discard("auth_query_timeout");
                Err("the query took too long".to_owned())
            }
        }
    }

    async fn borrow_connection(self: &Rc<Worker>, tenant: &Rc<Tenant>) -> Result<Lease, String> {
        let guest = super::look::Guest::enter(self, tenant);
        let acquired = timeout(PATIENCE, self.pools.acquire(tenant.pool, guest.id())).await;
        drop(guest);
        let acquired = acquired.map_err(|_| "there was no connection to spare")?;
        let (id, conn) = acquired.map_err(|refusal| refusal.to_string())?;
        Ok(Lease::new(Rc::clone(self), id, conn))
    }

    /// Who asks a server, in a pool of one connection.
    pub(super) fn asker(&self, server: &str, config: &Config) -> Option<Rc<Tenant>> {
        let query = config.auth_query.as_ref()?;
        let database = database(server, query, config)?;
        let id = self.treasury.open(&database, config);
        let server = self.treasury.server_id(server);
        self.pools.set_database(id, DatabaseLimits { server, max: 1 });
        let pool = self.pools.pool(id, &query.user, limits(&database.pool));
        self.dialer.set_asker(pool, server, &database.dbname, query, LABEL);
        let counts = self.metrics.database(LABEL);
        let user = query.user.as_str().into();
        let pinned = Rc::default();
        let settings = &database.pool;
        Some(Rc::new(Tenant::new(NO_NAME.into(), user, pool, pinned, WHOLE, counts, settings)))
    }
}

/// Where the query runs.
fn database(server: &str, query: &AuthQuery, config: &Config) -> Option<Database> {
    let is_there = |it: &&Database| config.servers[it.server].name == server;
    let first = config.databases.values().find(is_there)?;
    let named = config.databases.values().filter(is_there).find(|it| it.dbname != ANY);
    let usual = named.map_or(ANYWHERE, |it| &it.dbname);
    Some(Database {
        name: NO_NAME.to_owned(),
        dbname: query.dbname.as_deref().unwrap_or(usual).to_owned(),
        max_connections: 1,
        workers: 1,
        forced: None,
        pool: PoolSettings {
            mode: PoolMode::Transaction,
            size: 1,
            min: 0,
            reserve: 0,
            wait_timeout: Some(PATIENCE),
            idle_timeout: IDLE,
            ..first.pool.clone()
        },
        ..first.clone()
    })
}

fn limits(pool: &PoolSettings) -> PoolLimits {
    super::pool_limits(pool, WHOLE)
}

/// The query's first two rows as one value, whatever the names of its columns.
fn wrapped(query: &str) -> String {
    let query = query.trim_end().trim_end_matches(';');
    format!(
        "SELECT pg_catalog.json_agg(pg_catalog.json_build_array(found.name, found.secret)) FROM \
         (SELECT * FROM (\n{query}\n) AS asked (name, secret) LIMIT 2) AS found"
    )
}

/// An answer with another name, or with several, is about nobody.
fn read(answer: &[u8], user: &str) -> Finding {
    if answer.is_empty() {
        return Ok(None);
    }
    let rows: Vec<(Option<String>, Option<String>)> =
        serde_json::from_slice(answer).map_err(|error| error.to_string())?;
    match rows.as_slice() {
        [] => Ok(None),
        [(Some(name), secret)] if name == user => {
            Ok(secret.clone().filter(|secret| !secret.is_empty()).map(Secret::new))
        }
        [_] => Err("the query gave a name other than the one it was asked for".to_owned()),
        _ => Err("the query gave several rows".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{read, wrapped};

    #[test]
    fn an_answer_is_about_who_was_asked_for_or_about_nobody() {
        for (answer, expect) in [
            ("", Ok(None)),
            ("[]", Ok(None)),
            (r#"[["ann", "pencil"]]"#, Ok(Some("pencil"))),
            (r#"[["ann", null]]"#, Ok(None)),
            (r#"[["ann", ""]]"#, Ok(None)),
            (r#"[["root", "pencil"]]"#, Err(())),
            (r#"[[null, "pencil"]]"#, Err(())),
            (r#"[["ann", "a"], ["ann", "b"]]"#, Err(())),
            ("nonsense", Err(())),
        ] {
            let found = read(answer.as_bytes(), "ann");
            let found = found.as_ref().map(|it| it.as_ref().map(|secret| secret.expose()));
            assert_eq!(found.map_err(|_| ()), expect, "{answer}");
        }
    }

    #[test]
    fn a_query_may_end_as_queries_do() {
        for query in ["SELECT a, b FROM t", "SELECT a, b FROM t;\n", "SELECT a, b FROM t -- why"] {
            assert!(wrapped(query).contains("(\nSELECT a, b FROM t"), "{query}");
            assert!(!wrapped(query).contains(';'), "{query}");
        }
    }
}
