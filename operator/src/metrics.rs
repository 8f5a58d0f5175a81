//! The operator's few counters, as Prometheus reads them. No label names an object.

mod durations;
mod process;

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use durations::Durations;

#[derive(Default)]
pub struct Metrics {
    ready: AtomicBool,
    leading: AtomicBool,
    reconciles: AtomicU64,
    failures: AtomicU64,
    writes: AtomicU64,
    durations: Durations,
}

impl Metrics {
    pub fn set_ready(&self) {
        self.ready.store(true, Relaxed);
    }

    pub fn is_ready(&self) -> bool {
        self.ready.load(Relaxed)
    }

    pub fn set_leading(&self) {
        self.leading.store(true, Relaxed);
    }

    pub fn reconciled(&self) {
        self.reconciles.fetch_add(1, Relaxed);
    }

    /// A reconcile ended, well or not.
    pub fn took(&self, duration: Duration) {
        self.durations.add(duration);
    }

    pub fn failed(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    /// A request that changes something in the cluster.
    pub fn wrote(&self) {
        self.writes.fetch_add(1, Relaxed);
    }

    pub fn text(&self) -> String {
        let rows = [
            ("reconciles", "Reconciles that were started.", &self.reconciles),
            ("reconcile_failures", "Reconciles that ended in an error.", &self.failures),
            ("writes", "Requests that changed an object.", &self.writes),
        ];
        let row = |(name, help, value): (&str, &str, &AtomicU64)| {
            let name = format!("poolwright_operator_{name}_total");
            let value = value.load(Relaxed);
            format!("# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}\n")
        };
        let leading = u8::from(self.leading.load(Relaxed));
        let name = "poolwright_operator_leader";
        let help = "1 in the operator that acts, 0 in one that stands by.";
        let leader = format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {leading}\n");
        let durations = self.durations.text("poolwright_operator_reconcile_seconds");
        rows.into_iter().map(row).chain([leader, durations, process::text()]).collect()
    }
}
