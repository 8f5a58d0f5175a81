//! `poolwright-shapes`: a throwaway pooler in the shapes that its core may have, to choose one by
//! measurement (docs/decisions). Never the pooler that ships, and none of its code.

use std::net::SocketAddr;

use clap::{Args, Parser, ValueEnum};
use poolwright_wire::scram::Verifier;

mod cost;
mod measure;
mod relay;
mod scram;
mod serve;

/// Who may use a server connection, and which thread a client lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// A work-stealing runtime; any thread, one lock for each database.
    Locked,
    /// A thread is the home of a database and has all its connections; clients are moved there.
    Homed,
    /// Clients go to the threads in turn; each thread has its part of a database's connections.
    Split,
    /// One thread for all, logins too: the least that a pooler of any shape costs.
    Alone,
}

/// What the sketch of a pooler is told.
#[derive(Args, Clone)]
pub struct Plan {
    #[arg(long)]
    pub shape: Shape,
    #[arg(long)]
    pub workers: usize,
    #[arg(long)]
    pub listen: SocketAddr,
    #[arg(long)]
    pub upstream: SocketAddr,
    /// Databases, whose names are bench_0, bench_1 and so on, or one that is called bench.
    #[arg(long)]
    pub databases: usize,
    /// Server connections of each database.
    #[arg(long)]
    pub slots: usize,
    /// Each client's settings, which are its own, go ahead of each request (docs/decisions/0009).
    #[arg(long)]
    pub settings: bool,
    /// Clients show that they know the password of this SCRAM verifier.
    #[arg(long, value_parser = Verifier::parse)]
    pub verifier: Option<Verifier>,
}

#[derive(Parser)]
#[command(name = "poolwright-shapes", version)]
enum Command {
    /// Pools without rules, trusted by the server, until it is killed. All clients of a database prepare
    /// the same statement, or none.
    Serve(Plan),
    /// Runs every shape in turns beside the bare relay and prints what a transaction cost.
    Measure(Rounds),
}

/// How much is measured.
#[derive(Args)]
pub struct Rounds {
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The length of one run, in seconds.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How often a run is repeated while other programs had too much of the machine.
    #[arg(long, default_value_t = 5)]
    tries: usize,
    /// How long each run waits for a quiet machine, in seconds.
    #[arg(long, default_value_t = 120)]
    patience: u64,
    #[arg(long, value_delimiter = ',', default_value = "16,64,200")]
    clients: Vec<u32>,
    #[arg(long, value_delimiter = ',', default_value = "1,8")]
    databases: Vec<u32>,
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Serve(plan) => Ok(serve::run(&plan)?),
        Command::Measure(rounds) => measure::run(&rounds),
    }
}
