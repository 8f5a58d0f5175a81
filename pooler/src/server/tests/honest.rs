//! Servers that keep to the protocol.

use std::cell::{Cell, RefCell};

use poolwright_settings::{CleartextPassword, ListenTlsMode, Secret, ServerTlsMode};
use poolwright_wire::scram::salted_password;
use poolwright_wire::startup::{self, PROTOCOL_3_0, PROTOCOL_3_2, Startup};
use poolwright_wire::write::{self, ErrorFields};
use poolwright_wire::{CancelKey, TransactionStatus, header, md5, read};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::{ConnectError, Kind, ServerTarget, Vigil, send_cancel};
use super::{packet, run, run_with, target};
use crate::credential::{Credential, ScramKeys};
use crate::login::{self, Arrival};
use crate::tls::{ClientTls, ServerTls};

/// What follows the proof of who the client is.
fn greeting(out: &mut Vec<u8>) {
    write::authentication_ok(out);
    write::parameter_status(out, b"server_version", b"15.0");
    write::parameter_status(out, b"TimeZone", b"UTC");
    write::backend_key_data(out, &CancelKey { process_id: 7, secret: b"abcd" });
    write::ready_for_query(out, TransactionStatus::Idle);
}

/// Reads a startup message and lets its sender in.
async fn trust(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let packet = packet(&mut stream).await;
    let Ok(Startup::Start(start)) = startup::parse(&packet) else { panic!("{packet:?}") };
    let expect: [(&[u8], &[u8]); 3] =
        [(b"user", b"ann"), (b"database", b"shop"), (b"application_name", b"poolwright")];
    assert_eq!(start.parameters, expect);
    let mut out = Vec::new();
    greeting(&mut out);
    stream.write_all(&out).await.unwrap();
}

async fn refuse(mut tcp: TcpStream, sqlstate: &str) {
    packet(&mut tcp).await;
    let mut out = Vec::new();
    let fields =
        ErrorFields { severity: "FATAL", sqlstate, message: "no", ..ErrorFields::default() };
    write::error_response(&mut out, &fields);
    tcp.write_all(&out).await.unwrap();
}

#[tokio::test]
async fn what_the_server_reports_is_kept() {
    let connected = run(ServerTlsMode::Disable, trust).await.unwrap();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(connected.parameters, [pair("server_version", "15.0"), pair("TimeZone", "UTC")]);
    assert_eq!((connected.process_id, &connected.secret[..]), (7, &b"abcd"[..]));
    assert_eq!(connected.leftover, b"");
    assert!(!connected.stream.is_tls());
}

/// Asks for a proof of ann's password, and lets in whoever sends this one.
async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8], expect: &str) {
    packet(&mut stream).await;
    stream.write_all(request).await.unwrap();
    let mut head = [0; 5];
    if stream.read_exact(&mut head).await.is_err() {
        return;
    }
    let mut body = vec![0; header(&head).unwrap().unwrap().length as usize];
    stream.read_exact(&mut body).await.unwrap();
    assert_eq!(read::password(&body), Ok(expect.as_bytes()));
    let mut out = Vec::new();
    greeting(&mut out);
    stream.write_all(&out).await.unwrap();
}

#[tokio::test]
async fn a_password_in_clear_is_sent_by_tls_or_by_consent() {
    let mut request = Vec::new();
    write::authentication_cleartext_password(&mut request);
    let WithTls { tls, .. } = with_tls(false);
    let pencil = Credential::Password(Secret::new("pencil"));
    for (cleartext, in_clear, by_tls) in [
        (CleartextPassword::Tls, false, true),
        (CleartextPassword::Always, true, true),
        (CleartextPassword::Never, false, false),
    ] {
        let plain = async |tcp| ask(tcp, &request, "pencil").await;
        let sent = run_with(ServerTlsMode::Disable, cleartext, &pencil, plain).await;
        assert_eq!(sent.map_err(|error| error.kind).err(), unless(in_clear), "{cleartext:?}");
        let secret = async |mut tcp: TcpStream| {
            packet(&mut tcp).await;
            tcp.write_all(b"S").await.unwrap();
            ask(tls.terms().unwrap().accept(tcp.into()).await.unwrap(), &request, "pencil").await;
        };
        let sent = run_with(ServerTlsMode::Require, cleartext, &pencil, secret).await;
        assert_eq!(sent.map_err(|error| error.kind).err(), unless(by_tls), "{cleartext:?}");
    }
}

