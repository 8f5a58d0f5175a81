//! An unnamed statement that its client described in an earlier flight, as lib/pq does, and uses on
//! another server, where it may give something else by now.

use super::super::pair::Pair;
use super::super::script::Message::{
    Bind, ClosePortal, DescribePortal, DescribeStatement, Execute, Flush, Sync,
};
use super::super::script::bytes;
use super::{Message, parse, query, run};
use crate::Pause;

const READS: &str = "TABLE changing";
const WRITES: &str = "INSERT INTO changing DEFAULT VALUES RETURNING *";

/// The client has been told what it gives, and goes on with another server, of which the table may
/// have changed.
fn told(text: &str, version: usize) -> Pair {
    let mut pair = Pair::new(3);
    assert_eq!(pair.ask(&[parse("", text), DescribeStatement(""), Sync]), "1 t T Z:I");
    pair.change_server();
    pair.fake.version = version;
    pair
}

/// Tags of the messages on their way to the server.
fn tags(pair: &Pair) -> String {
    let mut left = &pair.to_fake[..];
    let mut tags = String::new();
    while let Ok(Some(head)) = poolwright_wire::header(left) {
        tags.push(char::from(head.tag));
        left = &left[head.total()..];
    }
    tags
}

#[test]
fn what_was_told_holds_until_it_is_parsed_anew() {
    for text in [READS, WRITES] {
        let mut pair = told(text, 1);
        assert_eq!(pair.ask(&run("")), "E:0A000 Z:I", "{text}");
        assert!(pair.server.is_free() && pair.fake.is_at_rest());
        assert_eq!(pair.ask(&run("")), "E:0A000 Z:I");
        assert_eq!(pair.ask(&[DescribeStatement(""), Sync]), "E:0A000 Z:I");
        pair.change_server();
        pair.fake.version = 1;
        assert_eq!(pair.ask(&run("")), "E:0A000 Z:I");
        let anew = pair.ask(&[&[parse("", text)][..], &run("")].concat());
        assert!(anew.starts_with("1 2 D:1 C:"), "{anew}");
        assert_eq!(pair.ask(&[query("SELECT 'next'")]), "T D:next C:SELECT 1 Z:I");
    }
}

#[test]
fn a_flight_that_reads_is_sent_whole() {
    for version in [0, 1] {
        let mut pair = told(READS, version);
        assert_eq!(pair.send(&run("")), (Pause::More(0), 0));
        assert_eq!(tags(&pair), "PDBES");
        pair.serve();
        let expected = ["2 D:0 C:SELECT 1 Z:I", "E:0A000 Z:I"][version];
        assert_eq!(pair.seen(), expected);
    }
}

#[test]
fn what_writes_runs_at_once_and_is_not_committed_before_its_columns_are_known() {
    for (version, seen, rest) in [(0, "", "2 D:0 C:INSERT 0 1 Z:I"), (1, "E:0A000", "Z:I")] {
        let mut pair = told(WRITES, version);
        let (pause, left) = pair.send(&run(""));
        assert_eq!((pause, left), (Pause::Hold, 5));
        assert_eq!(tags(&pair), "PDHBE");
        pair.serve();
        assert_eq!((&*pair.seen(), pair.fake.inserted), (seen, 1));
        assert_eq!(tags(&pair), ["", "D"][version], "the server is made to fail");
        assert_eq!(pair.ask(&[Sync]), rest);
        assert!(pair.server.is_free() && pair.fake.is_at_rest());
    }
}

