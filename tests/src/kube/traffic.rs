//! Load on a PoolerCluster while something is done to it, with all that judges it: the clients'
//! own report, the count of server connections, the poolers' count of requests they cut.
//! Never decides what is done meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::task::JoinHandle;

use super::counters::Counters;
use super::stage::Stage;
use super::wait::{eventually, seconds};
use crate::load::{self, Plan, Report};
use crate::marks::Protocol;
use crate::sampler::{Peaks, Sampler};

/// Between two samples of the server's connections.
const SAMPLE_EVERY: Duration = Duration::from_millis(50);
/// Half of the clients come and go, so that many connects meet what is done; the others stay
/// until a pod asks them to leave.
const PER_CONNECTION: u64 = 60;
/// More than any test's bounds together.
const LONGEST: Duration = Duration::from_secs(900);

pub struct Traffic {
    stop: Arc<AtomicBool>,
    progress: Arc<load::Progress>,
    load: JoinHandle<Result<Report>>,
    sampler: Sampler,
    cut: Counters,
    budget: u32,
}

impl Traffic {
    /// Starts `clients` that write and read their marks through the Service, in all three
    /// protocols, and waits until they do.
    pub async fn start(
        stage: &Stage,
        cluster: &str,
        clients: usize,
        pause: Duration,
    ) -> Result<Traffic> {
        let server = stage.server();
        let plan = Plan {
            host: stage.host(cluster),
            port: 5432,
            clients,
            protocols: Protocol::ALL.to_vec(),
            accounts: server.accounts.clone(),
            duration: LONGEST,
            pause,
            per_connection: PER_CONNECTION,
            setup: true,
            progress: Duration::ZERO,
        };
        let (stop, progress) = (Arc::<AtomicBool>::default(), Arc::<load::Progress>::default());
        let sampler = Sampler::start(server.sampler(), SAMPLE_EVERY).await?;
        let cut =
            Counters::watch(stage.namespace.clone(), cluster, "poolwright_requests_cut_total");
        let load = tokio::spawn(load::run_until(plan, stop.clone(), progress.clone()));
        let traffic = Traffic { stop, progress, load, sampler, cut, budget: server.budget };
        traffic.goes_on().await?;
        Ok(traffic)
    }

    /// Waits until as many transactions more were done as there would be if clients are served.
    pub async fn goes_on(&self) -> Result<()> {
        let before = self.progress.transactions();
        eventually("a thousand transactions", seconds(60), async || {
            ensure!(!self.load.is_finished(), "the load has ended");
            Ok((self.progress.transactions() >= before + 1000).then_some(()))
        })
        .await
    }

    /// Ends the load and tells all that was seen.
    pub async fn stop(self) -> Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        let report = self.load.await.context("the load")??;
        let (pods, cut) = self.cut.stop();
        let seen =
            Seen { report, peaks: self.sampler.stop().await?, pods, cut, budget: self.budget };
        println!("{seen}");
        Ok(seen)
    }
}

/// All that was seen of one load.
pub struct Seen {
    pub report: Report,
    pub peaks: Peaks,
    /// Pods whose counters were read.
    pub pods: usize,
    /// Requests that poolers cut after a byte of them was forwarded.
    pub cut: f64,
    pub budget: u32,
}

impl Seen {
    /// Nobody was refused, cut or shown what is not theirs, and the budget held.
    pub fn is_clean(&self) -> Result<()> {
        let Seen { report, peaks, pods, cut, budget } = self;
        ensure!(report.errors() == 0, "clients had errors:\n{report}");
        ensure!(report.transactions > 0, "there was no transaction");
        ensure!(*cut == 0.0, "{cut} requests were cut by a pooler after a byte was forwarded");
        ensure!(*pods > 0, "no pod told its counters");
        ensure!(peaks.samples > 10 && peaks.total > 0, "hardly sampled: {peaks:?}");
        ensure!(peaks.total <= u64::from(*budget), "{} of {budget}: {peaks:?}", peaks.total);
        Ok(())
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Seen { report, peaks, pods, cut, budget } = self;
        let Report { clients, seconds, transactions, connects, reconnects, .. } = report;
        writeln!(
            f,
            "    {clients} clients, {seconds} s: {transactions} transactions, {connects} connects, \
             {reconnects} asked for by pods, {} refused, {} cut, {} foreign, {} failed",
            report.refused, report.cut, report.wrong, report.failed
        )?;
        write!(
            f,
            "    server connections: at most {} of {budget} in {} samples; cut by {pods} pods: {cut}",
            peaks.total, peaks.samples
        )
    }
}