fn unless(sent: bool) -> Option<Kind> {
    (!sent).then_some(Kind::Unsupported)
}

#[tokio::test]
async fn a_server_that_asks_for_md5_gets_it_of_a_password_or_its_hash() {
    let mut request = Vec::new();
    write::authentication_md5_password(&mut request, *b"salt");
    let stored = md5::secret("ann", "pencil");
    let expect = md5::answer(&stored, *b"salt");
    for credential in
        [Credential::Password(Secret::new("pencil")), Credential::Md5(Secret::new(stored))]
    {
        let server = async |tcp| ask(tcp, &request, &expect).await;
        let disable = ServerTlsMode::Disable;
        run_with(disable, CleartextPassword::Tls, &credential, server).await.unwrap();
    }
}

/// Has ann log in to a login of ours, over TLS that the other side begins.
async fn both_sides(mode: ServerTlsMode, tls: &ClientTls, credential: &Credential) -> Option<Kind> {
    let context = login::tests::context_with(tls.clone());
    let cleartext = CleartextPassword::Never;
    let connected = run_with(mode, cleartext, credential, async |tcp: TcpStream| {
        if let Ok(Arrival::Client(mut client)) = login::tests::meet(tcp, &context).await {
            greeting(&mut client.pending_out);
            client.stream.write_all(&client.pending_out).await.unwrap();
            client.stream.flush().await.unwrap();
        }
    })
    .await;
    connected.err().map(|error| error.kind)
}

#[tokio::test]
async fn our_two_sides_of_scram_agree_with_channel_binding_and_without() {
    let pencil = Credential::Password(Secret::new("pencil"));
    let WithTls { tls, .. } = with_tls(false);
    assert_eq!(both_sides(ServerTlsMode::Require, &tls, &pencil).await, None);
    assert_eq!(both_sides(ServerTlsMode::Disable, &ClientTls::Disabled, &pencil).await, None);
    let wrong = Credential::Password(Secret::new("chalk"));
    assert_eq!(both_sides(ServerTlsMode::Require, &tls, &wrong).await, Some(Kind::Refused));
}

#[tokio::test]
async fn what_a_proof_gives_opens_servers_with_the_same_verifier_only() {
    let context = login::tests::context();
    let keys = |salt: &[u8]| {
        let keys = salted_password("pencil", salt, 4096).client_keys();
        Credential::Keys(Box::new(ScramKeys { keys, salt: salt.to_vec(), iterations: 4096 }))
    };
    let salt = *b"[m\x99h\x9d\x125\x8e\xec\xa0K\x14\x126\xfa\x81";
    for (salt, expect) in [(&salt[..], None), (b"another", Some(Kind::Refused))] {
        let connected = as_bob(&context, &keys(salt)).await;
        let error = connected.err();
        assert_eq!(error.as_ref().map(|error| error.kind), expect, "{salt:?}");
        if let Some(error) = error {
            assert!(error.message.contains("another salt or number of iterations"), "{error}");
        }
    }
}

/// Logs bob in, whom the context knows by a verifier.
async fn as_bob(
    context: &login::LoginContext,
    credential: &Credential,
) -> Result<super::Connected, ConnectError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = target(listener.local_addr().unwrap(), ServerTlsMode::Disable);
    let credential = Some(credential);
    let identity = super::Identity { database: "shop", user: "bob", credential, more: super::MORE };
    let serve = async {
        let (tcp, _) = listener.accept().await.unwrap();
        if let Ok(Arrival::Client(mut client)) = login::tests::meet(tcp, context).await {
            greeting(&mut client.pending_out);
            client.stream.write_all(&client.pending_out).await.unwrap();
        }
    };
    let keys = Default::default();
    tokio::join!(super::connect(&target, identity, &keys), serve).0
}

