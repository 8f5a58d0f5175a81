//! The pooler's process: reads its settings, starts the workers and what stands around them, and
//! ends when they have. Never touches a client or a server connection.

mod admin;
mod cancel;
mod client;
mod clock;
mod config;
mod conn;
mod control;
mod credential;
mod crew;
mod desk;
mod dialer;
mod door;
mod farewell;
mod front;
mod homes;
mod journal;
mod keeper;
mod legacy;
mod lifecycle;
mod login;
mod metrics;
mod patience;
mod peers;
mod pools;
mod query;
mod relay;
mod reload;
mod replication;
mod roster;
mod server;
mod spares;
mod stream;
mod tenant;
mod tls;
mod treasury;
mod worker;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::available_parallelism;

use anyhow::{Context, anyhow, ensure};
use clap::{Parser, Subcommand};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_local;
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

use crate::config::{Config, Pushed, Seen};
use crate::control::Ways;
use crate::crew::{Crew, Inboxes, Kit};
use crate::desk::Desk;
use crate::homes::Homes;
use crate::journal::{Entry, Journal};
use crate::keeper::Keeper;
use crate::lifecycle::{Lifecycle, Signals};
use crate::metrics::Metrics;
use crate::reload::Reloader;
use crate::replication::Room;
use crate::treasury::Treasury;

/// Names a folder that outlives this process: what it had open, should it be killed, is counted by the
/// next one that is started with it.
const STATE_DIR: &str = "POOLWRIGHT_STATE_DIR";
/// That folder where nothing names one and this is there: pods mount it.
const STATE: &str = "/var/lib/poolwright-pooler";

/// PostgreSQL pooler for many tenants and few server connections.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Args {
    #[command(flatten)]
    pooler: Option<PoolerArgs>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Args)]
struct PoolerArgs {
    /// The settings file (YAML).
    settings: PathBuf,
    /// Say what is wrong with the settings, and end.
    #[arg(long)]
    check: bool,
}

#[derive(Subcommand)]
enum Command {
    Query(query::Query),
}

fn main() -> ExitCode {
    let Args { pooler, command } = Args::parse();
    match (pooler, command) {
        (_, Some(Command::Query(query))) => print_answer(&query),
        (Some(args), None) => pool(&args),
        (None, None) => unreachable!("clap asks for one of them"),
    }
}

