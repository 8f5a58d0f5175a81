//! What the operator grants this process and what it is told about it: the process's name, its caps,
//! its connections, and how the servers look. It counts nothing itself.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use poolwright_settings::control::{Grants, Report, ServerReport, Sight};
use poolwright_settings::language::LANGUAGE;
use poolwright_settings::{ANY, Database, server_caps};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{spawn_blocking, spawn_local};
use tracing::{debug, info, warn};

use crate::clock::timeout;
use crate::config::Config;
use crate::crew::Crew;
use crate::homes::Homes;
use crate::treasury::Treasury;
use crate::worker::{Look, Message, Otherwise};

/// How long the workers may take to count their waiting clients.
const COUNT_WITHIN: Duration = Duration::from_millis(500);

/// How long a look may take where tenants are there, and again where one is made for it.
const LOOK_WITHIN: Duration = Duration::from_secs(2);

/// What the operator wants; every order is answered with a report.
pub enum Order {
    /// The process shall hold so many connections; the flag says whether it took that over.
    Grant(Grants, oneshot::Sender<(bool, Report)>),
    Report(oneshot::Sender<Report>),
    /// As `Report`, with what the servers show.
    Look(oneshot::Sender<Report>),
}

/// One for the process, on the front's thread.
pub struct Keeper {
    process: String,
    settings: PathBuf,
    config: watch::Receiver<Arc<Config>>,
    treasury: Arc<Treasury>,
    crew: Rc<Crew>,
    homes: Rc<Homes>,
}

impl Keeper {
    /// For the process that was started with the settings file at `settings`.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn new(
        settings: PathBuf,
        config: watch::Receiver<Arc<Config>>,
        treasury: Arc<Treasury>,
        crew: Rc<Crew>,
        homes: Rc<Homes>,
    ) -> anyhow::Result<Keeper> {
        let mut name = [0; 16];
        SystemRandom::new().fill(&mut name).map_err(|_| anyhow::anyhow!("no random bytes"))?;
        let process = name.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Keeper { process, settings, config, treasury, crew, homes })
    }

    /// Carries out orders until nobody can give any more.
    pub async fn run(self, mut orders: mpsc::Receiver<Order>) {
        let keeper = Rc::new(self);
        while let Some(order) = orders.recv().await {
            spawn_local(Rc::clone(&keeper).carry_out(order));
        }
    }

    /// Whoever gave the order may have left: the answers are sent into the blue.
    async fn carry_out(self: Rc<Self>, order: Order) {
        match order {
            Order::Grant(grants, reply) => {
                let taken = self.grant(grants);
                let _ = reply.send((taken, self.report(BTreeMap::new()).await));
            }
            Order::Report(reply) => drop(reply.send(self.report(BTreeMap::new()).await)),
            Order::Look(reply) => {
                let sights = self.look().await;
                drop(reply.send(self.report(sights).await));
            }
        }
    }

    fn grant(&self, grants: Grants) -> bool {
        if grants.process != self.process {
            info!(meant = grants.process, "grants for another process are refused");
            return false;
        }
        let (epoch, before) = (grants.epoch, self.treasury.epoch());
        let text = format!("{:?}", grants.servers);
        let taken = self.treasury.grant(grants, &self.config.borrow());
        match taken {
            true if epoch > before => info!(epoch, servers = text, "connections are granted"),
            true => debug!(epoch, "connections are granted again"),
            false => info!(epoch, in_force = before, "grants of an earlier epoch are refused"),
        }
        taken
    }

    /// The sights are taken first: whose backends these are is told by lists that are not older.
    async fn report(&self, mut sights: BTreeMap<String, Sight>) -> Report {
        let floors = self.floors().await;
        let waiting = self.waiting().await;
        let config = Arc::clone(&self.config.borrow());
        let servers = config.servers.iter().map(|it| {
            let (max, open) = self.treasury.counts(&it.name);
            let backends = self.treasury.backends(&it.name);
            let floor = floors.get(&it.name).copied().unwrap_or(u32::MAX);
            let left = self.treasury.left(&it.name);
            let sight = sights.remove(&it.name);
            let trouble = self.treasury.trouble(&it.name);
            let report = ServerReport { max, open, floor, backends, left, trouble, sight };
            (it.name.clone(), report)
        });
        Report {
            process: self.process.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            language: LANGUAGE,
            epoch: self.treasury.epoch(),
            servers: servers.collect(),
            waiting,
        }
    }

    /// What the settings file says at this moment: a process that is started now begins with it.
    async fn floors(&self) -> BTreeMap<String, u32> {
        let path = self.settings.clone();
        let read = move || std::fs::read_to_string(path).map(|text| server_caps(&text));
        let read = spawn_blocking(read).await;
        read.ok().and_then(Result::ok).unwrap_or_default()
    }

    async fn waiting(&self) -> u64 {
        let counted = timeout(COUNT_WITHIN, self.crew.snapshot()).await;
        let gauges = counted.ok().flatten().unwrap_or_default().gauges;
        let waiting =
            gauges.client_connections.iter().filter(|((_, state), _)| *state == "waiting");
        waiting.map(|(_, count)| count).sum()
    }

    async fn look(&self) -> BTreeMap<String, Sight> {
        let config = Arc::clone(&self.config.borrow());
        let mut sights = BTreeMap::new();
        for server in &config.servers {
            if let Some(sight) = self.look_at(&server.name, &config).await {
                sights.insert(server.name.clone(), sight);
            }
        }
        sights
    }

    /// By tenants that are there already; else by one that is made for it.
    async fn look_at(&self, server: &str, config: &Config) -> Option<Sight> {
        let all = 0..self.crew.len();
        let mut seen = self.ask(all.map(|worker| (worker, Otherwise::Nobody)), server).await;
        if seen.is_none() {
            let otherwise = self.otherwise(server, config)?;
            seen = self.ask([otherwise], server).await;
        }
        read(&seen?, server, config)
    }

    /// Who may look where no tenant is: who asks for users, or one whose password is known. Nothing is
    /// tried for those who must come first.
    fn otherwise(&self, server: &str, config: &Config) -> Option<(usize, Otherwise)> {
        if config.auth_query.is_some() {
            return Some((self.homes.asker(server), Otherwise::Asker));
        }
        let is_there = |name: &usize| config.servers[*name].name == server;
        let database =
            config.databases.values().find(|it| it.name != ANY && is_there(&it.server))?;
        let user = config.users.values().find(|user| user.server_password.is_some())?;
        self.treasury.open(database, config);
        let (worker, part) = self.homes.of_client(database, &user.name, config, None);
        Some((worker, Otherwise::Tenant(database.name.clone(), user.name.clone(), part)))
    }

    /// The first answer of these workers.
    async fn ask(
        &self,
        workers: impl IntoIterator<Item = (usize, Otherwise)>,
        server: &str,
    ) -> Option<Vec<u8>> {
        let (answer, mut seen) = mpsc::channel(1);
        for (worker, otherwise) in workers {
            let look = Look { server: server.to_owned(), otherwise, answer: answer.clone() };
            self.crew.tell(worker, Message::Look(look));
        }
        drop(answer);
        timeout(LOOK_WITHIN, seen.recv()).await.ok()?
    }
}