#[tokio::test]
async fn our_two_sides_of_scram_agree() {
    let context = login::tests::context();
    let connected = run(ServerTlsMode::Disable, async |tcp: TcpStream| {
        let Arrival::Client(mut client) = login::tests::meet(tcp, &context).await.unwrap() else {
            panic!("no client")
        };
        greeting(&mut client.pending_out);
        client.stream.write_all(&client.pending_out).await.unwrap();
    })
    .await;
    assert_eq!(connected.unwrap().process_id, 7);
}

/// Reads a startup message of 3.2 and answers it with `told` ahead of the greeting.
async fn settle(mut tcp: TcpStream, told: &[u8], secret: &[u8]) {
    let packet = packet(&mut tcp).await;
    let Ok(Startup::Start(start)) = startup::parse(&packet) else { panic!("{packet:?}") };
    assert_eq!(start.protocol, PROTOCOL_3_2);
    let mut out = told.to_vec();
    write::authentication_ok(&mut out);
    write::backend_key_data(&mut out, &CancelKey { process_id: 7, secret });
    write::ready_for_query(&mut out, TransactionStatus::Idle);
    // A refusal may come while this is written.
    let _ = tcp.write_all(&out).await;
}

#[tokio::test]
async fn a_server_may_settle_on_an_earlier_protocol_and_on_nothing_else() {
    let down = |version: i32, options: &[&[u8]]| {
        let mut out = Vec::new();
        write::negotiate_protocol_version(&mut out, version, options);
        out
    };
    for (told, secret, expect) in [
        (Vec::new(), &[9; 32][..], Ok(32)),
        (down(PROTOCOL_3_0, &[]), &[9; 4], Ok(4)),
        (down(PROTOCOL_3_2, &[]), &[9; 256], Ok(256)),
        (down(PROTOCOL_3_2 + 1, &[]), &[9; 4], Err(Kind::Protocol)),
        (down(2 << 16, &[]), &[9; 4], Err(Kind::Protocol)),
        (down(PROTOCOL_3_0, &[b"_pq_.a"]), &[9; 4], Err(Kind::Protocol)),
        (b"v\0\0\0\x06\0\x03".to_vec(), &[9; 4], Err(Kind::Protocol)),
    ] {
        let connected =
            run(ServerTlsMode::Disable, async |tcp| settle(tcp, &told, secret).await).await;
        let found = connected.map(|it| it.secret.len()).map_err(|error| error.kind);
        assert_eq!(found, expect, "{told:?}");
    }
}

#[tokio::test]
async fn a_refusal_says_whether_to_try_again() {
    for (sqlstate, kind, retry) in [
        ("28P01", Kind::Refused, false),
        ("3D000", Kind::Refused, false),
        ("53300", Kind::TooManyConnections, true),
        ("57P03", Kind::NotReady, true),
    ] {
        let error = run(ServerTlsMode::Disable, async |tcp| refuse(tcp, sqlstate).await).await;
        let error = error.unwrap_err();
        assert_eq!((error.kind, error.retry()), (kind, retry), "{sqlstate}");
        assert_eq!(error.sqlstate.as_deref(), Some(sqlstate));
        assert_eq!(error.message, format!("the server refused the login: no ({sqlstate})"));
    }
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = target(listener.local_addr().unwrap(), ServerTlsMode::Disable);
    drop(listener);
    let identity =
        super::Identity { database: "shop", user: "ann", credential: None, more: super::MORE };
    let error = super::connect(&target, identity, &Default::default()).await.unwrap_err();
    assert_eq!((error.kind, error.retry()), (Kind::Unreachable, true));
}

