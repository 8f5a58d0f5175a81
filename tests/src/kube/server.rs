//! A PostgreSQL beside the cluster, as pods reach one outside of it, with twenty workspaces.
//! Its `max_connections` leaves not one slot more than the budget, so going over it is refused.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::command::run;
use crate::load::{Account, accounts};
use crate::pg::Target;
use crate::postgres::free_port;

/// The name by which pods know node 1, where the server runs.
pub const HOST: &str = "postgres.poolwright.test";
pub const DATABASES: [&str; 2] = ["cloud_01", "cloud_02"];
/// Slots beyond the budget: one for the sampler, the others have to stay free.
pub const RESERVE: u32 = 5;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/postgres.sh");
const SAMPLER: &str = "sampler";

pub struct Server {
    folder: PathBuf,
    port: u16,
    pub budget: u32,
    pub accounts: Vec<Account>,
}

impl Server {
    /// Starts one under `folder` with a role, a password and a schema for each workspace.
    pub async fn start(folder: &Path, budget: u32) -> Result<Server> {
        let port = free_port()?;
        let databases = DATABASES.map(str::to_owned);
        let accounts = accounts::from_template("ws_{001..020}", &databases, "secret-of-{user}")?;
        let server = Server { folder: folder.to_owned(), port, budget, accounts };
        // What an earlier run on the same cluster left.
        let _ = std::fs::remove_dir_all(folder);
        let limits = [port.into(), budget + RESERVE, RESERVE - 1].map(|n| n.to_string());
        let [port, most, reserved] = limits.each_ref().map(String::as_str);
        server.script(&["start", &server.path(), "0.0.0.0", port, most, reserved], "").await?;
        server.psql("postgres", &server.roles()).await?;
        for database in DATABASES {
            server.psql(database, &server.schemas(database)).await?;
        }
        Ok(server)
    }

    /// What a PoolerCluster has to say to use this server.
    pub fn spec(&self) -> Value {
        json!({
            "endpoints": {"writer": format!("{HOST}:{}", self.port)},
            "budget": {"maxConnections": self.budget + RESERVE, "reserve": RESERVE},
        })
    }

    /// The superuser whose only connection takes a slot of the reserve.
    pub fn sampler(&self) -> Target {
        Target::new(HOST, self.port, SAMPLER, "postgres").password(SAMPLER)
    }

    /// Runs SQL as the superuser; takes a slot of the reserve for as long.
    pub async fn psql(&self, database: &str, sql: &str) -> Result<String> {
        let arguments = ["psql", &self.path(), "-d", database, "-At", "-f", "-"];
        self.script(&arguments, sql).await
    }

    /// Fails if Postgres ever had no slot for somebody.
    pub fn refused_nobody(&self) -> Result<()> {
        let log = std::fs::read_to_string(self.folder.join("log")).context("PostgreSQL's log")?;
        match log.lines().find(|line| line.contains(" 53300 ")) {
            None => Ok(()),
            Some(line) => bail!("PostgreSQL refused a connection: {line}"),
        }
    }

    fn path(&self) -> String {
        self.folder.display().to_string()
    }

    async fn script(&self, arguments: &[&str], input: &str) -> Result<String> {
        run(SCRIPT, arguments, input).await.context("a PostgreSQL beside the cluster")
    }

    fn roles(&self) -> String {
        let databases = DATABASES.map(|name| format!("CREATE DATABASE {name};\n")).concat();
        let role =
            |it: &Account| format!("CREATE ROLE {} LOGIN PASSWORD '{}';\n", it.user, it.password);
        let roles: String = self.accounts.iter().map(role).collect();
        format!("{databases}{roles}CREATE ROLE {SAMPLER} SUPERUSER LOGIN PASSWORD '{SAMPLER}';")
    }

    fn schemas(&self, database: &str) -> String {
        let here = self.accounts.iter().filter(|it| it.database == database);
        here.map(|Account { user, .. }| {
            format!(
                "CREATE SCHEMA {user} AUTHORIZATION {user}; SET ROLE {user};
                 CREATE TABLE {user}.channels (id int PRIMARY KEY, posts bigint NOT NULL);
                 INSERT INTO {user}.channels SELECT generate_series(1, 100), 0; RESET ROLE;\n"
            )
        })
        .collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut stop = std::process::Command::new(SCRIPT);
        stop.args(["stop", &self.path()]).stdin(Stdio::null());
        let _ = stop.stdout(Stdio::null()).stderr(Stdio::null()).status();
        let _ = std::fs::remove_dir_all(self.folder.join("data"));
    }
}
