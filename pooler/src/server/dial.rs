//! Name → addresses → TCP → TLS. Each address gets its share of the time that is left; the name is
//! looked up anew for each connection.

use std::io;
use std::net::SocketAddr;

use poolwright_settings::ServerTlsMode;
use poolwright_wire::write;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::Instant;

use super::{ConnectError, Kind, ServerTarget};
use crate::clock::timeout_at;
use crate::stream::{Stream, tune};

/// What one attempt asks of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encryption {
    Plain,
    /// TLS if the server has it.
    Offered,
    Required,
}

/// The attempts of a mode, in order, as libpq makes them. The next one is made only if the other
/// encryption may help.
pub(super) fn attempts(mode: ServerTlsMode) -> &'static [Encryption] {
    match mode {
        ServerTlsMode::Disable => &[Encryption::Plain],
        ServerTlsMode::Allow => &[Encryption::Plain, Encryption::Required],
        ServerTlsMode::Prefer => &[Encryption::Offered, Encryption::Plain],
        ServerTlsMode::Require | ServerTlsMode::VerifyCa | ServerTlsMode::VerifyFull => {
            &[Encryption::Required]
        }
    }
}

/// Connects to the first address that answers.
pub(super) async fn open(
    target: &ServerTarget,
    encryption: Encryption,
    deadline: Instant,
) -> Result<(Stream, SocketAddr), ConnectError> {
    let (tcp, addr) = connect(target, deadline).await?;
    let stream = timeout_at(deadline, encrypt(tcp, target, encryption)).await;
    let stream = stream.unwrap_or_else(|_| Err(ConnectError::timed_out(target)))?;
    Ok((stream, addr))
}

async fn connect(
    target: &ServerTarget,
    deadline: Instant,
) -> Result<(TcpStream, SocketAddr), ConnectError> {
    let place = format!("{}:{}", target.host, target.port);
    let found = timeout_at(deadline, lookup_host((target.host.as_str(), target.port))).await;
    let found = found.map_err(|_| ConnectError::timed_out(target))?;
    let addresses: Vec<_> = found.map_err(|error| ConnectError::io(&place, &error))?.collect();
    let mut last = None;
    for (tried, &addr) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        match timeout_at(Instant::now() + share, dial(addr)).await {
            Ok(Ok(tcp)) => return Ok((tcp, addr)),
            Ok(Err(error)) => last = Some(ConnectError::io(format!("{place} ({addr})"), &error)),
            Err(_) => last = Some(ConnectError::timed_out(target)),
        }
    }
    let none = || ConnectError::new(Kind::Unreachable, format!("{place} has no address"));
    Err(last.unwrap_or_else(none))
}

/// One TCP connection, tuned.
pub(super) async fn dial(addr: SocketAddr) -> io::Result<TcpStream> {
    let tcp = TcpStream::connect(addr).await?;
    tune(&tcp)?;
    Ok(tcp)
}

/// Agrees with the server on TLS or on none.
pub(super) async fn encrypt(
    mut tcp: TcpStream,
    target: &ServerTarget,
    encryption: Encryption,
) -> Result<Stream, ConnectError> {
    if encryption == Encryption::Plain {
        return Ok(Stream::from(tcp));
    }
    let answer = ask(&mut tcp).await.map_err(|error| ConnectError::io("SSLRequest", &error))?;
    match (answer, encryption) {
        (b'S', _) => {
            let tls = target.tls.connect(&target.host, tcp).await;
            let tls = tls.map_err(|error| tls_error(target, &error))?;
            Ok(Stream::Tls(Box::new(tls)))
        }
        (b'N', Encryption::Offered) => Ok(Stream::from(tcp)),
        (b'N', _) => Err(ConnectError::new(Kind::Tls, no_tls(target))),
        _ => Err(ConnectError::new(Kind::Protocol, "the server did not answer an SSLRequest")),
    }
}

/// Sends an SSLRequest and reads exactly one byte: what follows it is TLS or nothing.
async fn ask(tcp: &mut TcpStream) -> io::Result<u8> {
    let mut request = Vec::new();
    write::ssl_request(&mut request);
    tcp.write_all(&request).await?;
    tcp.read_u8().await
}

fn tls_error(target: &ServerTarget, error: &io::Error) -> ConnectError {
    let ServerTarget { host, port, .. } = target;
    ConnectError::new(Kind::Tls, format!("{host}:{port}: TLS handshake: {error}"))
}

fn no_tls(target: &ServerTarget) -> String {
    let ServerTarget { host, port, .. } = target;
    format!("{host}:{port} does not offer TLS; switch it on there or lower tls.mode")
}
