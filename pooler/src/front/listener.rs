//! The socket that clients connect to. What it accepts belongs to no runtime yet.

use std::io;
use std::net::SocketAddr;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpListener;

use crate::stream::{Socket, tune};

pub struct Listener(AsyncFd<std::net::TcpListener>);

impl Listener {
    /// Listens, with options that the clients' sockets inherit.
    ///
    /// # Errors
    /// The address cannot be had, or the system refuses an option.
    pub async fn bind(address: SocketAddr) -> io::Result<Listener> {
        let listener = TcpListener::bind(address).await?;
        tune(&listener)?;
        #[expect(deprecated, reason = "the safe one; std's listener never changes its descriptor")]
        let listener = AsyncFd::new(listener.into_std()?)?;
        Ok(Listener(listener))
    }

    /// # Errors
    /// The process is out of files, or the peer has left already.
    pub async fn accept(&self) -> io::Result<(Socket, SocketAddr)> {
        let accept = |listener: &std::net::TcpListener| listener.accept();
        let (tcp, peer) = self.0.async_io(Interest::READABLE, accept).await?;
        tcp.set_nonblocking(true)?;
        Ok((Socket::Free(tcp), peer))
    }
}
