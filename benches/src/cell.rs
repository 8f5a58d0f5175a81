//! What is measured: who, set up how, under which load.
//! Never says how it is run; that is `run`.

use poolwright_benches::job::{Tls, Work};

use crate::setup::Setup;

mod catalogue;

pub use catalogue::{NAMES, QUICK, find};

/// One cell of the table: what is compared with each other, in turns.
#[derive(Clone, Debug)]
pub struct Cell {
    pub name: String,
    /// What it shows, and what has to be known to read it.
    pub about: &'static str,
    pub entries: Vec<Entry>,
}

/// One subject in a cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// One of `subject::PEERS`.
    pub peer: &'static str,
    /// What sets it apart from others of the same peer in the cell; may be empty.
    pub variant: &'static str,
    pub setup: Setup,
    pub load: Load,
    /// Whether it is started anew for each round, because memory is measured.
    pub fresh: bool,
    /// Whether each pool is used once before the first round.
    pub touched: bool,
}

/// What clients do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    pub work: Work,
    pub clients: u32,
    /// Clients that only stay.
    pub idle: u32,
    /// Pools that the working clients use.
    pub active_pools: u32,
    pub tls: Tls,
    /// Logins at once.
    pub logins: u32,
    /// Addresses that clients come from.
    pub sources: u8,
}

impl Entry {
    /// The name in tables, results and goals.
    pub fn name(&self) -> String {
        match self.variant {
            "" => self.peer.to_owned(),
            variant => format!("{} {variant}", self.peer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_is_found_by_its_name_and_tells_its_entries_apart() {
        for name in NAMES {
            let cell = find(name).unwrap();
            assert_eq!(cell.name, *name);
            let mut names: Vec<_> = cell.entries.iter().map(Entry::name).collect();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), cell.entries.len(), "{name}");
        }
        assert_eq!(find("extended-7").unwrap().entries[0].load.clients, 7);
        for wrong in ["", "simple", "simple-", "simple-0", "binary-4", "simple-x"] {
            assert!(find(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn the_quick_cells_are_among_all() {
        assert!(QUICK.iter().all(|name| NAMES.contains(name)));
    }
}