/// Answers SSLRequests with `N`.
async fn without_tls(mut tcp: TcpStream) {
    assert_eq!(startup::parse(&packet(&mut tcp).await), Ok(Startup::Ssl));
    tcp.write_all(b"N").await.unwrap();
    trust(tcp).await;
}

#[tokio::test]
async fn a_server_without_tls_serves_prefer_and_not_require() {
    assert!(run(ServerTlsMode::Prefer, without_tls).await.is_ok());
    let error = run(ServerTlsMode::Require, async |mut tcp: TcpStream| {
        packet(&mut tcp).await;
        tcp.write_all(b"N").await.unwrap();
        assert_eq!(tcp.read(&mut [0; 1]).await.unwrap(), 0);
    })
    .await;
    assert_eq!(error.unwrap_err().kind, Kind::Tls);
}

struct WithTls {
    tls: ClientTls,
    authority: String,
}

/// A certificate for `localhost`, signed by itself, that may or may not sign others.
fn with_tls(is_authority: bool) -> WithTls {
    let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    if is_authority {
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let key = KeyPair::generate().unwrap();
    let authority = parameters.self_signed(&key).unwrap().pem();
    let key = key.serialize_pem();
    let tls = ClientTls::new(ListenTlsMode::Require, authority.as_bytes(), key.as_bytes(), b"");
    WithTls { tls: tls.unwrap(), authority }
}

/// Takes the handshake, and then the login.
async fn trust_by_tls(mut tcp: TcpStream, tls: &ClientTls) {
    assert_eq!(startup::parse(&packet(&mut tcp).await), Ok(Startup::Ssl));
    tcp.write_all(b"S").await.unwrap();
    if let Ok(stream) = tls.terms().unwrap().accept(tcp.into()).await {
        trust(stream).await;
    }
}

#[tokio::test]
async fn modes_below_verify_take_any_certificate() {
    let WithTls { tls, .. } = with_tls(false);
    for mode in [ServerTlsMode::Prefer, ServerTlsMode::Require] {
        let connected = run(mode, async |tcp| trust_by_tls(tcp, &tls).await).await;
        assert!(connected.unwrap().stream.is_tls());
    }
}

#[tokio::test]
async fn allow_goes_to_tls_where_plain_text_is_refused() {
    let WithTls { tls, .. } = with_tls(false);
    let tries = Cell::new(0);
    let connected = run(ServerTlsMode::Allow, async |tcp| {
        tries.set(tries.get() + 1);
        match tries.get() {
            1 => refuse(tcp, "28000").await,
            _ => trust_by_tls(tcp, &tls).await,
        }
    })
    .await;
    assert!(connected.unwrap().stream.is_tls());
    assert_eq!(tries.get(), 2);
}

/// Connects to 127.0.0.1 under the name `host`.
async fn verify(
    mode: ServerTlsMode,
    host: &str,
    authority: &str,
    is_authority: bool,
) -> Result<bool, ConnectError> {
    let WithTls { tls, authority: own } = with_tls(is_authority);
    let authority = if authority.is_empty() { &own } else { authority };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = ServerTarget {
        host: host.to_owned(),
        tls: ServerTls::new(mode, Some(authority.as_bytes()), None).unwrap(),
        ..target(listener.local_addr().unwrap(), ServerTlsMode::Disable)
    };
    let identity =
        super::Identity { database: "shop", user: "ann", credential: None, more: super::MORE };
    let keys = Default::default();
    let serve = async {
        loop {
            trust_by_tls(listener.accept().await.unwrap().0, &tls).await;
        }
    };
    tokio::select! {
        outcome = super::connect(&target, identity, &keys) => outcome.map(|c| c.stream.is_tls()),
        () = serve => unreachable!(),
    }
}

#[tokio::test]
async fn verify_modes_check_the_chain_and_the_name() {
    let other = with_tls(false).authority;
    let kind = |outcome: Result<bool, ConnectError>| outcome.map_err(|error| error.kind);
    for (mode, host, authority, expect) in [
        (ServerTlsMode::VerifyFull, "localhost", "", Ok(true)),
        (ServerTlsMode::VerifyFull, "127.0.0.1", "", Err(Kind::Tls)),
        (ServerTlsMode::VerifyFull, "localhost", &*other, Err(Kind::Tls)),
        (ServerTlsMode::VerifyCa, "127.0.0.1", "", Ok(true)),
        (ServerTlsMode::VerifyCa, "localhost", &*other, Err(Kind::Tls)),
        (ServerTlsMode::Require, "127.0.0.1", "", Ok(true)),
        (ServerTlsMode::Require, "localhost", &*other, Err(Kind::Tls)),
    ] {
        for is_authority in [false, true] {
            let found = kind(verify(mode, host, authority, is_authority).await);
            assert_eq!(found, expect, "{mode:?} {host} {is_authority}");
        }
    }
}

#[tokio::test]
async fn a_cancel_ends_when_the_server_hangs_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let hung_up = Cell::new(false);
    let serve = async {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let packet = packet(&mut tcp).await;
        let key = CancelKey { process_id: 7, secret: b"abcd" };
        assert_eq!(startup::parse(&packet), Ok(Startup::Cancel(key)));
        tokio::task::yield_now().await;
        hung_up.set(true);
    };
    let target = target(address, ServerTlsMode::Disable);
    let cancel = async {
        send_cancel(&target, address, 7, b"abcd").await.unwrap();
        assert!(hung_up.get());
    };
    tokio::join!(serve, cancel);
}

