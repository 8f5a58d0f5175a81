//! A client that prepared a statement when its table had changed already hears nothing of that change,
//! however its first use ends; whoever used it before does.

use super::super::pair::Pair;
use super::super::script::Message::{
    Bind, CloseStatement, DescribeStatement, Execute, Flush, Sync,
};
use super::{Message, TABLE, late, parse, prepared, query, run};

const SERVED: &str = "2 D:1 C:SELECT 1 Z:I";

#[test]
fn a_first_use_that_was_skipped_or_failed_has_told_nothing() {
    let flights: [(&[Message], &str); 3] = [
        (&[Bind("", "z"), Execute("", 0), Bind("", "b"), Execute("", 0), Sync], "2 E:22012 Z:I"),
        (&[Bind("", "nothing"), DescribeStatement("b"), Sync], "E:26000 Z:I"),
        (&[Bind("", "nothing"), Bind("", "b"), CloseStatement("b"), Sync], "E:26000 Z:I"),
    ];
    for (flight, expected) in flights {
        let mut pair = late(3);
        pair.ask(&[parse("z", "SELECT 1/i FROM zero"), Sync]);
        assert_eq!(pair.ask(flight), expected);
        assert_eq!(pair.ask(&run("b")), SERVED);
    }
}

#[test]
fn nor_has_one_in_a_transaction_that_had_failed_or_of_a_statement_that_was_lost_in_it() {
    for (loses, expected) in [(false, "E:25P02 Z:E"), (true, "E:26000 Z:E")] {
        let mut pair = late(3);
        pair.ask(&[query("BEGIN")]);
        if loses {
            pair.fake.statements.clear();
        } else {
            pair.ask(&[query("SELECT 1/i FROM zero")]);
        }
        assert_eq!(pair.ask(&run("b")), expected);
        assert_eq!(pair.ask(&[query("ROLLBACK")]), "C:ROLLBACK Z:I");
        assert_eq!(pair.ask(&run("b")), SERVED);
    }
}

#[test]
fn nor_has_one_whose_settings_were_canceled() {
    let mut pair = late(3);
    pair.session.wanted.set("application_name", "x");
    let mut sent = Vec::new();
    assert!(pair.server.send_settings(&pair.session.wanted, &mut sent));
    pair.to_fake.append(&mut sent);
    pair.fake.canceled = true;
    assert_eq!(pair.ask(&run("b")), "E:57014 Z:I");
    pair.server.begin_stay(false);
    assert_eq!(pair.ask(&run("b")), SERVED);
}

#[test]
fn nor_has_one_whose_server_was_lost() {
    let mut pair = late(3);
    pair.send(&run("b"));
    pair.lose_server();
    pair.fake.version = 1;
    assert_eq!(pair.ask(&run("b")), SERVED);
}

#[test]
fn a_first_use_of_what_was_lost_and_changed_tells_what_it_gives_now() {
    let mut pair = late(3);
    pair.fake.statements.clear();
    assert_eq!(pair.ask(&run("b")), SERVED);
    assert_eq!(pair.ask(&run("b")), SERVED);
}

#[test]
fn by_a_name_that_was_used_before_the_change_is_heard_of() {
    for in_block in [false, true] {
        let mut pair = prepared(3);
        pair.fake.version = 1;
        assert_eq!(pair.ask(&[parse("b", TABLE), Sync]), "1 Z:I");
        if in_block {
            pair.ask(&[query("BEGIN")]);
            assert_eq!(pair.ask(&run("b")), "E:0A000 Z:E");
            assert_eq!(pair.ask(&[query("ROLLBACK")]), "C:ROLLBACK Z:I");
        } else {
            assert_eq!(pair.ask(&run("b")), SERVED);
        }
        assert_eq!(pair.ask(&run("a")), "E:0A000 Z:I");
    }
}

/// The server says so of a copy that is known to be older.
#[test]
fn an_error_about_an_old_copy_is_no_further_change() {
    let mut one = prepared(3);
    let mut two = Pair::new(3);
    two.known = one.known.clone();
    two.change_client(&[]);
    two.fake.version = 1;
    one.fake.version = 1;
    one.send(&run("a"));
    assert_eq!(two.ask(&[parse("b", TABLE), Sync]), "1 Z:I");
    assert_eq!(two.ask(&run("b")), SERVED);
    one.serve();
    assert_eq!(one.seen(), "E:0A000 Z:I");
    assert_eq!(two.ask(&run("b")), SERVED);
}

#[test]
fn a_statement_that_makes_room_in_its_own_flight_is_sent_again_too() {
    let mut pair = late(1);
    let flight = [Bind("", "b"), Execute("", 0), parse("c", "SELECT 'c'"), Sync];
    assert_eq!(pair.ask(&flight), "2 D:1 C:SELECT 1 1 Z:I");
    assert_eq!(pair.ask(&run("b")), SERVED);
    let mut pair = prepared(1);
    pair.fake.statements.clear();
    let flight = [Bind("", "a"), Execute("", 0), parse("c", "SELECT 'c'"), Sync];
    assert_eq!(pair.ask(&flight), "2 D:0 C:SELECT 1 1 Z:I");
}

/// The server has said the half of what a Describe is owed when the flight becomes too long to be
/// kept.
#[test]
fn what_a_describe_tells_first_is_neither_lost_nor_kept_for_another() {
    let mut pair = prepared(3);
    pair.send(&[DescribeStatement("a"), Flush]);
    let sent = std::mem::take(&mut pair.to_fake);
    pair.fake.take(&sent);
    let replies = std::mem::take(&mut pair.fake.visible);
    let first = poolwright_wire::header(&replies).unwrap().unwrap().total();
    pair.receive(&replies[..first]);
    let mut flight = vec![Bind("", "a")];
    flight.extend(std::iter::repeat_with(|| Execute("", 1)).take(1000));
    pair.send(&flight);
    pair.receive(&replies[first..]);
    assert_eq!(pair.seen(), "t T");
    pair.ask(&[Sync]);
    pair.change_client(&[]);
    pair.server.begin_stay(false);
    assert_eq!(pair.ask(&[Bind("", "nothing"), Sync]), "E:26000 Z:I");
}

#[test]
fn a_function_call_ends_the_flight_before_it() {
    let mut pair = late(3);
    let another = pair.others.remove(0);
    let late = std::mem::replace(&mut pair.session, another);
    pair.send(&[parse("", "SELECT 'a'")]);
    pair.send_bytes(b"F\0\0\0\x0e\0\0\0\0\0\0\0\0\0\0");
    pair.to_fake.clear();
    pair.receive(b"1\0\0\0\x04V\0\0\0\x08\xff\xff\xff\xffZ\0\0\0\x05I");
    assert!(pair.server.is_free());
    pair.seen();
    pair.session = late;
    pair.server.begin_stay(false);
    assert_eq!(pair.ask(&run("b")), SERVED);
}
