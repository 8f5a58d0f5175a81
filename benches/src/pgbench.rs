//! One run of pgbench against one subject, with the counters read before and after.
//! Never counts a run in which a client failed.

use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::cell::Cell;
use crate::cpu::{self, Used};
use crate::result::Run;
use crate::site::{self, Site};
use crate::subject::Subject;

/// Runs the cell and reads what it cost.
pub async fn run(site: &Site, subject: &Subject, cell: Cell, seconds: u32) -> Result<Run> {
    let before = Counters::read(site, subject);
    let output = site::pgbench(subject.port)?
        .args(["-n", "-S", "-M", cell.protocol, "-j", "1"])
        .args(["-c", &cell.clients.to_string(), "-T", &seconds.to_string()])
        .output()
        .await
        .context("run pgbench")?;
    let spent = Counters::read(site, subject).since(&before);
    let (told, complaints) = (text(&output.stdout), text(&output.stderr));
    if !output.status.success() || complaints.contains("aborted") {
        bail!("pgbench: {}", complaints.lines().last().unwrap_or("no word of why"));
    }
    let transactions = number(&told, "number of transactions actually processed:")?;
    Ok(Run {
        transactions,
        tps: number(&told, "tps =")?,
        latency_us: number(&told, "latency average =")? * 1_000.0,
        cpu_us: spent.subject.cpu_us as f64,
        switches: spent.subject.switches as f64,
        resident_kib: subject.id.map_or(0.0, |id| cpu::resident_kib(id) as f64),
        foreign_share: spent.foreign_share(),
    })
}

/// All counters at one moment.
struct Counters {
    at: Instant,
    subject: Used,
    machine_us: u64,
    ours_us: u64,
}

impl Counters {
    fn read(site: &Site, subject: &Subject) -> Counters {
        let used = subject.id.map_or(Used::default(), Used::by);
        // All subjects and pgbench are children of this process; backends are Postgres's.
        let ours_us = cpu::family_us(site.postgres.id()) + cpu::family_us(std::process::id());
        Counters { at: Instant::now(), subject: used, machine_us: cpu::machine_us(), ours_us }
    }

    fn since(&self, before: &Counters) -> Spent {
        Spent {
            subject: self.subject.since(before.subject),
            foreign_us: (self.machine_us - before.machine_us)
                .saturating_sub(self.ours_us.saturating_sub(before.ours_us)),
            all_us: (self.at - before.at).as_micros() as u64 * cores(),
        }
    }
}

struct Spent {
    subject: Used,
    foreign_us: u64,
    all_us: u64,
}

impl Spent {
    /// The part of the machine's CPU that went to programs that are not ours.
    fn foreign_share(&self) -> f64 {
        self.foreign_us as f64 / self.all_us.max(1) as f64
    }
}

fn cores() -> u64 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn number(told: &str, key: &str) -> Result<f64> {
    let line = told.lines().find_map(|line| line.strip_prefix(key));
    let word = line.and_then(|rest| rest.split_whitespace().next());
    let digits = word.map(|word| word.split('/').next().unwrap_or(word));
    let digits = digits.with_context(|| format!("pgbench printed no line {key:?}"))?;
    digits.parse().with_context(|| format!("{key} {digits}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_read_from_what_pgbench_prints() {
        let told = "number of transactions actually processed: 1234\n\
                    latency average = 0.250 ms\ntps = 51234.567 (without initial connection time)\n";
        assert_eq!(number(told, "number of transactions actually processed:").unwrap(), 1234.0);
        assert_eq!(number(told, "latency average =").unwrap(), 0.25);
        assert_eq!(number(told, "tps =").unwrap(), 51234.567);
        assert!(number(told, "nothing").is_err());
    }
}
