//! `poolwright-instructions`: how many instructions the pooler itself spends on one transaction,
//! counted by callgrind, beside the figures recorded earlier. Never measures time, and never
//! counts what the kernel does.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use poolwright_tests::pooler::Settings;
use poolwright_tests::postgres::{Options, Postgres};

mod callgrind;
mod load;
mod profile;
mod record;

use callgrind::Watched;
use load::{Clients, Kind};
use profile::Profile;
use record::Record;

/// Instructions per transaction, where one is sent after the other.
#[derive(Parser)]
#[command(name = "poolwright-instructions", version)]
struct Arguments {
    /// The transactions that are counted, of each kind.
    #[arg(long, default_value_t = 1000)]
    transactions: u32,
    /// Write the counts down as the new figures instead of comparing them.
    #[arg(long)]
    record: bool,
    /// The figures to compare with.
    #[arg(long, default_value = "benches/instructions.tsv")]
    figures: PathBuf,
    /// A folder for the lists of functions.
    #[arg(long, default_value = "target/logs")]
    lists: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let postgres = Postgres::start(Options::default()).await?;
    let settings = load::prepare(&postgres).await?;
    let counts = measure(&settings, &arguments).await?;
    if arguments.record {
        record::write(&arguments.figures, &counts).context("write the figures")?;
        println!("recorded in {}", arguments.figures.display());
        return Ok(ExitCode::SUCCESS);
    }
    let figures = record::read(&arguments.figures).context("read the figures")?;
    let verdicts = counts.iter().map(|count| record::compare(count, &figures));
    let grown = verdicts.map(|verdict| verdict.tell()).filter(|fine| !fine).count();
    Ok(if grown == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Two lives of the pooler for each figure, which differ in nothing but the counted transactions:
/// what start, login and end cost falls out of the difference. Each is lived twice.
async fn measure(settings: &Settings, arguments: &Arguments) -> Result<Vec<Record>> {
    let mut counts = Vec::new();
    for kind in Kind::ALL {
        let live = async |transactions| -> Result<Profile> {
            let one = life(settings, kind, transactions).await?;
            Ok(likelier(kind, one, life(settings, kind, transactions).await?))
        };
        let counted = arguments.transactions;
        let base = live(0).await.with_context(|| format!("count before {kind}"))?;
        let spent = live(counted).await.with_context(|| format!("count {kind}"))?;
        let each = spent.per(&base, counted);
        let list = arguments.lists.join(format!("instructions-{kind}.txt"));
        std::fs::create_dir_all(&arguments.lists)?;
        std::fs::write(&list, each.lists()).context("write the list of functions")?;
        println!("{kind}: {:.0} instructions each, see {}", each.total(), list.display());
        counts.push(record_of(kind, &each));
    }
    Ok(counts)
}

/// What timers do by the clock only adds, so the cheaper one is nearer to what a transaction costs.
/// Only where the pooler waits for two replies does chance save: at times both come at once.
fn likelier(kind: Kind, one: Profile, other: Profile) -> Profile {
    let is_dearer = one.total() > other.total();
    if is_dearer == kind.waits_for_two_replies() { one } else { other }
}

/// One life of the pooler: login, some transactions that are not counted, and those that are.
async fn life(settings: &Settings, kind: Kind, transactions: u32) -> Result<Profile> {
    let pooler = Watched::start(&kind.settings(settings)).await?;
    let mut clients = Clients::login(pooler.port).await?;
    clients.run(kind, load::WARM_UP + transactions).await?;
    clients.terminate().await?;
    pooler.end()
}

fn record_of(kind: Kind, each: &Profile) -> Record {
    Record { name: kind.to_string(), count: each.total().round() as u64 }
}
