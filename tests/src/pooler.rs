//! A pooler of our own: the real binary, with a settings file in a folder that we throw away.
//! Never builds it: who runs the tests builds first, and is told the command if they did not.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_yaml::{Mapping, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::postgres::{free_port, password_of};
use crate::process::{self, Process};

/// Where a pooler keeps what outlives it; the next one with the same folder is its successor.
pub const STATE_DIR: &str = "POOLWRIGHT_STATE_DIR";
/// After how many seconds a silent peer is given up; a release build does not ask for it.
pub const PEER_TIMEOUT: &str = "POOLWRIGHT_PEER_TIMEOUT";

/// Name and value.
pub type Variable = (&'static str, OsString);

/// A settings file in the making.
#[derive(Clone, Debug)]
pub struct Settings(Value);

impl Settings {
    /// One server on 127.0.0.1, one database, and users whose password is [`password_of`] them.
    pub fn new(server_port: u16, database: &str, users: &[&str]) -> Settings {
        let settings = Settings(Value::Mapping(Mapping::new()))
            .with("listen.address", "127.0.0.1")
            .with("admin.address", "127.0.0.1")
            .with("servers.0.name", "main")
            .with("servers.0.host", "127.0.0.1")
            .with("servers.0.port", &server_port.to_string())
            .with("servers.0.maxConnections", "50")
            .with("databases.0.name", database);
        users.iter().fold(settings, |settings, user| settings.user(user))
    }

    /// Adds a user with the harness's password.
    pub fn user(self, user: &str) -> Settings {
        let count = self.0["users"].as_sequence().map_or(0, Vec::len);
        self.with(&format!("users.{count}.name"), user)
            .with(&format!("users.{count}.password"), &password_of(user))
    }

    /// Adds a database of this name on the first server.
    pub fn database(self, name: &str) -> Settings {
        let count = self.0["databases"].as_sequence().map_or(0, Vec::len);
        self.with(&format!("databases.{count}.name"), name)
    }

    /// Sets the value at a dotted path, numbers being places in a list; the value is YAML.
    pub fn with(mut self, path: &str, value: &str) -> Settings {
        let value = serde_yaml::from_str(value).unwrap_or_else(|_| Value::from(value));
        let parts: Vec<&str> = path.split('.').collect();
        put(&mut self.0, &parts, value);
        self
    }

    pub fn yaml(&self) -> String {
        serde_yaml::to_string(&self.0).unwrap_or_default()
    }
}

fn put(at: &mut Value, path: &[&str], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        *at = value;
        return;
    };
    if let Ok(place) = first.parse::<usize>() {
        let list = as_list(at);
        while list.len() <= place {
            list.push(Value::Null);
        }
        return put(&mut list[place], rest, value);
    }
    if !at.is_mapping() {
        *at = Value::Mapping(Mapping::new());
    }
    put(&mut at[*first], rest, value);
}

fn as_list(value: &mut Value) -> &mut Vec<Value> {
    if !value.is_sequence() {
        *value = Value::Sequence(Vec::new());
    }
    match value {
        Value::Sequence(list) => list,
        _ => unreachable!("made a sequence above"),
    }
}

/// A running pooler.
pub struct Pooler {
    process: Process,
    folder: PathBuf,
    pub port: u16,
    pub admin_port: u16,
}

impl Pooler {
    /// Starts one and waits until it is ready.
    pub async fn start(settings: Settings) -> Result<Pooler> {
        Pooler::start_in(settings, &[]).await
    }

    /// With these variables in its environment.
    pub async fn start_in(settings: Settings, environment: &[Variable]) -> Result<Pooler> {
        let mut pooler = Pooler::launch_in(settings, environment)?;
        pooler.ready().await?;
        Ok(pooler)
    }

    /// Starts one and does not wait.
    pub fn launch(settings: Settings) -> Result<Pooler> {
        Pooler::launch_in(settings, &[])
    }

    fn launch_in(settings: Settings, environment: &[Variable]) -> Result<Pooler> {
        let folder = process::scratch("pooler")?;
        let (port, admin_port) = (free_port()?, free_port()?);
        let settings = settings
            .with("listen.port", &port.to_string())
            .with("admin.port", &admin_port.to_string());
        std::fs::write(folder.join("settings.yaml"), settings.yaml())?;
        let log = std::fs::File::create(folder.join("log"))?;
        let mut command = process::bound_to_us(&binary()?, "KILL", None);
        command.arg(folder.join("settings.yaml")).current_dir(&folder);
        command.env("NO_COLOR", "1").env(STATE_DIR, "");
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let process = Process::spawn(command, "KILL").context("start the pooler")?;
        Ok(Pooler { process, folder, port, admin_port })
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// The exit status, waited for at most `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<std::process::ExitStatus> {
        self.process.wait(limit)
    }

    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.folder.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Lines of the log at WARN or ERROR, and panics, without those that contain one of `allowed`.
    pub fn complaints(&self, allowed: &[String]) -> Vec<String> {
        let serious = |line: &&str| {
            [" WARN ", " ERROR ", "panicked at"].iter().any(|level| line.contains(level))
        };
        let expected = |line: &&str| allowed.iter().any(|text| line.contains(text.as_str()));
        let log = self.log();
        log.lines().filter(serious).filter(|line| !expected(line)).map(str::to_owned).collect()
    }

