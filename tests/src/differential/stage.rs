//! What scripts are played on: one PostgreSQL with two equal databases, a pooler for each size of
//! the statements' cache, and workers, each with users and pools of its own.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::sync::{Mutex, Notify};

use super::chance::state::SEQUENCE_STEP;
use super::direct::{self, Plan, Run};
use super::line::Line;
use super::pooled::{self, Difference};
use super::script::{Mode, Profile, Script};
use crate::pg::{Client, Target};
use crate::pooler::{Pooler, Settings};
use crate::postgres::{Options, Postgres, SUPERUSER};

/// Threads of each pooler, on every machine.
const THREADS: &str = "2";
/// How many prepared statements a server connection may hold, a pooler for each.
pub const STATEMENTS: [usize; 3] = [1, 2, 3];
/// The ways in which each worker's database is pooled, and their names.
const MODES: [(Mode, &str); 3] =
    [(Mode::Transaction(1), "t1"), (Mode::Transaction(2), "t2"), (Mode::Session, "s")];

const TABLES: &str = "
CREATE TABLE three (t text); INSERT INTO three VALUES ('a'), ('b'), ('c');
CREATE TABLE zero (i int); INSERT INTO zero VALUES (0);
CREATE TABLE sink (mark text); CREATE INDEX ON sink (mark);
CREATE TABLE number (i int);
CREATE TABLE late (mark text UNIQUE DEFERRABLE INITIALLY DEFERRED);
CREATE SCHEMA other; CREATE TABLE other.three (t text); INSERT INTO other.three VALUES ('z');
CREATE TABLE forked (v int); INSERT INTO forked VALUES (1);
CREATE TABLE other.forked (v text); INSERT INTO other.forked VALUES ('one');
CREATE FUNCTION sets(size text) RETURNS text LANGUAGE plpgsql AS
    'BEGIN RETURN set_config(''work_mem'', size, false); END';
GRANT ALL ON SCHEMA public, other TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA public, other TO PUBLIC;
CREATE TABLE hidden (hidden text)";

/// As many clients a script may have.
const CLIENTS: usize = 4;

/// The parts, up for all seeds.
pub struct Stage {
    pub postgres: Postgres,
    pub poolers: Vec<Pooler>,
    workers: usize,
}

impl Stage {
    /// Starts all, for so many workers.
    ///
    /// # Errors
    /// A part does not start.
    pub async fn start(workers: usize) -> Result<Stage> {
        let settings = vec!["max_prepared_transactions = 0".to_owned()];
        let options = Options { max_connections: 500, settings, ..Options::default() };
        let postgres = Postgres::start(options).await?;
        let mut admin = postgres.superuser(SUPERUSER).await?;
        admin.run("CREATE ROLE shared; CREATE ROLE secret").await;
        admin.run("CREATE DATABASE direct").await;
        let mut direct = postgres.superuser("direct").await?;
        direct.run(TABLES).await;
        for number in 0..CLIENTS {
            direct.run(&sequence(number)).await;
        }
        for user in (0..workers).flat_map(users) {
            direct.run(&belongings(&user)).await;
        }
        drop(direct);
        // Equal to the object ids, which RowDescription tells.
        let mut copied = admin.query("CREATE DATABASE pooled TEMPLATE direct").await?;
        for _ in 0..100 {
            if copied.error.is_none() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            copied = admin.query("CREATE DATABASE pooled TEMPLATE direct").await?;
        }
        let mut poolers = Vec::new();
        for statements in STATEMENTS {
            poolers.push(Pooler::start(settings_for(&postgres, statements, workers)).await?);
        }
        Ok(Stage { postgres, poolers, workers })
    }

    /// A worker with its own users and pools. `patience`: how long a client may wait for a message.
    ///
    /// # Errors
    /// PostgreSQL does not let us in.
    pub async fn worker(&self, number: usize, patience: Duration) -> Result<Worker> {
        Ok(Worker {
            number,
            workers: self.workers,
            bell: Arc::default(),
            patience,
            ports: self.poolers.iter().map(|pooler| pooler.port).collect(),
            server: self.postgres.port(),
            admin: Mutex::new(self.postgres.superuser("pooled").await?),
            direct: Mutex::default(),
            pooled: Mutex::default(),
        })
    }
}

