//! Logins into servers that are scripts over a real socket: honest, hostile and broken ones. A real
//! Postgres is dialled by the integration tests.

mod honest;
mod hostile;

use std::net::SocketAddr;
use std::time::Duration;

use poolwright_settings::{ChannelBinding, CleartextPassword, Secret, ServerTlsMode};
use poolwright_wire::startup::PROTOCOL_3_2;
use poolwright_wire::{header, startup};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream};

use super::{ClientKeyCache, ConnectError, Connected, Identity, ServerTarget, connect};
use crate::credential::Credential;
use crate::tls::ServerTls;

const MORE: &[(&str, &str)] = &[("application_name", "poolwright")];

fn target(address: SocketAddr, mode: ServerTlsMode) -> ServerTarget {
    let authorities = matches!(mode, ServerTlsMode::VerifyCa | ServerTlsMode::VerifyFull);
    assert!(!authorities, "use a target of your own");
    ServerTarget {
        host: address.ip().to_string(),
        port: address.port(),
        tls: ServerTls::new(mode, None, None).unwrap(),
        connect_timeout: Duration::from_secs(30),
        cancel_timeout: Duration::from_secs(30),
        protocol: PROTOCOL_3_2,
        cleartext: CleartextPassword::Tls,
        binding: ChannelBinding::Prefer,
    }
}

/// Logs ann (password pencil) in to what `server` does with each connection.
async fn run(
    mode: ServerTlsMode,
    server: impl AsyncFn(TcpStream),
) -> Result<Connected, ConnectError> {
    let password = Credential::Password(Secret::new("pencil"));
    run_with(mode, CleartextPassword::Tls, &password, server).await
}

async fn run_with(
    mode: ServerTlsMode,
    cleartext: CleartextPassword,
    credential: &Credential,
    server: impl AsyncFn(TcpStream),
) -> Result<Connected, ConnectError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = ServerTarget { cleartext, ..target(listener.local_addr().unwrap(), mode) };
    let serve = async {
        loop {
            server(listener.accept().await.unwrap().0).await;
        }
    };
    let identity =
        Identity { database: "shop", user: "ann", credential: Some(credential), more: MORE };
    let keys = ClientKeyCache::default();
    tokio::select! {
        outcome = connect(&target, identity, &keys) => outcome,
        () = serve => unreachable!(),
    }
}

/// Reads one packet without a tag.
async fn packet(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut packet = vec![0; 4];
    stream.read_exact(&mut packet).await.unwrap();
    packet.resize(startup::length(&packet).unwrap().unwrap(), 0);
    stream.read_exact(&mut packet[4..]).await.unwrap();
    packet
}

/// Reads one message; gives its body.
async fn message(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut head = [0; 5];
    stream.read_exact(&mut head).await.unwrap();
    let mut body = vec![0; header(&head).unwrap().unwrap().length as usize];
    stream.read_exact(&mut body).await.unwrap();
    body
}
