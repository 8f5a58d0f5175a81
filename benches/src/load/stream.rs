//! Bytes of one client both ways, plain or through TLS, read into one buffer of the whole thread.
//! Never keeps a buffer for a client.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Large enough that ten megabytes are not many reads.
const BUFFER: usize = 128 * 1024;

thread_local! {
    static SHARED: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER]);
}

/// One client's connection.
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Plain(stream) => stream.write_all(bytes).await,
            Stream::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    /// Reads once and gives what came to `take`; the end of the stream is an error.
    pub async fn receive<T>(&mut self, mut take: impl FnMut(&[u8]) -> T) -> io::Result<T> {
        std::future::poll_fn(|context| self.poll_receive(context, &mut take)).await
    }

    fn poll_receive<T>(
        &mut self,
        context: &mut Context<'_>,
        take: &mut impl FnMut(&[u8]) -> T,
    ) -> Poll<io::Result<T>> {
        SHARED.with_borrow_mut(|shared| {
            let mut buffer = ReadBuf::new(shared);
            ready!(match self {
                Stream::Plain(stream) => Pin::new(stream).poll_read(context, &mut buffer),
                Stream::Tls(stream) => Pin::new(stream).poll_read(context, &mut buffer),
            })?;
            match buffer.filled() {
                [] => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                bytes => Poll::Ready(Ok(take(bytes))),
            }
        })
    }

    /// Says that nothing more comes; does not wait for the other side.
    pub async fn close(&mut self) {
        let context = &mut Context::from_waker(std::task::Waker::noop());
        let _ = match self {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        };
    }

    /// Whether nothing has come and the other side has not closed.
    pub fn is_silent(&self) -> bool {
        let socket = match self {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
        };
        let read = socket.try_read(&mut [0; 1]);
        read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}
