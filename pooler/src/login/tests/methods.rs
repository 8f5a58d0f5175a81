//! Each way to show who one is, and what the pooler learns by it.

use std::net::IpAddr;

use poolwright_settings::{ListenTlsMode, Secret};
use poolwright_wire::{md5, read, write};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::{Arrival, LoginError};
use super::{context_of, error_of, message, run, scram, startup};
use crate::credential::Credential;
use crate::tls::ClientTls;

const VERIFIER: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

/// ann has a password, bob a verifier, cid an md5 hash, all of `pencil`.
fn settings(listen: &str) -> String {
    let hash = md5::secret("cid", "pencil");
    format!(
        "listen: {listen}
servers: [{{name: main, host: 127.0.0.1, port: 5432, maxConnections: 10}}]
databases: [{{name: shop}}]
users:
- {{name: ann, password: pencil}}
- {{name: bob, password: '{VERIFIER}'}}
- {{name: cid, password: {hash}}}
"
    )
}

/// What came of a login: what was learned, or the label of the failure.
type Found = Result<Option<Credential>, &'static str>;

fn found(outcome: Result<Arrival, LoginError>) -> Found {
    match outcome {
        Ok(Arrival::Client(client)) => Ok(client.learned.map(|learned| learned.credential)),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.label()),
    }
}

/// Logs in with a password as the server asks for it; SCRAM is not among the ways.
async fn log_in(listen: &str, user: &str, password: &str) -> Found {
    let context = context_of(&settings(listen), ClientTls::Disabled);
    let start = startup(&[("user", user), ("database", "shop")]);
    let (outcome, _tcp) = run(&context, async |mut tcp: TcpStream| {
        tcp.write_all(&start).await.unwrap();
        let Some((b'R', body)) = message(&mut tcp).await else { return tcp };
        let answer = match read::authentication(&body).unwrap() {
            read::Authentication::CleartextPassword => password.to_owned(),
            read::Authentication::Md5Password(salt) => {
                md5::answer(&md5::secret(user, password), salt)
            }
            other => panic!("{other:?}"),
        };
        let mut out = Vec::new();
        write::password(&mut out, answer.as_bytes());
        tcp.write_all(&out).await.unwrap();
        tcp
    })
    .await;
    found(outcome)
}

const IN_CLEAR: &str = "{rules: [{type: hostnossl, method: password}]}";

#[tokio::test]
async fn a_password_in_clear_fits_what_is_known_in_any_form() {
    let pencil = || Credential::Password(Secret::new("pencil"));
    for (user, expect) in [
        ("ann", Ok(None)),
        ("bob", Ok(Some(pencil()))),
        ("cid", Ok(None)),
        ("eve", Err("password")),
    ] {
        assert_eq!(log_in(IN_CLEAR, user, "pencil").await, expect, "{user}");
        assert_eq!(log_in(IN_CLEAR, user, "chalk").await, Err("password"), "{user}");
    }
    assert_eq!(log_in(IN_CLEAR, "ann", "").await, Err("password"));
}

#[tokio::test]
async fn a_password_in_clear_is_asked_for_by_tls_or_by_consent_only() {
    assert_eq!(log_in("{auth: password}", "ann", "pencil").await, Err("tls"));
    let rules = "{rules: [{method: password}]}";
    assert_eq!(log_in(rules, "ann", "pencil").await, Err("tls"));
}

#[tokio::test]
async fn md5_fits_a_password_and_its_hash() {
    for user in ["ann", "cid"] {
        assert_eq!(log_in("{auth: md5}", user, "pencil").await, Ok(None), "{user}");
        assert_eq!(log_in("{auth: md5}", user, "chalk").await, Err("password"), "{user}");
    }
    assert_eq!(log_in("{auth: md5}", "eve", "pencil").await, Err("password"));
}

/// Here no server can be asked, as those are told whose names one could have.
#[tokio::test]
async fn no_server_is_asked_for_a_name_that_is_longer_than_names_are() {
    let looked_up = format!("{}authQuery: {{user: asker}}\n", settings("{}"));
    let context = context_of(&looked_up, ClientTls::Disabled);
    let (outcome, _tcp) = run(&context, async |mut tcp: TcpStream| {
        let user = "x".repeat(63);
        tcp.write_all(&startup(&[("user", &user), ("database", "shop")])).await.unwrap();
        tcp
    })
    .await;
    assert_eq!(found(outcome), Err("auth_query"));
    for user in ["x".repeat(64), "x".repeat(9000)] {
        let (outcome, told) = run(&context, async |mut tcp| {
            scram(&mut tcp, &[("user", &user), ("database", "shop")], "pencil", b"").await;
            error_of(message(&mut tcp).await)
        })
        .await;
        assert_eq!(found(outcome), Err("password"));
        let message = format!("password authentication failed for user \"{user}\"");
        assert_eq!(told, ("28P01".to_owned(), message));
    }
}

