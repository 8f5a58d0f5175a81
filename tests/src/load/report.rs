//! What the clients of a load saw, added up.
//! Never judges by rates or times: only refused, cut, wrong and failed requests are errors.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::latency::Latency;

/// One client's counts.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) connects: u64,
    pub(super) transactions: u64,
    pub(super) asked_to_leave: u64,
    pub(super) refused: u64,
    pub(super) cut: u64,
    pub(super) wrong: u64,
    pub(super) failed: u64,
    pub(super) latency: Latency,
    pub(super) reasons: BTreeMap<String, u64>,
}

impl Tally {
    /// Notes why something went wrong, shortened, so that a report stays readable.
    pub(super) fn reason(&mut self, reason: &str) {
        let reason: String = reason.chars().take(160).collect();
        *self.reasons.entry(reason).or_default() += 1;
    }
}

/// Counts over all clients.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub clients: usize,
    pub seconds: f64,
    pub transactions: u64,
    pub tps: f64,
    pub p50_us: u64,
    pub p99_us: u64,
    pub max_us: u64,
    /// Connections that were made.
    pub connects: u64,
    /// Reconnects after a clean 57P01 that came instead of an answer: no error.
    pub reconnects: u64,
    /// Connects or logins that failed.
    pub refused: u64,
    /// Requests sent whose connection ended without an answer and without a clean 57P01.
    pub cut: u64,
    /// Answers that were somebody else's, or old.
    pub wrong: u64,
    /// Other ErrorResponses.
    pub failed: u64,
    /// The reasons of all errors, with counts.
    pub reasons: BTreeMap<String, u64>,
    #[serde(skip)]
    latency: Latency,
}

impl Report {
    pub fn errors(&self) -> u64 {
        self.refused + self.cut + self.wrong + self.failed
    }

    pub(super) fn of(clients: usize) -> Report {
        Report { clients, ..Report::default() }
    }

    pub(super) fn add(&mut self, tally: Tally) {
        self.transactions += tally.transactions;
        self.connects += tally.connects;
        self.reconnects += tally.asked_to_leave;
        self.refused += tally.refused;
        self.cut += tally.cut;
        self.wrong += tally.wrong;
        self.failed += tally.failed;
        self.latency.add(&tally.latency);
        for (reason, count) in tally.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
    }

    pub(super) fn finish(&mut self, took: Duration) {
        self.seconds = (took.as_secs_f64() * 10.0).round() / 10.0;
        self.tps = (self.transactions as f64 / took.as_secs_f64()).round();
        self.p50_us = self.latency.quantile(0.5);
        self.p99_us = self.latency.quantile(0.99);
        self.max_us = self.latency.quantile(1.0);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { clients, seconds, transactions, tps, p50_us, p99_us, .. } = self;
        writeln!(
            f,
            "{clients} clients, {seconds} s: {transactions} transactions, {tps} per second"
        )?;
        writeln!(f, "latency   p50 {p50_us} us, p99 {p99_us} us, longest {} us", self.max_us)?;
        writeln!(f, "connects  {}, asked to reconnect {}", self.connects, self.reconnects)?;
        let Report { refused, cut, wrong, failed, .. } = self;
        write!(f, "errors    refused {refused}, cut {cut}, wrong marks {wrong}, failed {failed}")?;
        for (reason, count) in &self.reasons {
            write!(f, "\n  {count} x {reason}")?;
        }
        Ok(())
    }
}

/// What is shown while it runs.
#[derive(Debug, Default)]
pub struct Progress {
    pub(super) transactions: AtomicU64,
    pub(super) reconnects: AtomicU64,
    pub(super) errors: AtomicU64,
}

impl Progress {
    /// Transactions that were done so far.
    pub fn transactions(&self) -> u64 {
        self.transactions.load(Ordering::Relaxed)
    }

    /// As [`Report::reconnects`], so far.
    pub fn reconnects(&self) -> u64 {
        self.reconnects.load(Ordering::Relaxed)
    }

    /// Prints a line this often, for ever; zero for never.
    pub(super) async fn tell(self: Arc<Progress>, often: Duration, start: Instant) {
        if often.is_zero() {
            return;
        }
        let mut ticks = tokio::time::interval(often);
        ticks.tick().await;
        let mut before = 0;
        loop {
            ticks.tick().await;
            let done = self.transactions();
            eprintln!(
                "{:6.1} s  {:8.0} transactions/s  {} reconnects  {} errors",
                start.elapsed().as_secs_f64(),
                (done - before) as f64 / often.as_secs_f64(),
                self.reconnects(),
                self.errors.load(Ordering::Relaxed),
            );
            before = done;
        }
    }
}
