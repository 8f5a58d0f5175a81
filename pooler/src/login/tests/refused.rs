//! Clients that do not get in, and what they are told.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

use poolwright_settings::ListenTlsMode;
use poolwright_wire::scram::{Verifier, salted_password};
use poolwright_wire::{server, write};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{LocalSet, yield_now};
use tokio::time::Instant;

use super::super::{Arrival, LoginContext, LoginError, nobody};
use super::{SETTINGS, context, context_of, error_of, message, run, scram, startup};
use crate::clock::sleep;
use crate::door::Room;
use crate::tls::ClientTls;

const SSL: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
const GSS: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x30";

/// Sends `bytes` and hangs up; gives how it ended and all that came back.
async fn send(context: &LoginContext, bytes: &[u8]) -> (Result<Arrival, LoginError>, Vec<u8>) {
    run(context, async |mut tcp| {
        tcp.write_all(bytes).await.unwrap();
        tcp.shutdown().await.unwrap();
        let mut back = Vec::new();
        // A reset is as good an end as any.
        let _ = tcp.read_to_end(&mut back).await;
        back
    })
    .await
}

/// Sends `bytes`; after `before`, an error with `sqlstate` must come back.
async fn check(bytes: &[u8], before: &[u8], sqlstate: &str, label: &str) {
    let (outcome, back) = send(&context(), bytes).await;
    assert_eq!(outcome.unwrap_err().label(), label, "{bytes:?}");
    let error = back.strip_prefix(before).unwrap_or_else(|| panic!("{bytes:?}: {back:?}"));
    assert_eq!(error_of(message(&mut &error[..]).await).0, sqlstate, "{bytes:?}");
}

#[tokio::test]
async fn garbage_and_impossible_lengths_are_told_so() {
    check(b"GET / HTTP/1.1\r\n\r\n", b"", "08P01", "protocol").await;
    for length in [0, 1, 7, 10_005, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff_u32] {
        check(&[&length.to_be_bytes()[..], b"\0\x03\0\0"].concat(), b"", "08P01", "protocol").await;
    }
    check(b"\0\0\0\x09\0\x03\0\0x", b"", "08P01", "protocol").await;
    check(b"\0\0\0\x08\0\x02\0\0", b"", "0A000", "unsupported").await;
}

#[tokio::test]
async fn nothing_sent_in_the_clear_reaches_past_a_tls_request() {
    check(&[SSL, b"x"].concat(), b"", "08P01", "tls").await;
    check(&[SSL, &startup(&[("user", "ann")])].concat(), b"", "08P01", "tls").await;
    check(&[GSS, SSL].concat(), b"", "08P01", "tls").await;
}

#[tokio::test]
async fn tls_that_is_not_spoken_here_ends_without_a_word() {
    let (outcome, back) = send(&context(), b"\x16\x03\x01\x02\0\x01\0\x01\xfc").await;
    assert!(matches!(outcome, Err(LoginError::NoTls)));
    assert_eq!(back, b"");
}

/// A ClientHello of 60,000 bytes, as it says, of which 12,000 come.
#[tokio::test]
async fn a_handshake_takes_no_more_memory_than_a_startup_message() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let mode = ListenTlsMode::Prefer;
    let tls = ClientTls::new(mode, certificate.as_bytes(), key.as_bytes(), b"").unwrap();
    let context = context_of(SETTINGS, tls);
    let hello = [&b"\x16\x03\x01\x2e\xe0\x01\0\xea\x60\x03\x03"[..], &[0; 11_994]].concat();
    for request in [SSL, b""] {
        let (outcome, ()) = run(&context, async |mut tcp| {
            if !request.is_empty() {
                tcp.write_all(request).await.unwrap();
                assert_eq!(tcp.read_u8().await.unwrap(), b'S');
            }
            tcp.write_all(&hello).await.unwrap();
            // It is closed before the client has said all.
            let _ = tcp.read_to_end(&mut Vec::new()).await;
        })
        .await;
        let Err(LoginError::Handshake(error)) = outcome else { panic!("{outcome:?}") };
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
    }
}

