//! Runs and what is kept of them: medians and spreads.
//! Never an average: one disturbed run must not move a figure.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cell::Cell;
use crate::subject::Subject;

/// Above this share of the machine for others, a cell says that it was disturbed.
pub const NOISY: f64 = 0.10;

/// One run.
#[derive(Clone, Debug)]
pub struct Run {
    pub transactions: f64,
    pub tps: f64,
    pub latency_us: f64,
    pub cpu_us: f64,
    pub switches: f64,
    pub resident_kib: f64,
    pub foreign_share: f64,
}

/// A median, and the least and the greatest value.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub greatest: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Spread {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let Some(last) = values.len().checked_sub(1) else { return Spread::default() };
        let median = (values[last / 2] + values[last.div_ceil(2)]) / 2.0;
        Spread { median, least: values[0], greatest: values[last] }
    }
}

/// What all rounds of one subject in one cell come to.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    pub cell: String,
    pub subject: String,
    pub rounds: usize,
    /// Of the subject's own process; 0 for the direct way.
    pub cpu_us_per_tx: Spread,
    pub tps: Spread,
    pub latency_us: Spread,
    pub switches_per_tx: Spread,
    pub rss_kib: Spread,
    /// The part of the machine's CPU that others had.
    pub foreign_cpu: Spread,
    /// Why there is no figure.
    pub missing: Option<String>,
}

impl Summary {
    pub fn new(cell: Cell, subject: &Subject, runs: &[Run]) -> Summary {
        let spread = |of: fn(&Run) -> f64| Spread::of(runs.iter().map(of));
        let failed = || runs.is_empty().then(|| "every run failed".to_owned());
        Summary {
            cell: cell.to_string(),
            subject: subject.name.clone(),
            rounds: runs.len(),
            cpu_us_per_tx: spread(|run| run.cpu_us / run.transactions),
            tps: spread(|run| run.tps),
            latency_us: spread(|run| run.latency_us),
            switches_per_tx: spread(|run| run.switches / run.transactions),
            rss_kib: spread(|run| run.resident_kib),
            foreign_cpu: spread(|run| run.foreign_share),
            missing: subject.cannot(cell).map(str::to_owned).or_else(failed),
        }
    }

    /// Whether others had too much of the machine in some round for the figures to be trusted.
    pub fn is_noisy(&self) -> bool {
        self.foreign_cpu.greatest > NOISY
    }
}

/// Writes one JSON line for each summary into a new file of the folder.
pub fn write(folder: &Path, summaries: &[Summary]) -> io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs());
    let path = folder.join(format!("{seconds}.jsonl"));
    let mut file = std::fs::File::create(&path)?;
    for summary in summaries {
        writeln!(file, "{}", serde_json::to_string(summary)?)?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_lies_between_the_middle_values() {
        for (values, median) in
            [(vec![3.0, 1.0, 2.0], 2.0), (vec![4.0, 1.0], 2.5), (vec![7.0], 7.0)]
        {
            assert_eq!(Spread::of(values.clone().into_iter()).median, median, "{values:?}");
        }
        assert_eq!(Spread::of([].into_iter()).median, 0.0);
    }
}
