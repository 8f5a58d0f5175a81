//! The operator: PoolerClusters in, pooler pods out. It reads and writes Kubernetes objects
//! and never dials Postgres.
//!
//! Reading order: [`election`] (who acts), [`claim`] (which install), [`controller`] (what wakes
//! a reconcile), [`reconcile`] (the steps in their order; with [`outcome`] and [`memory`]), then the steps: [`dereference`],
//! [`validate`], [`size`], [`upgrade`] (with [`turns`]), [`roll`], [`books`] (with [`grants`] and
//! [`departures`] and [`backends`]), [`build`], [`apply`], [`push`], [`status`].
//! Only the first (with [`census`], which counts tenants), [`turns`], [`apply`] and [`status`]
//! hold a client; [`push`] and [`grants`] speak to pods.

#![forbid(unsafe_code)]

mod apply;
mod authority;
mod backends;
mod books;
mod build;
mod census;
mod certificate;
mod check;
mod claim;
mod conflict;
mod controller;
mod covers;
mod departures;
mod dereference;
mod election;
mod grants;
mod hash;
mod health;
mod home;
mod live;
mod memory;
mod metrics;
mod names;
mod outcome;
mod pods;
mod push;
mod quantity;
mod reconcile;
mod references;
mod retry;
mod rights;
mod roll;
#[cfg(test)]
mod simulation;
mod size;
mod status;
#[cfg(test)]
mod testing;
mod turns;
mod upgrade;
mod validate;

use std::{io::IsTerminal, net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use clap::Parser;
use futures::FutureExt as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    census::{Census, Woken},
    claim::Claim,
    controller::Scope,
    election::{Candidate, Office, Term},
    home::{Home, Labels},
    metrics::Metrics,
    reconcile::Context,
    turns::Turns,
};

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
    /// Say whether PoolerClusters can be listed and who leads, and end.
    #[arg(long)]
    check: bool,
    /// Labels of the operator's own pods, as key=value,key=value: pods whose PoolerCluster wants a
    /// NetworkPolicy take settings from these alone. Empty: from all pods of its namespace.
    #[arg(long, env = "POOLWRIGHT_LABELS", default_value = "")]
    labels: Labels,
    /// Let PoolerClusters count tenants over objects outside their own namespace.
    #[arg(long, env = "POOLWRIGHT_TENANTS_IN_ALL_NAMESPACES")]
    tenants_in_all_namespaces: bool,
    /// Name of the install: all its pods have the same, and no other install of their namespace.
    #[arg(long, env = "POOLWRIGHT_INSTALL", default_value = names::MANAGER)]
    install: String,
    /// Name in the election of a leader; unique among the operator's pods.
    #[arg(long, env = "POOLWRIGHT_IDENTITY", default_value_t = host_and_process())]
    identity: String,
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
    let config = kube::Config::infer().await.context("find the cluster")?;
    let (scope, namespace) = (Scope::of(&args.namespace), config.default_namespace.clone());
    let home = Home { namespace, install: args.install, labels: args.labels };
    if args.check {
        print!("{}", check::check(&scope, &home, config).await?);
        return Ok(());
    }
    let client = kube::Client::try_from(config.clone()).context("reach the cluster")?;
    let (metrics, term) = (Arc::new(Metrics::default()), Term::default());
    let office = Office::leader(&home);
    let claim = Claim::of(&scope, home);
    let turns = Turns::new(scope.api(&client));
    let (census, woken) = Census::new(client.clone(), args.tenants_in_all_namespaces);
    let (shared, until) = (Arc::clone(&metrics), term.clone());
    let context = Context::new(client, args.image, claim, shared, until, turns, census);
    let health = health::serve(args.health_address, metrics).await.context("serve health")?;
    let election = Candidate::stand(config.clone(), office, &args.identity, term);
    let operate = operate(scope, Arc::new(context), woken, election, config, &args.identity);
    tokio::select! {
        ended = operate => ended,
        failed = health => failed.context("serve health"),
    }
}

/// Stands by until it is elected, then serves PoolerClusters until it is told to end.
async fn operate(
    scope: Scope,
    context: Arc<Context>,
    woken: Woken,
    election: impl Future<Output = Result<Candidate, election::Error>>,
    config: kube::Config,
    identity: &str,
) -> anyhow::Result<()> {
    let told_to_end = terminated()?.shared();
    tokio::spawn(controller::announce(scope.clone(), Arc::clone(&context)));
    let mut candidate = tokio::select! {
        stood = election => stood?,
        () = told_to_end.clone() => return Ok(()),
    };
    tokio::select! {
        elected = candidate.elected() => elected?,
        () = told_to_end.clone() => {
            candidate.resign().await;
            return Ok(());
        }
    }
    let mut claim = context.claim.stake(config).await.context(context.claim.what())?;
    tokio::select! {
        granted = claim.granted() => granted?,
        () = conflict::tell(&scope, Arc::clone(&context)) => (),
        () = candidate.replaced() => anyhow::bail!("another operator leads: ending, to stand by"),
        () = told_to_end.clone() => {
            candidate.resign().await;
            return Ok(());
        }
    }
    context.metrics.set_leading();
    tracing::info!(identity, claim = context.claim.what(), "leading: serving PoolerClusters");
    let served = controller::run(scope, context, woken, told_to_end);
    tokio::select! {
        () = served => {
            candidate.resign().await;
            Ok(())
        }
        // Whatever it was about to write is another's now.
        () = candidate.replaced() => anyhow::bail!("another operator leads: ending, to stand by"),
        () = claim.lost() => anyhow::bail!("another install serves: ending, to stand by"),
    }
}

/// In a container the process is often number 1, and the host has the pod's name.
fn host_and_process() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_default();
    format!("{host}-{}", std::process::id())
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
