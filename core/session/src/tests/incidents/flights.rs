//! Errors inside a flight, and what waits for what.

use super::super::pair::Pair;
use super::super::script;
use super::super::script::Message::{
    Bind, CloseStatement, DescribeStatement, Execute, Flush, Sync,
};
use super::{parse, query, run};
use crate::Pause;

#[test]
fn a_refusal_fails_the_flight_once_and_the_rest_up_to_sync_is_skipped() {
    let refused = [
        vec![Bind("", "none")],
        vec![DescribeStatement("none")],
        vec![parse("a", "SELECT 'again'")],
        vec![Bind("", "")],
    ];
    for refused in refused {
        let mut pair = Pair::new(3);
        pair.ask(&[parse("a", "SELECT 'a'"), Sync]);
        let mut messages = refused;
        messages.extend([Execute("", 0), query("SELECT 'skipped'"), Bind("", "a"), Sync]);
        messages.extend([query("SELECT 'next'")]);
        let seen = pair.ask(&messages);
        let state = &seen[2..7];
        assert!(state == "26000" || state == "42P05", "{seen}");
        assert_eq!(&seen[7..], " Z:I T D:next C:SELECT 1 Z:I");
        assert!(pair.server.is_free());
    }
}

#[test]
fn a_malformed_body_fails_its_flight_and_no_more() {
    let malformed: [&[u8]; 10] = [
        b"P\0\0\0\x08name",
        b"P\0\0\0\x0anew\0\0\0",
        b"P\0\0\0\x0dnew\0\0\0\0xy",
        b"P\0\0\0\x07\0\0\0",
        b"B\0\0\0\x05\0",
        b"D\0\0\0\x06Xa",
        b"D\0\0\0\x04",
        b"C\0\0\0\x06Sa",
        b"C\0\0\0\x08Sa\0x",
        b"H\0\0\0\x05x",
    ];
    for bytes in malformed {
        let mut pair = Pair::new(3);
        pair.ask(&[parse("a", "SELECT 'a'"), parse("", "SELECT 'unnamed'"), Sync]);
        let rest = script::bytes(&[Execute("", 0), Sync, query("SELECT 'next'")]);
        assert_eq!(pair.send_bytes(&[bytes, &rest].concat()), (Pause::More(0), 0), "{bytes:?}");
        pair.serve();
        assert_eq!(pair.seen(), "E:08P01 Z:I T D:next C:SELECT 1 Z:I", "{bytes:?}");
        assert!(pair.server.is_free());
        assert_eq!(pair.ask(&run("a")), "2 D:a C:SELECT 1 Z:I", "what was named stays");
        assert_eq!(pair.ask(&run("new")), "E:26000 Z:I");
    }
}

#[test]
fn a_refusal_aborts_the_transaction_as_an_error_of_the_server_does() {
    let mut pair = Pair::new(3);
    pair.ask(&[query("BEGIN")]);
    assert_eq!(pair.ask(&run("none")), "E:26000 Z:E");
    assert_eq!(pair.ask(&[query("SELECT 'x'")]), "E:25P02 Z:E");
    assert!(pair.server.is_quiet() && !pair.server.is_free());
    assert_eq!(pair.ask(&[query("COMMIT")]), "C:ROLLBACK Z:I");
    assert!(pair.server.is_free());
}

/// PostgreSQL 18 says that it is idle and has a transaction open: the next request fails with XX000.
#[test]
fn a_transaction_that_a_bare_sync_has_not_ended_keeps_its_connection_up_to_the_next_request() {
    const CALL: &[u8] = b"F\0\0\0\x0e\0\0\0\xb1\0\0\0\0\0\0";
    const CALLED: &[u8] = b"V\0\0\0\x08\xff\xff\xff\xff";
    const DONE: &[u8] = b"C\0\0\0\x0dSELECT 1\0";
    const BOUND: &[u8] = b"1\0\0\0\x042\0\0\0\x04";
    const CLOSED: &[u8] = b"3\0\0\0\x04";
    let flight = script::bytes(&[parse("", "SELECT 'a'"), Bind("", ""), Execute("", 0)]);
    let select = script::bytes(&[query("SELECT 'b'")]);
    const CLOSE: &[u8] = b"C\0\0\0\x06P\0";
    let sync = script::bytes(&[Sync]);
    let ready = |status: &[u8]| [b"Z\0\0\0\x05", status].concat();
    for (request, answer) in [(&*select, DONE), (CALL, CALLED)] {
        let bound_and_done = [BOUND, DONE].concat();
        let ends: [(&[u8], &[u8], bool); 3] =
            [(b"", b"", false), (CLOSE, CLOSED, false), (&flight, &bound_and_done, true)];
        for (between, answers, ended) in ends {
            let mut pair = Pair::new(3);
            pair.send_bytes(&[&flight, request].concat());
            pair.receive(&[BOUND, DONE, answer, &ready(b"T")].concat());
            assert_eq!(pair.send_bytes(&[between, &sync].concat()), (Pause::More(0), 0));
            pair.receive(&[answers, &ready(b"I")].concat());
            assert!(pair.seen().ends_with("Z:I"), "the client is told what the server says");
            assert_eq!((pair.server.is_quiet(), pair.server.is_free()), (true, ended));
            pair.send(&[query("SELECT 'c'")]);
            pair.receive(&[b"E\0\0\0\x13SERROR\0CXX000\0\0", &*ready(b"I")].concat());
            assert_eq!(pair.seen(), "E:XX000 Z:I");
            assert!(pair.server.is_free());
        }
    }
}

