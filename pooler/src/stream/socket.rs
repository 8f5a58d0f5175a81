//! A TCP socket that can change threads: parked, it belongs to no runtime; live, to the one of the
//! thread that revived it. It never loses a byte on the way: what has come waits in the kernel.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The socket below TLS.
#[derive(Debug)]
pub enum Socket {
    Live(TcpStream),
    Parked(std::net::TcpStream),
    /// Between the two, when a change failed.
    Gone,
}

impl Socket {
    /// # Errors
    /// The runtime cannot let go of it.
    pub(super) fn park(&mut self) -> io::Result<()> {
        if let Socket::Live(tcp) = std::mem::replace(self, Socket::Gone) {
            *self = Socket::Parked(tcp.into_std()?);
        }
        Ok(())
    }

    /// # Errors
    /// This thread's runtime cannot take it.
    pub(super) fn revive(&mut self) -> io::Result<()> {
        if let Socket::Parked(tcp) = std::mem::replace(self, Socket::Gone) {
            *self = Socket::Live(TcpStream::from_std(tcp)?);
        }
        Ok(())
    }

    pub fn live(&self) -> io::Result<&TcpStream> {
        match self {
            Socket::Live(tcp) => Ok(tcp),
            Socket::Parked(_) | Socket::Gone => Err(not_live()),
        }
    }

    fn pinned(self: Pin<&mut Self>) -> io::Result<Pin<&mut TcpStream>> {
        match self.get_mut() {
            Socket::Live(tcp) => Ok(Pin::new(tcp)),
            Socket::Parked(_) | Socket::Gone => Err(not_live()),
        }
    }
}

fn not_live() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the socket is on its way to another thread")
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.pinned()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.pinned()?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.pinned()?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pinned()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pinned()?.poll_shutdown(cx)
    }
}
