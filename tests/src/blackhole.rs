//! A fake: a forwarder that stands for a network which swallows packets. While it swallows, it takes
//! connections and moves no byte in either direction, and no socket closes. Never closes what both ends
//! keep open.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A way to a port of this machine.
pub struct Blackhole {
    pub port: u16,
    swallows: watch::Sender<bool>,
    taken: Arc<AtomicUsize>,
    listening: JoinHandle<()>,
}

impl Blackhole {
    /// Begins to forward to `port`.
    ///
    /// # Errors
    /// There is no port to listen on.
    pub async fn before(port: u16) -> Result<Blackhole> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let own_port = listener.local_addr()?.port();
        let (swallows, passes) = watch::channel(false);
        let taken = Arc::new(AtomicUsize::new(0));
        let listening = tokio::spawn(listen(listener, port, passes, Arc::clone(&taken)));
        Ok(Blackhole { port: own_port, swallows, taken, listening })
    }

    /// Forwards no byte from now on, or goes on to.
    pub fn swallow(&self, swallows: bool) {
        self.swallows.send_replace(swallows);
    }

    /// How many connections have ever come.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Drop for Blackhole {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(
    listener: TcpListener,
    port: u16,
    swallows: watch::Receiver<bool>,
    taken: Arc<AtomicUsize>,
) {
    while let Ok((near, _)) = listener.accept().await {
        taken.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(forward(near, port, swallows.clone()));
    }
}

async fn forward(near: TcpStream, port: u16, mut swallows: watch::Receiver<bool>) {
    if swallows.wait_for(|swallows| !swallows).await.is_err() {
        return;
    }
    let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    tokio::join!(pipe(near_in, far_out, swallows.clone()), pipe(far_in, near_out, swallows));
}

/// One direction, up to its end, which is passed on.
async fn pipe(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut swallows: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut bytes).await.unwrap_or(0);
        if swallows.wait_for(|swallows| !swallows).await.is_err() {
            return;
        }
        if read == 0 || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
