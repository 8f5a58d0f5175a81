//! `poolwright-bench`: what one transaction costs each subject, all in the same minutes on the
//! same machine, round after round. Never compares figures of different runs, and never hides a
//! measurement that failed: its exit status is then not 0.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

mod cell;
mod cpu;
mod pgbench;
mod result;
mod site;
mod subject;
mod table;

use cell::Cell;
use result::{Run, Summary};
use site::Site;
use subject::Subject;

/// CPU, throughput and latency of a transaction: direct, through a bare relay, through poolers.
#[derive(Parser)]
#[command(name = "poolwright-bench", version)]
struct Arguments {
    /// PROTOCOL-CLIENTS, separated by commas.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "simple-16,simple-64,extended-64,prepared-16,prepared-64"
    )]
    cells: Vec<Cell>,
    /// How often each subject runs each cell, in turns.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The length of one run, in seconds.
    #[arg(long, default_value_t = 6)]
    seconds: u32,
    /// Server connections of each pooler.
    #[arg(long, default_value_t = 20)]
    pool: u32,
    /// A folder for the JSON lines; one file for each call.
    #[arg(long, default_value = "benches/results")]
    results: std::path::PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let site = Site::start(arguments.pool).await?;
    println!("{}", site.description());
    let subjects = Subject::start_all(&site, arguments.pool).await?;
    let mut failures = 0;
    let mut summaries = Vec::new();
    for cell in &arguments.cells {
        let (of_cell, failed) = measure(&site, &subjects, *cell, &arguments).await;
        print!("{}", table::rows(*cell, &of_cell));
        failures += failed;
        summaries.extend(of_cell);
    }
    let file = result::write(&arguments.results, &summaries).context("write the results")?;
    println!("{}", table::legend());
    println!("one JSON line for each cell and subject: {}", file.display());
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All rounds of one cell: A B C A B C, so that a slow minute hits all subjects alike.
async fn measure(
    site: &Site,
    subjects: &[Subject],
    cell: Cell,
    arguments: &Arguments,
) -> (Vec<Summary>, usize) {
    let mut runs: Vec<Vec<Run>> = subjects.iter().map(|_| Vec::new()).collect();
    let mut failed = 0;
    for round in 0..arguments.rounds {
        for (subject, runs) in subjects.iter().zip(&mut runs) {
            if subject.cannot(cell).is_some() {
                continue;
            }
            match pgbench::run(site, subject, cell, arguments.seconds).await {
                Ok(run) => runs.push(run),
                Err(error) => {
                    eprintln!("{cell} {} round {round}: {error:#}", subject.name);
                    failed += 1;
                }
            }
        }
    }
    let pairs = subjects.iter().zip(runs);
    (pairs.map(|(subject, runs)| Summary::new(cell, subject, &runs)).collect(), failed)
}
