//! Every shape in turns, with pgbench as the load and a real PostgreSQL behind, beside the bare
//! relay. Never compares runs of different minutes: one round has all of them.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use poolwright_tests::pooler::beside_us;
use poolwright_tests::postgres::{Options, Postgres, SUPERUSER, free_port, programs};
use poolwright_tests::process::{self, Process};

use crate::cost::{self, Used};
use crate::serve::{DATABASE, USER};
use crate::{Rounds, Shape};

/// A part of the machine that programs of others may have in a run without disturbing it.
const NOISY: f64 = 0.1;

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
| | CPU µs/tx | least–most | tps | latency µs | its σ | switches/tx | busiest thread | foreign |
|---|---|---|---|---|---|---|---|---|";

/// One run of one subject.
struct Run {
    cpu_us: f64,
    tps: f64,
    latency_us: f64,
    spread_us: f64,
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

async fn prepare(databases: usize) -> Result<Postgres> {
    let settings = vec!["shared_buffers = '256MB'".to_owned()];
    let postgres =
        Postgres::start(Options { max_connections: 400, settings, ..Options::default() }).await?;
    postgres.add_user(USER, "").await?;
    let mut admin = postgres.superuser(SUPERUSER).await?;
    admin.run(&format!("CREATE DATABASE {DATABASE}0 OWNER {USER}")).await;
    let filled = pgbench(postgres.port(), 0)?.args(["-i", "-q", "-s", "1"]).output()?;
    ensure!(filled.status.success(), "pgbench -i: {}", String::from_utf8_lossy(&filled.stderr));
    for number in 1..databases {
        admin.run(&format!("CREATE DATABASE {DATABASE}{number} TEMPLATE {DATABASE}0")).await;
    }
    Ok(postgres)
}

/// What one run is of.
#[derive(Clone, Copy)]
struct Cell {
    databases: usize,
    clients: usize,
    seconds: u32,
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
            let run = quiet(postgres, *subject, cell, rounds.tries);
            runs.push(run.with_context(|| name(*subject))?);
        }
    }
    for (subject, runs) in SUBJECTS.iter().zip(&runs) {
        println!("{}", row(&name(*subject), runs));
    }
    Ok(())
}

/// The first run that was not disturbed, else the least disturbed one.
fn quiet(postgres: &Postgres, subject: Subject, cell: Cell, tries: usize) -> Result<Run> {
    let mut best = once(postgres, subject, cell)?;
    for _ in 1..tries {
        if best.foreign <= NOISY {
            break;
        }
        let again = once(postgres, subject, cell)?;
        if again.foreign < best.foreign {
            best = again;
        }
    }
    Ok(best)
}

fn name((shape, workers): Subject) -> String {
    let shape = shape.and_then(|shape| shape.to_possible_value());
    match shape {
        None => "relay".to_owned(),
        Some(shape) => format!("{} {workers}", shape.get_name()),
    }
}

fn row(name: &str, runs: &[Run]) -> String {
    let median = |of: fn(&Run) -> f64| {
        let mut figures: Vec<f64> = runs.iter().map(of).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    let least = runs.iter().map(|run| run.cpu_us).fold(f64::INFINITY, f64::min);
    let most = runs.iter().map(|run| run.cpu_us).fold(0.0, f64::max);
    let foreign = runs.iter().map(|run| run.foreign).fold(0.0, f64::max);
    let mark = if foreign > NOISY { " !" } else { "" };
    format!(
        "| {name}{mark} | {:.2} | {least:.2}–{most:.2} | {:.0} | {:.0} | {:.0} | {:.2} | {:.0} % | {:.0} % |",
        median(|run| run.cpu_us),
        median(|run| run.tps),
        median(|run| run.latency_us),
        median(|run| run.spread_us),
        median(|run| run.switches),
        median(|run| run.busiest) * 100.0,
        foreign * 100.0,
    )
}

/// A process of its own for each run, so that none inherits where another's clients ended up.
fn once(postgres: &Postgres, subject: Subject, cell: Cell) -> Result<Run> {
    let port = free_port()?;
    let process = start(postgres.port(), port, subject, cell)?;
    let families = [std::process::id(), postgres.id()];
    let (at, used, ticks) = (Instant::now(), Used::by(process.id()), cost::ticks(&families));
    let loads = (0..cell.databases).map(|database| load(port, database, cell));
    let loads = loads.collect::<Result<Vec<Child>>>()?;
    let told = loads.into_iter().map(finish).collect::<Result<Vec<String>>>()?;
    let (used, after) = (Used::by(process.id()).since(&used), cost::ticks(&families));
    let all = at.elapsed().as_secs_f64() * 100.0 * cores();
    let foreign = (after.0 - ticks.0).saturating_sub(after.1.saturating_sub(ticks.1));
    let sum = |key| told.iter().map(|told| number(told, key)).sum::<Result<f64>>();
    let mean_us = |key| Ok::<f64, anyhow::Error>(sum(key)? * 1_000.0 / told.len() as f64);
    let transactions = sum("number of transactions actually processed:")?;
    Ok(Run {
        cpu_us: used.cpu_us() / transactions,
        tps: sum("tps =")?,
        latency_us: mean_us("latency average =")?,
        spread_us: mean_us("latency stddev =")?,
        switches: used.switches as f64 / transactions,
        busiest: used.busiest(),
        foreign: foreign as f64 / all,
    })
}

fn cores() -> f64 {
    std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64)
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

fn pgbench(port: u16, database: usize) -> Result<Command> {
    let mut command = Command::new(programs()?.join("pgbench"));
    command.env("PGHOST", "127.0.0.1").env("PGPORT", port.to_string()).env("PGUSER", USER);
    command.env("PGDATABASE", format!("{DATABASE}{database}")).env("PGSSLMODE", "disable");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command)
}

/// It tells how latencies spread only where it reports progress.
fn load(port: u16, database: usize, cell: Cell) -> Result<Child> {
    let mut command = pgbench(port, database)?;
    command.args(["-n", "-S", "-M", "simple", "-j", "1", "-P", "600"]);
    let clients = cell.clients / cell.databases;
    command.args(["-c", &clients.to_string(), "-T", &cell.seconds.to_string()]);
    command.spawn().context("start pgbench")
}

fn finish(load: Child) -> Result<String> {
    let output = load.wait_with_output().context("wait for pgbench")?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && !complaints.contains("aborted"), "pgbench: {complaints}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn number(told: &str, key: &str) -> Result<f64> {
    let line = told.lines().find_map(|line| line.strip_prefix(key));
    let word = line.and_then(|rest| rest.split_whitespace().next());
    let digits = word.map(|word| word.split('/').next().unwrap_or(word));
    digits.and_then(|digits| digits.parse().ok()).with_context(|| format!("no {key:?} in {told}"))
}
