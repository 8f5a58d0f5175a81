//! How a client's check in Rust tells its results, and what those checks share. The first failure
//! ends the program; README.md has the words that drivers.sh reads.

use std::collections::BTreeSet;
use std::fmt::Debug;

pub const CLIENTS: usize = 8;
pub const ROUNDS: usize = 40;

pub type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Ends the check unless both are equal.
pub fn expect<T: PartialEq + Debug>(what: &str, expected: T, found: T) -> Result {
    if expected == found {
        return Ok(());
    }
    Err(format!("{what}: expected {expected:?}, found {found:?}").into())
}

/// `rows` are (expected mark, found mark, server) of all clients.
pub fn expect_own_rows(rows: Vec<(String, String, i32)>) -> Result {
    expect("rows", CLIENTS * ROUNDS, rows.len())?;
    let mut servers = BTreeSet::new();
    for (wanted, found, server) in rows {
        expect("the client's mark", wanted, found)?;
        servers.insert(server);
    }
    expect(&format!("at most 2 server connections of {servers:?}"), true, servers.len() <= 2)
}

pub fn tell(name: &str, result: Result) {
    match result {
        Ok(()) => println!("ok {name}"),
        Err(error) => {
            println!("{error:?}");
            println!("FAILED {name}: {}", error.to_string().lines().next().unwrap_or_default());
            std::process::exit(1);
        }
    }
}

/// The password in PGPASSFILE.
#[allow(dead_code, reason = "sqlx reads the file itself")]
pub fn password() -> Result<String> {
    let line = std::fs::read_to_string(std::env::var("PGPASSFILE")?)?;
    Ok(line.trim().splitn(5, ':').last().unwrap_or_default().to_owned())
}
