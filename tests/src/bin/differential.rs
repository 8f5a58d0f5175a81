//! Plays seeds: `poolwright-differential --seeds 2000 --seed 0`. A seed that fails is told, made
//! smaller and told again; the exit status is then 1.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use poolwright_tests::differential::script::Script;
use poolwright_tests::differential::{Stage, Worker, chance, shrink};
use tokio::sync::Mutex;

#[derive(Parser)]
struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 2000)]
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
    /// Prints the script of the first seed and ends.
    #[arg(long)]
    print: bool,
}

fn script_of(seed: u64) -> Script {
    chance::script(seed)
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Arc::new(Args::parse());
    if args.print {
        println!("{}", script_of(args.seed));
        return Ok(());
    }
    let stage = Stage::start(args.workers).await?;
    let started = Instant::now();
    let next = Arc::new(AtomicU64::new(args.seed));
    let failures = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for number in 0..args.workers {
        let worker = stage.worker(number, Duration::from_secs(args.patience)).await?;
        let (args, next, failures) = (Arc::clone(&args), Arc::clone(&next), Arc::clone(&failures));
        tasks.push(tokio::spawn(async move {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= args.seed + args.seeds {
                    return anyhow::Ok(());
                }
                if let Some(told) = play(&worker, seed, &args).await? {
                    next.store(u64::MAX / 2, Ordering::Relaxed);
                    failures.lock().await.push(told);
                    return Ok(());
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
    if !failures.is_empty() {
        std::process::exit(1);
    }
    Ok(())
}

/// What is wrong with a seed, if anything is.
async fn play(worker: &Worker, seed: u64, args: &Args) -> Result<Option<String>> {
    let script = script_of(seed);
    let played = worker.play(&script, false).await;
    let difference = match played {
        Ok(Ok(())) => return Ok(None),
        Ok(Err(difference)) => difference,
        Err(error) => return Ok(Some(format!("seed {seed}: {error:#}\n{script}"))),
    };
    let first = format!("seed {seed}: client {}: {}", difference.client, difference.what);
    eprintln!("{first}\nmaking it smaller …");
    let limit = Duration::from_secs(args.shrink);
    let (script, difference) = shrink::shrink(worker, script, difference, limit).await;
    Ok(Some(format!(
        "{first}\nthe smallest that fails:\n{script}client {}: {}\n",
        difference.client, difference.what
    )))
}
