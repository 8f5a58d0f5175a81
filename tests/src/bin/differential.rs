//! Plays seeds: `poolwright-differential --seeds 2000 --seed 0`. A seed that fails is told, made
//! smaller and told again; the exit status is then 1. The first seeds are directed, one for each cell
//! of the table; the others are random.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use poolwright_session::mutation::Mutation;
use poolwright_tests::differential::bites;
use poolwright_tests::differential::cells::{self, Cell};
use poolwright_tests::differential::script::Script;
use poolwright_tests::differential::table::Table;
use poolwright_tests::differential::trials::{self, Trial};
use poolwright_tests::differential::{Stage, Worker, chance, shrink};
use tokio::sync::Mutex;

/// A script that takes longer is named: somebody waited for a server connection in vain.
const SLOW: Duration = Duration::from_secs(4);

#[derive(Parser)]
struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 3000)]
    seeds: u64,
    /// The first one.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Scripts that are played at the same time.
    #[arg(long, default_value_t = 4)]
    workers: usize,
    /// Seconds that a client may wait for a message.
    #[arg(long, default_value_t = 20)]
    patience: u64,
    /// Seconds for making a script smaller.
    #[arg(long, default_value_t = 60)]
    shrink: u64,
    /// Failures after which it ends.
    #[arg(long, default_value_t = 1)]
    failures: usize,
    /// Prints each fault that a pooler may be asked to commit: invariant, name, whether it is
    /// found quickly, and the arguments of the check that must find it.
    #[arg(long)]
    faults: bool,
    /// Plays the trials in place of seeds.
    #[arg(long)]
    trials: bool,
    /// Plays this one.
    #[arg(long, conflicts_with = "trials")]
    trial: Option<Trial>,
    /// Prints the script of the first seed and ends.
    #[arg(long)]
    print: bool,
}

/// The cell of a directed seed.
fn cell_of(seed: u64) -> Option<Cell> {
    cells::all().get(usize::try_from(seed).ok()?).copied()
}

/// `None`: the seed's cell cannot be reached.
fn script_of(seed: u64) -> Option<Script> {
    match cell_of(seed) {
        Some(cell) if cell.impossible().is_some() => None,
        Some(cell) => Some(cell.script(seed)),
        None => Some(chance::script(seed)),
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Arc::new(Args::parse());
    if args.faults {
        for mutation in Mutation::ALL {
            let quick = if bites::is_quick(mutation) { "quick" } else { "slow" };
            for check in bites::checks(mutation) {
                let check = check.arguments();
                println!("{} {mutation:?} {quick} {check}", mutation.invariant());
            }
        }
        return Ok(());
    }
    if args.print {
        let cell = cell_of(args.seed);
        match script_of(args.seed) {
            Some(script) => println!("{cell:?}\n{script}"),
            None => println!("{cell:?}: {:?}", cell.and_then(Cell::impossible)),
        }
        return Ok(());
    }
    let stage = Stage::start(args.workers).await?;
    let started = Instant::now();
    let trials: Vec<Trial> = match args.trials {
        true => Trial::ALL.to_vec(),
        false => args.trial.into_iter().collect(),
    };
    if !trials.is_empty() {
        let worker = stage.worker(0, Duration::from_secs(args.patience)).await?;
        trials::run(&worker, &trials).await?;
        println!("trials in {:.1} s: {trials:?}", started.elapsed().as_secs_f64());
        return Ok(());
    }
    let next = Arc::new(AtomicU64::new(args.seed));
    let failures = Arc::new(Mutex::new(Vec::new()));
    let table = Arc::new(Mutex::new(Table::default()));
    let mut tasks = Vec::new();
    for number in 0..args.workers {
        let worker = stage.worker(number, Duration::from_secs(args.patience)).await?;
        let (args, next, failures) = (Arc::clone(&args), Arc::clone(&next), Arc::clone(&failures));
        let table = Arc::clone(&table);
        tasks.push(tokio::spawn(async move {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= args.seed + args.seeds {
                    return anyhow::Ok(());
                }
                let Some(script) = script_of(seed) else { continue };
                if let Some(told) = play(&worker, seed, script, &args).await? {
                    failures.lock().await.push(told);
                    if failures.lock().await.len() >= args.failures {
                        next.store(u64::MAX / 2, Ordering::Relaxed);
                        return Ok(());
                    }
                    worker.clear().await;
                }
                if let Some(cell) = cell_of(seed) {
                    table.lock().await.add(cell);
                }
            }
        }));
    }
    for task in tasks {
        task.await??;
    }
    let failures = failures.lock().await;
    for told in &*failures {
        println!("{told}");
    }
    let spent = started.elapsed().as_secs_f64();
    let end = next.load(Ordering::Relaxed).min(args.seed + args.seeds) - args.seed;
    println!("{end} seeds from {} in {spent:.1} s, {:.0} a second", args.seed, end as f64 / spent);
    drop(stage);
    let mut sound = failures.is_empty();
    if args.seed == 0 && end >= cells::all().len() as u64 {
        let table = table.lock().await;
        println!("{table}");
        let empty = table.empty();
        println!("empty cells: {empty:?}");
        sound &= empty.is_empty();
    }
    if !sound {
        std::process::exit(1);
    }
    Ok(())
}

/// What is wrong with a seed, if anything is.
async fn play(worker: &Worker, seed: u64, script: Script, args: &Args) -> Result<Option<String>> {
    let started = Instant::now();
    let played = worker.play(&script, false).await;
    let spent = started.elapsed();
    if spent > SLOW {
        println!("seed {seed} took {:.1} s", spent.as_secs_f64());
    }
    let difference = match played {
        Ok(Ok(())) => return Ok(None),
        Ok(Err(difference)) => difference,
        Err(error) => return Ok(Some(format!("seed {seed}: {error:#}\n{script}"))),
    };
    let cell = cell_of(seed).map_or_else(String::new, |cell| format!(" {cell:?}"));
    let first = format!("seed {seed}:{cell} client {}: {}", difference.client, difference.what);
    eprintln!("{first}\nmaking it smaller …");
    let limit = Duration::from_secs(args.shrink);
    let (script, difference) = shrink::shrink(worker, script, difference, limit).await;
    Ok(Some(format!(
        "{first}\nthe smallest that fails:\n{script}client {}: {}\n",
        difference.client, difference.what
    )))
}
