//! The bytes of one replication connection, both ways at once and as they are. It ends when one of
//! the two does, or when it is told to and nothing is lost by it.

use std::cell::RefCell;
use std::pin::pin;

use poolwright_session::replication::{Doing, Progress};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};

use crate::conn::READ_SIZE;
use crate::stream::Stream;

/// A client and its server.
pub struct Link {
    pub client: Stream,
    pub server: Stream,
    /// Written before what comes from the other side.
    pub to_client: Vec<u8>,
    pub to_server: Vec<u8>,
    pub progress: RefCell<Progress>,
}

/// Why a link ended.
#[derive(Debug)]
pub enum End {
    /// The server hung up, and all that it sent has been passed on.
    ServerClosed,
    ServerLost(String),
    ClientLeft,
    ClientLost(String),
    /// It was called off, between two messages.
    CalledOff,
    /// It was cut, wherever it was.
    Cut,
}

impl Link {
    /// Passes bytes on. Once `call_off` is ready it ends where nothing is lost, once `cut` is at
    /// once.
    pub async fn run(
        &mut self,
        call_off: impl Future<Output = ()>,
        cut: impl Future<Output = ()>,
    ) -> End {
        let Link { client, server, to_client, to_server, progress } = self;
        let (mut from_client, mut client) = split(client);
        let (mut from_server, mut server) = split(server);
        let up = up(&mut from_client, &mut server, to_server, progress);
        let down = down(&mut from_server, &mut client, to_client, progress, call_off);
        tokio::select! {
            end = down => end,
            end = up => end,
            () = cut => End::Cut,
        }
    }
}

async fn up(
    client: &mut (impl AsyncRead + Unpin),
    server: &mut (impl AsyncWrite + Unpin),
    first: &[u8],
    progress: &RefCell<Progress>,
) -> End {
    let mut buffer = vec![0; READ_SIZE.max(first.len())];
    buffer[..first.len()].copy_from_slice(first);
    let mut count = first.len();
    loop {
        let bytes = &buffer[..count];
        if let Err(error) = progress.borrow_mut().sent(bytes) {
            return End::ClientLost(error.to_string());
        }
        if let Err(error) = send(server, bytes).await {
            return End::ServerLost(error.to_string());
        }
        count = match client.read(&mut buffer).await {
            Ok(0) => return End::ClientLeft,
            Ok(count) => count,
            Err(error) => return End::ClientLost(error.to_string()),
        };
    }
}

async fn down(
    server: &mut (impl AsyncRead + Unpin),
    client: &mut (impl AsyncWrite + Unpin),
    first: &[u8],
    progress: &RefCell<Progress>,
    call_off: impl Future<Output = ()>,
) -> End {
    let mut call_off = pin!(call_off);
    let mut called_off = false;
    let mut buffer = vec![0; READ_SIZE];
    if let Err(error) = send(client, first).await {
        return End::ClientLost(error.to_string());
    }
    loop {
        if called_off && progress.borrow().may_end() {
            return End::CalledOff;
        }
        let read = tokio::select! {
            read = server.read(&mut buffer) => read,
            () = &mut call_off, if !called_off => {
                called_off = true;
                continue;
            }
        };
        let bytes = match read {
            Ok(0) => return End::ServerClosed,
            Ok(count) => &buffer[..count],
            Err(error) => return End::ServerLost(error.to_string()),
        };
        let whole = match progress.borrow_mut().received(bytes) {
            Ok(whole) => whole,
            Err(error) => return End::ServerLost(error.to_string()),
        };
        // Where messages follow each other without a pause, the last whole one of these is the end.
        let end = whole.filter(|_| called_off && progress.borrow().doing() != Doing::Command);
        if let Err(error) = send(client, &bytes[..end.unwrap_or(bytes.len())]).await {
            return End::ClientLost(error.to_string());
        }
        if end.is_some() {
            return End::CalledOff;
        }
    }
}

async fn send(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}
