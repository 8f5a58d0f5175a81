//! One worker thread: all its clients, tenants and pools, and the settings they live by. It wires
//! the rooms together; it decides nothing about messages or connections.

mod drain;
mod gauges;
mod inquiry;
mod lease;
mod look;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use poolwright_pool::{Cap, DatabaseId, DatabaseLimits, PoolId, PoolLimits, ServerLimits};
use poolwright_session::Statements;
use poolwright_session::mutation::{self, Mutation};
use poolwright_settings::{Database, PoolSettings};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_local;
use tracing::{debug, info, warn};

use crate::cancel::{self, cancel_backend};
use crate::client;
use crate::clock::timeout;
use crate::config::Config;
use crate::conn::{Lost, ServerConn};
use crate::credential::Learned;
use crate::crew::Kit;
use crate::desk::Desk;
use crate::dialer::Dialer;
use crate::homes::Part;
use crate::lifecycle::Lifecycle;
use crate::login::LoggedIn;
use crate::metrics::{Metrics, Snapshot};
use crate::patience::{self, Watch};
use crate::pools::PoolShell;
use crate::roster::{Roster, Standing};
use crate::spares::Spares;
use crate::stream::Parked;
use crate::tenant::{Keep, Pinned, Tenant};
use crate::treasury::{Teller, Treasury};

/// Logins at one server at a time.
const PARALLEL_LOGINS: u32 = 8;
/// How long a connection may take to become fit for the next client.
const CLEANING_TIMEOUT: Duration = Duration::from_secs(10);

pub use inquiry::Inquiry;
pub use lease::Lease;
pub use look::{Look, Otherwise};

pub struct Worker {
    pub pools: Rc<PoolShell<Dialer>>,
    pub roster: Roster,
    pub statements: Rc<RefCell<Statements>>,
    pub spares: Spares,
    pub watch: Rc<Watch>,
    config: RefCell<Arc<Config>>,
    latest: watch::Receiver<Arc<Config>>,
    dialer: Rc<Dialer>,
    tenants: RefCell<HashMap<(String, String), Rc<Tenant>>>,
    pinned: RefCell<HashMap<PoolId, Rc<Pinned>>>,
    /// Those that a client has asked for here.
    databases: RefCell<HashMap<String, DatabaseId>>,
    treasury: Arc<Treasury>,
    no_more_clients: Cell<bool>,
    metrics: Rc<Metrics>,
}

/// What a worker is told.
pub enum Message {
    /// A client that has logged in, and this worker's part in its database.
    Client(Box<LoggedIn<Parked>>, Part),
    /// Nobody comes after this.
    NoMoreClients,
    /// A cancel request. The answer comes when it has been delivered; none if the key is unknown.
    Cancel(CancelKey, oneshot::Sender<()>),
    /// Somebody wants to come in whom the settings do not list.
    Inquiry(Inquiry),
    /// The bank has changed this worker's account.
    News(Cap),
    /// Somebody wants to know how a server looks.
    Look(Look),
    /// Somebody wants the counts.
    Count(oneshot::Sender<Snapshot>),
}

/// What a cancel request names.
#[derive(Clone, Debug)]
pub struct CancelKey {
    pub process_id: i32,
    pub secret: Box<[u8]>,
}

impl From<poolwright_wire::CancelKey<'_>> for CancelKey {
    fn from(key: poolwright_wire::CancelKey<'_>) -> CancelKey {
        CancelKey { process_id: key.process_id, secret: key.secret.into() }
    }
}

/// Serves clients until the process is to end.
///
/// # Errors
/// None today; a worker that cannot go on ends the process.
pub async fn run(inbox: mpsc::UnboundedReceiver<Message>, kit: Kit) -> anyhow::Result<()> {
    let Kit { config, mut lifecycle, desk, treasury, number } = kit;
    let worker = Worker::new(config.clone(), desk, Teller { treasury, worker: number });
    worker.show_gauges();
    spawn_local(patience::keep(Rc::downgrade(&worker.watch)));
    spawn_local(Rc::clone(&worker).listen(inbox));
    let drained = async {
        let _ = lifecycle.wait_for(|stage| *stage != Lifecycle::Serving).await;
        worker.drain(lifecycle).await;
    };
    tokio::select! {
        () = drained => Ok(()),
        never = worker.keep_up(config) => match never {},
    }
}

