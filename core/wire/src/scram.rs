//! SCRAM-SHA-256 (RFC 5802, RFC 7677) as Postgres speaks it, both sides, with channel binding and
//! without.
//!
//! Messages go in and out as bytes; nonces and salts are given by the caller, and the costly
//! derivation ([`salted_password`]) is a call of its own, so that it can run on another thread.
//! Secrets are never shown by `Debug`.

mod attributes;
mod channel;
mod client;
mod keys;
mod server;
mod verifier;

pub use channel::Channel;
pub use client::{ClientChallenge, ClientExchange, ServerProof};
pub use keys::{ClientKeys, SaltedPassword, ServerKeys, mock_keys, salt_for, salted_password};
pub use server::{Finished, ServerExchange};
pub use verifier::Verifier;

/// The name under which the mechanism is offered.
pub const MECHANISM: &str = "SCRAM-SHA-256";

/// The same, bound to the channel that carries it.
pub const MECHANISM_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// What Postgres uses where nothing else is set.
pub const DEFAULT_ITERATIONS: u32 = 4096;

/// The most iterations that a server may ask of us: a hostile one would ask for 2³¹. At about
/// 3 million in a second, this is a fifth of a second of one core.
pub const MAX_ITERATIONS: u32 = 600_000;

/// Why an exchange failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    /// The peer sent a message that is not of the form that the RFC gives.
    #[error("SCRAM {message}: {field} is missing or malformed")]
    Malformed { message: &'static str, field: &'static str },
    /// The client asks for a channel binding that is not offered, or to act as somebody else.
    #[error("SCRAM: the client asks for {0}, which is not supported")]
    Unsupported(&'static str),
    /// The client believes that channel binding is not offered, and it is.
    #[error(
        "SCRAM channel binding negotiation error: the client supports channel binding but thinks \
         the server does not"
    )]
    Downgrade,
    /// The client speaks over another TLS channel than this one.
    #[error("SCRAM channel binding check failed")]
    OtherChannel,
    /// The nonce is not the one of this exchange.
    #[error("SCRAM {message}: the nonce is not the one of this exchange")]
    Nonce { message: &'static str },
    /// The server asks for more work than it may.
    #[error("SCRAM: the server asks for {found} iterations, at most {max} are accepted")]
    Iterations { found: u64, max: u32 },
    /// The client's proof does not fit: the password is wrong.
    #[error("SCRAM: the client's proof does not match")]
    Proof,
    /// The server's signature does not fit: it does not know the password.
    #[error("SCRAM: the server's signature does not match, it does not hold this user's verifier")]
    Signature,
    /// The server ended the exchange with an error of its own.
    #[error("SCRAM: the server reports {0:?}")]
    Server(String),
    /// A text that is no verifier.
    #[error("expected SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>, {0} is malformed")]
    Verifier(&'static str),
}

#[cfg(test)]
mod tests;
