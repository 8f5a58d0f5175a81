//! A backend that costs next to nothing: it lets everyone in and gives each question the same
//! answer at once, so that what a pooler can do at most is seen. Never parses SQL, keeps no state
//! but a message that is not whole yet.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use answers::Answers;

mod answers;

/// Serves until the process ends.
pub async fn serve(address: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    LocalSet::new().run_until(accept(listener)).await
}

async fn accept(listener: TcpListener) -> io::Result<()> {
    let answers = Rc::new(Answers::new());
    loop {
        let (stream, _) = listener.accept().await?;
        let answers = answers.clone();
        // How a connection ends is the client's business.
        tokio::task::spawn_local(async move { converse(stream, &answers).await.ok() });
    }
}

async fn converse(mut stream: TcpStream, answers: &Answers) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if !start(&mut stream, answers).await? {
        return Ok(());
    }
    let mut unread = Vec::with_capacity(4096);
    let mut out = Vec::with_capacity(4096);
    while stream.read_buf(&mut unread).await? > 0 {
        let read = answers.to(&unread, &mut out);
        unread.drain(..read.bytes);
        if read.end {
            return Ok(());
        }
        if !out.is_empty() {
            stream.write_all(&out).await?;
            out.clear();
        }
    }
    Ok(())
}

/// The startup: no TLS, no password. Whether a session follows.
async fn start(stream: &mut TcpStream, answers: &Answers) -> io::Result<bool> {
    const SSL: i32 = 80_877_103;
    const GSS: i32 = 80_877_104;
    const CANCEL: i32 = 80_877_102;
    loop {
        let length = stream.read_i32().await?;
        let code = stream.read_i32().await?;
        let rest = usize::try_from(length - 8).map_err(|_| io::ErrorKind::InvalidData)?;
        stream.read_exact(&mut vec![0; rest.min(10_000)]).await?;
        match code {
            SSL | GSS => stream.write_all(b"N").await?,
            CANCEL => return Ok(false),
            _ => break,
        }
    }
    stream.write_all(&answers.welcome).await?;
    Ok(true)
}