impl Worker {
    fn new(latest: watch::Receiver<Arc<Config>>, desk: Desk, teller: Teller) -> Rc<Worker> {
        let config = latest.borrow().clone();
        let metrics = Rc::new(Metrics::default());
        let dialer = Rc::new(Dialer::new(desk, Arc::clone(&teller.treasury), Rc::clone(&metrics)));
        let worker = Rc::new(Worker {
            treasury: Arc::clone(&teller.treasury),
            pools: PoolShell::new(Rc::clone(&dialer), teller),
            roster: Roster::new(),
            statements: Rc::default(),
            spares: Spares::default(),
            watch: Rc::default(),
            config: RefCell::new(Arc::clone(&config)),
            latest,
            dialer,
            tenants: RefCell::default(),
            pinned: RefCell::default(),
            databases: RefCell::default(),
            no_more_clients: Cell::new(false),
            metrics,
        });
        worker.follow(config);
        worker
    }

    async fn listen(self: Rc<Worker>, mut inbox: mpsc::UnboundedReceiver<Message>) {
        while let Some(message) = inbox.recv().await {
            match message {
                Message::Client(login, part) => self.take_in(*login, part),
                Message::NoMoreClients => self.no_more_clients.set(true),
                Message::Cancel(key, done) => {
                    spawn_local(cancel::deliver(Rc::clone(&self), key, done));
                }
                Message::Look(look) => self.look(look),
                Message::Inquiry(inquiry) => {
                    self.catch_up();
                    self.inquire(inquiry);
                }
                Message::News(cap) => self.pools.hear_news(cap),
                // Whoever asked may have left.
                Message::Count(answer) => drop(answer.send(self.metrics.snapshot())),
            }
        }
    }

    fn take_in(self: &Rc<Worker>, login: LoggedIn<Parked>, part: Part) {
        // Who let the client in may know newer settings.
        self.catch_up();
        let peer = login.peer;
        if let Some(learned) = &login.learned {
            self.learn(&login.database, &login.user, learned);
        }
        match login.try_map(Parked::revive) {
            Ok(login) => client::begin(self, login, part),
            Err(error) => info!(%peer, %error, "client lost"),
        }
    }

    fn learn(&self, database: &str, user: &str, learned: &Learned) {
        let config = self.config.borrow();
        if let Some(database) = config.database(database) {
            let server = self.treasury.server_id(&config.servers[database.server].name);
            let listed = config.users.get(user);
            let is_previous =
                listed.is_some_and(|user| user.previous_verifier.as_ref() == Some(&learned.of));
            self.dialer.learn(server, user, learned.clone(), is_previous);
        }
    }

    /// Takes over new settings as they come.
    async fn keep_up(&self, mut config: watch::Receiver<Arc<Config>>) -> Infallible {
        while config.changed().await.is_ok() {
            self.catch_up();
        }
        pending().await
    }

    /// Takes over the latest settings, if they are news.
    fn catch_up(&self) {
        let latest = self.latest.borrow().clone();
        if !Arc::ptr_eq(&latest, &self.config.borrow()) {
            self.follow(latest);
        }
    }

    /// Takes over new settings, all of them at once.
    fn follow(&self, config: Arc<Config>) {
        let old = self.config.replace(Arc::clone(&config));
        self.follow_databases(&old, &config);
        self.dialer.follow(&config);
        self.pools.set_upkeep(&config.upkeep);
        for (server, tls) in config.servers.iter().zip(&config.server_tls) {
            let id = self.treasury.server_id(&server.name);
            self.dialer.set_target(id, server, tls, &config.limits);
            let limits = ServerLimits { max: server.max_connections, logins: PARALLEL_LOGINS };
            self.pools.set_server(id, limits);
        }
        self.follow_servers(&old, &config);
        self.follow_tenants(&config);
    }

