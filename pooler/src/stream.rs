//! A connection's byte stream, with or without TLS. It moves bytes and sets TCP options; it never
//! knows a message.

mod framed;
mod socket;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

pub use framed::{FrameError, Framed, Message};
pub use socket::Socket;

/// A peer that acknowledges no byte, or answers no probe, is given up after so many seconds.
const PATIENCE: u64 = 30;
/// Probes go to a silent peer in the second half of that time.
const PROBES: u32 = 3;
/// In seconds, another patience: for tests. No build that ships asks for it.
const HURRY: &str = "POOLWRIGHT_PEER_TIMEOUT";

/// A connection to a client or to a server.
#[derive(Debug)]
pub enum Stream {
    Tcp(Socket),
    Tls(Box<TlsStream<Socket>>),
}

/// A connection on its way to another thread: it belongs to no runtime.
#[derive(Debug)]
pub struct Parked(Stream);

impl Parked {
    /// Takes the connection over into this thread's runtime.
    ///
    /// # Errors
    /// The runtime cannot take it.
    pub fn revive(self) -> io::Result<Stream> {
        let Parked(mut stream) = self;
        stream.socket_mut().revive()?;
        Ok(stream)
    }
}

impl Stream {
    pub fn is_tls(&self) -> bool {
        matches!(self, Stream::Tls(_))
    }

    /// The certificate that the peer has shown.
    pub fn certificate(&self) -> Option<&[u8]> {
        let Stream::Tls(tls) = self else { return None };
        tls.get_ref().1.peer_certificates()?.first().map(|leaf| &**leaf)
    }

    /// The socket below.
    ///
    /// # Errors
    /// It is in no runtime.
    pub fn tcp(&self) -> io::Result<&TcpStream> {
        match self {
            Stream::Tcp(socket) => socket.live(),
            Stream::Tls(tls) => tls.get_ref().0.live(),
        }
    }

    /// Takes the connection out of this thread's runtime, so that another thread may have it.
    ///
    /// # Errors
    /// The runtime cannot let go of it.
    pub fn park(mut self) -> io::Result<Parked> {
        self.socket_mut().park()?;
        Ok(Parked(self))
    }

    fn socket_mut(&mut self) -> &mut Socket {
        match self {
            Stream::Tcp(socket) => socket,
            Stream::Tls(tls) => tls.get_mut().0,
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(tcp: TcpStream) -> Stream {
        Stream::Tcp(tcp.into())
    }
}

/// Sets what every connection has, or gets from its listening socket: no delay for small writes, and
/// a peer that is gone is noticed within about 30 seconds.
///
/// # Errors
/// The system refuses an option.
pub fn tune<'a>(tcp: impl Into<SockRef<'a>>) -> io::Result<()> {
    let patience = patience();
    let interval = (patience / 2 / PROBES).max(Duration::from_secs(1));
    let keepalive =
        TcpKeepalive::new().with_time(patience / 2).with_interval(interval).with_retries(PROBES);
    let socket = tcp.into();
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&keepalive)?;
    set_user_timeout(&socket, patience)
}

fn patience() -> Duration {
    let hurried = || std::env::var(HURRY).ok()?.parse().ok();
    let hurried = cfg!(debug_assertions).then(hurried).flatten();
    Duration::from_secs(hurried.unwrap_or(PATIENCE))
}

#[cfg(target_os = "linux")]
fn set_user_timeout(socket: &SockRef<'_>, patience: Duration) -> io::Result<()> {
    socket.set_tcp_user_timeout(Some(patience))
}

#[cfg(not(target_os = "linux"))]
fn set_user_timeout(_: &SockRef<'_>, _: Duration) -> io::Result<()> {
    Ok(())
}

impl AsyncRead for Stream {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Stream::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Stream::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Stream::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Tcp(tcp) => tcp.is_write_vectored(),
            Stream::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
