//! What a server says unasked, or must not say.

use poolwright_wire::{TransactionStatus, write};

use super::super::fake::Settings;
use super::super::pair::{Pair, summary};
use super::super::script::Message::{Bind, Execute, Sync};
use super::{parse, query};
use crate::Server;

const FATAL: &[u8] = b"E\0\0\0\x18SFATAL\0C57P01\0Mend\0\0";
const NOTICE: &[u8] = b"N\0\0\0\x1bSNOTICE\0C00000\0Mhello\0\0";
const NOTIFICATION: &[u8] = b"A\0\0\0\x0e\0\0\0\x01abc\0x\0";

fn idle() -> Server {
    Server::new(Settings::new(&[]).at_login(), 3)
}

#[test]
fn what_comes_while_no_client_is_there_reaches_nobody() {
    for message in [FATAL, NOTICE, NOTIFICATION, b"S\0\0\0\x0aa\0bcd\0"] {
        let (mut server, mut nobody) = (idle(), Vec::new());
        assert_eq!(server.receive(None, message, &mut nobody), Ok(message.len()));
        assert!(nobody.is_empty() && server.is_free());
    }
}

#[test]
fn what_comes_unasked_reaches_the_client_that_is_there() {
    let mut pair = Pair::new(3);
    pair.receive(NOTICE);
    pair.receive(NOTIFICATION);
    pair.receive(FATAL);
    assert_eq!(pair.seen(), "N A E:57P01");
}

#[test]
fn a_server_that_says_what_it_was_not_asked_is_never_used_again() {
    let idle_cases: [&[u8]; 8] = [
        b"Z\0\0\0\x05I",
        b"1\0\0\0\x04",
        b"2\0\0\0\x04",
        b"D\0\0\0\x06\0\0",
        b"C\0\0\0\x0bSELECT\0",
        b"G\0\0\0\x07\0\0\0",
        b"x\0\0\0\x04",
        b"N\0\0\0\x03",
    ];
    for message in idle_cases {
        let told = idle().receive(None, message, &mut Vec::new());
        assert!(told.is_err(), "{}", message.escape_ascii());
    }
}

#[test]
fn a_reply_to_another_message_than_the_first_in_the_queue_confuses() {
    let owed = [query("SELECT 'a'"), parse("", "SELECT 'a'"), Bind("p", ""), Execute("p", 0), Sync];
    let replies: [&[u8]; 5] =
        [b"Z\0\0\0\x05I", b"1\0\0\0\x04", b"2\0\0\0\x04", b"C\0\0\0\x07ab\0", b"Z\0\0\0\x05I"];
    for wrong in 0..owed.len() {
        let mut pair = Pair::new(3);
        pair.send(&owed);
        let before = &replies[..wrong];
        before.iter().for_each(|reply| pair.receive(reply));
        let message = if wrong == 1 { b"2\0\0\0\x04" } else { b"1\0\0\0\x04" };
        let told = pair.server.receive(Some(&mut pair.session), message, &mut Vec::new());
        assert!(told.is_err(), "reply {wrong}");
    }
}

#[test]
fn a_server_is_free_only_when_all_that_it_owes_has_come() {
    let mut pair = Pair::new(3);
    pair.send(&[query("SELECT 'a'"), query("SELECT 'b'")]);
    let sent = std::mem::take(&mut pair.to_fake);
    pair.fake.take(&sent);
    let replies = std::mem::take(&mut pair.fake.visible);
    let (mut seen, mut given) = (Vec::new(), Vec::new());
    for (at, byte) in replies.iter().enumerate() {
        assert!(!pair.server.is_quiet(), "{at} of {} bytes", replies.len());
        given.push(*byte);
        let taken = pair.server.receive(Some(&mut pair.session), &given, &mut seen);
        given.drain(..taken.expect("what was asked for"));
    }
    assert_eq!(summary(&seen), "T D:a C:SELECT 1 Z:I T D:b C:SELECT 1 Z:I");
    assert!(pair.server.is_free() && given.is_empty());
}

#[test]
fn a_query_of_the_poolers_own_that_fails_says_so_and_reaches_nobody() {
    let mut pair = Pair::new(3);
    pair.server.inject("SELECT x FROM missing", &mut pair.to_fake);
    assert!(!pair.server.is_free());
    pair.serve();
    assert_eq!(pair.seen(), "");
    assert_eq!(pair.server.injected().expect_err("a failure").sqlstate, "42P01");
    assert_eq!(pair.server.injected(), Ok(()), "told once");
    assert!(pair.server.is_free());
}

#[test]
fn a_question_of_the_poolers_own_is_answered_to_it_alone() {
    let mut pair = Pair::new(3);
    pair.server.ask("SELECT 'a'", &mut pair.to_fake);
    pair.serve();
    assert_eq!((pair.seen(), pair.server.answered()), (String::new(), Ok(b"a".to_vec())));
    pair.server.ask("SELECT x FROM missing", &mut pair.to_fake);
    pair.serve();
    assert_eq!(pair.server.answered().expect_err("a failure").sqlstate, "42P01");
    pair.send(&[query("SELECT 'b'")]);
    pair.serve();
    assert_eq!(pair.seen(), "T D:b C:SELECT 1 Z:I");
}

#[test]
fn a_row_that_is_no_row_is_noticed() {
    for row in [&[0, 0][..], &[0, 1, 0, 0, 0, 9, b'a'], &[0]] {
        let mut pair = Pair::new(3);
        pair.server.ask("SELECT 'a'", &mut pair.to_fake);
        let mut reply = vec![b'D'];
        reply.extend_from_slice(&(row.len() as u32 + 4).to_be_bytes());
        reply.extend_from_slice(row);
        let taken = pair.server.receive(None, &reply, &mut Vec::new());
        assert!(taken.is_err(), "{row:?}");
    }
}

#[test]
fn the_transaction_state_is_what_the_server_said_last() {
    for status in [TransactionStatus::Idle, TransactionStatus::Open, TransactionStatus::Failed] {
        let mut pair = Pair::new(3);
        pair.send(&[query("SELECT 'a'")]);
        let mut reply = Vec::new();
        write::ready_for_query(&mut reply, status);
        pair.receive(&reply);
        assert_eq!(pair.server.status(), status);
        assert_eq!(pair.server.is_free(), status == TransactionStatus::Idle);
    }
}
