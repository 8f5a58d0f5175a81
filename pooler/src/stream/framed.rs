//! Whole messages over a stream, for the few messages of a login. A session's messages never come
//! this way: those are streamed.

use std::io;

use poolwright_wire::proxy::{self, ProxyError, Source};
use poolwright_wire::{WireError, header, startup};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Stream;

/// Few messages of a login are longer than this, in bytes.
const USUAL: usize = 512;

/// A stream with what was read ahead and what waits to be sent.
#[derive(Debug)]
pub struct Framed {
    pub stream: Stream,
    /// Read and not yet taken.
    pub input: Vec<u8>,
    /// To be sent by the next [`Framed::flush`].
    pub output: Vec<u8>,
}

/// One message of a login.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    pub tag: u8,
    pub body: Vec<u8>,
}

/// Why no message came.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("the connection was closed")]
    Closed,
    #[error("the connection was closed in the middle of a message")]
    ClosedInside,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Malformed(#[from] WireError),
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error("message of {length} bytes during login, at most {limit} are accepted")]
    TooLong { length: u32, limit: u32 },
}

impl Framed {
    pub fn new(stream: Stream) -> Self {
        Framed { stream, input: Vec::new(), output: Vec::new() }
    }

    /// The next packet without a tag, its length field included.
    ///
    /// # Errors
    /// The stream ends or fails, or the length is out of range.
    pub async fn startup_packet(&mut self) -> Result<Vec<u8>, FrameError> {
        loop {
            if let Some(length) = startup::length(&self.input)?
                && length <= self.input.len()
            {
                return Ok(self.take(length));
            }
            self.fill().await?;
        }
    }

    /// The first byte of what comes next, which stays to be read.
    ///
    /// # Errors
    /// The stream ends or fails.
    pub async fn first_byte(&mut self) -> Result<u8, FrameError> {
        if self.input.is_empty() {
            self.fill().await?;
        }
        Ok(self.input[0])
    }

    /// Whose connection it is, as a load balancer says.
    ///
    /// # Errors
    /// The stream ends or fails, or begins otherwise.
    pub async fn proxy_header(&mut self) -> Result<Source, FrameError> {
        loop {
            if let Some((source, length)) = proxy::header(&self.input)? {
                self.take(length);
                return Ok(source);
            }
            self.fill().await?;
        }
    }

    /// The next message, whose body may have `limit` bytes.
    ///
    /// # Errors
    /// The stream ends or fails, or the length is out of range.
    pub async fn message(&mut self, limit: u32) -> Result<Message, FrameError> {
        loop {
            if let Some(header) = header(&self.input)? {
                if header.length > limit {
                    return Err(FrameError::TooLong { length: header.length, limit });
                }
                if header.total() <= self.input.len() {
                    let body = self.take(header.total()).split_off(5);
                    return Ok(Message { tag: header.tag, body });
                }
            }
            self.fill().await?;
        }
    }

    /// Sends what waits.
    ///
    /// # Errors
    /// The stream fails.
    pub async fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.output).await?;
        self.output.clear();
        self.stream.flush().await
    }

    async fn fill(&mut self) -> Result<(), FrameError> {
        self.input.reserve(USUAL);
        match self.stream.read_buf(&mut self.input).await? {
            0 if self.input.is_empty() => Err(FrameError::Closed),
            0 => Err(FrameError::ClosedInside),
            _ => Ok(()),
        }
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let rest = self.input.split_off(length);
        std::mem::replace(&mut self.input, rest)
    }
}
