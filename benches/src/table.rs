//! The figures for people.
//! Never a ratio without both of its figures from the same cell of the same call.

use std::fmt::Write;

use crate::cell::Cell;
use crate::result::{NOISY, Summary};

const HEAD: [&str; 8] =
    ["", "us/tx", "least-most", "x relay", "x pgbouncer", "tps", "latency us", "switches/tx"];

/// The rows of one cell, under a heading.
pub fn rows(cell: Cell, summaries: &[Summary]) -> String {
    let mut text = format!("\n{cell}\n{}", line(HEAD.map(str::to_owned)));
    for summary in summaries {
        text.push_str(&row(summary, summaries));
    }
    text
}

/// What the columns mean.
pub fn legend() -> String {
    format!(
        "\nus/tx: CPU of the subject's own process for one transaction, median of the rounds; \
         x: ratio of the medians.\n!: programs that are not ours had more than {:.0} % of the \
         machine in some round, so the row is not to be compared.",
        NOISY * 100.0
    )
}

fn row(summary: &Summary, all: &[Summary]) -> String {
    let mark = if summary.is_noisy() { " !" } else { "" };
    let name = format!("{}{mark}", summary.subject);
    if let Some(reason) = &summary.missing {
        return format!("{name:<18}  - {reason}\n");
    }
    let cpu = summary.cpu_us_per_tx;
    let (cost, range) = match cpu.median {
        0.0 => ("-".to_owned(), "-".to_owned()),
        median => (format!("{median:.2}"), format!("{:.2}-{:.2}", cpu.least, cpu.greatest)),
    };
    line([
        name,
        cost,
        range,
        ratio(summary, all, "relay"),
        ratio(summary, all, "pgbouncer"),
        format!("{:.0}", summary.tps.median),
        format!("{:.0}", summary.latency_us.median),
        format!("{:.2}", summary.switches_per_tx.median),
    ])
}

/// A ratio only of rows that ran, undisturbed enough to mean something.
fn ratio(summary: &Summary, all: &[Summary], base: &str) -> String {
    let base = all.iter().find(|other| other.subject.starts_with(base) && other.missing.is_none());
    match base {
        Some(base) if base.cpu_us_per_tx.median > 0.0 && summary.cpu_us_per_tx.median > 0.0 => {
            format!("{:.2}", summary.cpu_us_per_tx.median / base.cpu_us_per_tx.median)
        }
        _ => "-".to_owned(),
    }
}

fn line(cells: [String; 8]) -> String {
    let [name, rest @ ..] = cells;
    let mut text = format!("{name:<18}");
    for cell in rest {
        let _ = write!(text, " {cell:>12}");
    }
    text.push('\n');
    text
}
