//! The goals as data, each judged by the rounds of one cell of this call.
//! Never judged by a figure that failed, was disturbed or is of another call.

use crate::result::{Figures, Spread, Summary};

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
    fn of(self) -> fn(&Figures) -> f64 {
        match self {
            Figure::Cpu => |run| run.cpu_us_per_tx,
            Figure::Tps => |run| run.tps,
            Figure::P50 => |run| run.p50_us,
            Figure::P99 => |run| run.p99_us,
            Figure::P99ToP50 => |run| run.p99_to_p50,
            Figure::KibEach => |run| run.kib_each,
            Figure::Busiest => |run| run.busiest,
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

/// What the rounds say of a goal: the figure of each, or its ratio.
struct Finding(Vec<f64>);

/// Why nothing can be said.
enum Unknown {
    /// Further rounds may change that.
    Disturbed(String),
    Lasting(String),
}

/// One line for each goal of the cells that ran: met, missed, or why it cannot be told.
pub fn judged(summaries: &[Summary]) -> Vec<String> {
    of_these(summaries).map(|goal| judge(goal, summaries)).collect()
}

/// Whether further rounds could tell more of a goal of these cells.
pub fn open(summaries: &[Summary]) -> bool {
    of_these(summaries).any(|goal| match goal.found(goal.subject, goal.base.name(), summaries) {
        Ok(finding) => !finding.is_clear(goal.limit),
        Err(Unknown::Disturbed(_)) => true,
        Err(Unknown::Lasting(_)) => false,
    })
}

/// Whether a goal of the cell speaks of the subject, or the floor stands in for it.
pub fn concern(cell: &str, subject: &str) -> bool {
    GOALS.iter().filter(|goal| goal.cell == cell).any(|goal| {
        let names = [Some(goal.subject), goal.base.name()];
        names.into_iter().flatten().any(|name| name == subject || stand_in(name) == subject)
    })
}

fn of_these(summaries: &[Summary]) -> impl Iterator<Item = &'static Goal> {
    let ran = |goal: &&Goal| summaries.iter().any(|summary| summary.cell == goal.cell);
    GOALS.iter().filter(ran)
}

fn judge(goal: &Goal, summaries: &[Summary]) -> String {
    let words = goal.words();
    let finding = match goal.found(goal.subject, goal.base.name(), summaries) {
        Ok(finding) => finding,
        Err(Unknown::Disturbed(reason) | Unknown::Lasting(reason)) => {
            return format!("unknown {words}: {reason}");
        }
    };
    let Spread { median, least, greatest } = finding.spread();
    let met = goal.limit.holds(median);
    let verdict = if met { "met    " } else { "MISSED " };
    let clear = if finding.is_clear(goal.limit) { "" } else { ", not clearly" };
    let rounds = finding.0.len();
    let floor = if met { String::new() } else { floor(goal, summaries) };
    format!("{verdict} {words}: {median:.2} ({least:.2}-{greatest:.2} in {rounds}{clear}){floor}")
}

/// The same of a pooler without rules.
fn floor(goal: &Goal, summaries: &[Summary]) -> String {
    let base = goal.base.name().map(stand_in);
    match goal.found(&stand_in(goal.subject), base.as_deref(), summaries) {
        Ok(finding) => format!("; of the {FLOOR}: {:.2}", finding.spread().median),
        Err(_) => String::new(),
    }
}

/// Who stands in for a subject of ours; others for themselves.
fn stand_in(name: &str) -> String {
    name.replace(list::OURS, FLOOR)
}

impl Base {
    fn name(self) -> Option<&'static str> {
        match self {
            Base::Subject(name) => Some(name),
            Base::Itself => None,
        }
    }
}

impl Finding {
    fn spread(&self) -> Spread {
        Spread::of(self.0.iter().copied())
    }

    /// Whether so few rounds say otherwise that chance is an unlikely reason: none of 3 to 6,
    /// one of 7 to 10, two of 11.
    fn is_clear(&self, limit: Limit) -> bool {
        let holding = self.0.iter().filter(|ratio| limit.holds(**ratio)).count();
        let minority = holding.min(self.0.len() - holding);
        minority * 4 + 3 <= self.0.len()
    }
}

impl Limit {
    fn holds(self, found: f64) -> bool {
        match self {
            Limit::AtMost(limit) => found <= limit,
            Limit::AtLeast(limit) => found >= limit,
        }
    }
}

