//! The floor: bytes copied one to one, without a look at them.
//! Never shares a server connection, so it needs as many as there are clients.

use anyhow::Result;
use poolwright_tests::pooler::beside_us;
use poolwright_tests::process;

use super::{Launch, Place};

pub fn start(place: &Place) -> Result<Launch> {
    if place.setup.tls {
        return Ok(Launch::LeftOut("it does not end TLS".to_owned()));
    }
    let program = beside_us("POOLWRIGHT_RELAY", "poolwright-relay")?;
    let mut command = process::bound_to_us(&program, "KILL", None);
    command.arg(format!("127.0.0.1:{}", place.port));
    command.arg(format!("127.0.0.1:{}", place.backend()));
    Ok(Launch::Start("relay".to_owned(), vec![command]))
}
