//! Runs and what is kept of them: medians and spreads.
//! Never an average: one disturbed run must not move a figure.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cell::{Cell, Entry};
use crate::machine::Disturbance;
use crate::run::Run;

/// Above this share of the machine for others, a figure is not to be compared.
pub const NOISY: f64 = 0.10;
/// Above this share that the machine was not given, a figure is not to be compared.
pub const STOLEN: f64 = 0.05;

/// A median, and the least and the greatest value.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub greatest: f64,
}

impl Spread {
    pub fn of(values: impl Iterator<Item = f64>) -> Spread {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let Some(last) = values.len().checked_sub(1) else { return Spread::default() };
        let median = (values[last / 2] + values[last.div_ceil(2)]) / 2.0;
        Spread { median, least: values[0], greatest: values[last] }
    }
}

/// What one run came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Of the subject's own processes; 0 for the direct way.
    pub cpu_us_per_tx: f64,
    pub tps: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub max_us: f64,
    pub p99_to_p50: f64,
    pub switches_per_tx: f64,
    /// CPU time for each second, in cores.
    pub cores: f64,
    pub rss_kib: f64,
    /// Growth of the resident memory for each client that only stays; 0 where there are none.
    pub kib_each: f64,
    /// The part that the busiest worker did; 1 where there is but one.
    pub busiest: f64,
    /// The part of the machine's CPU that others had.
    pub foreign_cpu: f64,
}

impl Figures {
    fn of(run: &Run, idle: u32) -> Figures {
        let report = &run.report;
        let transactions = report.transactions.max(1) as f64;
        let seconds = report.seconds.max(0.001);
        Figures {
            cpu_us_per_tx: run.cpu_us / transactions,
            tps: report.transactions as f64 / seconds,
            p50_us: report.p50_us,
            p99_us: report.p99_us,
            max_us: report.max_us,
            p99_to_p50: report.p99_us / report.p50_us.max(0.001),
            switches_per_tx: run.switches / transactions,
            cores: run.cpu_us / 1e6 / seconds,
            rss_kib: run.resident_kib,
            kib_each: if idle > 0 { run.grown_kib / f64::from(idle) } else { 0.0 },
            busiest: run.busiest,
            foreign_cpu: run.disturbance.foreign,
        }
    }
}

/// What all rounds of one subject in one cell come to.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    pub cell: String,
    pub subject: String,
    /// The program and its version.
    pub program: String,
    pub rounds: usize,
    pub cpu_us_per_tx: Spread,
    pub tps: Spread,
    pub p50_us: Spread,
    pub p99_us: Spread,
    pub max_us: Spread,
    pub p99_to_p50: Spread,
    pub switches_per_tx: Spread,
    pub cores: Spread,
    pub rss_kib: Spread,
    pub kib_each: Spread,
    pub busiest: Spread,
    /// Which threads did the work of the last round, where there are several workers.
    pub split: Option<String>,
    pub foreign_cpu: Spread,
    /// Why nothing was measured.
    pub left_out: Option<String>,
    /// What failed.
    pub failed: Option<String>,
    /// Why the figures are not to be compared: half of the rounds or more were disturbed.
    pub disturbed: Option<String>,
    /// Round by round; nothing where the run was disturbed.
    #[serde(skip)]
    pub each: Vec<Option<Figures>>,
}

impl Summary {
    pub fn new(cell: &Cell, entry: &Entry, program: &str, runs: &[Run]) -> Summary {
        let is_quiet = |run: &Run| disturbed(&run.disturbance).is_none();
        let all: Vec<Figures> = runs.iter().map(|run| Figures::of(run, entry.load.idle)).collect();
        let each: Vec<Option<Figures>> =
            runs.iter().zip(&all).map(|(run, figures)| is_quiet(run).then_some(*figures)).collect();
        let quiet: Vec<Figures> = each.iter().flatten().copied().collect();
        let comparable = quiet.len() * 2 > runs.len();
        let kept = if comparable { quiet } else { all };
        let spread = |figure: fn(&Figures) -> f64| Spread::of(kept.iter().map(figure));
        Summary {
            cell: cell.name.clone(),
            subject: entry.name(),
            program: program.to_owned(),
            rounds: kept.len(),
            cpu_us_per_tx: spread(|run| run.cpu_us_per_tx),
            tps: spread(|run| run.tps),
            p50_us: spread(|run| run.p50_us),
            p99_us: spread(|run| run.p99_us),
            max_us: spread(|run| run.max_us),
            p99_to_p50: spread(|run| run.p99_to_p50),
            switches_per_tx: spread(|run| run.switches_per_tx),
            cores: spread(|run| run.cores),
            rss_kib: spread(|run| run.rss_kib),
            kib_each: spread(|run| run.kib_each),
            busiest: spread(|run| run.busiest),
            split: runs.last().map(|run| run.split.clone()).filter(|_| entry.setup.workers > 1),
            foreign_cpu: spread(|run| run.foreign_cpu),
            left_out: None,
            failed: None,
            disturbed: runs
                .iter()
                .find_map(|run| disturbed(&run.disturbance))
                .filter(|_| !comparable),
            each,
        }
    }

    /// Whether its figures may stand beside others.
    pub fn is_comparable(&self) -> bool {
        self.rounds > 0
            && self.left_out.is_none()
            && self.failed.is_none()
            && self.disturbed.is_none()
    }

    /// The ratios to another subject, of the rounds in which both were undisturbed.
    pub fn ratios(&self, base: &Summary, figure: fn(&Figures) -> f64) -> Vec<f64> {
        let rounds = self.each.iter().zip(&base.each);
        let both = rounds
            .filter_map(|(ours, base)| Some((figure(ours.as_ref()?), figure(base.as_ref()?))));
        both.filter(|(_, base)| *base > 0.0).map(|(ours, base)| ours / base).collect()
    }
}

/// Why a run is not to be compared, if so.
pub fn disturbed(disturbance: &Disturbance) -> Option<String> {
    let Disturbance { foreign, stolen, throttled } = *disturbance;
    match () {
        () if throttled > 0 => Some(format!("throttled {throttled} times")),
        () if stolen > STOLEN => Some(format!("{:.0} % of the machine stolen", stolen * 100.0)),
        () if foreign > NOISY => {
            Some(format!("others had {:.0} % of the machine", foreign * 100.0))
        }
        () => None,
    }
}

/// A new name for the results of one call, in this folder.
pub fn file(folder: &Path) -> io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs());
    Ok(folder.join(format!("{seconds}.jsonl")))
}

/// Adds one JSON line for each summary to the file.
pub fn append(file: &Path, summaries: &[Summary]) -> io::Result<()> {
    let mut file = std::fs::File::options().create(true).append(true).open(file)?;
    for summary in summaries {
        writeln!(file, "{}", serde_json::to_string(summary)?)?;
    }
    Ok(())
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

    #[test]
    fn a_run_is_disturbed_by_others_by_its_host_and_by_its_limit() {
        let quiet = Disturbance::default();
        assert_eq!(disturbed(&quiet), None);
        for (case, word) in [
            (Disturbance { foreign: 0.2, ..quiet }, "others"),
            (Disturbance { stolen: 0.2, ..quiet }, "stolen"),
            (Disturbance { throttled: 1, ..quiet }, "throttled"),
        ] {
            assert!(disturbed(&case).is_some_and(|text| text.contains(word)), "{word}");
        }
    }
}
