//! The operator: PoolerClusters in, pooler pods out. It reads and writes Kubernetes objects
//! and never dials Postgres.
//!
//! Reading order: [`controller`] (what wakes a reconcile), [`reconcile`] (the steps in their
//! order), then the steps: [`dereference`], [`validate`], [`size`], [`roll`], [`build`],
//! [`apply`], [`status`]. Only the first and the last two hold a client.

#![forbid(unsafe_code)]

mod apply;
mod build;
mod controller;
mod covers;
mod dereference;
mod hash;
mod health;
mod live;
mod metrics;
mod names;
mod pods;
mod reconcile;
mod references;
mod retry;
mod roll;
#[cfg(test)]
mod simulation;
mod size;
mod status;
#[cfg(test)]
mod testing;
mod validate;

use std::{io::IsTerminal, net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::{controller::Scope, metrics::Metrics, reconcile::Context};

/// Runs PostgreSQL pooler pods for every PoolerCluster.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Serve PoolerClusters in this namespace only; empty: in all.
    #[arg(long, env = "POOLWRIGHT_WATCH_NAMESPACE", default_value = "")]
    namespace: String,
    /// Image of pooler pods whose PoolerCluster names none.
    #[arg(long, env = "POOLWRIGHT_IMAGE", default_value = "")]
    image: String,
    /// Address of /healthz, /readyz and /metrics.
    #[arg(long, env = "POOLWRIGHT_HEALTH_ADDRESS", default_value = "0.0.0.0:8080")]
    health_address: SocketAddr,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    log_to_stderr();
    // Another provider may be there already only if a library installed one: either will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = kube::Client::try_default().await.context("find the cluster")?;
    let metrics = Arc::new(Metrics::default());
    let context = Context::new(client, args.image, Arc::clone(&metrics));
    let health = health::serve(args.health_address, metrics).await.context("serve health")?;
    let ended = controller::run(Scope::of(&args.namespace), Arc::new(context), terminated()?);
    tokio::select! {
        () = ended => Ok(()),
        failed = health => failed.context("serve health"),
    }
}

fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

/// Ends when the process is told to: SIGTERM or SIGINT.
fn terminated() -> anyhow::Result<impl Future<Output = ()> + Send + Sync + 'static> {
    let mut term = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = term.recv() => (),
            _ = interrupt.recv() => (),
        }
        tracing::info!("told to end: finishing what is under way");
    })
}
