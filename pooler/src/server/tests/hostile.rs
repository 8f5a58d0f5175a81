//! Servers that break or misuse the protocol: each attempt ends with an error, none with a panic,
//! endless work or a password given away.

use std::io;
use std::time::Duration;

use poolwright_settings::{Secret, ServerTlsMode};
use poolwright_wire::scram::MAX_ITERATIONS;
use poolwright_wire::{read, write};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::{ConnectError, Kind, ServerTarget, send_cancel};
use super::{message, packet, run, target};

#[tokio::test]
async fn a_cancel_whose_end_does_not_come_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let cancel_timeout = Duration::from_millis(20);
    let target = ServerTarget { cancel_timeout, ..target(address, ServerTlsMode::Disable) };
    let error = send_cancel(&target, address, 7, b"abcd").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
}

/// What comes of a server that answers the startup message with `bytes`.
async fn answered(bytes: &[u8]) -> ConnectError {
    let outcome = run(ServerTlsMode::Disable, async |mut tcp| {
        packet(&mut tcp).await;
        tcp.write_all(bytes).await.unwrap();
    })
    .await;
    outcome.unwrap_err()
}

/// What comes of a server that answers the first SCRAM message by what `first` makes of its nonce.
async fn challenged(first: impl Fn(&str) -> String) -> ConnectError {
    let outcome = run(ServerTlsMode::Disable, async |mut tcp: TcpStream| {
        packet(&mut tcp).await;
        let mut out = Vec::new();
        write::authentication_sasl(&mut out, &["X", "SCRAM-SHA-256"]);
        tcp.write_all(&out).await.unwrap();
        let body = message(&mut tcp).await;
        let sent = read::sasl_initial_response(&body).unwrap();
        let text = str::from_utf8(sent.response.unwrap()).unwrap();
        let nonce = text.strip_prefix("n,,n=,r=").unwrap();
        out.clear();
        write::authentication_sasl_continue(&mut out, first(nonce).as_bytes());
        write::authentication_sasl_final(&mut out, b"v=AAAA");
        tcp.write_all(&out).await.unwrap();
    })
    .await;
    outcome.unwrap_err()
}

#[tokio::test]
async fn methods_that_are_not_spoken_are_refused_with_their_remedy() {
    let error = answered(b"R\0\0\0\x08\0\0\0\x07").await;
    assert_eq!((error.kind, error.retry()), (Kind::Unsupported, false));
    assert!(error.message.contains("asks for GSSAPI"), "{error}");
    assert!(error.message.contains("scram-sha-256"), "{error}");
    let plus = b"R\0\0\0\x1c\0\0\0\x0aSCRAM-SHA-256-PLUS\0\0";
    assert_eq!(answered(plus).await.kind, Kind::Protocol, "binding to a channel in clear");
    for other in [&b"R\0\0\0\x08\0\0\0\x07"[..], b"R\0\0\0\x0b\0\0\0\x0aX\0\0"] {
        assert_eq!(answered(other).await.kind, Kind::Unsupported, "{other:?}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_login_are_a_protocol_error() {
    for bytes in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"R\0\0\0\x03",
        b"R\xff\xff\xff\xff",
        b"R\x40\0\0\0",
        b"R\0\x10\0\0",
        b"R\0\0\0\x06\0\0",
        b"R\0\0\0\x08\0\0\0\x0b",
        b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05X",
        b"R\0\0\0\x08\0\0\0\0K\0\0\0\x08\0\0\0\0",
        b"R\0\0\0\x08\0\0\0\0S\0\0\0\x06a\0",
        b"R\0\0\0\x08\0\0\0\0D\0\0\0\x06\0\0",
        b"E\0\0\0\x05X",
    ] {
        assert_eq!(answered(bytes).await.kind, Kind::Protocol, "{bytes:?}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_is_unreachable() {
    for bytes in [&b""[..], b"R\0\0", b"R\0\0\0\x08\0\0\0\0", b"R\0\0\0\x08\0\0\0\0Z\0\0\0"] {
        assert_eq!(answered(bytes).await.kind, Kind::Unreachable, "{bytes:?}");
    }
}

#[tokio::test]
async fn a_server_cannot_ask_for_endless_work() {
    for iterations in ["600001", "2147483647", "99999999999"] {
        let error = challenged(|nonce| format!("r={nonce}x,s=AAAA,i={iterations}")).await;
        assert_eq!(error.kind, Kind::Protocol);
        let expect = format!("asks for {iterations} iterations, at most {MAX_ITERATIONS}");
        assert!(error.message.contains(&expect), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_know_the_password_is_not_trusted() {
    let error = challenged(|nonce| format!("r={nonce}x,s=AAAA,i=1")).await;
    assert_eq!(error.kind, Kind::Protocol);
    for first in ["r=other,s=AAAA,i=1", "", "e=other-error"] {
        assert_eq!(challenged(|_| first.to_owned()).await.kind, Kind::Protocol, "{first}");
    }
    // It claims that all is well in the middle of the exchange.
    let error = run(ServerTlsMode::Disable, async |mut tcp: TcpStream| {
        packet(&mut tcp).await;
        let mut out = Vec::new();
        write::authentication_sasl(&mut out, &["SCRAM-SHA-256"]);
        write::authentication_ok(&mut out);
        tcp.write_all(&out).await.unwrap();
        message(&mut tcp).await;
    })
    .await;
    assert_eq!(error.unwrap_err().kind, Kind::Protocol);
}

#[tokio::test]
async fn nothing_sent_in_the_clear_is_taken_for_tls() {
    let outcome = run(ServerTlsMode::Require, async |mut tcp: TcpStream| {
        packet(&mut tcp).await;
        tcp.write_all(b"SR\0\0\0\x08\0\0\0\0Z\0\0\0\x05I").await.unwrap();
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    })
    .await;
    assert_eq!(outcome.unwrap_err().kind, Kind::Tls);
    let outcome = run(ServerTlsMode::Require, async |mut tcp: TcpStream| {
        packet(&mut tcp).await;
        tcp.write_all(b"E\0\0\0\x05\0").await.unwrap();
    })
    .await;
    assert_eq!(outcome.unwrap_err().kind, Kind::Protocol);
}

#[tokio::test]
async fn no_password_is_shown_in_an_error_or_made_up() {
    let error = run(ServerTlsMode::Disable, async |mut tcp| {
        packet(&mut tcp).await;
        let mut out = Vec::new();
        write::authentication_cleartext_password(&mut out);
        tcp.write_all(&out).await.unwrap();
        assert_eq!(tcp.read(&mut [0; 1]).await.unwrap(), 0);
    })
    .await
    .unwrap_err();
    assert!(!format!("{error} {error:?}").contains("pencil"));
    assert!(!format!("{:?}", Secret::new("pencil")).contains("pencil"));
}