#[tokio::test]
async fn whoever_guesses_at_an_address_leaves_room_for_others() {
    let context = context();
    let home = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let elsewhere = IpAddr::V4(Ipv4Addr::BROADCAST);
    for (address, told) in [(elsewhere, None), (home, Some("53300"))] {
        let penalties = Rc::clone(&context.penalties);
        let guesses = LocalSet::new();
        // The first six are told within 3.2 seconds.
        for _ in 0..context.most_logins() / 2 + 6 {
            let penalties = Rc::clone(&penalties);
            guesses.spawn_local(async move { penalties.hold_back("ann", address).await });
        }
        let asked = async {
            while penalties.held_back(address) < context.most_logins() / 2 {
                yield_now().await;
            }
            let ask = async |mut tcp: TcpStream| {
                tcp.write_all(&startup(&[("user", "ann")])).await.unwrap();
                message(&mut tcp).await.unwrap()
            };
            run(&context, ask).await
        };
        let (outcome, (tag, body)) = guesses.run_until(asked).await;
        assert_eq!(outcome.err().map(|error| error.label()) == Some("guesses"), told.is_some());
        match told {
            Some(sqlstate) => assert_eq!(error_of(Some((tag, body))).0, sqlstate),
            None => assert_eq!(tag, server::AUTHENTICATION),
        }
    }
}

#[tokio::test]
async fn each_request_may_come_once_and_waits_for_its_answer() {
    let (outcome, ()) = run(&context(), async |mut tcp| {
        for request in [GSS, SSL] {
            tcp.write_all(request).await.unwrap();
            assert_eq!(tcp.read_u8().await.unwrap(), b'N');
        }
        tcp.write_all(SSL).await.unwrap();
        assert_eq!(error_of(message(&mut tcp).await).0, "0A000");
    })
    .await;
    assert!(matches!(outcome, Err(LoginError::Repeated(_))));
}

#[tokio::test]
async fn a_client_that_leaves_early_is_gone_without_a_fault() {
    let (outcome, back) = send(&context(), b"").await;
    assert!(matches!(outcome, Ok(Arrival::Gone)));
    assert_eq!(back, b"");
    // It went to ask for a password, as psql does.
    let (outcome, _) = send(&context(), &startup(&[("user", "ann")])).await;
    assert!(matches!(outcome, Ok(Arrival::Gone)));
    let (outcome, _) =
        send(&context(), &[&startup(&[("user", "ann")])[..], b"X\0\0\0\x04"].concat()).await;
    assert!(matches!(outcome, Ok(Arrival::Gone)));
}

#[tokio::test]
async fn a_client_that_leaves_inside_a_message_is_counted_as_gone() {
    let whole = startup(&[("user", "ann")]);
    for end in 1..whole.len() {
        let (outcome, back) = send(&context(), &whole[..end]).await;
        assert_eq!(outcome.unwrap_err().label(), "gone", "{end}");
        assert_eq!(back, b"", "{end}");
    }
}

#[tokio::test]
async fn what_follows_the_startup_message_must_be_a_sasl_answer() {
    let start = startup(&[("user", "ann"), ("database", "shop")]);
    let asked = b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0";
    for next in [
        &start[..],
        b"Q\0\0\0\x0dselect 1\0",
        b"p\0\0\0\x03",
        b"p\xff\xff\xff\xff",
        b"p\x80\0\0\0",
        b"p\0\0\x20\0",
        b"p\0\0\0\x0bpencil\0",
        b"p\0\0\0\x16SCRAM-SHA-256\0\x7f\xff\xff\xff",
        b"p\0\0\0\x16SCRAM-SHA-256\0\xff\xff\xff\xfe",
    ] {
        check(&[&start, next].concat(), asked, "08P01", "protocol").await;
    }
    for (mechanism, first) in [
        ("SCRAM-SHA-256-PLUS", &b"p=tls-server-end-point,,n=,r=x"[..]),
        ("SCRAM-SHA-256", b"p=tls-server-end-point,,n=,r=x"),
        ("SCRAM-SHA-256", b"n,a=bob,n=,r=x"),
        ("SCRAM-SHA-256", b""),
    ] {
        let mut bytes = start.clone();
        write::sasl_initial_response(&mut bytes, mechanism, first);
        check(&bytes, asked, "08P01", "password").await;
    }
}

