//! What a run has reached of the table of cells, for people to read.

use std::collections::BTreeMap;
use std::fmt;

use poolwright_session::{Kind, State};

use super::cells::{Cell, Fault};

/// How often each cell was played.
#[derive(Clone, Debug, Default)]
pub struct Table {
    played: BTreeMap<Cell, u64>,
}

impl Table {
    pub fn add(&mut self, cell: Cell) {
        *self.played.entry(cell).or_default() += 1;
    }

    fn count(&self, cell: Cell) -> u64 {
        self.played.get(&cell).copied().unwrap_or(0)
    }

    /// Cells that a script can reach and none has.
    pub fn empty(&self) -> Vec<Cell> {
        let mut empty = super::cells::all();
        empty.retain(|cell| cell.impossible().is_none() && self.count(*cell) == 0);
        empty
    }
}

impl fmt::Display for Table {
    /// A row for each kind of message, a column for each state; in it a letter for each fault that was
    /// played, `.` for one that was not, `-` for one that cannot be.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LETTERS: [char; Fault::ALL.len()] = ['N', 'F', 'M', 'T', 'C', 'G', 'X', 'L'];
        let legend = LETTERS.iter().zip(Fault::ALL);
        let legend: Vec<_> = legend.map(|(letter, fault)| format!("{letter} {fault:?}")).collect();
        writeln!(f, "message × state × fault: {}", legend.join(", "))?;
        write!(f, "{:13}", "")?;
        for state in State::ALL {
            write!(f, " {:9}", format!("{state:?}"))?;
        }
        writeln!(f)?;
        for kind in Kind::ALL {
            write!(f, "{:13}", format!("{kind:?}"))?;
            for state in State::ALL {
                let letters = Fault::ALL.iter().zip(LETTERS).map(|(fault, letter)| {
                    let cell = Cell { kind, state, fault: *fault };
                    match (cell.impossible(), self.count(cell)) {
                        (Some(_), _) => '-',
                        (None, 0) => '.',
                        _ => letter,
                    }
                });
                write!(f, " {:9}", letters.collect::<String>())?;
            }
            writeln!(f)?;
        }
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for reason in super::cells::all().into_iter().filter_map(Cell::impossible) {
            *reasons.entry(reason).or_default() += 1;
        }
        for (reason, count) in reasons {
            writeln!(f, "impossible, {count}: {reason}")?;
        }
        Ok(())
    }
}
