//! A pooler under valgrind's callgrind, started and ended whole.
//! Never attaches to one that runs: that needs rights which containers withhold.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use poolwright_tests::pooler::{Settings, beside_us, http_get};
use poolwright_tests::postgres::free_port;
use poolwright_tests::process::{self, Process};

use crate::profile::Profile;

/// It runs some fifty times slower than alone.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running pooler whose instructions are counted.
pub struct Watched {
    process: Process,
    folder: PathBuf,
    pub port: u16,
}

impl Watched {
    /// Starts one and waits until it is ready.
    pub async fn start(settings: &Settings) -> Result<Watched> {
        let folder = process::scratch("callgrind")?;
        let (port, admin_port) = (free_port()?, free_port()?);
        let settings = settings.clone().with("listen.port", &port.to_string());
        let settings = settings.with("admin.port", &admin_port.to_string());
        std::fs::write(folder.join("settings.yaml"), settings.yaml())?;
        let process = launch(&folder)?;
        let mut watched = Watched { process, folder, port };
        watched.ready(admin_port).await?;
        Ok(watched)
    }

    /// Ends it as an orderly shutdown does, and reads what callgrind wrote then.
    pub fn end(mut self) -> Result<Profile> {
        self.process.signal("TERM");
        match self.process.wait(PATIENCE) {
            Some(status) if status.success() => {}
            Some(status) => bail!("the pooler ended with {status}:\n{}", self.log()),
            None => bail!("the pooler did not end within {PATIENCE:?}:\n{}", self.log()),
        }
        let file = self.folder.join(PROFILE);
        let text = std::fs::read_to_string(&file).with_context(|| format!("read {file:?}"))?;
        Profile::parse(&text).with_context(|| format!("parse {file:?}"))
    }

    async fn ready(&mut self, admin_port: u16) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.process.ended() {
                bail!("the pooler ended at its start with {status}:\n{}", self.log());
            }
            let asked = http_get("127.0.0.1", admin_port, "/readyz").await;
            if asked.is_ok_and(|(status, _)| status == 200) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the pooler was not ready within {PATIENCE:?}:\n{}", self.log())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.process.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

const PROFILE: &str = "profile";

fn launch(folder: &Path) -> Result<Process> {
    let pooler = beside_us("POOLWRIGHT_POOLER", "poolwright-pooler")?;
    let pooler = pooler.canonicalize().with_context(|| format!("find {pooler:?}"))?;
    let log = std::fs::File::create(folder.join("log"))?;
    let mut command = process::bound_to_us(Path::new("valgrind"), "KILL", None);
    command.args(["--tool=callgrind", "--quiet"]);
    command.arg(format!("--callgrind-out-file={}", folder.join(PROFILE).display()));
    command.arg(pooler).arg(folder.join("settings.yaml")).current_dir(folder);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Process::spawn(command, "KILL").context("start the pooler under valgrind")
}