    /// A database that is elsewhere now is another: its clients end, its connections are closed.
    fn follow_databases(&self, old: &Config, new: &Config) {
        let names: Vec<String> = self.databases.borrow().keys().cloned().collect();
        for name in &names {
            let Some(after) = new.database(name) else {
                self.databases.borrow_mut().remove(name);
                continue;
            };
            let before = old.database(name);
            if before.is_some_and(|before| place(old, &before) != place(new, &after)) {
                info!(database = name, "database moved: its clients must connect again");
                self.databases.borrow_mut().remove(name);
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
                let id = self.treasury.server_id(&server.name);
                self.treasury.note_trouble(id, None);
                self.pools.reconnect(id);
                if new.upkeep.fast_close {
                    self.close_sessions(&server.name, new);
                }
                self.tenants.borrow().values().for_each(|tenant| tenant.forget_answers());
            }
        }
    }

    /// Sends the clients away that keep a connection to this server between transactions.
    fn close_sessions(&self, server: &str, config: &Config) {
        let is_there = |tenant: &Tenant| {
            let database = config.database(&tenant.database);
            database.is_some_and(|it| config.servers[it.server].name == server)
        };
        for slot in self.roster.all() {
            let keeps = slot.tenant.rules().keep == Keep::Session || slot.pinned.get();
            let has_one = matches!(slot.standing(), Standing::Active(_));
            if keeps && has_one && is_there(&slot.tenant) {
                slot.stop();
            }
        }
    }

    fn follow_tenants(&self, config: &Config) {
        self.drop_tenants(|database, user| {
            config.database(database).is_none() || !config.may_know(user)
        });
        for ((database, user), tenant) in &*self.tenants.borrow() {
            let Some(database) = config.database(database) else { continue };
            self.pool(&database, user, tenant.part);
            tenant.follow(&shared_pool(&database, user, config));
        }
    }

    fn drop_tenants(&self, gone: impl Fn(&str, &str) -> bool) {
        let mut tenants = self.tenants.borrow_mut();
        let lost: Vec<_> = tenants.extract_if(|key, _| gone(&key.0, &key.1)).collect();
        // Clients of a forced user share its pool.
        let kept: HashSet<PoolId> = tenants.values().map(|tenant| tenant.pool).collect();
        drop(tenants);
        for (_, tenant) in &lost {
            tenant.is_gone.set(true);
            if !kept.contains(&tenant.pool) {
                self.pools.forget(tenant.pool);
            }
        }
        for slot in self.roster.all() {
            if slot.tenant.is_gone.get() {
                slot.stop();
            }
        }
    }

    /// The pool of a tenant and its database, with the limits that the settings give them today.
    fn pool(&self, database: &Database, user: &str, part: Part) -> PoolId {
        let config = Arc::clone(&self.config.borrow());
        let id = self.treasury.open(database, &config);
        self.databases.borrow_mut().insert(database.name.clone(), id);
        let server = self.treasury.server_id(&config.servers[database.server].name);
        self.pools.set_database(id, DatabaseLimits { server, max: database.max_connections });
        let user = database.server_user(user);
        let pool = self.pools.pool(id, user, pool_limits(&config.pool(database, user), part));
        if let Some(limited) = self.treasury.limited_user(user, &config) {
            self.pools.bind(pool, limited);
        }
        let label = config.listed_as(&database.name);
        self.dialer.set_pool(pool, server, database, label, user);
        pool
    }

    /// The tenant of a login; `None` if the settings have lost its database or user meanwhile.
    pub fn tenant(&self, database: &str, user: &str, part: Part) -> Option<Rc<Tenant>> {
        let whose = if mutation::is(Mutation::PoolsKeyedByDatabase) { "" } else { user };
        let which = if mutation::is(Mutation::PoolsKeyedByUser) { "" } else { database };
        let key = (which.to_owned(), whose.to_owned());
        if let Some(tenant) = self.tenants.borrow().get(&key) {
            return Some(Rc::clone(tenant));
        }
        let config = Arc::clone(&self.config.borrow());
        let settings = config.database(database)?;
        Some(user).filter(|user| config.may_know(user))?;
        let pool = self.pool(&settings, user, part);
        let tenant = Rc::new(Tenant::new(
            database.into(),
            user.into(),
            pool,
            Rc::clone(self.pinned.borrow_mut().entry(pool).or_default()),
            part,
            self.metrics.database(config.listed_as(database)),
            &shared_pool(&settings, user, &config),
        ));
        self.tenants.borrow_mut().insert(key, Rc::clone(&tenant));
        Some(tenant)
    }

