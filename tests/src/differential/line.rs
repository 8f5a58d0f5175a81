//! One connection whose messages are read as they come, whoever waits for them.
//! It never interprets a message.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use crate::pg::{CancelKey, Message, Target, Wire};

/// A client's connection, logged in.
pub struct Line {
    pub target: Target,
    pub key: CancelKey,
    writer: WriteHalf<Box<dyn Wire>>,
    inbox: mpsc::UnboundedReceiver<Message>,
    reader: JoinHandle<()>,
}

impl Line {
    /// Logs in; `bell` rings whenever something has come.
    ///
    /// # Errors
    /// The login failed.
    pub async fn open(target: Target, bell: Arc<Notify>) -> Result<Line> {
        let client =
            target.connect().await.with_context(|| format!("log in as {}", target.user))?;
        let key = client.key.clone();
        let (reader, writer) = tokio::io::split(client.into_wire());
        let (sender, inbox) = mpsc::unbounded_channel();
        let reader = tokio::spawn(read(reader, sender, bell));
        Ok(Line { target, key, writer, inbox, reader })
    }

    /// Sends; whether the other side has gone is seen when reading.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = self.writer.write_all(bytes).await;
    }

    /// What has come already; `Err`: the other side has closed, and nothing is left.
    pub fn poll(&mut self) -> Result<Option<Message>, Closed> {
        match self.inbox.try_recv() {
            Ok(message) => Ok(Some(message)),
            Err(mpsc::error::TryRecvError::Empty) => Ok(None),
            Err(mpsc::error::TryRecvError::Disconnected) => Err(Closed),
        }
    }

    /// The next message; `None` when the other side has closed.
    ///
    /// # Errors
    /// Nothing came within `limit`.
    pub async fn next(&mut self, limit: Duration) -> Result<Option<Message>> {
        tokio::time::timeout(limit, self.inbox.recv()).await.context("nothing came")
    }

    /// Asks for a cancel, and waits for its delivery.
    pub async fn cancel(&mut self) {
        let _ = self.target.cancel(&self.key).await;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// The other side has closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

async fn read(
    mut stream: ReadHalf<Box<dyn Wire>>,
    inbox: mpsc::UnboundedSender<Message>,
    bell: Arc<Notify>,
) {
    let mut unread = Vec::new();
    loop {
        while let Some(message) = take(&mut unread) {
            if inbox.send(message).is_err() {
                return;
            }
        }
        bell.notify_one();
        if !matches!(stream.read_buf(&mut unread).await, Ok(1..)) {
            break;
        }
    }
    drop(inbox);
    bell.notify_one();
}

/// A whole message from the front of what was read.
fn take(unread: &mut Vec<u8>) -> Option<Message> {
    let head = unread.first_chunk::<5>()?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if unread.len() < 1 + length {
        return None;
    }
    let rest = unread.split_off(1 + length);
    let message = std::mem::replace(unread, rest);
    Some(Message { tag: message[0], body: message[5..].to_vec() })
}
