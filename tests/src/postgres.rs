//! A real PostgreSQL of our own, started on demand and gone when we are.
//! Never touches a PostgreSQL that it did not start; keeps nothing on disk but an empty template.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::certificates::Certificates;
use crate::network::Network;
use crate::pg::{Client, Target};
use crate::process::{self, Process};

/// The role of the superuser, who is trusted on the loopback.
pub const SUPERUSER: &str = "postgres";
/// Members of this role have to show their password (SCRAM) when they log in to Postgres.
pub const BY_PASSWORD: &str = "by_password";
/// Members of this role are refused without TLS.
pub const BY_TLS: &str = "by_tls";

/// What a test may choose about its PostgreSQL.
#[derive(Clone, Debug)]
pub struct Options {
    pub max_connections: u32,
    /// Slots only superusers may take, so that a sampler always gets in.
    pub superuser_reserved: u32,
    /// Further lines of postgresql.conf.
    pub settings: Vec<String>,
    /// Where it runs, if not on the loopback.
    pub network: Option<Arc<Network>>,
}

impl Default for Options {
    fn default() -> Options {
        let settings = Vec::new();
        Options { max_connections: 100, superuser_reserved: 5, settings, network: None }
    }
}

/// A running PostgreSQL that listens on 127.0.0.1, or in a network of its own.
pub struct Postgres {
    process: Process,
    folder: PathBuf,
    host: String,
    port: u16,
    /// The certificate that it shows, and the authority to trust.
    pub certificates: Certificates,
}

impl Postgres {
    /// Starts one and waits until it answers.
    pub async fn start(options: Options) -> Result<Postgres> {
        Postgres::start_on(options, free_port).await
    }

    /// The same on a port that `draw` gives: it is asked again when somebody else was faster.
    pub async fn start_on(options: Options, draw: fn() -> Result<u16>) -> Result<Postgres> {
        let folder = process::scratch("postgres")?;
        copy_template(&folder)?;
        let certificates = Certificates::make(&folder)?;
        for _ in 0..5 {
            let port = draw()?;
            configure(&folder, port, &options, &certificates)?;
            let process = launch(&folder, &options)?;
            let (folder, certificates) = (folder.clone(), certificates.clone());
            let host = host(&options).to_owned();
            let mut server = Postgres { process, folder, host, port, certificates };
            if server.answers().await? {
                return Ok(server);
            }
        }
        bail!("PostgreSQL found no free port in five tries, see {}", folder.display())
    }

    /// The address that it listens on.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the postmaster.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its major version, such as 15.
    pub fn version(&self) -> u32 {
        let text = std::fs::read_to_string(self.folder.join("data/PG_VERSION"));
        text.ok().and_then(|text| text.trim().parse().ok()).expect("PG_VERSION has a number")
    }

    /// What a simple query, or a call of a function, is answered with behind a flight without a Sync:
    /// since version 18 all up to the next Sync is one transaction.
    pub fn ready_in_a_flight(&self) -> &'static str {
        if self.version() < 18 { "Ready(I)" } else { "Ready(T)" }
    }

    /// Sends a signal to the postmaster: `STOP` makes new connections hang, `CONT` ends that.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    pub fn target(&self, user: &str, database: &str) -> Target {
        Target::new(&self.host, self.port, user, database)
    }

    pub async fn superuser(&self, database: &str) -> Result<Client> {
        self.target(SUPERUSER, database).connect().await
    }

    /// Makes a login role whose password is [`password_of`] it.
    pub async fn add_user(&self, user: &str, more: &str) -> Result<()> {
        let password = password_of(user);
        let sql = format!("CREATE ROLE {user} LOGIN PASSWORD '{password}' {more}");
        self.superuser(SUPERUSER).await?.run(&sql).await;
        Ok(())
    }

    /// Everything it has logged so far.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.folder.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Lines of the log at ERROR or worse that concern `database`, without those that contain one
    /// of `allowed`.
    pub fn complaints(&self, database: &str, allowed: &[&str]) -> Vec<String> {
        let place = format!("@{database} ");
        let serious =
            |line: &&str| [" ERROR: ", " FATAL: ", " PANIC: "].iter().any(|s| line.contains(s));
        let expected = |line: &&str| allowed.iter().any(|text| line.contains(text));
        let log = self.log();
        let lines = log.lines().filter(|line| line.contains(&place)).filter(serious);
        lines.filter(|line| !expected(line)).map(str::to_owned).collect()
    }

    /// Lines that say a client found no free connection (SQLSTATE 53300).
    pub fn refusals_for_want_of_a_slot(&self) -> Vec<String> {
        self.log().lines().filter(|line| line.contains(" 53300 ")).map(str::to_owned).collect()
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    async fn answers(&mut self) -> Result<bool> {
        let until = Instant::now() + Duration::from_secs(60);
        while Instant::now() < until {
            if self.process.ended().is_some() {
                let log = self.log();
                if log.contains("could not bind") || log.contains("could not create any TCP/IP") {
                    return Ok(false);
                }
                bail!("PostgreSQL ended at its start:\n{log}");
            }
            if self.superuser(SUPERUSER).await.is_ok() {
                return Ok(true);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("PostgreSQL did not answer within 60 s:\n{}", self.log())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.process.signal("CONT");
        self.process.end();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The password of every user that the harness makes.
pub fn password_of(user: &str) -> String {
    format!("secret of {user}")
}

/// A port on 127.0.0.1 that nobody listens on, below the range that outgoing connections use.
/// Never the same one twice, since who asked may not listen on it yet.
pub fn free_port() -> Result<u16> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut bytes = [0u8; 2];
    for _ in 0..200 {
        let filled = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes);
        filled.ok().context("draw a port")?;
        let port = 18_000 + u16::from_be_bytes(bytes) % 14_000;
        let free = std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
        if free && given.insert(port) {
            return Ok(port);
        }
    }
    bail!("no free port on 127.0.0.1 between 18000 and 32000 in 200 tries")
}

/// The folder of PostgreSQL's programs: `POOLWRIGHT_PG_BIN`, the newest of Debian's, the path.
pub fn programs() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("POOLWRIGHT_PG_BIN") {
        return Ok(folder.into());
    }
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> = debian.map(|entry| entry.path().join("bin")).collect();
    found.retain(|folder| folder.join("initdb").exists());
    found.sort();
    if let Some(newest) = found.pop() {
        return Ok(newest);
    }
    let asked = Command::new("pg_config").arg("--bindir").output();
    let asked = asked.context("no PostgreSQL found: install the package `postgresql`")?;
    Ok(PathBuf::from(String::from_utf8(asked.stdout)?.trim()))
}

fn server_user() -> Option<&'static str> {
    process::are_root().then_some(SUPERUSER)
}

