//! One run: a load against a subject, with the counters read when all clients are logged in and
//! again when the last transaction has ended. Never counts a run in which a client failed.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use poolwright_benches::job::{Job, Report, Work, names};
use poolwright_tests::pooler::beside_us;
use poolwright_tests::postgres::password_of;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::cell::Entry;
use crate::cpu::{self, Used};
use crate::machine::{Disturbance, Machine};
use crate::site::{DATABASE, Site, USER};
use crate::subject::Subject;

/// How long logins or the end of a run may take beyond its time.
const PATIENCE: Duration = Duration::from_secs(180);

/// What one run came to.
#[derive(Clone, Debug)]
pub struct Run {
    pub report: Report,
    pub cpu_us: f64,
    pub switches: f64,
    pub resident_kib: f64,
    /// Growth of the resident memory by the logins.
    pub grown_kib: f64,
    /// The part that the busiest of the workers did.
    pub busiest: f64,
    /// Which threads did the work.
    pub split: String,
    pub disturbance: Disturbance,
}

/// Runs the entry's load for this time.
pub async fn run(site: &Site, subject: &Subject, entry: &Entry, seconds: f64) -> Result<Run> {
    let ids = subject.ids();
    let resident_before = cpu::resident_kib(&ids);
    let mut load = Load::start(&job(subject, entry, seconds))?;
    load.expect("ready").await?;
    let resident = cpu::resident_kib(&ids);
    let ours = [std::process::id(), site.postgres.id()];
    let (used, machine) = (Used::by(&ids), Machine::read(&ours));
    load.go().await?;
    let report = timeout(PATIENCE + Duration::from_secs_f64(seconds), load.line()).await;
    let report = report.context("the load did not end")??;
    let spent = Used::by(&ids).since(&used);
    let split = spent.split();
    let disturbance = Machine::read(&ours).since(&machine);
    let resident_after = cpu::resident_kib(&ids);
    load.end().await?;
    let report: Report = serde_json::from_str(&report).context("read the report")?;
    if report.transactions == 0 && entry.load.clients > 0 {
        bail!("no transaction ended");
    }
    Ok(Run {
        report,
        cpu_us: spent.cpu_ns as f64 / 1_000.0,
        switches: spent.switches as f64,
        resident_kib: resident_after as f64,
        grown_kib: resident.saturating_sub(resident_before) as f64,
        busiest: spent.busiest_share(entry.setup.workers as usize),
        split,
        disturbance,
    })
}

/// Uses each configured pool once: from then on it is there, though idle.
pub async fn touch(subject: &Subject, entry: &Entry) -> Result<()> {
    let pools = entry.setup.databases * entry.setup.users;
    let job = Job {
        idle: pools,
        clients: 0,
        sources: 10,
        work: Work::Simple,
        ..job(subject, entry, 0.0)
    };
    let mut load = Load::start(&job)?;
    load.expect("ready").await?;
    load.go().await?;
    timeout(PATIENCE, load.line()).await.context("the pools were not touched in time")??;
    load.end().await?;
    timeout(PATIENCE, at_rest(subject)).await.context("its idle connections stay open")
}

/// Waits until it has closed its idle server connections.
async fn at_rest(subject: &Subject) {
    while cpu::open_files(&subject.ids()) > 100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn job(subject: &Subject, entry: &Entry, seconds: f64) -> Job {
    let (setup, load) = (&entry.setup, entry.load);
    Job {
        port: subject.port,
        sources: load.sources,
        clients: load.clients,
        idle: load.idle,
        logins: load.logins,
        seconds,
        work: load.work,
        databases: names(DATABASE, setup.databases),
        users: names(USER, setup.users),
        active_pools: load.active_pools,
        password: password_of(USER),
        parameters: setup.parameters,
        tls: load.tls,
    }
}

/// The process of the clients.
struct Load {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Load {
    fn start(job: &Job) -> Result<Load> {
        let program = beside_us("POOLWRIGHT_BENCH_LOAD", "poolwright-bench-load")?;
        let mut command = Command::new(program);
        command.arg(serde_json::to_string(job)?).kill_on_drop(true);
        // Its errors stand in one line of the table.
        command.env("RUST_BACKTRACE", "0");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("start the load")?;
        let input = child.stdin.take().context("the load's input")?;
        let output = child.stdout.take().context("the load's output")?;
        Ok(Load { child, input, output: BufReader::new(output).lines() })
    }

    async fn expect(&mut self, word: &str) -> Result<()> {
        let line = timeout(PATIENCE, self.line()).await.context("the logins took too long")??;
        if line != word {
            bail!("the load said {line:?} instead of {word:?}");
        }
        Ok(())
    }

    async fn go(&mut self) -> Result<()> {
        self.input.write_all(b"go\n").await.context("tell the load to begin")
    }

    async fn line(&mut self) -> Result<String> {
        match self.output.next_line().await? {
            Some(line) => Ok(line),
            None => bail!("the load: {}", self.complaint().await),
        }
    }

    /// Lets the clients go.
    async fn end(mut self) -> Result<()> {
        self.input.write_all(b"end\n").await.context("tell the load to end")?;
        let status = timeout(PATIENCE, self.child.wait()).await.context("the load hangs")??;
        if !status.success() {
            bail!("the load: {}", self.complaint().await);
        }
        Ok(())
    }

    async fn complaint(&mut self) -> String {
        let mut text = String::new();
        if let Some(errors) = &mut self.child.stderr {
            let _ = errors.read_to_string(&mut text).await;
        }
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}