/// A worker's users; the last one is a superuser.
fn users(worker: usize) -> [String; 3] {
    ["a", "b", "s"].map(|user| format!("w{worker}{user}"))
}

/// A user and what only it has, a table of its own for each client among it.
fn belongings(user: &str) -> String {
    let rights = if user.ends_with('s') { "SUPERUSER" } else { "" };
    let mut sql = format!(
        "CREATE ROLE {user} LOGIN {rights} IN ROLE shared; GRANT SELECT ON hidden TO {user};
         CREATE SCHEMA {user} AUTHORIZATION {user}; SET ROLE {user};"
    );
    for number in 0..CLIENTS {
        let table = format!("{user}.shape{number}");
        sql += &format!("CREATE TABLE {table} (v int); INSERT INTO {table} VALUES (0);");
    }
    sql + "RESET ROLE"
}

/// What a client counts with: its numbers are no other's.
fn sequence(client: usize) -> String {
    let first = SEQUENCE_STEP * (1 + client as i64);
    format!(
        "CREATE SEQUENCE number_{client} START {first}; GRANT ALL ON number_{client} TO PUBLIC;
         CREATE TABLE counted_{client} (id bigint DEFAULT nextval('number_{client}'), mark text);
         GRANT ALL ON counted_{client} TO PUBLIC"
    )
}

fn settings_for(postgres: &Postgres, statements: usize, workers: usize) -> Settings {
    let mut settings = Settings::new(postgres.port(), "unused", &[])
        .with("listen.auth", "trust")
        .with("workers", THREADS)
        .with("servers.0.maxConnections", "200")
        .with("pool.queryWaitNotify", "0s")
        .with("preparedStatements.max", &statements.to_string());
    for user in (0..workers).flat_map(users) {
        settings = settings.user(&user);
    }
    let mut place = 0;
    for worker in 0..workers {
        for (mode, name) in MODES {
            place += 1;
            let name = format!("w{worker}{name}");
            settings = with_database(settings, place, &name, "pooled", mode);
        }
        place += 1;
        let name = elsewhere(worker);
        settings = with_database(settings, place, &name, "direct", Mode::Transaction(2));
    }
    settings
}

/// The name of a worker's pool in the other database.
fn elsewhere(worker: usize) -> String {
    format!("w{worker}e")
}

fn with_database(
    settings: Settings,
    place: usize,
    name: &str,
    dbname: &str,
    mode: Mode,
) -> Settings {
    let at = |field: &str| format!("databases.{place}.{field}");
    let settings = settings.database(name).with(&at("dbname"), dbname);
    match mode {
        Mode::Transaction(size) => settings.with(&at("pool.size"), &size.to_string()),
        Mode::Session => settings.with(&at("pool.mode"), "session").with(&at("pool.size"), "4"),
    }
}

type Kind = (Profile, usize);

/// Plays one script at a time; its connections serve many scripts.
pub struct Worker {
    number: usize,
    workers: usize,
    pub bell: Arc<Notify>,
    pub patience: Duration,
    ports: Vec<u16>,
    server: u16,
    admin: Mutex<Client>,
    direct: Mutex<HashMap<Kind, Vec<Line>>>,
    pooled: Mutex<HashMap<(Kind, Mode, usize), Vec<Line>>>,
}

/// Numbers runs, so that no two share a mark.
static RUNS: AtomicU64 = AtomicU64::new(1);

impl Worker {
    /// Plays a script both ways.
    ///
    /// # Errors
    /// The script does not work on PostgreSQL itself, or a part is gone.
    pub async fn play(&self, script: &Script, fresh: bool) -> Result<Result<(), Difference>> {
        if fresh {
            self.clear().await;
        }
        let run = Run::new(RUNS.fetch_add(1, Ordering::Relaxed));
        let mut plans = Vec::new();
        for client in 0..script.actors.len() {
            plans.push(self.plan(script, client, &run).await?);
        }
        let mut lines = Vec::new();
        for actor in &script.actors {
            let key = ((actor.profile, actor.user), script.mode, script.statements);
            let kept = self.pooled.lock().await.get_mut(&key).and_then(Vec::pop);
            lines.push(match kept {
                Some(line) => line,
                None => Line::open(self.pooled_target(key), Arc::clone(&self.bell)).await?,
            });
        }
        let played = pooled::run(self, script, &plans, lines, &run).await;
        let lines = match played {
            Ok(lines) => lines,
            Err(difference) => return Ok(Err(difference)),
        };
        // In session mode a client keeps its server.
        if script.mode == Mode::Session {
            return Ok(Ok(()));
        }
        for (actor, line) in script.actors.iter().zip(lines) {
            let key = ((actor.profile, actor.user), script.mode, script.statements);
            self.pooled.lock().await.entry(key).or_default().extend(line);
        }
        Ok(Ok(()))
    }

