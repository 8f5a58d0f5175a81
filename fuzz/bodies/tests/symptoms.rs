//! What crashed or fooled poolers before anybody had logged in, one test each. Each is also an input in
//! `fuzz/seeds`. Where a socket is needed to see it, the test is the pooler's: bytes between an
//! SSLRequest and its handshake in `login::tests::refused` and, from a server, in
//! `server::tests::hostile`; a second StartupMessage in `login::tests::refused`.

use poolwright_wire::scram::{Channel, ClientExchange, MAX_ITERATIONS, ScramError};
use poolwright_wire::startup::{self, Startup};
use poolwright_wire::{header, read, write};

fn start(parameters: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut packet = Vec::new();
    write::startup(&mut packet, startup::PROTOCOL_3_0, parameters);
    packet
}

#[test]
fn a_second_startup_message_is_not_read_as_part_of_the_first() {
    let mut twice = start(&[(b"user", b"ann")]);
    let once = twice.len();
    twice.extend(start(&[(b"user", b"bob")]));
    assert_eq!(startup::length(&twice), Ok(Some(once)));
    assert!(startup::parse(&twice).is_err());
}

#[test]
fn an_option_without_a_name_is_refused() {
    for text in ["-c=", "-c =", "-c", "--=", "--", "-c=x -c=y", "\\"] {
        assert!(startup::options(text).is_err(), "{text}");
    }
    let packet = start(&[(b"user", b"ann"), (b"options", b"-c=")]);
    assert!(matches!(startup::parse(&packet), Ok(Startup::Start(_))));
}

#[test]
fn lengths_of_zero_minus_one_and_two_to_the_31_are_refused_at_once() {
    for length in [0_u32, 3, u32::MAX, 1 << 31, (1 << 31) - 1] {
        let bytes = length.to_be_bytes();
        assert!(startup::length(&bytes).is_err(), "startup packet of {length}");
        let message = [&b"p"[..], &bytes].concat();
        assert!(header(&message).is_err(), "message of {length}");
    }
}

#[test]
fn a_server_cannot_ask_for_endless_iterations() {
    for iterations in [u64::from(MAX_ITERATIONS) + 1, 2_147_483_647, u64::MAX] {
        let first = format!("r=cx,s=AAAA,i={iterations}");
        let asked = ClientExchange::new("", "c", Channel::Unbound).challenge(first.as_bytes());
        assert!(matches!(asked, Err(ScramError::Iterations { .. })), "{iterations}");
    }
}

#[test]
fn a_sasl_length_beyond_its_message_is_refused() {
    for length in [[0x7f, 0xff, 0xff, 0xff], [0x80, 0, 0, 0], [0, 0, 0, 9]] {
        let body = [&b"SCRAM-SHA-256\0"[..], &length, b"n,,n=,r="].concat();
        assert!(read::sasl_initial_response(&body).is_err(), "{length:?}");
    }
}
