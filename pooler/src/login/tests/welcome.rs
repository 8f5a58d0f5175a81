//! Clients that get in, and what is known of them then.

use std::sync::Arc;

use poolwright_settings::{ListenTlsMode, ServerTlsMode};
use poolwright_wire::{CancelKey, write};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client};

use super::super::{Arrival, LoggedIn, LoginContext, LoginError};
use super::{SETTINGS, config, context, context_of, error_of, message, run, scram, startup};
use crate::stream::Stream;
use crate::tls::{ClientTls, ServerTls};

const START: [(&str, &str); 4] = [
    ("user", "ann"),
    ("database", "shop"),
    ("application_name", "till"),
    ("options", "-c geqo=off"),
];

fn client(outcome: Result<Arrival, LoginError>) -> LoggedIn<Stream> {
    match outcome {
        Ok(Arrival::Client(client)) => client,
        other => panic!("{other:?}"),
    }
}

fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn with_tls(mode: ListenTlsMode) -> (LoginContext, ServerTls) {
    let (certificate, key) = certificate();
    let tls = ClientTls::new(mode, certificate.as_bytes(), key.as_bytes(), b"").unwrap();
    let connector =
        ServerTls::new(ServerTlsMode::VerifyFull, Some(certificate.as_bytes()), None).unwrap();
    (context_of(SETTINGS, tls), connector)
}

#[tokio::test]
async fn a_login_ends_before_authentication_ok_with_all_that_was_asked_for() {
    let (outcome, proof) = run(&context(), async |mut tcp| {
        scram(&mut tcp, &START, "pencil", b"Q\0\0\0\x05\0").await.1
    })
    .await;
    let client = client(outcome);
    assert_eq!((client.user.as_str(), client.database.as_str()), ("ann", "shop"));
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(client.parameters, [pair("geqo", "off"), pair("application_name", "till")]);
    assert_eq!(client.leftover, b"Q\0\0\0\x05\0");
    assert!(!client.stream.is_tls());
    let (tag, body) = message(&mut &client.pending_out[..]).await.unwrap();
    assert_eq!((tag, &body[..4]), (b'R', &b"\0\0\0\x0c"[..]));
    assert_eq!(proof.check(&body[4..]), Ok(()));
    assert_eq!(client.pending_out.len(), 5 + body.len());
}

#[tokio::test]
async fn while_a_password_is_changed_both_let_in_and_no_third() {
    let both = SETTINGS.replace("password: pencil", "password: pen, previousPassword: pencil");
    let context = context_of(&both, ClientTls::Disabled);
    for (password, enters) in [("pen", true), ("pencil", true), ("chalk", false), ("pen", true)] {
        let (outcome, _) = run(&context, async |mut tcp| {
            scram(&mut tcp, &START, password, b"").await;
            tcp
        })
        .await;
        assert_eq!(outcome.is_ok(), enters, "{password}");
    }
}

#[tokio::test]
async fn a_verifier_lets_in_who_knows_its_password() {
    let (outcome, asked) = run(&context(), async |mut tcp| {
        let start = [("user", "bob"), ("database", "shop")];
        scram(&mut tcp, &start, "pencil", b"").await.0
    })
    .await;
    assert_eq!(client(outcome).user, "bob");
    assert!(asked.ends_with(",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"), "{asked}");
}

#[tokio::test]
async fn a_changed_password_counts_from_the_next_login() {
    let before = context();
    let login = async |context: &LoginContext, password: &'static str| {
        run(context, async |mut tcp| {
            scram(&mut tcp, &START, password, b"").await;
        })
        .await
        .0
    };
    client(login(&before, "pencil").await);
    let text = SETTINGS.replace("password: pencil", "password: brush");
    let after = LoginContext { config: config(&text, ClientTls::Disabled), ..before };
    assert!(matches!(login(&after, "pencil").await, Err(LoginError::Password { .. })));
    client(login(&after, "brush").await);
}

#[tokio::test]
async fn a_listed_user_is_believed_where_the_settings_trust() {
    let trusting = SETTINGS.replace("port: 6432", "port: 6432, auth: trust");
    let context = context_of(&trusting, ClientTls::Disabled);
    let (outcome, _tcp) = run(&context, async |mut tcp: TcpStream| {
        tcp.write_all(&startup(&START)).await.unwrap();
        tcp
    })
    .await;
    let client = client(outcome);
    assert_eq!((client.user.as_str(), client.pending_out.as_slice()), ("ann", &b""[..]));
    let (outcome, ()) = run(&context, async |mut tcp| {
        tcp.write_all(&startup(&[("user", "eve"), ("database", "shop")])).await.unwrap();
        let expect = ("28000".to_owned(), "role \"eve\" does not exist".to_owned());
        assert_eq!(error_of(message(&mut tcp).await), expect);
    })
    .await;
    assert!(matches!(outcome, Err(LoginError::Role { .. })));
}

