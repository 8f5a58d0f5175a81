//! `poolwright-sampler`: counts server connections in pg_stat_activity until it is told to stop,
//! then prints the largest counts as one line of JSON. Never uses a slot that clients could have.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use poolwright_tests::pg::Target;
use poolwright_tests::sampler::Sampler;
use tokio::signal::unix::{SignalKind, signal};

/// The peak of server connections of ordinary roles.
#[derive(Parser)]
#[command(name = "poolwright-sampler", version)]
struct Arguments {
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    #[arg(long, default_value_t = 5432)]
    port: u16,
    /// A superuser.
    #[arg(long, default_value = "postgres")]
    user: String,
    #[arg(long)]
    password: Option<String>,
    /// Between two samples, in milliseconds.
    #[arg(long, default_value_t = 100)]
    interval: u64,
    /// Stop by itself after this many seconds; else at SIGTERM or SIGINT.
    #[arg(long)]
    seconds: Option<f64>,
    /// Write the report here as well.
    #[arg(long)]
    out: Option<std::path::PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut target = Target::new(&arguments.host, arguments.port, &arguments.user, "postgres");
    target.password = arguments.password.clone();
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let sampler = Sampler::start(target, Duration::from_millis(arguments.interval)).await?;
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
        _ = tokio::time::sleep(limit(arguments.seconds)?) => {}
    }
    let peaks = sampler.stop().await?;
    let report = serde_json::json!({
        "total": peaks.total,
        "byDatabase": peaks.by_database,
        "byPool": peaks.by_pool,
        "samples": peaks.samples,
    });
    if let Some(path) = &arguments.out {
        std::fs::write(path, format!("{report}\n")).context("write the report")?;
    }
    println!("{report}");
    Ok(())
}

fn limit(seconds: Option<f64>) -> Result<Duration> {
    let for_ever = Duration::from_secs(365 * 24 * 3600);
    seconds.map_or(Ok(for_ever), |seconds| Ok(Duration::try_from_secs_f64(seconds)?))
}
