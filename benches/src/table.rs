//! The figures for people.
//! Never a ratio without both of its figures from the same cell of the same call.

use std::fmt::Write;

use crate::cell::Cell;
use crate::result::{NOISY, Spread, Summary};

const HEAD: [&str; 12] = [
    "us/tx",
    "least-most",
    "x relay",
    "x pgbouncer",
    "tps",
    "p50 us",
    "p99 us",
    "p99/p50",
    "cores",
    "switches",
    "MiB",
    "busiest",
];

/// The rows of one cell, under a heading.
pub fn rows(cell: &Cell, summaries: &[Summary]) -> String {
    let mut text = format!("\n{}", cell.name);
    if !cell.about.is_empty() {
        let _ = write!(text, ": {}", cell.about);
    }
    text.push('\n');
    text.push_str(&line("", &HEAD.map(str::to_owned)));
    for summary in summaries {
        text.push_str(&row(summary, summaries));
    }
    text
}

/// What the columns mean.
pub fn legend() -> String {
    format!(
        "\nus/tx: CPU of the subject's own processes for one transaction, median of the rounds; \
         x: median of its ratios to another, round by round; cores: its CPU for each second; switches: context switches for \
         each transaction; MiB: its resident memory at the end; KiB each: growth for each idle \
         client; busiest: the part that the busiest of several workers did.\n\
         No round counts that was throttled or disturbed (others had more than {:.0} % of the \
         machine, or it was taken away); a row with half of them or more, or that failed, has no \
         ratios, and no goal is judged by it.",
        NOISY * 100.0
    )
}

fn row(summary: &Summary, all: &[Summary]) -> String {
    let name = match summary.subject.split_once(' ') {
        Some((_, variant)) => format!("{}, {variant}", summary.program),
        None => summary.program.clone(),
    };
    if let Some(reason) = &summary.left_out {
        return format!("  {name:<34} left out: {reason}\n");
    }
    if let Some(reason) = &summary.failed {
        return format!("  {name:<34} FAILED: {reason}\n");
    }
    let mut text = line(&name, &figures(summary, all));
    if let Some(reason) = &summary.disturbed {
        text.insert_str(text.len() - 1, &format!("  not compared: {reason}"));
    }
    if summary.kib_each.greatest > 0.0 {
        text.insert_str(text.len() - 1, &format!("  {:.2} KiB each", summary.kib_each.median));
    }
    if let Some(split) = &summary.split {
        let _ = writeln!(text, "  {:<34} {split}", "  threads:");
    }
    text
}

fn figures(summary: &Summary, all: &[Summary]) -> [String; 12] {
    let cpu = summary.cpu_us_per_tx;
    let known = cpu.median > 0.0;
    let of_cpu = |text: String| if known { text } else { "-".to_owned() };
    [
        of_cpu(format!("{:.2}", cpu.median)),
        of_cpu(range(cpu)),
        ratio(summary, all, "relay"),
        ratio(summary, all, "pgbouncer"),
        format!("{:.0}", summary.tps.median),
        format!("{:.0}", summary.p50_us.median),
        format!("{:.0}", summary.p99_us.median),
        format!("{:.2}", summary.p99_to_p50.median),
        of_cpu(format!("{:.2}", summary.cores.median)),
        of_cpu(format!("{:.2}", summary.switches_per_tx.median)),
        of_cpu(format!("{:.1}", summary.rss_kib.median / 1024.0)),
        of_cpu(format!("{:.2}", summary.busiest.median)),
    ]
}

fn range(spread: Spread) -> String {
    format!("{:.2}-{:.2}", spread.least, spread.greatest)
}

/// The median ratio of their rounds, only of rows that ran, undisturbed enough to mean something.
fn ratio(summary: &Summary, all: &[Summary], base: &str) -> String {
    let is_base = |other: &&Summary| other.subject.split(' ').next() == Some(base);
    let Some(base) = all.iter().find(is_base) else { return "-".to_owned() };
    if !summary.is_comparable() || !base.is_comparable() {
        return "-".to_owned();
    }
    match Spread::of(summary.ratios(base, |run| run.cpu_us_per_tx).into_iter()).median {
        ratio if ratio > 0.0 => format!("{ratio:.2}"),
        _ => "-".to_owned(),
    }
}

fn line(name: &str, cells: &[String; 12]) -> String {
    let mut text = format!("  {name:<34}");
    for cell in cells {
        let _ = write!(text, " {cell:>11}");
    }
    text.push('\n');
    text
}