/// Logs in twice to a server that refuses sessions with one of these settings, and gives what they
/// were asked with, and whether the last session is watched.
async fn asked_by_vigil(refused: &[&str], sqlstate: &str) -> (Vec<usize>, bool) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = target(listener.local_addr().unwrap(), ServerTlsMode::Disable);
    let asked = RefCell::new(Vec::new());
    let serve = async {
        loop {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let packet = packet(&mut tcp).await;
            let Ok(Startup::Start(start)) = startup::parse(&packet) else { panic!("{packet:?}") };
            let is_refused = |name: &[u8]| refused.iter().any(|it| it.as_bytes() == name);
            asked.borrow_mut().push(start.parameters.len() - 2);
            let mut out = Vec::new();
            if start.parameters.iter().any(|(name, _)| is_refused(name)) {
                let severity = "FATAL";
                let fields = ErrorFields { severity, sqlstate, ..ErrorFields::default() };
                write::error_response(&mut out, &fields);
            } else {
                greeting(&mut out);
            }
            tcp.write_all(&out).await.unwrap();
        }
    };
    let identity = super::Identity { database: "shop", user: "ann", credential: None, more: &[] };
    let log_in_twice = async {
        let (vigil, keys) = Default::default();
        Vigil::connect(&vigil, &target, identity, &keys).await.unwrap();
        vigil.connect(&target, identity, &keys).await.unwrap().is_watched
    };
    let is_watched = tokio::select! {
        is_watched = log_in_twice => is_watched,
        () = serve => unreachable!(),
    };
    (asked.into_inner(), is_watched)
}

#[tokio::test]
async fn a_server_is_asked_to_watch_and_to_keep_alive_as_far_as_it_can() {
    let (check, user) = ("client_connection_check_interval", "tcp_user_timeout");
    let all = [check, user, "tcp_keepalives_idle"];
    assert_eq!(asked_by_vigil(&[], "").await, (vec![5, 5], true));
    assert_eq!(asked_by_vigil(&[check], "42704").await, (vec![5, 4, 4], false));
    assert_eq!(asked_by_vigil(&[check, user], "42704").await, (vec![5, 4, 3, 3], false));
    assert_eq!(asked_by_vigil(&all, "08P01").await, (vec![5, 4, 3, 0, 0], false));
}