#[tokio::test]
async fn requests_that_cannot_be_granted_are_refused_before_a_password_is_asked_for() {
    check(&startup(&[]), b"", "28000", "password").await;
    for (options, sqlstate) in
        [("-c =x", "42704"), ("-c", "42601"), ("-c geqo", "42601"), ("-z", "42601")]
    {
        let start = startup(&[("user", "ann"), ("options", options)]);
        check(&start, b"", sqlstate, "unsupported").await;
    }
    let unclear = startup(&[("user", "ann"), ("replication", "maybe")]);
    check(&unclear, b"", "22023", "unsupported").await;
    let full = context_of(&format!("maxClients: 1\n{SETTINGS}"), ClientTls::Disabled);
    let room = Room { clients: 1, database: None, user: None };
    let _other = full.door.enter(room, "shop", "bob").unwrap();
    let stopping = context();
    stopping.door.stop();
    for (context, sqlstate) in [(full, "53300"), (stopping, "57P03")] {
        let (outcome, back) = send(&context, &startup(&[("user", "ann")])).await;
        assert!(outcome.is_err());
        assert_eq!(error_of(message(&mut &back[..]).await).0, sqlstate);
    }
}

#[tokio::test]
async fn a_wrong_password_an_unknown_user_and_a_wrong_verifier_look_alike() {
    let context = context();
    for user in ["ann", "bob", "eve"] {
        let mut salts = Vec::new();
        for _ in 0..2 {
            let start = [("user", user), ("database", "nowhere")];
            let (outcome, asked) = run(&context, async |mut tcp| {
                let (asked, _) = scram(&mut tcp, &start, "guess", b"").await;
                let (sqlstate, text) = error_of(message(&mut tcp).await);
                assert_eq!(sqlstate, "28P01");
                assert_eq!(text, format!("password authentication failed for user \"{user}\""));
                asked
            })
            .await;
            assert!(matches!(outcome, Err(LoginError::Password { .. })));
            salts.push(asked.split_once(',').unwrap().1.to_owned());
        }
        assert_eq!(salts[0], salts[1], "{user}");
        assert_eq!(salts[0].len(), "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".len(), "{user}");
    }
}

/// A verifier of `pencil`, as a server keeps it.
fn verifier(iterations: u32, salt: &[u8]) -> String {
    Verifier::new(&salted_password("pencil", salt, iterations), salt, iterations).text()
}

/// The iterations and lengths of salts by which names are asked that nobody has.
fn asked_of_nobody(context: &LoginContext) -> BTreeSet<(u32, usize)> {
    let asked = |user: usize| nobody::verifier(&format!("nobody{user}"), context);
    (0..50).for_each(|user| assert_eq!(asked(user), asked(user)));
    assert_ne!(asked(0).salt, asked(1).salt);
    (0..50).map(asked).map(|it| (it.iterations, it.salt.len())).collect()
}

#[tokio::test]
async fn a_user_whom_nobody_knows_is_asked_as_those_are_who_are_known() {
    let others = SETTINGS.split_once("users:").unwrap().0;
    let with = |users: &str| context_of(&format!("{others}users: {users}\n"), ClientTls::Disabled);
    let (few, many) = (verifier(10, &[7; 12]), verifier(90, &[7; 40]));
    let listed =
        with(&format!("[{{name: ann, password: '{few}'}}, {{name: bob, password: '{many}'}}]"));
    assert_eq!(asked_of_nobody(&listed), BTreeSet::from([(10, 12), (90, 40)]));
    let by_password = with("[{name: ann, password: pencil}]");
    assert_eq!(asked_of_nobody(&by_password), BTreeSet::from([(4096, 16)]));
    let looked_up = with("[]\nauthQuery: {user: asker}");
    assert_eq!(asked_of_nobody(&looked_up), BTreeSet::from([(4096, 16)]));
    looked_up.inquiries.hear("main", "ann", &few);
    assert_eq!(asked_of_nobody(&looked_up), BTreeSet::from([(10, 12)]));
    looked_up.inquiries.hear("main", "bob", &many);
    assert_eq!(asked_of_nobody(&looked_up), BTreeSet::from([(10, 12), (90, 40)]));
}

