//! The `x=value,y=value` form of SCRAM's messages. It reads attributes in the order that the RFC
//! gives and never skips one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::ScramError;

pub(super) struct Attributes<'a> {
    message: &'static str,
    rest: Option<&'a str>,
}

impl<'a> Attributes<'a> {
    pub(super) fn new(message: &'static str, text: &'a [u8]) -> Result<Self, ScramError> {
        let text = str::from_utf8(text)
            .map_err(|_| ScramError::Malformed { message, field: "its encoding" })?;
        Ok(Attributes { message, rest: Some(text) })
    }

    /// The next part between commas, whatever it is.
    pub(super) fn part(&mut self, field: &'static str) -> Result<&'a str, ScramError> {
        let rest = self.rest.ok_or(self.malformed(field))?;
        let (part, rest) = match rest.split_once(',') {
            Some((part, rest)) => (part, Some(rest)),
            None => (rest, None),
        };
        self.rest = rest;
        Ok(part)
    }

    /// The value of the next attribute, which must have this letter.
    pub(super) fn value(
        &mut self,
        letter: char,
        field: &'static str,
    ) -> Result<&'a str, ScramError> {
        let part = self.part(field)?;
        part.strip_prefix(letter)
            .and_then(|rest| rest.strip_prefix('='))
            .ok_or(self.malformed(field))
    }

    /// What is left, unread.
    pub(super) fn rest(&self) -> &'a str {
        self.rest.unwrap_or_default()
    }

    pub(super) fn end(&self, field: &'static str) -> Result<(), ScramError> {
        if self.rest.is_none() { Ok(()) } else { Err(self.malformed(field)) }
    }

    pub(super) fn malformed(&self, field: &'static str) -> ScramError {
        ScramError::Malformed { message: self.message, field }
    }
}

/// A nonce is one or more printable ASCII characters, no comma.
pub(super) fn is_nonce(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

pub(super) fn decode_key(text: &str) -> Option<[u8; 32]> {
    decode(text)?.try_into().ok()
}
