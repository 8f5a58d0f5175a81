//! Every shape in turns, with the bench's load before and a real PostgreSQL behind, beside the
//! bare relay. Never compares runs of different minutes: one round has all of them.

use std::io::{BufRead, BufReader, Lines, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use poolwright_benches::job::{Job, Report, Tls, Work, names};
use poolwright_tests::pooler::beside_us;
use poolwright_tests::postgres::{Options, Postgres, SUPERUSER, free_port, programs};
use poolwright_tests::process::{self, Process};

use crate::cost::{self, Used};
use crate::serve::{DATABASE, USER};
use crate::{Rounds, Shape};

/// A part of the machine that programs of others may have in a run without disturbing it.
const NOISY: f64 = 0.1;
/// How long a quiet moment is.
const LOOK: Duration = Duration::from_millis(300);
/// In the counters of /proc, for each second and core; USER_HZ is 100 on every Linux port.
const TICKS: f64 = 100.0;

/// A shape and its threads; without a shape the relay.
type Subject = (Option<Shape>, usize);

const SUBJECTS: [Subject; 6] = [
    (None, 1),
    (Some(Shape::Locked), 1),
    (Some(Shape::Homed), 1),
    (Some(Shape::Locked), 2),
    (Some(Shape::Homed), 2),
    (Some(Shape::Split), 2),
];

const HEAD: &str = "\
| | CPU µs/tx | middle half | tps | p50 µs | p99 µs | switches/tx | busiest thread | foreign |
|---|---|---|---|---|---|---|---|---|";

/// One run of one subject.
struct Run {
    cpu_us: f64,
    tps: f64,
    p50_us: f64,
    p99_us: f64,
    switches: f64,
    busiest: f64,
    foreign: f64,
}

pub fn run(rounds: &Rounds) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let most = rounds.databases.iter().copied().max().unwrap_or(1);
    let postgres = runtime.block_on(prepare(most))?;
    for databases in &rounds.databases {
        for clients in &rounds.clients {
            let (databases, clients, seconds) = (*databases, *clients, rounds.seconds);
            measure(&postgres, Cell { databases, clients, seconds }, rounds)?;
        }
    }
    Ok(())
}

async fn prepare(databases: u32) -> Result<Postgres> {
    let settings = vec!["shared_buffers = '256MB'".to_owned()];
    let postgres =
        Postgres::start(Options { max_connections: 400, settings, ..Options::default() }).await?;
    postgres.add_user(USER, "").await?;
    let mut admin = postgres.superuser(SUPERUSER).await?;
    admin.run(&format!("CREATE DATABASE {DATABASE} OWNER {USER}")).await;
    fill(postgres.port())?;
    for number in 0..databases {
        admin.run(&format!("CREATE DATABASE {DATABASE}_{number} TEMPLATE {DATABASE}")).await;
    }
    Ok(postgres)
}

/// What one run is of.
#[derive(Clone, Copy)]
struct Cell {
    databases: u32,
    clients: u32,
    seconds: f64,
}

impl Cell {
    /// Server connections of each database.
    fn slots(self) -> usize {
        if self.databases == 1 { 20 } else { 4 }
    }
}

fn measure(postgres: &Postgres, cell: Cell, rounds: &Rounds) -> Result<()> {
    let Cell { databases, clients, .. } = cell;
    println!("\n{clients} clients, {databases} databases of {} server connections\n", cell.slots());
    println!("{HEAD}");
    let mut runs: Vec<Vec<Run>> = SUBJECTS.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds.rounds {
        for (subject, runs) in SUBJECTS.iter().zip(&mut runs) {
            let run = quiet(postgres, *subject, cell, rounds);
            runs.push(run.with_context(|| name(*subject))?);
        }
    }
    for (subject, runs) in SUBJECTS.iter().zip(&runs) {
        println!("{}", row(&name(*subject), runs));
    }
    Ok(())
}

/// The first run that was not disturbed, else the least disturbed one. Each waits for a quiet
/// machine, though not for ever.
fn quiet(postgres: &Postgres, subject: Subject, cell: Cell, rounds: &Rounds) -> Result<Run> {
    let mut runs = Vec::new();
    for _ in 0..rounds.tries {
        let until = Instant::now() + Duration::from_secs(rounds.patience);
        while others(postgres, LOOK) > NOISY && Instant::now() < until {}
        let run = once(postgres, subject, cell)?;
        if run.foreign <= NOISY {
            return Ok(run);
        }
        runs.push(run);
    }
    let least = runs.into_iter().min_by(|one, other| one.foreign.total_cmp(&other.foreign));
    least.context("no run: tries must not be 0")
}

/// The part of the machine that others have for so long.
fn others(postgres: &Postgres, time: Duration) -> f64 {
    let before = Moment::now(postgres);
    std::thread::sleep(time);
    before.foreign()
}

/// The counters of the machine at one moment.
struct Moment {
    at: Instant,
    families: [u32; 2],
    ticks: (u64, u64),
}

impl Moment {
    fn now(postgres: &Postgres) -> Moment {
        let families = [std::process::id(), postgres.id()];
        Moment { at: Instant::now(), families, ticks: cost::ticks(&families) }
    }

    /// The part of the machine that others had since then.
    fn foreign(&self) -> f64 {
        let (busy, ours) = cost::ticks(&self.families);
        let ours = ours.saturating_sub(self.ticks.1);
        let foreign = (busy - self.ticks.0).saturating_sub(ours) as f64;
        let cores = std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
        foreign / (self.at.elapsed().as_secs_f64() * cores * TICKS)
    }
}

