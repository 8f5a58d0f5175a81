//! The goals as data, each judged by figures of one cell of this call.
//! Never judged by a figure that failed, was disturbed or is of another call.

use crate::result::Summary;

mod list;

pub use list::GOALS;

/// Whose figure stands beside a missed goal: a pooler without rules.
const FLOOR: &str = "sketch";

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// CPU for each transaction, result or visit.
    Cpu,
    Tps,
    P50,
    P99,
    P99ToP50,
    KibEach,
    Busiest,
}

/// What it is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Base {
    /// The same figure of another subject of the cell.
    Subject(&'static str),
    /// Nothing: the limit is the figure itself.
    Itself,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

/// One goal.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    pub cell: &'static str,
    pub subject: &'static str,
    pub figure: Figure,
    pub limit: Limit,
    pub base: Base,
}

impl Figure {
    fn of(self, summary: &Summary) -> f64 {
        match self {
            Figure::Cpu => summary.cpu_us_per_tx.median,
            Figure::Tps => summary.tps.median,
            Figure::P50 => summary.p50_us.median,
            Figure::P99 => summary.p99_us.median,
            Figure::P99ToP50 => summary.p99_to_p50.median,
            Figure::KibEach => summary.kib_each.median,
            Figure::Busiest => summary.busiest.median,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Figure::Cpu => "CPU us/tx",
            Figure::Tps => "tps",
            Figure::P50 => "p50 us",
            Figure::P99 => "p99 us",
            Figure::P99ToP50 => "p99/p50",
            Figure::KibEach => "KiB each",
            Figure::Busiest => "busiest worker's part",
        }
    }
}

/// One line for each goal of the cells that ran: met, missed, or why it cannot be told.
pub fn judged(summaries: &[Summary]) -> Vec<String> {
    let ran = |goal: &&Goal| summaries.iter().any(|summary| summary.cell == goal.cell);
    GOALS.iter().filter(ran).map(|goal| judge(goal, summaries)).collect()
}

fn judge(goal: &Goal, summaries: &[Summary]) -> String {
    let words = goal.words();
    let found = figure(goal, goal.subject, summaries);
    let base = match goal.base {
        Base::Itself => Ok(1.0),
        Base::Subject(name) => figure(goal, name, summaries),
    };
    let (found, base) = match (found, base) {
        (Ok(found), Ok(base)) => (found, base),
        (Err(reason), _) | (_, Err(reason)) => return format!("unknown {words}: {reason}"),
    };
    let ratio = found / base;
    let met = match goal.limit {
        Limit::AtMost(limit) => ratio <= limit,
        Limit::AtLeast(limit) => ratio >= limit,
    };
    let verdict = if met { "met    " } else { "MISSED " };
    let floor = floor(goal, summaries).filter(|_| !met);
    let floor = floor.map_or_else(String::new, |ratio| format!("; of the {FLOOR}: {ratio:.2}"));
    match goal.base {
        Base::Itself => format!("{verdict} {words}: {found:.2}{floor}"),
        Base::Subject(_) => {
            format!("{verdict} {words}: {found:.2} / {base:.2} = {ratio:.2}{floor}")
        }
    }
}

/// The goal's ratio with the sketch in the place of ours.
fn floor(goal: &Goal, summaries: &[Summary]) -> Option<f64> {
    let stands_in = |name: &str| name.replace(list::OURS, FLOOR);
    let found = figure(goal, &stands_in(goal.subject), summaries).ok()?;
    match goal.base {
        Base::Itself => Some(found),
        Base::Subject(base) => Some(found / figure(goal, &stands_in(base), summaries).ok()?),
    }
}

fn figure(goal: &Goal, subject: &str, summaries: &[Summary]) -> Result<f64, String> {
    let matches = |summary: &&Summary| summary.cell == goal.cell && summary.subject == subject;
    let summary = summaries.iter().find(matches).ok_or(format!("{subject} was not asked"))?;
    let reasons = [&summary.left_out, &summary.failed, &summary.disturbed];
    if let Some(reason) = reasons.into_iter().flatten().next() {
        return Err(format!("{subject}: {reason}"));
    }
    match goal.figure.of(summary) {
        figure if figure > 0.0 => Ok(figure),
        _ => Err(format!("{subject} has no such figure")),
    }
}

impl Goal {
    fn words(&self) -> String {
        let Goal { cell, subject, figure, limit, base } = self;
        let (sign, limit) = match limit {
            Limit::AtMost(limit) => ("<=", limit),
            Limit::AtLeast(limit) => (">=", limit),
        };
        let base = match base {
            Base::Subject(name) => format!(" x {name}"),
            Base::Itself => String::new(),
        };
        format!("{cell}: {subject}, {} {sign} {limit}{base}", figure.words())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell;
    use crate::result::Spread;

    fn summary(subject: &str, cpu: f64) -> Summary {
        let cell = cell::find("simple-16").unwrap();
        let mut summary = Summary::new(&cell, &cell.entries[0], "", &[]);
        summary.subject = subject.to_owned();
        summary.rounds = 1;
        summary.cpu_us_per_tx = Spread { median: cpu, least: cpu, greatest: cpu };
        summary
    }

    fn verdicts(summaries: &[Summary]) -> Vec<String> {
        let first = |line: String| line.split(' ').next().unwrap_or_default().to_owned();
        judged(summaries).into_iter().map(first).collect()
    }

    #[test]
    fn every_goal_speaks_of_a_subject_that_its_cell_has() {
        for goal in GOALS {
            let cell = cell::find(goal.cell).unwrap();
            let names: Vec<_> = cell.entries.iter().map(cell::Entry::name).collect();
            let has = |name: &str| names.iter().any(|known| known == name);
            assert!(has(goal.subject), "{goal:?}");
            if let Base::Subject(base) = goal.base {
                assert!(has(base), "{goal:?}");
            }
        }
    }

    #[test]
    fn a_goal_is_met_missed_or_unknown() {
        let all =
            |ours| [summary("poolwright", ours), summary("pgbouncer", 10.0), summary("relay", 9.0)];
        assert_eq!(verdicts(&all(8.0)), ["met", "met"]);
        assert_eq!(verdicts(&all(9.4)), ["MISSED", "met"]);
        let mut disturbed = all(8.0);
        disturbed[1].disturbed = Some("noise".to_owned());
        assert_eq!(verdicts(&disturbed), ["unknown", "met"]);
    }

    #[test]
    fn beside_a_missed_goal_stands_what_a_pooler_without_rules_has() {
        let all = ["pgbouncer", "relay", "sketch"].map(|name| summary(name, 10.0));
        let lines = judged(&[&all[..], &[summary("poolwright", 10.3)]].concat());
        let ends = lines.iter().map(|line| line.ends_with("= 1.03; of the sketch: 1.00"));
        assert_eq!(ends.collect::<Vec<_>>(), [true, false]);
    }
}
