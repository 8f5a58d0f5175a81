//! What can be wrong with bytes. Each error names the message, the field and what was expected; it
//! never holds the bytes themselves, which may be secret.

/// Bytes that are no message of the protocol. The peer that sent them is at fault; nothing can be
/// read after it, so the connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A length field outside the range of its message.
    #[error("{message}: length is {length}, expected {min} to {max}")]
    Length { message: &'static str, length: i32, min: i32, max: i32 },
    /// The body ends inside a field.
    #[error("{message}: the body ends inside {field}")]
    Short { message: &'static str, field: &'static str },
    /// The body goes on after its last field.
    #[error("{message}: {count} bytes follow the last field")]
    Trailing { message: &'static str, count: usize },
    /// A field holds a value that the protocol does not know.
    #[error("{message}: {field} is not {expected}")]
    Value { message: &'static str, field: &'static str, expected: &'static str },
}