fn name((shape, workers): Subject) -> String {
    let shape = shape.and_then(|shape| shape.to_possible_value());
    match shape {
        None => "relay".to_owned(),
        Some(shape) => format!("{} {workers}", shape.get_name()),
    }
}

fn row(name: &str, runs: &[Run]) -> String {
    let quarter = |of: fn(&Run) -> f64, quarters: usize| {
        let mut figures: Vec<f64> = runs.iter().map(of).collect();
        figures.sort_by(f64::total_cmp);
        figures[(figures.len() - 1) * quarters / 4]
    };
    let median = |of| quarter(of, 2);
    let foreign = median(|run| run.foreign);
    let mark = if foreign > NOISY { " !" } else { "" };
    format!(
        "| {name}{mark} | {:.2} | {:.2}–{:.2} | {:.0} | {:.0} | {:.0} | {:.2} | {:.0} % | {:.0} % |",
        median(|run| run.cpu_us),
        quarter(|run| run.cpu_us, 1),
        quarter(|run| run.cpu_us, 3),
        median(|run| run.tps),
        median(|run| run.p50_us),
        median(|run| run.p99_us),
        median(|run| run.switches),
        median(|run| run.busiest) * 100.0,
        foreign * 100.0,
    )
}

/// A process of its own for each run, so that none inherits where another's clients ended up.
fn once(postgres: &Postgres, subject: Subject, cell: Cell) -> Result<Run> {
    let port = free_port()?;
    let process = start(postgres.port(), port, subject, cell)?;
    let mut load = Load::start(&job(port, cell))?;
    let (moment, used) = (Moment::now(postgres), Used::by(process.id()));
    let report = load.run()?;
    let (used, foreign) = (Used::by(process.id()).since(&used), moment.foreign());
    load.end()?;
    let transactions = report.transactions as f64;
    Ok(Run {
        cpu_us: used.cpu_us() / transactions,
        tps: transactions / report.seconds,
        p50_us: report.p50_us,
        p99_us: report.p99_us,
        switches: used.switches as f64 / transactions,
        busiest: used.busiest(),
        foreign,
    })
}

fn start(upstream: u16, port: u16, (shape, workers): Subject, cell: Cell) -> Result<Process> {
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string();
    let mut command;
    if let Some(shape) = shape.and_then(|shape| shape.to_possible_value()) {
        command = process::bound_to_us(&std::env::current_exe()?, "KILL", None);
        command.args(["serve", "--shape", shape.get_name(), "--workers", &workers.to_string()]);
        command.args(["--listen", &address(port), "--upstream", &address(upstream)]);
        command.args(["--databases", &cell.databases.to_string()]);
        command.args(["--slots", &cell.slots().to_string()]);
    } else {
        let program = beside_us("POOLWRIGHT_RELAY", "poolwright-relay")?;
        command = process::bound_to_us(&program, "KILL", None);
        command.args([address(port), address(upstream)]);
    }
    let process = Process::spawn(command, "KILL").context("start a subject")?;
    listening(port)?;
    Ok(process)
}

fn listening(port: u16) -> Result<()> {
    for _ in 0..500 {
        if std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("nothing listens on port {port} after 10 s")
}

/// Makes pgbench's tables.
fn fill(port: u16) -> Result<()> {
    let mut command = Command::new(programs()?.join("pgbench"));
    command.args(["-i", "-q", "-s", "1", "-h", "127.0.0.1", "-p", &port.to_string(), "-U", USER]);
    let filled = command.arg(DATABASE).stdin(Stdio::null()).output()?;
    ensure!(filled.status.success(), "pgbench -i: {}", String::from_utf8_lossy(&filled.stderr));
    Ok(())
}

fn job(port: u16, cell: Cell) -> Job {
    Job {
        port,
        sources: 1,
        clients: cell.clients,
        idle: 0,
        logins: 8,
        seconds: cell.seconds,
        work: Work::Simple,
        databases: names(DATABASE, cell.databases),
        users: vec![USER.to_owned()],
        active_pools: cell.databases,
        password: String::new(),
        parameters: false,
        tls: Tls::No,
    }
}

/// The process of the clients, which says what it waits for line by line.
struct Load {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Load {
    /// Returns when all its clients are logged in.
    fn start(job: &Job) -> Result<Load> {
        let program = beside_us("POOLWRIGHT_BENCH_LOAD", "poolwright-bench-load")?;
        let mut command = Command::new(program);
        command.arg(serde_json::to_string(job)?).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("start the load")?;
        let input = child.stdin.take().context("the load's input")?;
        let output = child.stdout.take().context("the load's output")?;
        let mut load = Load { child, input, output: BufReader::new(output).lines() };
        let word = load.line()?;
        ensure!(word == "ready", "the load said {word:?} instead of ready");
        Ok(load)
    }

    fn run(&mut self) -> Result<Report> {
        self.input.write_all(b"go\n").context("tell the load to begin")?;
        let report: Report = serde_json::from_str(&self.line()?).context("read the report")?;
        ensure!(report.transactions > 0, "no transaction ended");
        Ok(report)
    }

    fn line(&mut self) -> Result<String> {
        Ok(self.output.next().context("the load ended early")??)
    }

    fn end(mut self) -> Result<()> {
        self.input.write_all(b"end\n").context("tell the load to end")?;
        let status = self.child.wait().context("wait for the load")?;
        ensure!(status.success(), "the load ended with {status}");
        Ok(())
    }
}
