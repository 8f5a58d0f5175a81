//! What all subjects lead to: a PostgreSQL with its databases and users, and the stub.
//! Never shared with anything else while the bench runs.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use poolwright_tests::certificates::Certificates;
use poolwright_tests::pg::Client;
use poolwright_tests::pooler::beside_us;
use poolwright_tests::postgres::{Options, Postgres, SUPERUSER, free_port, password_of, programs};
use poolwright_tests::process::{self, Process};
use tokio::process::Command;

use crate::machine::unusual_niceness;

/// The role that clients log in as, or the beginning of its numbered names.
pub const USER: &str = "bench";
/// The database, on the server and through each pooler, or the beginning of its numbered names.
pub const DATABASE: &str = "bench";

/// Backends for the clients of a cell that go straight there, and for all poolers together.
const CONNECTIONS: u32 = 1_200;

/// A PostgreSQL with pgbench's tables, and a stub beside it.
pub struct Site {
    pub postgres: Postgres,
    pub stub: Stub,
    version: String,
    /// What SCRAM needs to know of the one password of all users, as Postgres keeps it.
    pub verifier: String,
    /// What poolers show to clients.
    pub certificates: Certificates,
    folder: PathBuf,
}

/// The backend that answers everything at once.
pub struct Stub {
    pub port: u16,
    _process: Process,
}

impl Site {
    /// Starts both, with as many numbered databases and users as the cells need.
    pub async fn start(databases: u32, users: u32) -> Result<Site> {
        let settings = vec!["shared_buffers = '256MB'".to_owned()];
        let options = Options {
            max_connections: CONNECTIONS,
            superuser_reserved: 3,
            settings,
            ..Options::default()
        };
        let postgres = Postgres::start_on(options, port).await?;
        postgres.add_user(USER, "").await?;
        let mut admin = postgres.superuser(SUPERUSER).await?;
        admin.run(&format!("CREATE DATABASE {DATABASE} OWNER {USER}")).await;
        let version = admin.cell("SHOW server_version").await;
        let sql = format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{USER}'");
        let verifier = admin.cell(&sql).await;
        fill(&postgres).await?;
        multiply(&mut admin, databases, users, &verifier).await;
        let folder = process::scratch("bench")?;
        let certificates = Certificates::make(&folder)?;
        let stub = Stub::start().await?;
        Ok(Site { postgres, stub, version, verifier, certificates, folder })
    }

    /// For the head of the table.
    pub fn description(&self) -> String {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let what = format!("PostgreSQL {}, {cores} cores, all on the loopback", self.version);
        match unusual_niceness() {
            Some(niceness) => format!(
                "{what}\nat niceness {niceness} of the session, which changes ratios: start it at 0"
            ),
            None => what,
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Stub {
    async fn start() -> Result<Stub> {
        let port = port()?;
        let program = beside_us("POOLWRIGHT_BENCH_STUB", "poolwright-bench-stub")?;
        let mut command = process::bound_to_us(&program, "KILL", None);
        command.arg(format!("127.0.0.1:{port}"));
        let process = Process::spawn(command, "KILL").context("start the stub")?;
        listening(port, "the stub").await?;
        Ok(Stub { port, _process: process })
    }
}

/// pgbench's tables with 100,000 accounts, which everyone may read.
async fn fill(postgres: &Postgres) -> Result<()> {
    let program = programs()?.join("pgbench");
    if !program.exists() {
        bail!("{} is missing: install the package `postgresql`", program.display());
    }
    let mut command = Command::new(program);
    command.env("PGHOST", "127.0.0.1").env("PGPORT", postgres.port().to_string());
    command.env("PGUSER", USER).env("PGDATABASE", DATABASE).env("PGSSLMODE", "disable");
    command.env("PGPASSWORD", password_of(USER)).stdin(Stdio::null()).kill_on_drop(true);
    let filled = command.args(["-i", "-q", "-s", "1"]).output().await?;
    if !filled.status.success() {
        bail!("pgbench -i: {}", String::from_utf8_lossy(&filled.stderr));
    }
    let mut owner = postgres.target(USER, DATABASE).connect().await?;
    owner.run("GRANT SELECT ON pgbench_accounts TO PUBLIC").await;
    owner.terminate().await
}

/// Copies of the database and the user, under numbered names.
async fn multiply(admin: &mut Client, databases: u32, users: u32, verifier: &str) {
    for number in 0..databases {
        let sql = format!("CREATE DATABASE {DATABASE}_{number} TEMPLATE {DATABASE}");
        admin.run(&sql).await;
    }
    let create = format!("CREATE ROLE {USER}_%s LOGIN PASSWORD ''{verifier}''");
    let sql = format!(
        "DO $$ BEGIN FOR n IN 0..{users} - 1 LOOP EXECUTE format('{create}', n); END LOOP; END $$"
    );
    admin.run(&sql).await;
}

/// A free port of four digits: pgagroal up to 2.1 has no room for five.
pub fn port() -> Result<u16> {
    for _ in 0..500 {
        let port = 6_000 + free_port()? % 3_990;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port on 127.0.0.1 between 6000 and 9990 in 500 tries")
}

/// Waits until something accepts connections on the port.
pub async fn listening(port: u16, what: &str) -> Result<()> {
    for _ in 0..500 {
        if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bail!("{what} does not listen on port {port} after 10 s")
}
