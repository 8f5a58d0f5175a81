//! `poolwright-relay LISTEN UPSTREAM`: one connection there for each one here, bytes copied both
//! ways. The floor that a pooler is measured against; it never looks at a byte.

use std::env;
use std::io;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

async fn relay(mut client: TcpStream, upstream: String) -> io::Result<()> {
    let mut server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let (Some(listen), Some(upstream)) = (arguments.next(), arguments.next()) else {
        return Err(io::Error::other("usage: poolwright-relay LISTEN UPSTREAM, both host:port"));
    };
    let listener = TcpListener::bind(&listen).await?;
    loop {
        let (client, _) = listener.accept().await?;
        tokio::spawn(relay(client, upstream.clone()));
    }
}
