//! What comes before the startup message: TLS, asked for or begun at once, GSSAPI requests, cancel
//! requests. No byte that came in plain text is ever taken for one that came by TLS.

use poolwright_wire::startup::{self, ALPN, Startup, TLS_HANDSHAKE};

use super::LoginError;
use crate::stream::{FrameError, Framed, Stream};
use crate::tls::{ClientTls, Terms};
use crate::worker::CancelKey;

/// How the negotiation ended.
pub(super) enum Opening {
    /// The startup message, whole.
    Start(Framed, Vec<u8>),
    Cancel {
        key: CancelKey,
        forwarded: bool,
        stream: Stream,
    },
    /// Nothing was sent, or the peer left between two packets.
    Gone,
    /// The client is to be told.
    Refused(Framed, LoginError),
}

/// The packet that was read, after its kind has been told.
enum Packet {
    Ssl,
    Gss,
    Cancel { key: CancelKey, forwarded: bool },
    Start(Vec<u8>),
}

/// Each request may come once, in any order, before the startup message; below TLS that was asked
/// for, none. As with PostgreSQL they may come below TLS that was not, and are declined.
pub(super) async fn negotiate(mut framed: Framed, tls: &ClientTls) -> Result<Opening, LoginError> {
    let begins_with_tls = match framed.first_byte().await {
        Ok(first) => first == TLS_HANDSHAKE,
        Err(FrameError::Closed) => return Ok(Opening::Gone),
        Err(error) => return Err(error.into()),
    };
    if begins_with_tls {
        framed = encrypt_at_once(framed, tls.terms()).await?;
    }
    let (mut ssl_seen, mut gss_seen) = (false, false);
    loop {
        let packet = match packet(&mut framed).await {
            Ok(packet) => packet,
            Err(LoginError::Left) => return Ok(Opening::Gone),
            Err(error) => return Ok(Opening::Refused(framed, error)),
        };
        let request = match packet {
            Packet::Ssl if !ssl_seen => "an SSL request",
            Packet::Gss if !gss_seen => "a GSSAPI encryption request",
            Packet::Ssl => return Ok(refused(framed, LoginError::Repeated("an SSL request"))),
            Packet::Gss => return Ok(refused(framed, LoginError::Repeated("a GSSAPI request"))),
            Packet::Start(packet) => return Ok(Opening::Start(framed, packet)),
            Packet::Cancel { key, forwarded } => {
                return Ok(Opening::Cancel { key, forwarded, stream: framed.stream });
            }
        };
        if !framed.input.is_empty() {
            return Ok(refused(framed, LoginError::Buffered(request)));
        }
        ssl_seen |= matches!(packet, Packet::Ssl);
        gss_seen |= matches!(packet, Packet::Gss);
        framed = match (packet, tls.terms()) {
            (Packet::Ssl, Some(terms)) if !framed.stream.is_tls() => {
                // Nothing is asked for twice below TLS.
                gss_seen = true;
                encrypt(framed, terms).await?
            }
            _ => decline(framed).await?,
        };
    }
}

fn refused(framed: Framed, error: LoginError) -> Opening {
    Opening::Refused(framed, error)
}

async fn packet(framed: &mut Framed) -> Result<Packet, LoginError> {
    let packet = framed.startup_packet().await?;
    Ok(match startup::parse(&packet)? {
        Startup::Ssl => Packet::Ssl,
        Startup::Gss => Packet::Gss,
        Startup::Cancel(key) => Packet::Cancel { key: key.into(), forwarded: false },
        Startup::ForwardedCancel(key) => Packet::Cancel { key: key.into(), forwarded: true },
        Startup::Start(_) => Packet::Start(packet),
        Startup::Unsupported { protocol } => {
            let [a, b, c, d] = protocol.to_be_bytes();
            let (major, minor) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            return Err(LoginError::Protocol { major, minor });
        }
    })
}

async fn decline(mut framed: Framed) -> Result<Framed, LoginError> {
    framed.output.push(b'N');
    framed.flush().await?;
    Ok(framed)
}

/// Takes a handshake that the client has begun. Who does not ask by ALPN for what is spoken here
/// may have been led here from another service (ALPACA), and hears no more, as with PostgreSQL.
async fn encrypt_at_once(framed: Framed, terms: Option<&Terms>) -> Result<Framed, LoginError> {
    let terms = terms.ok_or(LoginError::NoTls)?;
    let Framed { stream: Stream::Tcp(socket), input, .. } = framed else {
        return Err(FrameError::ClosedInside.into());
    };
    let tls = terms.accept_begun(input, socket).await.map_err(LoginError::Handshake)?;
    if tls.get_ref().1.alpn_protocol() != Some(ALPN) {
        return Err(LoginError::NoAlpn);
    }
    Ok(Framed::new(Stream::Tls(Box::new(tls.into()))))
}

async fn encrypt(mut framed: Framed, terms: &Terms) -> Result<Framed, LoginError> {
    framed.output.push(b'S');
    framed.flush().await?;
    match framed.stream {
        Stream::Tcp(socket) => {
            let tls = terms.accept(socket).await.map_err(LoginError::Handshake)?;
            Ok(Framed::new(Stream::Tls(Box::new(tls.into()))))
        }
        Stream::Tls(_) => Err(FrameError::ClosedInside.into()),
    }
}