fn comparable<'a>(
    cell: &str,
    subject: &str,
    summaries: &'a [Summary],
) -> Result<&'a Summary, Unknown> {
    let matches = |summary: &&Summary| summary.cell == cell && summary.subject == subject;
    let lasting = |reason: &str| Unknown::Lasting(format!("{subject} {reason}"));
    let summary = summaries.iter().find(matches).ok_or(lasting("was not asked"))?;
    if let Some(reason) = summary.left_out.as_ref().or(summary.failed.as_ref()) {
        return Err(lasting(&format!("was left out or failed: {reason}")));
    }
    match &summary.disturbed {
        Some(reason) => Err(Unknown::Disturbed(format!("{subject}: {reason}"))),
        None => Ok(summary),
    }
}

impl Goal {
    /// What was found of this goal with these in the places of its subject and its base.
    fn found(
        &self,
        subject: &str,
        base: Option<&str>,
        summaries: &[Summary],
    ) -> Result<Finding, Unknown> {
        let ours = comparable(self.cell, subject, summaries)?;
        let figure = self.figure.of();
        let found: Vec<f64> = match base {
            Some(name) => ours.ratios(comparable(self.cell, name, summaries)?, figure),
            None => ours.each.iter().flatten().map(figure).collect(),
        };
        if found.is_empty() {
            return Err(Unknown::Disturbed("no round in which both were undisturbed".to_owned()));
        }
        match found.iter().all(|found| *found > 0.0) {
            true => Ok(Finding(found)),
            false => Err(Unknown::Lasting(format!("{subject} has no such figure"))),
        }
    }

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

    fn summary(subject: &str, cpu: &[f64]) -> Summary {
        let cell = cell::find("simple-16").unwrap();
        let figures = |cpu: &f64| Figures { cpu_us_per_tx: *cpu, ..Figures::default() };
        let each = cpu.iter().map(|cpu| Some(figures(cpu))).collect();
        let subject = subject.to_owned();
        Summary { subject, each, ..Summary::new(&cell, &cell.entries[0], "", &[]) }
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
        let all = |ours| {
            [
                summary("poolwright", &[ours]),
                summary("pgbouncer", &[10.0]),
                summary("relay", &[9.0]),
            ]
        };
        assert_eq!(verdicts(&all(8.0)), ["met", "met"]);
        assert_eq!(verdicts(&all(9.4)), ["MISSED", "met"]);
        let mut disturbed = all(8.0);
        disturbed[1].disturbed = Some("noise".to_owned());
        assert_eq!(verdicts(&disturbed), ["unknown", "met"]);
    }

    #[test]
    fn figures_of_one_round_are_compared_with_each_other() {
        let mut all =
            [summary("poolwright", &[8.0, 40.0, 9.0]), summary("pgbouncer", &[10.0, 50.0, 10.0])];
        assert!(
            judged(&all)[0].ends_with("0.80 (0.80-0.90 in 3, not clearly)"),
            "{:?}",
            judged(&all)
        );
        all[1].each[2] = None;
        assert!(
            judged(&all)[0].ends_with("0.80 (0.80-0.80 in 2, not clearly)"),
            "{:?}",
            judged(&all)
        );
    }

    #[test]
    fn a_goal_is_open_until_its_rounds_agree() {
        let is_open = |ours: &[f64]| {
            open(&[summary("poolwright", ours), summary("pgbouncer", &vec![10.0; ours.len()])])
        };
        assert!(!is_open(&[8.0, 8.1, 7.9]));
        assert!(is_open(&[8.0, 8.1, 8.6]));
        assert!(is_open(&[8.0, 8.1, 8.6, 8.0, 8.0, 8.0]));
        assert!(!is_open(&[8.0, 8.1, 8.6, 8.0, 8.0, 8.0, 8.0]));
        assert!(!open(&[summary("poolwright", &[8.0, 9.0])]), "a base that was not asked");
    }

    #[test]
    fn beside_a_missed_goal_stands_what_a_pooler_without_rules_has() {
        let all = ["pgbouncer", "relay", "sketch"].map(|name| summary(name, &[10.0]));
        let lines = judged(&[&all[..], &[summary("poolwright", &[10.3])]].concat());
        let ends = lines.iter().map(|line| line.ends_with("; of the sketch: 1.00"));
        assert_eq!(ends.collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn goals_concern_ours_their_bases_and_the_floor() {
        assert!(
            ["poolwright", "pgbouncer", "relay", "sketch"]
                .iter()
                .all(|subject| concern("simple-64", subject))
        );
        assert!(concern("parameters-64", "sketch own parameters"));
        assert!(!concern("simple-64", "odyssey") && !concern("isolation-64", "poolwright"));
    }
}
