//! The recorded figures, and whether a count has grown beyond what chance explains.
//! Never forgives growth: who pays more says why in the commit that records it.

use std::fmt::Write;
use std::io;
use std::path::Path;

/// Per cent by which a count may differ from its figure. Runs of one build differ by up to 1.2 on a
/// busy machine: the pooler's timers go by the clock, not by transactions.
const TOLERANCE: f64 = 3.0;

const HEAD: &str = "\
# Instructions in user space that the pooler spends on one transaction: one after the other, x86_64,
# the shipped build under callgrind. Written by `make bench-instructions RECORD=1`.
";

/// Instructions for one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub name: String,
    pub count: u64,
}

/// A count beside its figure.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    Same { name: String, per_cent: f64 },
    Shrunk { name: String, per_cent: f64 },
    Grown { name: String, per_cent: f64 },
    Unknown { name: String },
}

pub fn compare(count: &Record, figures: &[Record]) -> Verdict {
    let name = count.name.clone();
    let figure = figures.iter().find(|figure| figure.name == name && figure.count > 0);
    let Some(figure) = figure else { return Verdict::Unknown { name } };
    let per_cent = (count.count as f64 / figure.count as f64 - 1.0) * 100.0;
    match per_cent {
        more if more > TOLERANCE => Verdict::Grown { name, per_cent },
        less if less < -TOLERANCE => Verdict::Shrunk { name, per_cent },
        _ => Verdict::Same { name, per_cent },
    }
}

impl Verdict {
    /// Prints it with what is to be done, and says whether it is fine.
    pub fn tell(&self) -> bool {
        let again = "`make bench-instructions RECORD=1`";
        match self {
            Verdict::Same { name, per_cent } => println!("{name}: {per_cent:+.1} %, as recorded"),
            Verdict::Shrunk { name, per_cent } => {
                println!("{name}: {per_cent:+.1} %, cheaper than recorded; keep that: {again}");
            }
            Verdict::Grown { name, per_cent } => {
                println!("{name}: {per_cent:+.1} %, more than the {TOLERANCE} % of chance");
                println!("  what costs is in the list of functions; if it is worth its price, say");
                println!("  why in the commit and record the new figure there: {again}");
            }
            Verdict::Unknown { name } => println!("{name}: no figure is recorded: {again}"),
        }
        matches!(self, Verdict::Same { .. } | Verdict::Shrunk { .. })
    }
}

/// # Errors
/// The file cannot be read, or a line is not a name, a tab and a number.
pub fn read(file: &Path) -> io::Result<Vec<Record>> {
    let text = std::fs::read_to_string(file)?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| parse(line).ok_or_else(|| wrong(line))).collect()
}

fn parse(line: &str) -> Option<Record> {
    let (name, count) = line.split_once('\t')?;
    Some(Record { name: name.to_owned(), count: count.parse().ok()? })
}

fn wrong(line: &str) -> io::Error {
    io::Error::other(format!("line {line:?}: expected a name, a tab and a number"))
}

pub fn write(file: &Path, records: &[Record]) -> io::Result<()> {
    let mut text = HEAD.to_owned();
    for Record { name, count } in records {
        let _ = writeln!(text, "{name}\t{count}");
    }
    std::fs::write(file, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, count: u64) -> Record {
        Record { name: name.to_owned(), count }
    }

    #[test]
    fn growth_beyond_chance_fails_and_shrinking_does_not() {
        let figures = [record("simple", 1000)];
        let fine = |count| compare(&record("simple", count), &figures).tell();
        assert!(fine(1000) && fine(1029) && fine(971) && fine(500));
        assert!(!fine(1031));
    }

    #[test]
    fn a_count_without_a_figure_fails() {
        assert!(!compare(&record("simple", 1), &[]).tell());
        assert!(!compare(&record("simple", 1), &[record("simple", 0)]).tell());
    }

    #[test]
    fn a_line_that_is_no_figure_is_refused() {
        assert_eq!(parse("simple\t12"), Some(record("simple", 12)));
        for line in ["", "simple", "simple 12", "simple\t", "simple\t1.5"] {
            assert_eq!(parse(line), None, "{line:?}");
        }
    }
}