fn print_answer(query: &query::Query) -> ExitCode {
    match query.run() {
        Ok(rows) => {
            print!("{rows}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Commits the fault that `POOLWRIGHT_MUTATION` names.
#[cfg(feature = "mutations")]
fn choose_mutation() {
    if let Ok(name) = std::env::var("POOLWRIGHT_MUTATION") {
        poolwright_session::mutation::choose(name.parse().expect("POOLWRIGHT_MUTATION"));
    }
}

fn pool(args: &PoolerArgs) -> ExitCode {
    #[cfg(feature = "mutations")]
    choose_mutation();
    let (result, seen) = config::load(&args.settings, &Pushed::default()).into_parts();
    let config = match result {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("{}:\n{problems}", args.settings.display());
            return ExitCode::FAILURE;
        }
    };
    if args.check {
        println!("{}: no problem found", args.settings.display());
        config.hints().iter().for_each(|hint| println!("hint: {hint}"));
        return ExitCode::SUCCESS;
    }
    start_log();
    match run(&args.settings, config, seen) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What is logged where RUST_LOG is not set. rustls warns of each client that ends TLS with an alert
/// of its own kind, as Java's do.
const LOGGED: &str = "info,rustls::common_state=error";

/// Logs to stderr.
fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOGGED));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

fn run(path: &Path, config: Config, seen: Seen) -> anyhow::Result<()> {
    let (journal, left) = open_journal()?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .context("start the runtime")?;
    let served = runtime.block_on(serve(path, config, seen, journal, left));
    // Key derivations still under way are of no use to anyone.
    runtime.shutdown_background();
    served
}

/// The journal, and what is left of earlier processes.
fn open_journal() -> anyhow::Result<(Arc<Journal>, Vec<Entry>)> {
    let Some(folder) = std::env::var_os(STATE_DIR) else { return Ok(open_usual_journal()) };
    if folder.is_empty() {
        return Ok((Journal::none(), Vec::new()));
    }
    Journal::open(Path::new(&folder)).map_err(|error| {
        anyhow!(
            "{STATE_DIR}: found {folder:?}, which cannot be used ({error}), expected a folder that \
             this process can write to and no other one uses; create it, or leave the variable out"
        )
    })
}

/// In the usual folder, if it is there and can be used.
fn open_usual_journal() -> (Arc<Journal>, Vec<Entry>) {
    let folder = Path::new(STATE);
    let opened = folder.is_dir().then(|| Journal::open(folder));
    opened
        .and_then(|it| it.inspect_err(|error| warn!(STATE, %error, "no journal is kept")).ok())
        .unwrap_or_else(|| (Journal::none(), Vec::new()))
}

async fn serve(
    path: &Path,
    config: Config,
    seen: Seen,
    journal: Arc<Journal>,
    left: Vec<Entry>,
) -> anyhow::Result<()> {
    let metrics = Rc::new(Metrics::default());
    let address = SocketAddr::new(config.admin.address, config.admin.port);
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("listen on the admin address {address}"))?;
    info!(%address, generation = ?config.generation, "admin address is open");
    let (reloader, config) = Reloader::new(path.to_owned(), config, seen, Rc::clone(&metrics));
    let (lifecycle, stage) = watch::channel(Lifecycle::Serving);

    let (desk, jobs) = Desk::new();
    spawn_local(desk::run(jobs));
    let inboxes = Inboxes::new(workers(&config.borrow()));
    let treasury = Treasury::new(inboxes.senders.clone(), journal);
    legacy::settle(left, &treasury, &config, &desk);
    treasury.follow(&config.borrow());
    let kit = Kit { config: config.clone(), lifecycle: stage.clone(), desk, treasury, number: 0 };
    let (crew, ends) = Crew::start(inboxes, &kit)?;
    let crew = Rc::new(crew);

    let admin = spawn_local(admin::serve(listener, Rc::clone(&metrics), Rc::clone(&crew)));
    let homes = Rc::new(Homes::new(crew.len()));
    let (treasury, books) = (Arc::clone(&kit.treasury), Arc::clone(&kit.treasury));
    let keeper = Keeper::new(
        path.to_owned(),
        config.clone(),
        treasury,
        Rc::clone(&crew),
        Rc::clone(&homes),
    )?;
    let (pushes, inbox) = mpsc::channel(1);
    let (orders, given) = mpsc::channel(1);
    spawn_local(keeper.run(given));
    let control = spawn_local(control::serve(config.clone(), Ways { pushes, orders }));
    let reloads = spawn_local(reloader.run(inbox));
    spawn_local(Signals::listen().context("listen to signals")?.drive(lifecycle, config.clone()));
    let (room, room_ended) = Room::open(&kit)?;
    let front = front::run(kit, crew, homes, room, metrics);
    let served = async {
        let emptied = async { tokio::try_join!(ends.all(), room_ended.wait()) };
        tokio::select! {
            failed = front => match failed? {},
            ended = emptied => drop(ended?),
        }
        // Whoever counts connections trusts an end without an error.
        ensure!(!books.has_left_open(), "the end of some server connections was not confirmed");
        Ok(())
    };
    tokio::select! {
        ended = served => ended,
        ended = admin => ended.context("run the admin address")?.context("serve the admin address"),
        ended = control => ended.context("run the control port")?.context("serve the control port"),
        ended = reloads => ended.context("run reloads")?.context("follow the settings"),
    }
}

/// As many as the settings say, else one for each CPU that the process may use.
fn workers(config: &Config) -> u32 {
    let cpus = || available_parallelism().map_or(1, |cpus| cpus.get() as u32);
    config.workers.unwrap_or_else(cpus)
}