#[tokio::test]
async fn only_who_has_logged_in_learns_that_a_database_is_missing() {
    let (outcome, ()) = run(&context(), async |mut tcp| {
        let start = [("user", "ann"), ("database", "nowhere")];
        let (_, proof) = scram(&mut tcp, &start, "pencil", b"").await;
        let (_, body) = message(&mut tcp).await.unwrap();
        assert_eq!(proof.check(&body[4..]), Ok(()));
        let expect = ("3D000".to_owned(), "database \"nowhere\" does not exist".to_owned());
        assert_eq!(error_of(message(&mut tcp).await), expect);
    })
    .await;
    assert!(matches!(outcome, Err(LoginError::Database { .. })));
}

#[tokio::test]
async fn who_only_a_server_knows_learns_the_same() {
    let looked_up = format!("{SETTINGS}authQuery: {{user: asker}}\n");
    let context = context_of(&looked_up, ClientTls::Disabled);
    context.inquiries.hear("main", "eve", "pencil");
    for (password, sqlstate) in [("pencil", "3D000"), ("chalk", "28P01")] {
        let (outcome, told) = run(&context, async |mut tcp| {
            scram(&mut tcp, &[("user", "eve"), ("database", "nowhere")], password, b"").await;
            match message(&mut tcp).await {
                Some((b'R', _)) => error_of(message(&mut tcp).await),
                other => error_of(other),
            }
        })
        .await;
        assert!(outcome.is_err());
        assert_eq!(told.0, sqlstate);
    }
}

#[tokio::test]
async fn a_client_that_says_nothing_is_given_up() {
    let settings = format!("clientLoginTimeout: 5ms\n{SETTINGS}");
    let context = context_of(&settings, ClientTls::Disabled);
    let (outcome, ()) = run(&context, async |mut tcp| {
        assert_eq!(tcp.read(&mut [0; 1]).await.unwrap(), 0);
    })
    .await;
    assert!(matches!(outcome, Err(LoginError::Timeout)));
    let half = startup(&[("user", "ann")]);
    let (outcome, told) = run(&context, async |mut tcp| {
        tcp.write_all(&half).await.unwrap();
        assert_eq!(message(&mut tcp).await.unwrap().0, b'R');
        error_of(message(&mut tcp).await)
    })
    .await;
    assert!(matches!(outcome, Err(LoginError::Timeout)));
    assert_eq!(told.0, "57014");
    assert!(told.1.starts_with("client_login_timeout"), "{}", told.1);
}

/// By a clock that stands still but for waits.
#[tokio::test(start_paused = true)]
async fn what_a_proxy_takes_to_introduce_a_client_counts_as_the_clients_time() {
    let proxied = SETTINGS.replace("port: 6432", "port: 6432, proxyProtocol: {from: [127.0.0.1]}");
    let settings = format!("clientLoginTimeout: 10s\n{proxied}");
    let context = context_of(&settings, ClientTls::Disabled);
    let local = [&poolwright_wire::proxy::SIGNATURE[..], &[0x20, 0, 0, 0]].concat();
    let since = Instant::now();
    let (outcome, ()) = run(&context, async |mut tcp| {
        sleep(Duration::from_secs(9)).await;
        tcp.write_all(&local).await.unwrap();
        assert_eq!(tcp.read(&mut [0; 1]).await.unwrap(), 0);
    })
    .await;
    assert!(matches!(outcome, Err(LoginError::Timeout)));
    assert!(since.elapsed() < Duration::from_secs(11), "{:?}", since.elapsed());
}
