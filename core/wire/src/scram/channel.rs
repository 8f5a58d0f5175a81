//! What an exchange is bound to (RFC 5929's `tls-server-end-point`): the flag and the data with which
//! both sides say so. It never looks at a certificate.

use super::ScramError;
use super::attributes::{Attributes, encode};

const END_POINT: &str = "p=tls-server-end-point";

/// How an exchange relates to the TLS channel that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel<'a> {
    /// One of the two cannot bind: there is no TLS, or none that can be named.
    Unbound,
    /// A client that could bind finds that the server does not offer to; a server that offers it
    /// finds that the client chose the mechanism without it.
    Declined,
    /// This hash of the server's certificate; the mechanism is SCRAM-SHA-256-PLUS.
    Bound(&'a [u8]),
}

impl Channel<'_> {
    /// What a client's first message begins with.
    pub(super) fn header(self) -> &'static str {
        match self {
            Channel::Unbound => "n,,",
            Channel::Declined => "y,,",
            Channel::Bound(_) => "p=tls-server-end-point,,",
        }
    }

    /// The value of `c` in a client's last message, whose first began with `header`.
    pub(super) fn proof(self, header: &str) -> String {
        let mut proof = header.as_bytes().to_vec();
        if let Channel::Bound(hash) = self {
            proof.extend_from_slice(hash);
        }
        encode(&proof)
    }

    /// Whether a client may say this of its channel. One that says that the server does not offer
    /// to bind, where it does, has been told so by somebody in between.
    pub(super) fn admits(self, flag: &str, of: &Attributes<'_>) -> Result<(), ScramError> {
        match (self, flag) {
            (Channel::Unbound, "n" | "y") | (Channel::Declined, "n") => Ok(()),
            (Channel::Declined, "y") => Err(ScramError::Downgrade),
            (Channel::Bound(_), END_POINT) => Ok(()),
            (Channel::Bound(_), flag) if flag.starts_with("p=") => {
                Err(ScramError::Unsupported("another type of channel binding"))
            }
            (_, flag) if flag.starts_with("p=") => {
                Err(ScramError::Unsupported("channel binding by a mechanism that has none"))
            }
            _ => Err(of.malformed("the channel binding flag")),
        }
    }
}
