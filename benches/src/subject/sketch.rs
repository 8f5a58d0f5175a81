//! The sketch of a pooler that shapes are compared with, with no rule at all: a goal that it misses is
//! below what a pooler's system calls cost here. In the cheapest of shapes, or in ours, where another
//! thread takes the logins.
//! Never tells one user, or one prepared statement, from another.

use anyhow::Result;
use poolwright_tests::pooler::beside_us;
use poolwright_tests::process;

use super::{Launch, Place};
use crate::setup::Login;

pub fn alone(place: &Place) -> Result<Launch> {
    start(place, "alone")
}

pub fn homed(place: &Place) -> Result<Launch> {
    start(place, "homed")
}

fn start(place: &Place, shape: &str) -> Result<Launch> {
    if place.setup.tls {
        return Ok(Launch::LeftOut("it does not end TLS".to_owned()));
    }
    let program = beside_us("POOLWRIGHT_SHAPES", "poolwright-shapes")?;
    let mut command = process::bound_to_us(&program, "KILL", None);
    command.args(["serve", "--shape", shape, "--workers", "1"]);
    command.arg(format!("--listen=127.0.0.1:{}", place.port));
    command.arg(format!("--upstream=127.0.0.1:{}", place.backend()));
    command.arg(format!("--databases={}", place.setup.databases));
    // All users of a database share what they would have each.
    command.arg(format!("--slots={}", place.setup.pool * place.setup.users));
    if place.setup.login == Login::Scram {
        command.arg(format!("--verifier={}", place.site.verifier));
    }
    if place.setup.parameters {
        command.arg("--settings");
    }
    Ok(Launch::Start(format!("sketch ({shape})"), vec![command]))
}