fn host(options: &Options) -> &str {
    options.network.as_ref().map_or("127.0.0.1", |network| network.host())
}

fn launch(folder: &Path, options: &Options) -> Result<Process> {
    let log = std::fs::File::create(folder.join("log"))?;
    let program = programs()?.join("postgres");
    let mut command = process::bound_to_us(&program, "QUIT", server_user());
    command.arg("-D").arg(folder.join("data"));
    if let Some(network) = &options.network {
        command = network.inside(&command);
    }
    command.current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    Process::spawn(command, "QUIT").context("start PostgreSQL (needs setpriv of util-linux)")
}

fn copy_template(folder: &Path) -> Result<()> {
    let template = template()?;
    succeed(Command::new("cp").arg("-a").arg(template).arg(folder.join("data")))
}

/// An initialised data folder, made once for each version and kept.
fn template() -> Result<PathBuf> {
    let version = Command::new(programs()?.join("postgres")).arg("--version").output()?.stdout;
    let version: String =
        version.iter().map(|b| char::from(*b)).filter(|c| c.is_ascii_digit()).collect();
    let template = process::scratch_root()?.join(format!("template-{version}"));
    if !template.join("PG_VERSION").exists() {
        let draft = process::scratch("template")?;
        own(&draft)?;
        succeed(
            as_server(&programs()?.join("initdb"))
                .args(["--no-sync", "-A", "trust", "-E", "UTF8", "--locale=C", "-U", SUPERUSER])
                .arg("-D")
                .arg(draft.join("data"))
                .current_dir(&draft),
        )?;
        let renamed = std::fs::rename(draft.join("data"), &template);
        if !template.join("PG_VERSION").exists() {
            renamed.context("keep the template")?;
        }
        let _ = std::fs::remove_dir_all(&draft);
    }
    Ok(template)
}

fn as_server(program: &Path) -> Command {
    process::bound_to_us(program, "KILL", server_user())
}

fn own(path: &Path) -> Result<()> {
    let Some(user) = server_user() else { return Ok(()) };
    succeed(Command::new("chown").arg("-R").arg(user).arg(path))
}

fn succeed(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

fn configure(
    folder: &Path,
    port: u16,
    options: &Options,
    certificates: &Certificates,
) -> Result<()> {
    let data = folder.join("data");
    std::fs::write(data.join("postgresql.conf"), settings(folder, port, options, certificates))?;
    std::fs::write(data.join("pg_hba.conf"), HBA)?;
    own(folder)?;
    succeed(Command::new("chmod").arg("600").arg(&certificates.key))
}

fn settings(folder: &Path, port: u16, options: &Options, certificates: &Certificates) -> String {
    let Options { max_connections, superuser_reserved, settings, network: _ } = options;
    let (folder, host) = (folder.display(), host(options));
    let certificate = certificates.certificate.display();
    let key = certificates.key.display();
    let more = settings.join("\n");
    format!(
        "listen_addresses = '{host}'
port = {port}
unix_socket_directories = '{folder}'
max_connections = {max_connections}
superuser_reserved_connections = {superuser_reserved}
ssl = on
ssl_cert_file = '{certificate}'
ssl_key_file = '{key}'
password_encryption = 'scram-sha-256'
shared_buffers = '64MB'
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
jit = off
log_line_prefix = '%m [%p] %e %u@%d '
log_min_messages = warning
{more}
"
    )
}

const HBA: &str = "
local all postgres trust
host all postgres samenet trust
hostnossl all +by_tls samenet reject
host all +by_password samenet scram-sha-256
host all all samenet trust
host replication +by_password samenet scram-sha-256
host replication all samenet trust
";
