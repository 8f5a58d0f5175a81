//! `poolwright-bench`: what one transaction costs each subject, all in the same minutes on the
//! same machine, round after round. Never compares figures of different runs, and never hides a
//! measurement that failed: its exit status is then not 0. A missed goal is no failure.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

mod cell;
mod cpu;
mod goals;
mod machine;
mod measure;
mod peers;
mod plot;
mod result;
mod run;
mod setup;
mod site;
mod subject;
mod table;

use cell::Cell;
use measure::Effort;
use result::Summary;
use site::Site;

/// CPU, throughput and latency: direct, through a bare relay, through poolers.
#[derive(Parser)]
#[command(name = "poolwright-bench", version)]
struct Arguments {
    /// Names of cells, separated by commas; all, if none is given. `list` names them.
    #[arg(long, value_delimiter = ',')]
    cells: Vec<String>,
    /// The cells that a commit can move, without the slower peers.
    #[arg(long)]
    quick: bool,
    /// Only these subjects, separated by commas.
    #[arg(long, value_delimiter = ',')]
    subjects: Vec<String>,
    /// How often each subject runs each cell, in turns: 5, or 3 with --quick.
    #[arg(long)]
    rounds: Option<usize>,
    /// How many rounds there are at most of those that a goal compares, until most of them agree:
    /// 11, or no more than the others with --quick or --rounds.
    #[arg(long)]
    most_rounds: Option<usize>,
    /// The length of one run, in seconds: 3, or 4 with --quick.
    #[arg(long)]
    seconds: Option<f64>,
    /// How often a run that others disturbed is repeated: 2, or 1 with --quick.
    #[arg(long)]
    repeats: Option<usize>,
    /// A folder for the JSON lines and plots; one file for each call.
    #[arg(long, default_value = "benches/results")]
    results: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.cells.iter().any(|name| name == "list") {
        println!("{}", cell::NAMES.join("\n"));
        return Ok(ExitCode::SUCCESS);
    }
    let cells = cells(&arguments)?;
    let site = site_for(&cells).await?;
    println!("{}", site.description());
    let file = result::file(&arguments.results).context("make the folder of results")?;
    let mut summaries = Vec::new();
    for cell in &cells {
        let of_cell = measure::measure(&site, cell, arguments.effort()).await;
        print!("{}", table::rows(cell, &of_cell));
        result::append(&file, &of_cell).context("write the results")?;
        summaries.extend(of_cell);
    }
    let picture = plot::write(&file, &summaries).context("write the picture")?;
    conclude(&summaries);
    println!("\none JSON line for each cell and subject: {}", file.display());
    println!("a picture of them: {}", picture.display());
    match summaries.iter().filter(|summary| summary.failed.is_some()).count() {
        0 => Ok(ExitCode::SUCCESS),
        failed => {
            println!("{failed} measurements FAILED");
            Ok(ExitCode::FAILURE)
        }
    }
}

impl Arguments {
    fn effort(&self) -> Effort {
        let rounds = self.rounds.unwrap_or(if self.quick { 3 } else { 5 });
        let most_rounds = if self.quick || self.rounds.is_some() { rounds } else { 11 };
        Effort {
            rounds,
            most_rounds: self.most_rounds.unwrap_or(most_rounds),
            seconds: self.seconds.unwrap_or(if self.quick { 4.0 } else { 3.0 }),
            repeats: self.repeats.unwrap_or(if self.quick { 1 } else { 2 }),
        }
    }
}

/// A site with as many numbered databases and users as these cells need.
async fn site_for(cells: &[Cell]) -> Result<Site> {
    let most = |figure: fn(&setup::Setup) -> u32| {
        let entries = cells.iter().flat_map(|cell| &cell.entries);
        // One database or user is the bare name; numbered ones come with the second. The stub
        // lets everyone in.
        let entries = entries.filter(|entry| entry.setup.backend == setup::Backend::Postgres);
        entries.map(|entry| figure(&entry.setup)).filter(|count| *count > 1).max().unwrap_or(0)
    };
    Site::start(most(|setup| setup.databases), most(|setup| setup.users)).await
}

fn conclude(summaries: &[Summary]) {
    println!("{}", table::legend());
    println!("\ngoals");
    goals::judged(summaries).iter().for_each(|line| println!("  {line}"));
}

fn cells(arguments: &Arguments) -> Result<Vec<Cell>> {
    let names: Vec<String> = match (&arguments.cells[..], arguments.quick) {
        ([], false) => cell::NAMES.iter().map(|name| (*name).to_owned()).collect(),
        ([], true) => cell::QUICK.iter().map(|name| (*name).to_owned()).collect(),
        (names, _) => names.to_vec(),
    };
    let mut wanted = arguments.subjects.clone();
    if arguments.quick && wanted.is_empty() {
        wanted = ["direct", "relay", "poolwright", "pgbouncer"].map(str::to_owned).to_vec();
    }
    let find = |name: &String| -> Result<Cell> {
        let mut cell = cell::find(name)
            .with_context(|| format!("no cell {name:?}; --cells list names them"))?;
        cell.entries.retain(|entry| wanted.is_empty() || wanted.iter().any(|w| w == entry.peer));
        Ok(cell)
    };
    names.iter().map(find).collect()
}
