//! The five bytes before each body: tag and length. It never looks at the body.

use crate::WireError;

/// The largest length field that is accepted, in bytes: Postgres's own limit for one allocation.
pub const MAX_LENGTH: u32 = (1 << 30) - 1;

/// Bytes of a header: tag and length field.
pub const HEADER_LENGTH: usize = 5;

/// A message's tag and the size of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// One of the constants in [`crate::client`] or [`crate::server`]; not checked.
    pub tag: u8,
    /// Bytes of the body, the length field not counted: 0 to [`MAX_LENGTH`] − 4.
    pub length: u32,
}

impl Header {
    /// Bytes of the whole message: header and body.
    pub fn total(&self) -> usize {
        HEADER_LENGTH + self.length as usize
    }
}

/// Reads the header that `buf` starts with; `None` if fewer than five bytes are there.
///
/// # Errors
/// [`WireError::Length`] if the length field is below 4 or above [`MAX_LENGTH`].
pub fn header(buf: &[u8]) -> Result<Option<Header>, WireError> {
    let Some(&[tag, a, b, c, d]) = buf.first_chunk() else { return Ok(None) };
    let length = u32::from_be_bytes([a, b, c, d]);
    if !(4..=MAX_LENGTH).contains(&length) {
        return Err(WireError::Length {
            message: "message header",
            length: length.cast_signed(),
            min: 4,
            max: MAX_LENGTH.cast_signed(),
        });
    }
    Ok(Some(Header { tag, length: length - 4 }))
}