#[test]
fn the_server_is_asked_once_and_only_for_a_client_that_was_told() {
    let mut pair = told(READS, 0);
    pair.ask(&run(""));
    pair.send(&run(""));
    assert_eq!(tags(&pair), "BES");
    pair.serve();
    for flights in [&[parse("", READS), Sync][..], &[&[parse("", READS)][..], &run("")].concat()] {
        let mut pair = Pair::new(3);
        pair.ask(flights);
        pair.change_server();
        pair.fake.version = 1;
        pair.send(&run(""));
        assert_eq!(tags(&pair), "PBES");
        pair.serve();
        assert_eq!(pair.seen(), "2 D:1 C:SELECT 1 Z:I");
    }
    let mut pair = Pair::new(3);
    let insert = parse("", "INSERT INTO sink VALUES ('a')");
    assert_eq!(pair.ask(&[insert, DescribeStatement(""), Sync]), "1 t n Z:I");
    pair.change_server();
    pair.send(&run(""));
    assert_eq!(tags(&pair), "PBES", "its text says that it has no columns");
}

#[test]
fn what_was_told_of_another_statement_says_nothing() {
    let mut pair = told(READS, 1);
    assert_eq!(pair.ask(&[parse("", READS), Sync]), "1 Z:I");
    pair.change_server();
    pair.fake.version = 1;
    assert_eq!(pair.ask(&run("")), "2 D:1 C:SELECT 1 Z:I");
    let mut pair = told(READS, 1);
    pair.ask(&[query("SELECT 'a'")]);
    assert_eq!(pair.ask(&run("")), "E:26000 Z:I");
}

#[test]
fn a_transaction_fails_with_it() {
    for text in [READS, WRITES] {
        let mut pair = told(text, 1);
        pair.ask(&[parse("b", "BEGIN"), Sync]);
        assert_eq!(pair.ask(&run("b")), "2 C:BEGIN Z:T");
        assert_eq!(pair.ask(&run("")), "E:0A000 Z:E");
        assert_eq!(pair.ask(&run("")), "E:0A000 Z:E");
        assert_eq!(pair.ask(&[query("ROLLBACK")]), "C:ROLLBACK Z:I");
    }
}

/// What the server reports then is news to the client, who knows that its transaction failed.
#[test]
fn what_the_transaction_had_set_is_gone_with_it() {
    let mut pair = told(READS, 1);
    let set = parse("l", "SET LOCAL TimeZone = 'Asia/Tokyo'");
    pair.ask(&[parse("b", "BEGIN"), set, Sync]);
    pair.ask(&run("b"));
    assert!(pair.ask(&run("l")).contains(" S"));
    assert_eq!(pair.session.wanted.get("timezone"), Some("Asia/Tokyo"));
    let seen = pair.ask(&run(""));
    assert!(seen.starts_with("E:0A000 S") && seen.ends_with(" Z:E"), "{seen}");
    assert_eq!(pair.session.wanted.get("timezone"), None);
    assert_eq!(pair.ask(&[query("ROLLBACK")]), "C:ROLLBACK Z:I");
    assert!(pair.server.parameters().are(&pair.session.wanted));
}

#[test]
fn a_client_may_leave_without_a_sync() {
    let mut pair = told(WRITES, 1);
    pair.send(&[Bind("", ""), Execute("", 0), Flush]);
    pair.serve();
    pair.serve();
    assert_eq!(pair.seen(), "E:0A000");
    assert_eq!(pair.send_bytes(b"X\0\0\0\x04").0, Pause::Terminate);
}

/// The transaction is not known to be open yet.
#[test]
fn a_transaction_that_was_begun_in_the_same_breath_fails_with_it() {
    let mut pair = told(READS, 1);
    pair.ask(&[parse("b", "BEGIN"), Sync]);
    let all = [run("b"), run("")].concat();
    assert_eq!(pair.ask(&all), "2 C:BEGIN Z:T E:0A000 Z:E");
}

