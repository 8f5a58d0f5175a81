//! Logins as bytes over a real socket: what the client sends, what it reads back, how it ends.

mod methods;
mod refused;
mod welcome;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use poolwright_wire::scram::{Channel, ClientExchange, MECHANISM, salted_password};
use poolwright_wire::startup::PROTOCOL_3_0;
use poolwright_wire::{header, read, server, write};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Arrival, LoginContext, LoginError, Verifiers, accept, introduce};
use crate::config::Config;
use crate::tls::ClientTls;

const SETTINGS: &str = r"
listen: {address: 127.0.0.1, port: 6432}
servers: [{name: main, host: 127.0.0.1, port: 5432, maxConnections: 10}]
databases: [{name: shop}]
users:
- {name: ann, password: pencil}
- name: bob
  scramVerifier: SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=
  serverPassword: other
";

pub(crate) fn context() -> LoginContext {
    context_of(SETTINGS, ClientTls::Disabled)
}

/// Of a pooler with this TLS.
pub(crate) fn context_with(client_tls: ClientTls) -> LoginContext {
    context_of(SETTINGS, client_tls)
}

fn context_of(settings: &str, client_tls: ClientTls) -> LoginContext {
    LoginContext {
        config: config(settings, client_tls),
        verifiers: Rc::new(Verifiers::new().unwrap()),
        inquiries: Rc::default(),
        penalties: Rc::default(),
        door: Arc::default(),
    }
}

fn config(settings: &str, client_tls: ClientTls) -> Arc<Config> {
    let settings = poolwright_settings::parse(settings, None).unwrap();
    Arc::new(Config::in_memory(settings, client_tls))
}

/// A login from its beginning.
pub(crate) async fn meet(tcp: TcpStream, context: &LoginContext) -> Result<Arrival, LoginError> {
    let peer = tcp.peer_addr().unwrap();
    accept(introduce(tcp.into(), peer, context).await?, context).await
}

/// Runs a login against what `client` does; gives both outcomes.
async fn run<T>(
    context: &LoginContext,
    client: impl AsyncFnOnce(TcpStream) -> T,
) -> (Result<Arrival, LoginError>, T) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let login = async {
        let (tcp, _) = listener.accept().await.unwrap();
        meet(tcp, context).await
    };
    let client = async { client(TcpStream::connect(address).await.unwrap()).await };
    tokio::join!(login, client)
}

fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    let bytes: Vec<_> = parameters.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
    write::startup(&mut out, PROTOCOL_3_0, &bytes);
    out
}

/// The next message; `None` at the end.
async fn message(stream: &mut (impl AsyncRead + Unpin)) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    stream.read_exact(&mut head).await.ok()?;
    let header = header(&head).unwrap().unwrap();
    let mut body = vec![0; header.length as usize];
    stream.read_exact(&mut body).await.unwrap();
    Some((header.tag, body))
}

/// The SQLSTATE and text of an ErrorResponse.
fn error_of(message: Option<(u8, Vec<u8>)>) -> (String, String) {
    let (tag, body) = message.expect("an error before the end");
    assert_eq!(tag, server::ERROR_RESPONSE);
    let report = read::report(&body).unwrap();
    assert_eq!(report.severity, b"FATAL");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(report.sqlstate), text(report.message))
}

/// A client that logs in as libpq does, up to its last message; `extra` is sent along with that.
/// Gives what the server asked for and what must be its proof.
async fn scram<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    start: &[(&str, &str)],
    password: &str,
    extra: &[u8],
) -> (String, poolwright_wire::scram::ServerProof) {
    stream.write_all(&startup(start)).await.unwrap();
    stream.flush().await.unwrap();
    let (_, offered) = message(stream).await.unwrap();
    assert!(offered.starts_with(b"\0\0\0\x0aSCRAM-SHA-256"), "{offered:?}");
    assert!(offered.ends_with(b"\0SCRAM-SHA-256\0\0") || offered.len() == 19, "{offered:?}");
    let exchange = ClientExchange::new("", "nonce", Channel::Unbound);
    let mut out = Vec::new();
    write::sasl_initial_response(&mut out, MECHANISM, &exchange.first());
    stream.write_all(&out).await.unwrap();
    stream.flush().await.unwrap();
    let (_, body) = message(stream).await.unwrap();
    let asked = String::from_utf8(body[4..].to_vec()).unwrap();
    let challenge = exchange.challenge(&body[4..]).unwrap();
    let keys = salted_password(password, &challenge.salt, challenge.iterations).client_keys();
    let (answer, proof) = challenge.prove(&keys);
    let mut out = Vec::new();
    write::sasl_response(&mut out, &answer);
    out.extend_from_slice(extra);
    stream.write_all(&out).await.unwrap();
    stream.flush().await.unwrap();
    (asked, proof)
}
