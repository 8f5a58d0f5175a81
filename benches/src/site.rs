//! The PostgreSQL behind all subjects, and its one table.
//! Never shared with anything else while the bench runs.

use std::process::Stdio;

use anyhow::{Context, Result, bail};
use poolwright_tests::postgres::{Options, Postgres, SUPERUSER, password_of, programs};
use tokio::process::Command;

/// The role that pgbench logs in as.
pub const USER: &str = "bench";
/// The database, on the server and through each pooler.
pub const DATABASE: &str = "bench";

/// A PostgreSQL with pgbench's tables.
pub struct Site {
    pub postgres: Postgres,
    version: String,
    /// What SCRAM needs to know of the role's password, as Postgres keeps it.
    pub verifier: String,
}

impl Site {
    pub async fn start(pool: u32) -> Result<Site> {
        let settings = vec!["shared_buffers = '256MB'".to_owned()];
        let options = Options { max_connections: 300 + pool, superuser_reserved: 3, settings };
        let postgres = Postgres::start(options).await?;
        postgres.add_user(USER, "").await?;
        let mut admin = postgres.superuser(SUPERUSER).await?;
        admin.run(&format!("CREATE DATABASE {DATABASE} OWNER {USER}")).await;
        let version = admin.cell("SHOW server_version").await;
        let sql = format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{USER}'");
        let verifier = admin.cell(&sql).await;
        fill(postgres.port()).await?;
        Ok(Site { postgres, version, verifier })
    }

    /// One line for the head of the table.
    pub fn description(&self) -> String {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        format!("PostgreSQL {}, {cores} cores, all on the loopback", self.version)
    }
}

async fn fill(port: u16) -> Result<()> {
    let filled = pgbench(port)?.args(["-i", "-q", "-s", "10"]).output().await?;
    if !filled.status.success() {
        bail!("pgbench -i: {}", String::from_utf8_lossy(&filled.stderr));
    }
    Ok(())
}

/// A call of pgbench against a port, as the bench's user on the bench's database.
pub fn pgbench(port: u16) -> Result<Command> {
    let program = programs()?.join("pgbench");
    if !program.exists() {
        bail!("{} is missing: install the package `postgresql`", program.display());
    }
    let mut command = Command::new(program);
    command.env("PGHOST", "127.0.0.1").env("PGPORT", port.to_string());
    command.env("PGUSER", USER).env("PGDATABASE", DATABASE).env("PGSSLMODE", "disable");
    command.env("PGPASSWORD", password_of(USER)).kill_on_drop(true).stdin(Stdio::null());
    Ok(command)
}

/// The port of PostgreSQL as the relay and the poolers want it.
pub fn upstream(site: &Site) -> String {
    format!("127.0.0.1:{}", site.postgres.port())
}

/// Waits until something accepts connections on the port.
pub async fn listening(port: u16, what: &str) -> Result<()> {
    for _ in 0..500 {
        if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Err(anyhow::anyhow!("nothing listens on port {port} after 10 s"))
        .with_context(|| format!("start {what}"))
}
