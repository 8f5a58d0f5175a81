//! The sketch of a pooler that shapes are compared with, in the cheapest of them and with no rule at
//! all: a goal that it misses is below what a pooler's system calls cost here.
//! Never asks for a password, and knows no prepared statements.

use anyhow::Result;
use poolwright_tests::pooler::beside_us;
use poolwright_tests::process;

use super::{Launch, Place};
use crate::setup::{Login, Setup};

pub fn start(place: &Place) -> Result<Launch> {
    if let Some(why) = unable(place.setup) {
        return Ok(Launch::LeftOut(why.to_owned()));
    }
    let program = beside_us("POOLWRIGHT_SHAPES", "poolwright-shapes")?;
    let mut command = process::bound_to_us(&program, "KILL", None);
    command.args(["serve", "--shape", "alone", "--workers", "1"]);
    command.arg(format!("--listen=127.0.0.1:{}", place.port));
    command.arg(format!("--upstream=127.0.0.1:{}", place.backend()));
    command.arg(format!("--databases={}", place.setup.databases));
    command.arg(format!("--slots={}", place.setup.pool));
    if place.setup.parameters {
        command.arg("--settings");
    }
    Ok(Launch::Start("sketch".to_owned(), vec![command]))
}

fn unable(setup: &Setup) -> Option<&'static str> {
    match setup {
        Setup { tls: true, .. } => Some("it does not end TLS"),
        Setup { prepared: true, .. } => Some("it has no prepared statements"),
        Setup { login: Login::Scram, .. } => Some("it knows no passwords"),
        Setup { users: 2.., .. } => Some("it knows one user"),
        _ => None,
    }
}