#[test]
fn what_else_there_is_in_the_flight_waits_and_falls_with_it() {
    let flights: [&[Message]; 5] = [
        &[Bind("", ""), Execute("", 0), Bind("", "a"), Execute("", 0), Sync],
        &[Bind("", ""), Execute("", 0), parse("b", "SELECT 'b'"), Sync],
        &[Bind("", ""), Execute("", 0), parse("", "SELECT 'b'"), Sync],
        &[Bind("", ""), DescribePortal(""), Execute("", 0), ClosePortal(""), Flush, Sync],
        &[Bind("p", ""), Execute("p", 1), Execute("p", 1), DescribeStatement("a"), Sync],
    ];
    let unchanged = [
        "2 D:0 C:SELECT 1 2 D:a C:SELECT 1 Z:I",
        "2 D:0 C:SELECT 1 1 Z:I",
        "2 D:0 C:SELECT 1 1 Z:I",
        "2 T D:0 C:SELECT 1 3 Z:I",
        "2 D:0 s C:SELECT 0 t T Z:I",
    ];
    for (flight, unchanged) in flights.iter().zip(unchanged) {
        for (version, expected) in [(0, unchanged), (1, "E:0A000 Z:I")] {
            let mut pair = told(READS, version);
            pair.ask(&[parse("a", "SELECT 'a'"), Sync]);
            assert_eq!(pair.ask(flight), expected, "{flight:?}");
            assert!(pair.server.is_free() && pair.fake.is_at_rest());
            assert_eq!(pair.ask(&run("a")), "2 D:a C:SELECT 1 Z:I");
        }
    }
}

#[test]
fn what_ran_before_it_in_the_flight_is_not_committed() {
    let mut pair = told(READS, 1);
    pair.ask(&[parse("a", "INSERT INTO sink VALUES ('a')"), Sync]);
    let flight = [&[Bind("", "a"), Execute("", 0)][..], &run("")].concat();
    let (pause, left) = pair.send(&flight);
    assert_eq!((pause, left), (Pause::Hold, 5));
    pair.serve();
    assert_eq!(pair.seen(), "2 C:INSERT 0 1 E:0A000");
    assert_eq!(pair.ask(&[Sync]), "Z:I");
}

#[test]
fn the_flights_behind_wait_for_the_answer() {
    for behind in [&run("")[..], &[query("INSERT INTO sink VALUES ('a')")]] {
        let mut pair = told(READS, 1);
        let (pause, left) = pair.send(&[&run("")[..], behind].concat());
        assert_eq!((pause, left), (Pause::Hold, bytes(behind).len()));
        pair.serve();
        assert_eq!(pair.seen(), "E:0A000 Z:I");
    }
}

#[test]
fn the_server_is_made_to_fail_behind_a_message_that_is_half_sent() {
    let rest = bytes(&run(""));
    for cut in 1..rest.len() {
        let mut pair = told(WRITES, 1);
        let (_, left) = pair.send_bytes(&rest[..cut]);
        pair.serve();
        assert_eq!(pair.ask_bytes(rest[cut - left..].into()), "E:0A000 Z:I", "{cut}");
        assert!(pair.server.is_free() && pair.fake.is_at_rest());
    }
}

#[test]
fn a_client_that_leaves_meanwhile_leaves_nothing_behind() {
    for text in [READS, WRITES] {
        for serves in [false, true] {
            let mut pair = told(text, 1);
            pair.send(&[Bind("", ""), Execute("", 0)]);
            if serves {
                pair.serve();
            }
            assert!(pair.server.finish_flight(&mut pair.to_fake));
            pair.serve_nobody();
            assert!(pair.server.is_free() && pair.fake.is_at_rest());
        }
    }
}

#[test]
fn a_statement_that_fails_on_the_other_server_says_so() {
    for text in [READS, WRITES] {
        let mut pair = told(text, 0);
        pair.ask(&[parse("b", "BEGIN"), parse("f", "SELECT 1/i FROM zero"), Sync]);
        pair.ask(&run("b"));
        assert_eq!(pair.ask(&run("f")), "2 E:22012 Z:E");
        assert_eq!(pair.ask(&run("")), "E:25P02 Z:E");
        assert_eq!(pair.ask(&[query("ROLLBACK")]), "C:ROLLBACK Z:I");
    }
}