#[tokio::test]
async fn scram_with_a_verifier_gives_the_keys_and_an_md5_hash_fits_nothing() {
    for method in ["md5", "scram-sha-256"] {
        let context = context_of(&settings(&format!("{{auth: {method}}}")), ClientTls::Disabled);
        let (outcome, _) = run(&context, async |mut tcp| {
            let start = [("user", "bob"), ("database", "shop")];
            scram(&mut tcp, &start, "pencil", b"").await;
            tcp
        })
        .await;
        let learned = found(outcome).unwrap();
        let Some(Credential::Keys(keys)) = learned else { panic!("{learned:?}") };
        assert_eq!(keys.iterations, 4096, "{method}");
    }
    let context = context_of(&settings("{auth: scram-sha-256}"), ClientTls::Disabled);
    let (outcome, _) = run(&context, async |mut tcp| {
        scram(&mut tcp, &[("user", "cid"), ("database", "shop")], "pencil", b"").await
    })
    .await;
    assert_eq!(found(outcome), Err("password"));
}

#[tokio::test]
async fn who_fits_no_rule_or_one_that_rejects_is_told_so() {
    let rules =
        "{rules: [{users: [eve], method: reject}, {addresses: [10.0.0.0/8], method: trust}]}";
    let context = context_of(&settings(rules), ClientTls::Disabled);
    let local: IpAddr = "127.0.0.1".parse().unwrap();
    for (user, words) in [
        ("eve", "listen.rules rejects connection for"),
        ("ann", "no listen.rules entry for"),
        ("nobody", "no listen.rules entry for"),
    ] {
        let (outcome, told) = run(&context, async |mut tcp: TcpStream| {
            tcp.write_all(&startup(&[("user", user), ("database", "shop")])).await.unwrap();
            error_of(message(&mut tcp).await)
        })
        .await;
        assert_eq!(found(outcome), Err("rule"));
        let who = format!("host \"{local}\", user \"{user}\", database \"shop\", no encryption");
        assert_eq!(told, ("28000".to_owned(), format!("{words} {who}")));
    }
}

/// A client that could bind and is told that the server could not has somebody in between.
#[tokio::test]
async fn a_channel_that_was_talked_down_is_refused() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let mode = ListenTlsMode::Require;
    let tls = ClientTls::new(mode, certificate.as_bytes(), key.as_bytes(), b"").unwrap();
    let context = context_of(&settings("{}"), tls);
    let connector = crate::tls::ServerTls::new(
        poolwright_settings::ServerTlsMode::VerifyFull,
        Some(certificate.as_bytes()),
        None,
    );
    let (outcome, told) = run(&context, async |mut tcp| {
        let mut request = Vec::new();
        write::ssl_request(&mut request);
        tcp.write_all(&request).await.unwrap();
        assert_eq!(tcp.read_u8().await.unwrap(), b'S');
        let mut tls = connector.unwrap().connect("localhost", tcp).await.unwrap();
        tls.write_all(&startup(&[("user", "ann"), ("database", "shop")])).await.unwrap();
        tls.flush().await.unwrap();
        message(&mut tls).await.unwrap();
        let mut out = Vec::new();
        write::sasl_initial_response(&mut out, "SCRAM-SHA-256", b"y,,n=,r=abc");
        tls.write_all(&out).await.unwrap();
        tls.flush().await.unwrap();
        error_of(message(&mut tls).await)
    })
    .await;
    assert_eq!(found(outcome), Err("password"));
    assert_eq!(told.0, "28000");
    assert!(told.1.contains("channel binding negotiation error"), "{told:?}");
}

/// A PROXY header for a connection from this IPv4 address.
fn proxied(address: [u8; 4]) -> Vec<u8> {
    let mut header = poolwright_wire::proxy::SIGNATURE.to_vec();
    header.extend_from_slice(&[0x21, 0x11, 0, 12]);
    header.extend_from_slice(&address);
    header.extend_from_slice(&[127, 0, 0, 1, 0xd4, 0x31, 0x19, 0x20]);
    header
}

#[tokio::test]
async fn addresses_are_those_that_a_listed_proxy_tells() {
    let listen = "{proxyProtocol: {from: [127.0.0.0/8]}, \
        rules: [{addresses: [192.0.2.7], method: trust}]}";
    let context = context_of(&settings(listen), ClientTls::Disabled);
    let start = startup(&[("user", "ann"), ("database", "shop")]);
    let local = [&poolwright_wire::proxy::SIGNATURE[..], &[0x20, 0, 0, 0]].concat();
    for (header, expect) in [
        (proxied([192, 0, 2, 7]), Ok(None)),
        (proxied([192, 0, 2, 8]), Err("rule")),
        (local, Err("rule")),
        (Vec::new(), Err("proxy")),
    ] {
        let (outcome, _tcp) = run(&context, async |mut tcp: TcpStream| {
            tcp.write_all(&[&header[..], &start].concat()).await.unwrap();
            tcp
        })
        .await;
        if let Ok(Arrival::Client(client)) = &outcome {
            assert_eq!(client.peer, "192.0.2.7:54321".parse().unwrap());
        }
        assert_eq!(found(outcome), expect, "{header:02x?}");
    }
}

#[tokio::test]
async fn a_header_from_elsewhere_lets_nobody_in() {
    for from in ["", "proxyProtocol: {from: [192.0.2.0/24]}, "] {
        let context = context_of(&settings(&format!("{{{from}auth: trust}}")), ClientTls::Disabled);
        let (outcome, _tcp) = run(&context, async |mut tcp: TcpStream| {
            let start = startup(&[("user", "ann"), ("database", "shop")]);
            tcp.write_all(&[proxied([192, 0, 2, 7]), start].concat()).await.unwrap();
            tcp
        })
        .await;
        assert_eq!(found(outcome), Err("protocol"));
    }
}
