//! Who is measured. Adding a pooler is one function here.
//! Never measures one that is not really there: it is left out, and the table says so.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use poolwright_tests::pooler::{Pooler, Settings, beside_us};
use poolwright_tests::postgres::free_port;
use poolwright_tests::process::{self, Process};

use crate::cell::Cell;
use crate::site::{self, DATABASE, Site, USER};

/// Something that listens on a port and leads to the same PostgreSQL.
pub struct Subject {
    pub name: String,
    pub port: u16,
    /// The process whose cost is counted; none for the direct way.
    pub id: Option<u32>,
    /// Why a protocol cannot be measured.
    cannot: Option<(&'static str, &'static str)>,
    _kept: Kept,
}

/// What ends when the subject does.
enum Kept {
    Nothing,
    Process { _process: Process },
    Pooler { _pooler: Box<Pooler> },
}

impl Subject {
    /// All subjects that this machine has.
    pub async fn start_all(site: &Site, pool: u32) -> Result<Vec<Subject>> {
        let mut subjects = vec![direct(site), relay(site).await?, poolwright(site, pool).await?];
        match pgbouncer(site, pool).await? {
            Some(subject) => subjects.push(subject),
            None => println!("pgbouncer is left out: no such program here"),
        }
        Ok(subjects)
    }

    /// Why this cell cannot be measured here, if so.
    pub fn cannot(&self, cell: Cell) -> Option<&'static str> {
        let (protocol, reason) = self.cannot?;
        (protocol == cell.protocol).then_some(reason)
    }
}

fn direct(site: &Site) -> Subject {
    let port = site.postgres.port();
    Subject { name: "direct".to_owned(), port, id: None, cannot: None, _kept: Kept::Nothing }
}

async fn relay(site: &Site) -> Result<Subject> {
    let port = free_port()?;
    let program = beside_us("POOLWRIGHT_RELAY", "poolwright-relay")?;
    let mut command = process::bound_to_us(&program, "KILL", None);
    command.arg(format!("127.0.0.1:{port}")).arg(site::upstream(site));
    let process = Process::spawn(command, "KILL").context("start the relay")?;
    site::listening(port, "the relay").await?;
    let id = Some(process.id());
    let kept = Kept::Process { _process: process };
    Ok(Subject { name: "relay".to_owned(), port, id, cannot: None, _kept: kept })
}

async fn poolwright(site: &Site, pool: u32) -> Result<Subject> {
    let settings = Settings::new(site.postgres.port(), DATABASE, &[])
        .with("users.0.name", USER)
        .with("users.0.scramVerifier", &site.verifier)
        .with("servers.0.tls.mode", "disable")
        .with("pool.size", &pool.to_string());
    let pooler = Pooler::start(settings).await?;
    let (port, id) = (pooler.port, Some(pooler.id()));
    let kept = Kept::Pooler { _pooler: Box::new(pooler) };
    Ok(Subject { name: "poolwright".to_owned(), port, id, cannot: None, _kept: kept })
}

async fn pgbouncer(site: &Site, pool: u32) -> Result<Option<Subject>> {
    let program = std::env::var_os("POOLWRIGHT_PGBOUNCER").unwrap_or_else(|| "pgbouncer".into());
    let Some(version) = pgbouncer_version(&program) else { return Ok(None) };
    let port = free_port()?;
    let folder = process::scratch("pgbouncer")?;
    let users = folder.join("users");
    std::fs::write(&users, format!("\"{USER}\" \"\"\n"))?;
    let settings = folder.join("pgbouncer.ini");
    let with_statements = version >= (1, 21);
    std::fs::write(&settings, ini(site, port, pool, &users, with_statements))?;
    let user = process::are_root().then_some("postgres");
    let mut command = process::bound_to_us(program.as_ref(), "KILL", user);
    command.arg("-q").arg(&settings).stdout(Stdio::null()).stderr(Stdio::null());
    let process = Process::spawn(command, "KILL").context("start pgbouncer")?;
    site::listening(port, "pgbouncer").await?;
    let reason = "prepared statements in transaction mode came with 1.21";
    Ok(Some(Subject {
        name: format!("pgbouncer {}.{}", version.0, version.1),
        port,
        id: Some(process.id()),
        cannot: (!with_statements).then_some(("prepared", reason)),
        _kept: Kept::Process { _process: process },
    }))
}

fn ini(
    site: &Site,
    port: u16,
    pool: u32,
    users: &std::path::Path,
    with_statements: bool,
) -> String {
    let server = site.postgres.port();
    let users = users.display();
    let statements = if with_statements { "max_prepared_statements = 200\n" } else { "" };
    format!(
        "[databases]
{DATABASE} = host=127.0.0.1 port={server} dbname={DATABASE}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = {pool}
max_client_conn = 5000
server_tls_sslmode = disable
log_connections = 0
log_disconnections = 0
{statements}"
    )
}

fn pgbouncer_version(program: &std::ffi::OsStr) -> Option<(u32, u32)> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut parts = text.lines().next()?.rsplit(' ').next()?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
