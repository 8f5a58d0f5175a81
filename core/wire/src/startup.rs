//! The packets that have no tag: startup, TLS and GSSAPI requests, cancel requests. It reads what a
//! client may send first and never decides what to answer.

mod options;

pub use options::{OptionsError, options};

use crate::read::Fields;
use crate::{CancelKey, WireError};

/// The largest length field that Postgres accepts here, in bytes: 10,000 and the field itself.
pub const MAX_LENGTH: u32 = 10_004;

/// Protocol 3.0: major version in the upper 16 bits, minor in the lower.
pub const PROTOCOL_3_0: i32 = 3 << 16;
/// Protocol 3.2 (PostgreSQL 18): secrets of cancel keys may have up to 256 bytes. There is no 3.1.
pub const PROTOCOL_3_2: i32 = (3 << 16) | 2;

/// What a connection that begins with TLS and no request for it sends first: the type of a
/// handshake's record.
pub const TLS_HANDSHAKE: u8 = 0x16;
/// What such a connection must ask for by ALPN.
pub const ALPN: &[u8] = b"postgresql";

pub(crate) const CANCEL_REQUEST: i32 = (1234 << 16) | 5678;
pub(crate) const SSL_REQUEST: i32 = (1234 << 16) | 5679;
pub(crate) const GSSENC_REQUEST: i32 = (1234 << 16) | 5680;
/// Our own: a cancel request that one pooler sends on to another.
pub(crate) const FORWARDED_CANCEL: i32 = (1234 << 16) | 15678;

const MESSAGE: &str = "startup packet";

/// What a connection can begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Startup<'a> {
    /// The client asks for TLS; `S` or `N` answers.
    Ssl,
    /// The client asks for GSSAPI encryption; `N` answers.
    Gss,
    /// The client asks to cancel what the session of this key does.
    Cancel(CancelKey<'a>),
    /// The same, sent on by another pooler to the one whose key it is.
    ForwardedCancel(CancelKey<'a>),
    /// The client wants a session.
    Start(Start<'a>),
    /// A major version other than 3; the rest of the packet was not read.
    Unsupported { protocol: i32 },
}

/// Name and value of a startup parameter.
pub type Parameter<'a> = (&'a [u8], &'a [u8]);

/// A startup message of protocol 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start<'a> {
    /// Major 3 in the upper 16 bits; any minor.
    pub protocol: i32,
    /// In the order sent, doubles included. Names are never empty.
    pub parameters: Vec<Parameter<'a>>,
}

/// Bytes of the whole packet that `buf` starts with; `None` if fewer than four bytes are there.
///
/// # Errors
/// [`WireError::Length`] if the length field is below 8 or above [`MAX_LENGTH`].
pub fn length(buf: &[u8]) -> Result<Option<usize>, WireError> {
    let Some(&field) = buf.first_chunk() else { return Ok(None) };
    let length = u32::from_be_bytes(field);
    if !(8..=MAX_LENGTH).contains(&length) {
        return Err(length_error(length));
    }
    Ok(Some(length as usize))
}

/// Reads one whole packet, its length field included.
///
/// # Errors
/// The length field is not the packet's, a field is cut off, or bytes follow the last one.
pub fn parse(packet: &[u8]) -> Result<Startup<'_>, WireError> {
    let mut fields = Fields::new(MESSAGE, packet);
    let length = fields.i32("length")?.cast_unsigned();
    if self::length(packet)? != Some(packet.len()) {
        return Err(length_error(length));
    }
    match fields.i32("protocol")? {
        SSL_REQUEST => fields.end().map(|()| Startup::Ssl),
        GSSENC_REQUEST => fields.end().map(|()| Startup::Gss),
        CANCEL_REQUEST => cancel(fields).map(Startup::Cancel),
        FORWARDED_CANCEL => cancel(fields).map(Startup::ForwardedCancel),
        protocol if protocol >> 16 == 3 => {
            let parameters = parameters(fields)?;
            Ok(Startup::Start(Start { protocol, parameters }))
        }
        protocol => Ok(Startup::Unsupported { protocol }),
    }
}

fn cancel(mut fields: Fields<'_>) -> Result<CancelKey<'_>, WireError> {
    let process_id = fields.i32("process id")?;
    if !(4..=256).contains(&fields.remaining()) {
        return Err(fields.value("cancel secret", "4 to 256 bytes long"));
    }
    Ok(CancelKey { process_id, secret: fields.rest() })
}

fn parameters(mut fields: Fields<'_>) -> Result<Vec<Parameter<'_>>, WireError> {
    let mut all = Vec::new();
    loop {
        let name = fields.cstr("parameter name")?;
        if name.is_empty() {
            fields.end()?;
            return Ok(all);
        }
        all.push((name, fields.cstr("parameter value")?));
    }
}

fn length_error(length: u32) -> WireError {
    WireError::Length {
        message: MESSAGE,
        length: length.cast_signed(),
        min: 8,
        max: MAX_LENGTH.cast_signed(),
    }
}

#[cfg(test)]
mod tests;
