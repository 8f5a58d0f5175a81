//! Clients that vanish.

use super::super::pair::Pair;
use super::super::script::Message::{self, Bind, CopyData, Execute, Sync};
use super::super::script::bytes;
use super::{parse, query};

fn check(sent: &[Message], served: bool, finishes: bool, free: bool) {
    let mut pair = Pair::new(3);
    pair.send(sent);
    if served {
        pair.serve();
    }
    assert_eq!(pair.server.finish_flight(&mut pair.to_fake), finishes, "{sent:?}");
    pair.serve_nobody();
    assert_eq!(pair.server.is_free(), free, "{sent:?}");
    if free {
        assert!(pair.fake.is_at_rest());
        assert_eq!(pair.held().0, pair.held().1);
    }
}

#[test]
fn the_flight_of_a_client_that_is_gone_is_finished() {
    for served in [false, true] {
        check(&[], served, true, true);
        check(&[parse("a", "SELECT 'a'")], served, true, true);
        check(&[parse("a", "SELECT 'a'"), Bind("", "a"), Execute("", 1)], served, true, true);
        check(&[Execute("none", 0), parse("a", "SELECT 'a'")], served, true, true);
        check(&[Bind("", "none")], served, true, true);
        check(&[query("SELECT 'a'"), query("SELECT 'b'"), Sync], served, true, true);
    }
}

#[test]
fn a_transaction_that_a_client_left_open_keeps_the_server_from_others() {
    check(&[query("BEGIN")], false, true, false);
    check(&[query("BEGIN; SELEC")], true, true, true);
    check(&[query("BEGIN"), query("SELEC")], true, true, false);
}

#[test]
fn a_copy_that_a_client_left_can_only_be_ended_by_closing() {
    check(&[query("COPY sink FROM STDIN")], true, false, false);
    check(&[query("COPY sink FROM STDIN"), CopyData("1\n")], true, false, false);
}

#[test]
fn a_copy_that_begins_when_its_client_has_left_is_ended_by_closing() {
    let mut pair = Pair::new(3);
    pair.send(&[query("COPY sink FROM STDIN")]);
    assert!(pair.server.finish_flight(&mut pair.to_fake));
    pair.fake.take(&pair.to_fake);
    let asked = std::mem::take(&mut pair.fake.visible);
    assert!(pair.server.receive(None, &asked, &mut Vec::new()).is_err(), "it would wait for ever");
}

#[test]
fn half_a_message_on_its_way_can_only_be_ended_by_closing() {
    let whole = bytes(&[query("SELECT 'a'")]);
    let mut pair = Pair::new(3);
    pair.send_bytes(&whole[..whole.len() - 1]);
    // A short one is looked at whole before any of it is sent.
    assert!(pair.to_fake.is_empty() && pair.server.is_free());
    assert!(pair.server.finish_flight(&mut Vec::new()));

    let long = bytes(&[query(&format!("SELECT '{}'", "x".repeat(40_000)))]);
    let mut pair = Pair::new(3);
    pair.send_bytes(&long[..30_000]);
    assert!(!pair.to_fake.is_empty() && !pair.server.is_quiet());
    assert!(!pair.server.finish_flight(&mut Vec::new()));
}

#[test]
fn half_of_a_message_that_nothing_is_owed_for_keeps_the_server_too() {
    let data = bytes(&[CopyData("late\n")]);
    let mut pair = Pair::new(3);
    pair.send(&[query("SELECT 'a'")]);
    pair.send_bytes(&data[..7]);
    pair.serve();
    assert_eq!(pair.seen(), "T D:a C:SELECT 1 Z:I");
    assert!(!pair.server.is_quiet());
    assert!(!pair.server.finish_flight(&mut Vec::new()));
    pair.send_bytes(&data[7..]);
    pair.serve();
    assert!(pair.server.is_free() && pair.fake.is_at_rest());
}
