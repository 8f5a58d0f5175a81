//! One worker thread: all its clients, tenants and pools, and the settings they live by. It accepts
//! clients and wires the rooms together; it decides nothing about messages or connections.

mod drain;
mod gauges;
mod lease;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use poolwright_pool::{DatabaseId, DatabaseLimits, PoolLimits, ServerId, ServerLimits};
use poolwright_session::Statements;
use poolwright_settings::{Database, PoolMode, PoolSettings};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::cancel::{self, cancel_backend};
use crate::client;
use crate::config::Config;
use crate::conn::{Lost, ServerConn};
use crate::dialer::Dialer;
use crate::lifecycle::Lifecycle;
use crate::login::{Admission, Arrival, LOGIN_TIMEOUT, LoginContext, Verifiers, accept};
use crate::metrics::Metrics;
use crate::pools::PoolShell;
use crate::roster::Roster;
use crate::server::ServerTarget;
use crate::tenant::Tenant;

/// Logins at one server at a time.
const PARALLEL_LOGINS: u32 = 8;
/// How long a connection may take to become fit for the next client.
const CLEANING_TIMEOUT: Duration = Duration::from_secs(10);
/// After a failure to accept, which may last.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub use lease::Lease;

pub struct Worker {
    pub pools: Rc<PoolShell<Dialer>>,
    pub roster: Roster,
    pub statements: Rc<RefCell<Statements>>,
    config: RefCell<Arc<Config>>,
    login: RefCell<LoginContext>,
    dialer: Rc<Dialer>,
    tenants: RefCell<HashMap<(String, String), Rc<Tenant>>>,
    ids: RefCell<Ids>,
    metrics: Rc<Metrics>,
}

/// Numbers for names, which outlive any one generation of settings.
#[derive(Default)]
struct Ids {
    servers: HashMap<String, ServerId>,
    databases: HashMap<String, DatabaseId>,
    last_database: u32,
}

/// Serves clients until the process is to end.
///
/// # Errors
/// The address cannot be listened on, or the system gives no random bytes.
pub async fn run(
    mut config: watch::Receiver<Arc<Config>>,
    mut lifecycle: watch::Receiver<Lifecycle>,
    metrics: Rc<Metrics>,
) -> anyhow::Result<()> {
    let first = config.borrow_and_update().clone();
    let address = SocketAddr::new(first.listen.address, first.listen.port);
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
    let worker = Worker::new(first, metrics)?;
    worker.show_gauges();
    worker.metrics.accepting.set(true);
    info!(%address, "clients are let in");
    loop {
        tokio::select! {
            accepted = listener.accept() => worker.take_in(accepted).await,
            Ok(()) = config.changed() => {
                let next = config.borrow_and_update().clone();
                worker.follow(next);
            }
            changed = lifecycle.changed() => {
                let stage = *lifecycle.borrow_and_update();
                if changed.is_err() || stage != Lifecycle::Serving {
                    break;
                }
            }
        }
    }
    worker.drain(listener, lifecycle).await;
    Ok(())
}

impl Worker {
    fn new(config: Arc<Config>, metrics: Rc<Metrics>) -> anyhow::Result<Rc<Worker>> {
        let verifiers = Verifiers::new().context("prepare logins")?;
        let login = LoginContext {
            settings: Rc::new(config.settings.clone()),
            tls: config.client_tls.clone(),
            verifiers: Rc::new(verifiers),
            admission: Rc::new(Cell::new(Admission::Open)),
            timeout: LOGIN_TIMEOUT,
        };
        let dialer = Rc::new(Dialer::new(Rc::clone(&metrics)));
        let worker = Rc::new(Worker {
            pools: PoolShell::new(Rc::clone(&dialer)),
            roster: Roster::new(),
            statements: Rc::default(),
            config: RefCell::new(Arc::clone(&config)),
            login: RefCell::new(login),
            dialer,
            tenants: RefCell::default(),
            ids: RefCell::default(),
            metrics,
        });
        worker.follow(config);
        Ok(worker)
    }

