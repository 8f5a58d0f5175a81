//! Reads replies by their headers up to ReadyForQuery, however they are cut.
//! Never looks into a body, an error's excepted.

use anyhow::{Result, bail};

/// Where in a message the last byte was.
#[derive(Default)]
pub struct Replies {
    header: [u8; 5],
    /// Bytes of the header that are there.
    read: usize,
    /// Bytes of the body that are still to come.
    body: usize,
    error: Vec<u8>,
}

impl Replies {
    /// Takes bytes in; whether they ended with ReadyForQuery.
    pub fn take(&mut self, mut bytes: &[u8]) -> Result<bool> {
        let mut ready = false;
        while !bytes.is_empty() {
            if self.read < 5 {
                let here = bytes.len().min(5 - self.read);
                self.header[self.read..self.read + here].copy_from_slice(&bytes[..here]);
                self.read += here;
                bytes = &bytes[here..];
                if self.read < 5 {
                    break;
                }
                self.body = self.length()?;
            }
            let here = bytes.len().min(self.body);
            if self.header[0] == b'E' {
                self.error.extend_from_slice(&bytes[..here]);
            }
            self.body -= here;
            bytes = &bytes[here..];
            if self.body == 0 {
                ready = self.end()?;
            }
        }
        Ok(ready)
    }

    fn length(&self) -> Result<usize> {
        let [_, a, b, c, d] = self.header;
        match u32::from_be_bytes([a, b, c, d]) as usize {
            length if length >= 4 => Ok(length - 4),
            length => bail!("a message with length {length}"),
        }
    }

    /// The end of a message; whether it was ReadyForQuery.
    fn end(&mut self) -> Result<bool> {
        self.read = 0;
        if self.header[0] == b'E' {
            bail!("an error: {}", String::from_utf8_lossy(&self.error).replace('\0', " "));
        }
        Ok(self.header[0] == b'Z')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_may_be_cut_anywhere() {
        let bytes = b"D\0\0\0\x06xxC\0\0\0\x04Z\0\0\0\x05I";
        for cut in 0..bytes.len() {
            let mut replies = Replies::default();
            assert!(!replies.take(&bytes[..cut]).unwrap(), "{cut}");
            assert!(replies.take(&bytes[cut..]).unwrap(), "{cut}");
        }
    }

    #[test]
    fn an_error_is_told_with_its_text() {
        let told = Replies::default().take(b"E\0\0\0\x09Mno\0\0").unwrap_err().to_string();
        assert!(told.contains("Mno"), "{told}");
    }
}
