//! What is measured: a protocol and a number of clients.
//! Never says how; that is `pgbench`.

use std::fmt;
use std::str::FromStr;

/// One cell of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    pub protocol: &'static str,
    pub clients: u32,
}

const PROTOCOLS: [&str; 3] = ["simple", "extended", "prepared"];

impl FromStr for Cell {
    type Err = String;

    fn from_str(text: &str) -> Result<Cell, String> {
        let wrong = || format!("cell {text:?}: expected something like prepared-64");
        let (protocol, clients) = text.split_once('-').ok_or_else(wrong)?;
        let protocol = PROTOCOLS.into_iter().find(|known| *known == protocol).ok_or_else(wrong)?;
        let clients = clients.parse().ok().filter(|clients| *clients > 0).ok_or_else(wrong)?;
        Ok(Cell { protocol, clients })
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.protocol, self.clients)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_reads_as_it_is_written() {
        assert_eq!("extended-64".parse::<Cell>().unwrap().to_string(), "extended-64");
        for wrong in ["", "simple", "simple-", "simple-0", "binary-4", "simple-x"] {
            assert!(wrong.parse::<Cell>().is_err(), "{wrong}");
        }
    }
}