    /// Drops all connections and ends what still runs for them.
    pub async fn clear(&self) {
        self.direct.lock().await.clear();
        self.pooled.lock().await.clear();
        for user in users(self.number) {
            self.lose_server(&user).await;
        }
    }

    async fn plan(&self, script: &Script, client: usize, run: &Run) -> Result<Plan> {
        let actor = &script.actors[client];
        let key = (actor.profile, actor.user);
        let kept = self.direct.lock().await.get_mut(&key).and_then(Vec::pop);
        let mut line = match kept {
            Some(line) => line,
            None => {
                let mut target = self.target(self.server, "direct", key);
                if actor.profile != Profile::Named {
                    target = target.parameter("application_name", "poolwright");
                }
                Line::open(target, Arc::clone(&self.bell)).await?
            }
        };
        let plan = direct::run(script, client, &mut line, run).await?;
        let whole =
            script.kept(client).last().is_some_and(|(index, _)| index + 1 == actor.units.len());
        let stays = plan
            .expected
            .iter()
            .all(|expect| !matches!(expect, direct::Expect::End | direct::Expect::Anything));
        let leaves = plan.steps.iter().any(|step| matches!(step.step, super::script::Step::Vanish));
        if whole && stays && !leaves {
            self.direct.lock().await.entry(key).or_default().push(line);
        }
        Ok(plan)
    }

    fn target(&self, port: u16, database: &str, (profile, user): Kind) -> Target {
        let target = Target::new("127.0.0.1", port, &users(self.number)[user], database);
        match profile.parameters() {
            Some((name, value)) => target.parameter(name, value),
            None => target,
        }
    }

    fn pooled_target(&self, (kind, mode, statements): (Kind, Mode, usize)) -> Target {
        let name = MODES.iter().find(|(known, _)| *known == mode).map_or("t1", |(_, name)| name);
        let port = self.ports[statements - 1];
        self.target(port, &format!("w{}{name}", self.number), kind)
    }

    /// How one of the worker's users logs in to the pooler.
    pub fn pooled(&self, profile: Profile, user: usize, mode: Mode, statements: usize) -> Target {
        self.pooled_target(((profile, user), mode, statements))
    }

    /// How one of the worker's users logs in to the other database, with two connections.
    pub fn elsewhere(&self, user: usize) -> Target {
        self.target(self.ports[0], &elsewhere(self.number), (Profile::Plain, user))
    }

    /// How one of the worker's users logs in to the pools of all workers, and which database each is
    /// in. Those that one thread of the pooler serves are told apart by its tables alone: whoever logs
    /// in to these in order is served from both databases by each thread, since threads take the pools
    /// in turn and there are at least as many workers.
    pub fn everywhere(&self, user: usize) -> Vec<(Target, &'static str)> {
        let kind = (Profile::Plain, user);
        let elsewhere = (0..self.workers).map(|worker| (elsewhere(worker), "direct"));
        let here = (0..self.workers).map(|worker| (format!("w{worker}t1"), "pooled"));
        elsewhere
            .chain(here)
            .map(|(pool, name)| (self.target(self.ports[0], &pool, kind), name))
            .collect()
    }

    /// The name of one of the worker's users.
    pub fn user(&self, number: usize) -> String {
        users(self.number)[number].clone()
    }

    /// What the superuser is answered in the pooled database: the first cell.
    pub async fn ask(&self, sql: &str) -> String {
        self.admin.lock().await.cell(sql).await
    }

    /// Ends the server processes of a user, and waits until they are gone.
    pub async fn lose_server(&self, user: &str) {
        let sql = format!(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
             WHERE datname = 'pooled' AND usename = '{user}'"
        );
        self.admin.lock().await.run(&sql).await;
    }
}