/// What a server answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Seen {
    max_connections: u32,
    superuser_reserved_connections: u32,
    reserved_connections: u32,
    version: u32,
    in_recovery: bool,
    instance: String,
    /// Process id, database, user.
    backends: Vec<(i32, Option<String>, String)>,
}

fn read(json: &[u8], server: &str, config: &Config) -> Option<Sight> {
    let seen: Seen = serde_json::from_slice(json)
        .inspect_err(|error| warn!(server, %error, "what the server shows cannot be read"))
        .ok()?;
    let is_ours = |database: &Option<String>, user: &String| {
        let mut databases = config.databases.values();
        let has = |it: &Database| {
            database.as_ref().is_some_and(|name| it.dbname == *name || it.dbname == ANY)
        };
        let by = |it: &Database| it.forced.as_ref().is_none_or(|forced| forced.user == *user);
        let is_listed = config.may_know(user);
        databases.any(|it| has(it) && by(it) && (is_listed || it.forced.is_some()))
    };
    let ours = seen.backends.iter().filter(|(_, database, user)| is_ours(database, user));
    let at = config.servers.iter().find(|it| it.name == server)?;
    Some(Sight {
        endpoint: format!("{}:{}", at.host, at.port),
        max_connections: seen.max_connections,
        superuser_reserved_connections: seen.superuser_reserved_connections,
        reserved_connections: seen.reserved_connections,
        version: seen.version,
        in_recovery: seen.in_recovery,
        instance: seen.instance,
        backends: ours.map(|it| it.0).collect(),
    })
}
