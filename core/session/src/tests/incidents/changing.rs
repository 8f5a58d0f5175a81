//! Statements that give something else than they gave, or that a server has lost.

use super::super::pair::Pair;
use super::super::script::Message::{
    Bind, CloseStatement, DescribePortal, DescribeStatement, Execute, Flush, Sync,
};
use super::{Message, TABLE, parse, query, run};

fn prepared() -> Pair {
    let mut pair = Pair::new(3);
    assert_eq!(pair.ask(&[parse("a", TABLE), Sync]), "1 Z:I");
    pair
}

#[test]
fn a_client_that_was_told_otherwise_gets_the_error_on_a_server_that_prepares_anew() {
    let mut pair = prepared();
    assert_eq!(pair.ask(&run("a")), "2 D:0 C:SELECT 1 Z:I");
    pair.change_server();
    pair.fake.version = 1;
    for _ in 0..2 {
        assert_eq!(pair.ask(&run("a")), "E:0A000 Z:I");
    }
    assert_eq!(pair.ask(&[DescribeStatement("a"), Sync]), "E:0A000 Z:I");
    let again = [CloseStatement("a"), parse("a", TABLE), Sync];
    assert_eq!(pair.ask(&again), "3 1 Z:I");
    assert_eq!(pair.ask(&run("a")), "2 D:1 C:SELECT 1 Z:I");
}

#[test]
fn an_unchanged_statement_is_asked_for_once_on_each_server() {
    let mut pair = prepared();
    pair.ask(&run("a"));
    pair.change_server();
    assert_eq!(pair.ask(&run("a")), "2 D:0 C:SELECT 1 Z:I");
    assert_eq!(pair.ask(&run("a")), "2 D:0 C:SELECT 1 Z:I");
}

/// PostgreSQL would not have raised the error: the client prepared after the change.
#[test]
fn a_client_that_prepared_after_the_change_never_hears_of_it() {
    let flights: [&[Message]; 4] = [
        &run("b"),
        &[Bind("", "b"), DescribePortal(""), Execute("", 0), Sync],
        &[DescribeStatement("b"), Bind("", "b"), Execute("", 0), Sync],
        &[parse("c", TABLE), Bind("", "c"), Execute("", 0), Bind("", "b"), Execute("", 0), Sync],
    ];
    let expected = [
        "2 D:1 C:SELECT 1 Z:I",
        "2 T D:1 C:SELECT 1 Z:I",
        "t T 2 D:1 C:SELECT 1 Z:I",
        "1 2 D:1 C:SELECT 1 2 D:1 C:SELECT 1 Z:I",
    ];
    for (flight, expected) in flights.iter().zip(expected) {
        let mut pair = prepared();
        pair.ask(&run("a"));
        pair.change_client(&[]);
        pair.fake.version = 1;
        assert_eq!(pair.ask(&[parse("b", TABLE), Sync]), "1 Z:I");
        assert_eq!(pair.ask(flight), expected);
        assert!(pair.server.is_free());
        assert_eq!(pair.held(), (1, 1));
        assert_eq!(pair.ask(&run("b")), "2 D:1 C:SELECT 1 Z:I");
    }
}

/// It has got what the statement gives now.
#[test]
fn a_client_whose_first_use_was_sent_again_hears_of_the_next_change() {
    for elsewhere in [true, false] {
        let mut pair = prepared();
        pair.ask(&run("a"));
        pair.change_client(&[]);
        pair.fake.version = 1;
        pair.ask(&[parse("b", TABLE), Sync]);
        assert_eq!(pair.ask(&run("b")), "2 D:1 C:SELECT 1 Z:I");
        if elsewhere {
            pair.change_server();
        }
        pair.fake.version = 2;
        assert_eq!(pair.ask(&run("b")), "E:0A000 Z:I", "elsewhere: {elsewhere}");
    }
}

#[test]
fn what_comes_behind_a_flush_is_sent_once() {
    let mut pair = prepared();
    pair.change_client(&[]);
    pair.fake.version = 1;
    pair.ask(&[parse("b", TABLE), Sync]);
    assert_eq!(pair.ask(&[Bind("", "b"), Flush]), "2");
    assert_eq!(pair.ask(&[Execute("", 0), Sync]), "D:1 C:SELECT 1 Z:I");
}

#[test]
fn an_error_amid_a_transaction_passes_and_the_next_use_prepares_anew() {
    let mut pair = prepared();
    pair.change_client(&[]);
    pair.fake.version = 1;
    pair.ask(&[parse("b", TABLE), Sync]);
    assert_eq!(pair.ask(&[query("BEGIN")]), "C:BEGIN Z:T");
    assert_eq!(pair.ask(&run("b")), "E:0A000 Z:E");
    assert_eq!(pair.ask(&[query("ROLLBACK")]), "C:ROLLBACK Z:I");
    assert_eq!(pair.ask(&run("b")), "2 D:1 C:SELECT 1 Z:I");
}

#[test]
fn an_error_behind_which_more_was_sent_passes() {
    let mut pair = prepared();
    pair.change_client(&[]);
    pair.fake.version = 1;
    pair.ask(&[parse("b", TABLE), Sync]);
    pair.send(&run("b"));
    pair.send(&[query("SELECT 'next'")]);
    pair.serve();
    assert_eq!(pair.seen(), "E:0A000 Z:I T D:next C:SELECT 1 Z:I");
    assert_eq!(pair.ask(&run("b")), "2 D:1 C:SELECT 1 Z:I");
}

#[test]
fn a_flight_too_long_to_be_kept_is_not_sent_again() {
    let mut pair = prepared();
    pair.change_client(&[]);
    pair.fake.version = 1;
    pair.ask(&[parse("b", TABLE), Sync]);
    let mut flight = vec![Bind("", "b")];
    flight.extend(std::iter::repeat_with(|| Execute("", 1)).take(1000));
    flight.push(Sync);
    assert_eq!(pair.ask(&flight), "E:0A000 Z:I");
    assert!(pair.server.is_free());
}

#[test]
fn a_statement_that_the_server_lost_is_prepared_anew() {
    for described in [false, true] {
        let mut pair = prepared();
        pair.ask(&run("a"));
        pair.fake.statements.clear();
        let flight = match described {
            true => vec![DescribeStatement("a"), Sync],
            false => run("a").to_vec(),
        };
        let seen = pair.ask(&flight);
        let expected = if described { "t T Z:I" } else { "2 D:0 C:SELECT 1 Z:I" };
        assert_eq!(seen, expected);
        assert_eq!(pair.held(), (1, 1));
    }
}

#[test]
fn a_statement_lost_amid_a_transaction_fails_once() {
    let mut pair = prepared();
    pair.ask(&run("a"));
    pair.ask(&[query("BEGIN")]);
    pair.fake.statements.clear();
    assert_eq!(pair.ask(&run("a")), "E:26000 Z:E");
    assert_eq!(pair.ask(&[query("ROLLBACK")]), "C:ROLLBACK Z:I");
    assert_eq!(pair.ask(&run("a")), "2 D:0 C:SELECT 1 Z:I");
}

#[test]
fn a_client_that_left_meanwhile_gets_nothing_sent_again() {
    let mut pair = prepared();
    pair.ask(&run("a"));
    pair.fake.statements.clear();
    pair.send(&[Bind("", "a"), Execute("", 0)]);
    assert!(pair.server.finish_flight(&mut pair.to_fake));
    pair.serve_nobody();
    assert!(pair.server.is_free());
    assert_eq!(pair.server.take_resent(), None);
}