#[tokio::test]
async fn a_cancel_request_arrives_with_its_stream_open() {
    let mut request = Vec::new();
    write::cancel_request(&mut request, &CancelKey { process_id: 7, secret: b"abcd" });
    let (outcome, mut tcp) = run(&context(), async |mut tcp: TcpStream| {
        tcp.write_all(&request).await.unwrap();
        tcp
    })
    .await;
    let Ok(Arrival::Cancel { key, forwarded: false, stream }) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!((key.process_id, &key.secret[..]), (7, &b"abcd"[..]));
    drop(stream);
    assert_eq!(tcp.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn tls_comes_first_and_carries_the_login() {
    for mode in [ListenTlsMode::Allow, ListenTlsMode::Prefer, ListenTlsMode::Require] {
        let (context, connector) = with_tls(mode);
        let (outcome, ()) = run(&context, async |mut tcp| {
            let mut request = Vec::new();
            write::ssl_request(&mut request);
            tcp.write_all(&request).await.unwrap();
            assert_eq!(tcp.read_u8().await.unwrap(), b'S');
            let mut tls = connector.connect("localhost", tcp).await.unwrap();
            scram(&mut tls, &START, "pencil", b"").await;
        })
        .await;
        assert!(client(outcome).stream.is_tls());
    }
}

/// A client that begins with TLS and asks for these by ALPN.
fn direct(alpn: &[&[u8]]) -> (LoginContext, TlsConnector) {
    let (certificate, key) = certificate();
    let tls = ClientTls::new(ListenTlsMode::Require, certificate.as_bytes(), key.as_bytes(), b"");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    (context_of(SETTINGS, tls.unwrap()), TlsConnector::from(Arc::new(config)))
}

async fn handshake(
    connector: &TlsConnector,
    tcp: TcpStream,
) -> std::io::Result<client::TlsStream<TcpStream>> {
    connector.connect(ServerName::try_from("localhost").unwrap(), tcp).await
}

#[tokio::test]
async fn tls_without_a_request_carries_the_login_of_who_names_the_protocol() {
    let (context, connector) = direct(&[b"http/1.1", b"postgresql"]);
    let (outcome, ()) = run(&context, async |tcp| {
        let mut tls = handshake(&connector, tcp).await.unwrap();
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"postgresql"[..]));
        scram(&mut tls, &START, "pencil", b"").await;
    })
    .await;
    assert!(client(outcome).stream.is_tls());
    let (context, connector) = direct(&[]);
    let (outcome, ()) = run(&context, async |tcp| {
        let mut tls = handshake(&connector, tcp).await.unwrap();
        // The end may come before the startup message is written.
        let _ = tls.write_all(&startup(&START)).await;
        assert_eq!(tls.read_to_end(&mut Vec::new()).await.unwrap_or(0), 0);
    })
    .await;
    assert!(matches!(outcome, Err(LoginError::NoAlpn)));
    let (context, connector) = direct(&[b"http/1.1"]);
    let (outcome, refused) =
        run(&context, async |tcp| handshake(&connector, tcp).await.is_err()).await;
    assert!(matches!(outcome, Err(LoginError::Handshake(_))));
    assert!(refused);
}

#[tokio::test]
async fn a_handshake_may_come_byte_by_byte() {
    let (context, connector) = direct(&[b"postgresql"]);
    let (outcome, ()) = run(&context, async |tcp| {
        let (mut near, far) = tokio::io::duplex(1);
        let carry = async {
            let (mut from_client, mut to_client) = tokio::io::split(&mut near);
            let (mut from_server, mut to_server) = tcp.into_split();
            // Whoever ends first ends the other.
            tokio::select! {
                _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
                _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
            }
        };
        let name = ServerName::try_from("localhost").unwrap();
        let login = async {
            let mut tls = connector.connect(name, far).await.unwrap();
            scram(&mut tls, &START, "pencil", b"").await;
        };
        tokio::join!(login, carry);
    })
    .await;
    assert!(client(outcome).stream.is_tls());
}

#[tokio::test]
async fn requests_below_tls_that_began_without_one_are_declined_once() {
    let (context, connector) = direct(&[b"postgresql"]);
    let mut requests = [Vec::new(), Vec::new()];
    write::ssl_request(&mut requests[0]);
    write::gssenc_request(&mut requests[1]);
    for request in requests {
        let (outcome, ()) = run(&context, async |tcp| {
            let mut tls = handshake(&connector, tcp).await.unwrap();
            tls.write_all(&request).await.unwrap();
            assert_eq!(tls.read_u8().await.unwrap(), b'N');
            tls.write_all(&request).await.unwrap();
            assert_eq!(error_of(message(&mut tls).await).0, "0A000");
        })
        .await;
        assert!(matches!(outcome, Err(LoginError::Repeated(_))));
    }
}

#[tokio::test]
async fn a_client_resumes_its_tls_session() {
    let (context, connector) = direct(&[b"postgresql"]);
    let mut kinds = Vec::new();
    for _ in 0..3 {
        let (outcome, kind) = run(&context, async |tcp| {
            let mut tls = handshake(&connector, tcp).await.unwrap();
            // The ticket comes behind the handshake, ahead of the first message.
            scram(&mut tls, &START, "pencil", b"").await;
            tls.get_ref().1.handshake_kind()
        })
        .await;
        assert!(client(outcome).stream.is_tls());
        kinds.push(kind.unwrap());
    }
    assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed]);
}

#[tokio::test]
async fn where_tls_is_required_nobody_is_asked_for_a_password_without_it() {
    let (context, _) = with_tls(ListenTlsMode::Require);
    let (outcome, ()) = run(&context, async |mut tcp| {
        tcp.write_all(&startup(&START)).await.unwrap();
        assert_eq!(error_of(message(&mut tcp).await).0, "28000");
    })
    .await;
    assert!(matches!(outcome, Err(LoginError::TlsRequired)));
}

#[tokio::test]
async fn a_handshake_of_garbage_ends_that_client() {
    let (context, _) = with_tls(ListenTlsMode::Allow);
    let (outcome, ()) = run(&context, async |mut tcp| {
        let mut request = Vec::new();
        write::ssl_request(&mut request);
        tcp.write_all(&request).await.unwrap();
        assert_eq!(tcp.read_u8().await.unwrap(), b'S');
        tcp.write_all(&startup(&START)).await.unwrap();
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    })
    .await;
    assert!(matches!(outcome, Err(LoginError::Handshake(_))));
}