    /// Takes over new settings, all of them at once.
    fn follow(&self, config: Arc<Config>) {
        let old = self.config.replace(Arc::clone(&config));
        self.follow_databases(&old, &config);
        {
            let mut login = self.login.borrow_mut();
            login.settings = Rc::new(config.settings.clone());
            login.tls = config.client_tls.clone();
        }
        self.dialer.follow(&config);
        for (server, tls) in config.servers.iter().zip(&config.server_tls) {
            let id = self.server_id(&server.name);
            self.dialer.set_target(id, server, tls);
            let limits = ServerLimits { max: server.max_connections, logins: PARALLEL_LOGINS };
            self.pools.set_server(id, limits);
        }
        for database in config.databases.values() {
            let limits = self.database_limits(&config, database);
            self.pools.set_database(self.database_id(&database.name), limits);
        }
        self.follow_servers(&old, &config);
        self.follow_tenants(&config);
    }

    /// A database that is elsewhere now is another: its clients end, its connections are closed.
    fn follow_databases(&self, old: &Config, new: &Config) {
        for (name, before) in &old.databases {
            let Some(after) = new.databases.get(name) else {
                self.ids.borrow_mut().databases.remove(name);
                continue;
            };
            let server =
                |config: &Config, database: &Database| config.servers[database.server].name.clone();
            if (server(old, before), &before.dbname) != (server(new, after), &after.dbname) {
                info!(database = name, "database moved: its clients must connect again");
                self.ids.borrow_mut().databases.remove(name);
                self.drop_tenants(|database, _| database == name);
            }
        }
    }

    /// Connections to where a server no longer is are retired.
    fn follow_servers(&self, old: &Config, new: &Config) {
        for server in &new.servers {
            let before = old.servers.iter().find(|before| before.name == server.name);
            let moved = before.is_some_and(|before| {
                (&before.host, before.port, &before.tls) != (&server.host, server.port, &server.tls)
            });
            if moved {
                info!(server = server.name, "server moved: its connections are replaced");
                self.pools.reconnect(self.server_id(&server.name));
                self.tenants.borrow().values().for_each(|tenant| tenant.forget_answers());
            }
        }
    }

    fn follow_tenants(&self, config: &Config) {
        self.drop_tenants(|database, user| {
            !config.databases.contains_key(database) || !config.users.contains_key(user)
        });
        for ((database, user), tenant) in &*self.tenants.borrow() {
            let database = &config.databases[database];
            self.pool(database, user);
            tenant.set_keeps_connection(database.pool.mode == PoolMode::Session);
        }
    }

    fn drop_tenants(&self, gone: impl Fn(&str, &str) -> bool) {
        let mut pools = HashSet::new();
        self.tenants.borrow_mut().retain(|(database, user), tenant| {
            let keep = !gone(database, user);
            if !keep {
                self.pools.forget(tenant.pool);
                pools.insert(tenant.pool);
            }
            keep
        });
        for slot in self.roster.all() {
            if pools.contains(&slot.pool) {
                slot.stop();
            }
        }
    }

    fn database_limits(&self, config: &Config, database: &Database) -> DatabaseLimits {
        let server = &config.servers[database.server];
        DatabaseLimits { server: self.server_id(&server.name), max: database.max_connections }
    }

    fn server_id(&self, name: &str) -> ServerId {
        let servers = &mut self.ids.borrow_mut().servers;
        let next = ServerId(servers.len() as u32);
        *servers.entry(name.to_owned()).or_insert(next)
    }

    fn database_id(&self, name: &str) -> DatabaseId {
        let ids = &mut *self.ids.borrow_mut();
        *ids.databases.entry(name.to_owned()).or_insert_with(|| {
            ids.last_database += 1;
            DatabaseId(ids.last_database)
        })
    }

    fn pool(&self, database: &Database, user: &str) -> poolwright_pool::PoolId {
        let limits = pool_limits(&database.pool);
        let pool = self.pools.pool(self.database_id(&database.name), user, limits);
        let server = &self.config.borrow().servers[database.server];
        self.dialer.set_pool(pool, self.server_id(&server.name), database, user);
        pool
    }