#[test]
fn an_error_of_the_server_skips_what_was_not_yet_sent_up_to_sync() {
    let mut pair = Pair::new(3);
    assert_eq!(pair.ask(&[Execute("none", 0), Flush]), "E:34000");
    assert!(!pair.server.is_quiet(), "the flight has not ended");
    assert_eq!(pair.send(&[parse("a", "SELECT 'a'"), query("SELECT 'b'")]), (Pause::More(0), 0));
    assert!(pair.to_fake.is_empty(), "the server would skip it");
    assert_eq!(pair.ask(&[Sync]), "Z:I");
    assert_eq!(pair.ask(&run("a")), "E:26000 Z:I");
}

#[test]
fn a_fatal_error_in_the_place_of_a_refusal_reaches_the_client() {
    let mut pair = Pair::new(3);
    pair.send(&run("none"));
    pair.receive(b"E\0\0\0\x18SFATAL\0C57P01\0Mend\0\0");
    assert_eq!(pair.seen(), "E:57P01");
}

#[test]
fn a_named_statement_in_a_second_flight_waits_until_the_first_has_prepared_it() {
    let mut pair = Pair::new(3);
    let mut both = vec![parse("a", "SELECT 'a'"), Sync];
    both.extend(run("a"));
    let second = script::bytes(&run("a"));
    assert_eq!(pair.send(&both), (Pause::Hold, second.len()));
    pair.serve();
    assert_eq!(pair.send_bytes(&second), (Pause::More(0), 0));
    pair.serve();
    assert_eq!(pair.seen(), "1 Z:I 2 D:a C:SELECT 1 Z:I");
}

#[test]
fn a_second_flight_that_relies_on_a_failed_one_gets_its_own_error() {
    let mut pair = Pair::new(3);
    let mut both = vec![Execute("none", 0), parse("a", "SELECT 'a'"), Sync];
    both.extend(run("a"));
    assert_eq!(pair.send(&both).0, Pause::Hold);
    pair.serve();
    assert_eq!(pair.ask(&run("a")), "E:34000 Z:I E:26000 Z:I");
}

#[test]
fn flights_without_names_do_not_wait_for_each_other() {
    let mut pair = Pair::new(3);
    let mut messages = Vec::new();
    for text in ["SELECT 'a'", "SELECT 'b'"] {
        messages.push(parse("", text));
        messages.extend(run(""));
    }
    assert_eq!(pair.send(&messages), (Pause::More(0), 0));
    pair.serve();
    assert_eq!(pair.seen(), "1 2 D:a C:SELECT 1 Z:I 1 2 D:b C:SELECT 1 Z:I");
}

#[test]
fn whether_a_request_waits_for_the_one_before_is_asked_once_both_are_there() {
    let (first, second) = (query("SELECT 'a'"), query("SELECT 'b'"));
    for (others_wait, pause) in [(true, Pause::Hold), (false, Pause::More(0))] {
        let mut pair = Pair::new(3);
        pair.server.forget_pace();
        let rest = script::bytes(std::slice::from_ref(&second));
        assert_eq!(pair.send(&[first.clone(), second.clone()]), (Pause::Crowd, rest.len()));
        pair.server.set_pace(others_wait);
        assert_eq!(pair.send_bytes(&rest).0, pause, "others wait: {others_wait}");
        pair.serve();
        let (one, other) = ("T D:a C:SELECT 1 Z:I", "T D:b C:SELECT 1 Z:I");
        match others_wait {
            true => assert_eq!(pair.seen(), one),
            false => assert_eq!(pair.seen(), format!("{one} {other}")),
        }
    }
}

#[test]
fn an_unnamed_text_sent_again_is_looked_at_again_once_it_is_read_otherwise() {
    let mut pair = Pair::new(3);
    let flight = [parse("", "SELECT '\\'"), Bind("", ""), Execute("", 0), Sync];
    for _ in 0..2 {
        pair.ask(&flight);
        assert!(!pair.server.in_doubt());
    }
    pair.receive(b"S\0\0\0\x24standard_conforming_strings\0off\0");
    pair.ask(&flight);
    assert!(pair.server.in_doubt(), "the string may not end where it seems to");
}

#[test]
fn answers_of_the_poolers_own_keep_their_turn() {
    let mut pair = Pair::new(3);
    pair.ask(&[parse("a", "SELECT 'a'"), parse("b", "SELECT 'a'"), Sync]);
    let messages = [Bind("", "a"), CloseStatement("b"), Execute("", 0), parse("b", "SELECT 'a'")];
    assert_eq!(pair.send(&messages), (Pause::More(0), 0));
    assert_eq!(pair.seen(), "", "nothing before the server's own replies");
    assert_eq!(pair.ask(&[Sync]), "2 3 D:a C:SELECT 1 1 Z:I");
}

#[test]
fn a_goodbye_behind_a_request_waits_for_its_replies() {
    let mut pair = Pair::new(3);
    let mut messages = script::bytes(&[query("SELECT 'last'")]);
    messages.extend(b"X\0\0\0\x04");
    assert_eq!(pair.send_bytes(&messages), (Pause::Hold, 5));
    pair.serve();
    assert_eq!(pair.seen(), "T D:last C:SELECT 1 Z:I");
    assert_eq!(pair.send_bytes(b"X\0\0\0\x04"), (Pause::Terminate, 5));
}

#[test]
fn a_goodbye_inside_a_flight_does_not_wait_for_a_sync() {
    let mut pair = Pair::new(3);
    pair.send(&[parse("a", "SELECT 'a'"), Bind("", "a"), Flush]);
    assert_eq!(pair.send_bytes(b"X\0\0\0\x04"), (Pause::Terminate, 5));
}