    pub fn settings_file(&self) -> PathBuf {
        self.folder.join("settings.yaml")
    }

    /// Replaces the settings file the way editors do, by a rename.
    pub fn write_settings(&self, settings: &Settings) -> Result<()> {
        let settings = settings
            .clone()
            .with("listen.port", &self.port.to_string())
            .with("admin.port", &self.admin_port.to_string());
        self.write_text(&settings.yaml())
    }

    /// Replaces the settings file by any text.
    pub fn write_text(&self, text: &str) -> Result<()> {
        let draft = self.folder.join("settings.yaml.new");
        std::fs::write(&draft, text)?;
        std::fs::rename(draft, self.settings_file()).context("replace the settings file")
    }

    /// Status and body of a GET on the admin port.
    pub async fn get(&self, path: &str) -> Result<(u16, String)> {
        http_get("127.0.0.1", self.admin_port, path).await
    }

    /// The sum of a metric over all its labels that contain `label`; 0 if there is none.
    pub async fn metric(&self, name: &str, label: &str) -> f64 {
        let body = self.get("/metrics").await.map(|(_, body)| body).unwrap_or_default();
        sum_of_metric(&body, name, label)
    }

    async fn ready(&mut self) -> Result<()> {
        let until = Instant::now() + Duration::from_secs(30);
        while Instant::now() < until {
            if let Some(status) = self.process.ended() {
                bail!("the pooler ended at its start with {status}:\n{}", self.log());
            }
            if self.get("/readyz").await.is_ok_and(|(status, _)| status == 200) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bail!("the pooler was not ready within 30 s:\n{}", self.log())
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the pooler's log ---\n{}--- end of it ---", self.log());
        }
        self.process.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The sum of the samples of `name` whose labels contain `label`, in Prometheus's text form.
pub fn sum_of_metric(body: &str, name: &str, label: &str) -> f64 {
    let samples = body.lines().filter_map(|line| line.rsplit_once(' '));
    let ours = samples.filter(|(series, _)| {
        series.split('{').next() == Some(name) && series[name.len()..].contains(label)
    });
    ours.filter_map(|(_, value)| value.parse::<f64>().ok()).sum()
}

/// A plain HTTP/1.1 GET, as a probe or Prometheus makes it.
pub async fn http_get(host: &str, port: u16, path: &str) -> Result<(u16, String)> {
    let asked = async {
        let mut stream = TcpStream::connect((host, port)).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(10), asked).await??;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer without a body")?;
    let status = head.split(' ').nth(1).context("an answer without a status")?.parse()?;
    Ok((status, body.to_owned()))
}

/// The pooler under test: `POOLWRIGHT_POOLER`, else beside the test's own executable.
pub fn binary() -> Result<PathBuf> {
    beside_us("POOLWRIGHT_POOLER", "poolwright-pooler")
}

/// A program of this workspace: named by an environment variable, else in the folder (or the one
/// above) that the running program is in.
pub fn beside_us(variable: &str, name: &str) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Ok(path.into());
    }
    let own = std::env::current_exe()?;
    let found = own.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    found.into_iter().find(|path| path.exists()).with_context(|| missing(&own, name))
}

fn missing(own: &Path, name: &str) -> String {
    let release = own.components().any(|part| part.as_os_str() == "release");
    let profile = if release { " --release" } else { "" };
    format!("{name} is not built: run `cargo build{profile} --bin {name}`, with the same target")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dotted_path_reaches_into_lists_and_maps() {
        let settings = Settings::new(5432, "app", &["alice"])
            .with("pool.size", "2")
            .with("databases.0.pool.mode", "session")
            .user("bob");
        let value: Value = serde_yaml::from_str(&settings.yaml()).unwrap();
        assert_eq!(value["pool"]["size"], Value::from(2));
        assert_eq!(value["databases"][0]["pool"]["mode"], Value::from("session"));
        assert_eq!(value["users"][1]["name"], Value::from("bob"));
        assert_eq!(value["servers"][0]["port"], Value::from(5432));
    }

    #[test]
    fn a_metric_is_summed_over_the_labels_that_match() {
        let body = "# TYPE a counter\na{d=\"x\",r=\"1\"} 2\na{d=\"y\",r=\"1\"} 3\nab 7\n";
        assert_eq!(sum_of_metric(body, "a", ""), 5.0);
        assert_eq!(sum_of_metric(body, "a", "d=\"y\""), 3.0);
        assert_eq!(sum_of_metric(body, "ab", ""), 7.0);
        assert_eq!(sum_of_metric(body, "b", ""), 0.0);
    }
}