    /// Its id among its peers, which the keys of its clients tell.
    pub fn own_id(&self) -> Option<u32> {
        self.config.borrow().own_id
    }

    /// Takes a connection back from a client that is done with it.
    pub fn release(self: &Rc<Worker>, tenant: &Rc<Tenant>, lease: Lease) {
        if !must_be_reset(tenant, &lease) && lease.is_free() && !lease.backend.awaits_cancel() {
            lease.give_back();
        } else {
            self.finish(tenant, lease);
        }
    }

    /// Takes a connection back in the middle of a request, which is cancelled.
    pub fn break_off(self: &Rc<Worker>, tenant: &Rc<Tenant>, lease: Lease) {
        let (worker, tenant) = (Rc::clone(self), Rc::clone(tenant));
        spawn_local(async move {
            if !lease.model.is_quiet() {
                cancel_backend(&tenant.database, &lease.backend).await;
            }
            worker.finish(&tenant, lease);
        });
    }

    /// Closes a connection amid what the pooler itself asked for there.
    pub fn give_up(self: &Rc<Worker>, tenant: &Rc<Tenant>, lease: Lease) {
        let (worker, tenant) = (Rc::clone(self), Rc::clone(tenant));
        spawn_local(async move { worker.cut_off(&tenant, lease, "unprepared").await });
    }

    /// What runs there would keep its slot.
    async fn cut_off(&self, tenant: &Tenant, lease: Lease, reason: &'static str) {
        if !lease.is_free() {
            cancel_backend(&tenant.database, &lease.backend).await;
        }
        lease.discard(reason);
    }

    /// Takes a connection back in whatever state a client left it.
    pub fn finish(self: &Rc<Worker>, tenant: &Rc<Tenant>, mut lease: Lease) {
        let (worker, tenant) = (Rc::clone(self), Rc::clone(tenant));
        spawn_local(async move {
            match timeout(CLEANING_TIMEOUT, clean(&tenant, &mut lease)).await {
                Ok(Ok(())) => lease.give_back(),
                Ok(Err(lost)) => {
                    debug!(database = %tenant.database, error = %lost, "connection not kept");
                    lease.discard(lost.label());
                }
                Err(_) => {
                    let database = &tenant.database;
                    warn!(%database, "connection not fit for reuse in time: closed");
                    worker.cut_off(&tenant, lease, "not_clean").await;
                }
            }
        });
    }
}

/// Makes a connection fit for the next client: no cancel under way (I5), nothing owed, no
/// transaction (I7), no state (I8).
async fn clean(tenant: &Tenant, conn: &mut ServerConn) -> Result<(), Lost> {
    let backend = Rc::clone(&conn.backend);
    if !conn.is_free() {
        conn.finish().await?;
    }
    backend.cancels_confirmed().await?;
    if must_be_reset(tenant, conn) {
        tenant.counts.resets.add(1);
        conn.reset().await?;
    }
    Ok(())
}

/// Of a whole session more is left than anybody saw, so that each ends with a reset.
fn must_be_reset(tenant: &Tenant, conn: &ServerConn) -> bool {
    let of_session = tenant.rules().keep == Keep::Session && conn.last_client != 0;
    conn.is_tainted() || of_session && !mutation::is(Mutation::NoReset)
}

/// Where a database is, and as whom it is logged in to: elsewhere it is another.
fn place(config: &Config, database: &Database) -> (String, String, Option<String>) {
    let user = database.forced.as_ref().map(|forced| forced.user.clone());
    (config.servers[database.server].name.clone(), database.dbname.clone(), user)
}

/// How a user's clients are served, in a pool as large as the settings say for who logs in to the
/// server.
fn shared_pool(database: &Database, user: &str, config: &Config) -> PoolSettings {
    let size = config.pool(database, database.server_user(user)).size;
    PoolSettings { size, ..config.pool(database, user) }
}

fn pool_limits(pool: &PoolSettings, part: Part) -> PoolLimits {
    PoolLimits {
        // Nobody waits in vain who came while the pool was larger.
        size: part.of(pool.size).max(1),
        min: part.of(pool.min),
        reserve: part.of(pool.reserve),
        reserve_timeout: pool.reserve_timeout,
        wait_timeout: pool.wait_timeout,
        idle_timeout: pool.idle_timeout,
        lifetime: pool.lifetime,
    }
}
