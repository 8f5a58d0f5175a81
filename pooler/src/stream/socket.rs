//! A TCP socket that can change threads: free, it belongs to no runtime; live, to the one of the
//! thread that took it in. It never loses a byte on the way: what has come waits in the kernel.

use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

#[derive(Debug)]
pub enum Socket {
    Live(TcpStream),
    /// Read and written at once; when it would have to wait, this thread's runtime takes it in. A
    /// client whose login needs no wait goes to its worker without having been in a runtime.
    Free(std::net::TcpStream),
    /// May bring so many bytes more: what a peer sends before it has shown who it is takes memory.
    Metered(Box<Socket>, usize),
    /// Between the two, when a change failed.
    Gone,
}

impl Socket {
    /// Fails to be read once it has brought more than `most` bytes.
    pub fn metered(self, most: usize) -> Socket {
        Socket::Metered(Box::new(self), most)
    }

    /// From now on it may bring any number.
    pub fn stop_metering(&mut self) {
        *self = match std::mem::replace(self, Socket::Gone) {
            Socket::Metered(socket, _) => *socket,
            other => other,
        };
    }

    /// Takes the socket out of this thread's runtime.
    ///
    /// # Errors
    /// The runtime cannot let go of it.
    pub(super) fn park(&mut self) -> io::Result<()> {
        *self = match std::mem::replace(self, Socket::Gone) {
            Socket::Live(tcp) => Socket::Free(tcp.into_std()?),
            other => other,
        };
        Ok(())
    }

    /// Takes the socket into this thread's runtime.
    ///
    /// # Errors
    /// The runtime cannot take it.
    pub(super) fn revive(&mut self) -> io::Result<()> {
        *self = match std::mem::replace(self, Socket::Gone) {
            Socket::Free(tcp) => Socket::Live(TcpStream::from_std(tcp)?),
            other => other,
        };
        Ok(())
    }

    /// The socket in its runtime.
    ///
    /// # Errors
    /// It is in none.
    pub fn live(&self) -> io::Result<&TcpStream> {
        match self {
            Socket::Live(tcp) => Ok(tcp),
            Socket::Metered(socket, _) => socket.live(),
            Socket::Free(_) | Socket::Gone => Err(not_live()),
        }
    }

    /// Writes what goes without a wait.
    ///
    /// # Errors
    /// Nothing does, or the connection is lost.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Live(tcp) => tcp.try_write(bytes),
            Socket::Free(tcp) => (&*tcp).write(bytes),
            Socket::Metered(socket, _) => socket.try_write(bytes),
            Socket::Gone => Err(not_live()),
        }
    }

    /// Does what `attempt` says, as long as that takes no wait; `None` once the runtime has the
    /// socket.
    fn at_once<T>(
        &mut self,
        attempt: impl FnOnce(&mut std::net::TcpStream) -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        let tcp = match self {
            Socket::Free(tcp) => tcp,
            Socket::Metered(socket, _) => return socket.at_once(attempt),
            Socket::Live(_) | Socket::Gone => return Ok(None),
        };
        match attempt(tcp) {
            Err(error) if must_wait(&error) => self.revive().map(|()| None),
            done => done.map(Some),
        }
    }

    fn pinned(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        match self {
            Socket::Live(tcp) => Ok(Pin::new(tcp)),
            Socket::Metered(socket, _) => socket.pinned(),
            Socket::Free(_) | Socket::Gone => Err(not_live()),
        }
    }
}

impl From<TcpStream> for Socket {
    fn from(tcp: TcpStream) -> Socket {
        Socket::Live(tcp)
    }
}

fn must_wait(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn too_much() -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, "more bytes than there may be")
}

fn not_live() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the socket is on its way to another thread")
}

impl AsyncRead for Socket {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        if let Socket::Live(tcp) = socket {
            return Pin::new(tcp).poll_read(cx, buf);
        }
        if let Socket::Metered(socket, left) = socket {
            let before = buf.filled().len();
            ready!(Pin::new(&mut **socket).poll_read(cx, buf))?;
            let count = buf.filled().len() - before;
            *left = left.checked_sub(count).ok_or_else(too_much)?;
            return Poll::Ready(Ok(()));
        }
        match socket.at_once(|tcp| tcp.read(buf.initialize_unfilled()))? {
            Some(count) => {
                buf.advance(count);
                Poll::Ready(Ok(()))
            }
            None => socket.pinned()?.poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let socket = self.get_mut();
        if let Socket::Live(tcp) = socket {
            return Pin::new(tcp).poll_write(cx, buf);
        }
        match socket.at_once(|tcp| tcp.write(buf))? {
            Some(count) => Poll::Ready(Ok(count)),
            None => socket.pinned()?.poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let socket = self.get_mut();
        match socket.at_once(|tcp| tcp.write_vectored(bufs))? {
            Some(count) => Poll::Ready(Ok(count)),
            None => socket.pinned()?.poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        match socket.at_once(|tcp| tcp.shutdown(std::net::Shutdown::Write))? {
            Some(()) => Poll::Ready(Ok(())),
            None => socket.pinned()?.poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::net::{TcpListener, TcpStream as StdStream};
    use std::pin::pin;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn pair() -> (Socket, StdStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = StdStream::connect(listener.local_addr().unwrap()).unwrap();
        let (tcp, _) = listener.accept().unwrap();
        tcp.set_nonblocking(true).unwrap();
        (Socket::Free(tcp), peer)
    }

    #[tokio::test]
    async fn what_needs_no_wait_is_done_outside_of_the_runtime() {
        let (mut socket, mut peer) = pair();
        peer.write_all(b"hello").unwrap();
        let mut heard = [0; 5];
        // On loopback it has arrived when the write returns.
        socket.read_exact(&mut heard).await.unwrap();
        socket.write_all(b"there").await.unwrap();
        assert!(matches!(socket, Socket::Free(_)));
        peer.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"there");
    }

    #[tokio::test]
    async fn a_metered_socket_brings_no_more_than_it_may() {
        for waits in [false, true] {
            let (socket, mut peer) = pair();
            let mut socket = socket.metered(6);
            let mut heard = [0; 5];
            if waits {
                assert!(poll_once(socket.read_exact(&mut heard)).await.is_none());
            }
            peer.write_all(b"hello").unwrap();
            socket.read_exact(&mut heard).await.unwrap();
            socket.write_all(b"there").await.unwrap();
            peer.write_all(b"hello").unwrap();
            let error = socket.read_exact(&mut heard).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
            socket.stop_metering();
            peer.write_all(b"again").unwrap();
            socket.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"again");
        }
    }

    async fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    #[tokio::test]
    async fn the_runtime_takes_a_socket_that_must_wait() {
        let (mut socket, mut peer) = pair();
        let later = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            peer.write_all(b"late").unwrap();
            peer
        });
        let mut heard = [0; 4];
        socket.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"late");
        assert!(socket.live().is_ok());
        socket.park().unwrap();
        assert!(matches!(socket, Socket::Free(_)));
        drop(later.join().unwrap());
        assert_eq!(socket.read(&mut heard).await.unwrap(), 0);
    }
}