    /// The tenant of a login; `None` if the settings have lost its database or user meanwhile.
    pub fn tenant(&self, database: &str, user: &str) -> Option<Rc<Tenant>> {
        let key = (database.to_owned(), user.to_owned());
        if let Some(tenant) = self.tenants.borrow().get(&key) {
            return Some(Rc::clone(tenant));
        }
        let config = Arc::clone(&self.config.borrow());
        let settings = config.databases.get(database)?;
        config.users.get(user)?;
        let tenant = Rc::new(Tenant::new(
            database.into(),
            self.pool(settings, user),
            self.metrics.database(database),
            settings.pool.mode == PoolMode::Session,
        ));
        self.tenants.borrow_mut().insert(key, Rc::clone(&tenant));
        Some(tenant)
    }

    /// Where a database's server is, for cancels.
    pub fn target(&self, database: &str) -> Option<ServerTarget> {
        let config = self.config.borrow();
        let server = &config.servers[config.databases.get(database)?.server];
        self.dialer.target(self.server_id(&server.name))
    }

    async fn take_in(self: &Rc<Worker>, accepted: std::io::Result<(TcpStream, SocketAddr)>) {
        match accepted {
            Ok((tcp, peer)) => {
                spawn_local(Rc::clone(self).meet(tcp, peer));
            }
            // Out of files, or a peer that left before it was taken in.
            Err(error) => {
                warn!(%error, "client not accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    async fn meet(self: Rc<Worker>, tcp: TcpStream, peer: SocketAddr) {
        let mut context = self.login.borrow().clone();
        if self.roster.len() >= self.config.borrow().max_clients as usize {
            context.admission = Rc::new(Cell::new(Admission::Full));
        }
        match accept(tcp, peer, &context).await {
            Ok(Arrival::Client(login)) => client::serve(self, login).await,
            Ok(Arrival::Cancel { process_id, secret, stream }) => {
                cancel::deliver(self, process_id, secret, stream).await;
            }
            Ok(Arrival::Gone) => {}
            Err(error) => {
                self.metrics.login_failed(error.label());
                info!(%peer, %error, "login failed");
            }
        }
    }

    /// Takes a connection back from a client that is done with it.
    pub fn release(self: &Rc<Worker>, tenant: &Rc<Tenant>, lease: Lease) {
        let clean = lease.model.suspicion().is_none();
        if clean && lease.is_free() && !lease.backend.awaits_cancel() {
            lease.give_back();
        } else {
            self.finish(tenant, lease);
        }
    }

    /// Takes a connection back in whatever state a client left it.
    pub fn finish(self: &Rc<Worker>, tenant: &Rc<Tenant>, mut lease: Lease) {
        let (worker, tenant) = (Rc::clone(self), Rc::clone(tenant));
        spawn_local(async move {
            match timeout(CLEANING_TIMEOUT, clean(&mut lease)).await {
                Ok(Ok(())) => lease.give_back(),
                Ok(Err(lost)) => {
                    debug!(database = %tenant.database, error = %lost, "connection not kept");
                    lease.discard(lost.label());
                }
                Err(_) => {
                    let database = &tenant.database;
                    warn!(%database, "connection not fit for reuse in time: closed");
                    if !lease.is_free() {
                        cancel_backend(&worker, database, &Rc::clone(&lease.backend)).await;
                    }
                    lease.discard("not_clean");
                }
            }
        });
    }
}

/// Makes a connection fit for the next client: no cancel under way (I5), nothing owed, no
/// transaction (I7), no state (I8).
async fn clean(conn: &mut ServerConn) -> Result<(), Lost> {
    let backend = Rc::clone(&conn.backend);
    if !conn.is_free() {
        conn.finish().await?;
    }
    backend.cancels_confirmed().await?;
    if conn.model.suspicion().is_some() {
        conn.reset().await?;
    }
    Ok(())
}

fn pool_limits(pool: &PoolSettings) -> PoolLimits {
    PoolLimits {
        size: pool.size,
        min: pool.min,
        reserve: pool.reserve,
        reserve_timeout: pool.reserve_timeout,
        wait_timeout: pool.wait_timeout,
        idle_timeout: pool.idle_timeout,
        lifetime: pool.lifetime,
    }
}
