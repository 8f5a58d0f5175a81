//! One cancel request, delivered: it ends when Postgres has hung up, which it does after the signal
//! was sent. It never knows whether there was anything to cancel.

use std::io;
use std::net::SocketAddr;

use poolwright_settings::ServerTlsMode;
use poolwright_wire::{CancelKey, write};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::dial::{self, Encryption};
use super::{ConnectError, ServerTarget};
use crate::clock::timeout;

/// Sends a cancel request to `addr`, the address of the connection that it is for, and waits for
/// the server's EOF, all within the target's cancel timeout.
///
/// # Errors
/// The request could not be delivered, or its end was not seen: the connection that it is for may
/// still be hit and must not be used again.
pub async fn send_cancel(
    target: &ServerTarget,
    addr: SocketAddr,
    process_id: i32,
    secret: &[u8],
) -> io::Result<()> {
    let delivery = deliver(target, addr, CancelKey { process_id, secret });
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no end of the cancel request seen");
    timeout(target.cancel_timeout, delivery).await.map_err(late)?
}

async fn deliver(target: &ServerTarget, addr: SocketAddr, key: CancelKey<'_>) -> io::Result<()> {
    let tcp = dial::dial(addr).await?;
    let encryption = encryption(target.tls.mode);
    let refused = |error: ConnectError| io::Error::other(error.message);
    let mut stream = dial::encrypt(tcp, target, encryption).await.map_err(refused)?;
    let mut request = Vec::new();
    write::cancel_request(&mut request, &key);
    stream.write_all(&request).await?;
    stream.flush().await?;
    match stream.read(&mut [0; 64]).await {
        Ok(0) => Ok(()),
        Ok(_) => Err(io::Error::other("the server answered a cancel request")),
        // Postgres hangs up without a close_notify.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
        Err(error) => Err(error),
    }
}

/// As for sessions, but without a second attempt.
fn encryption(mode: ServerTlsMode) -> Encryption {
    match mode {
        ServerTlsMode::Disable | ServerTlsMode::Allow => Encryption::Plain,
        ServerTlsMode::Prefer => Encryption::Offered,
        _ => Encryption::Required,
    }
}
