//! How long things took, in buckets, as a Prometheus histogram.

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Upper bounds, in milliseconds: each about 1.5 times the one before.
const BOUNDS: [u64; 21] = [
    1, 2, 5, 10, 15, 20, 30, 50, 75, 100, 150, 200, 300, 500, 750, 1000, 2000, 5000, 10_000,
    30_000, 60_000,
];

#[derive(Default)]
pub struct Durations {
    /// Those of each bucket alone; longer ones are counted by `all` only.
    counts: [AtomicU64; BOUNDS.len()],
    all: AtomicU64,
    microseconds: AtomicU64,
}

impl Durations {
    pub fn add(&self, duration: Duration) {
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|bound| microseconds <= bound * 1000);
        if let Some(count) = bucket.and_then(|bucket| self.counts.get(bucket)) {
            count.fetch_add(1, Relaxed);
        }
        self.all.fetch_add(1, Relaxed);
        self.microseconds.fetch_add(microseconds, Relaxed);
    }

    pub fn text(&self, name: &str) -> String {
        let mut text =
            format!("# HELP {name} How long reconciles took.\n# TYPE {name} histogram\n");
        let mut below = 0;
        for (bound, count) in BOUNDS.iter().zip(&self.counts) {
            below += count.load(Relaxed);
            let seconds = Duration::from_millis(*bound).as_secs_f64();
            let _ = writeln!(text, "{name}_bucket{{le=\"{seconds}\"}} {below}");
        }
        let all = self.all.load(Relaxed);
        let sum = Duration::from_micros(self.microseconds.load(Relaxed)).as_secs_f64();
        let _ = writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {all}");
        let _ = writeln!(text, "{name}_sum {sum}\n{name}_count {all}");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_in_its_bucket_and_all_above() {
        let durations = Durations::default();
        for milliseconds in [5, 6, 70_000] {
            durations.add(Duration::from_millis(milliseconds));
        }
        let text = durations.text("took");
        for expect in [
            "took_bucket{le=\"0.002\"} 0\n",
            "took_bucket{le=\"0.005\"} 1\n",
            "took_bucket{le=\"0.01\"} 2\n",
            "took_bucket{le=\"60\"} 2\n",
            "took_bucket{le=\"+Inf\"} 3\n",
            "took_sum 70.011\ntook_count 3\n",
        ] {
            assert!(text.contains(expect), "{expect} is not in\n{text}");
        }
    }
}
