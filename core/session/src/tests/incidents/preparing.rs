//! Prepared statements: sent ahead, shared, evicted, taken back.

use super::super::pair::Pair;
use super::super::script::Message::{Bind, CloseStatement, Execute, Sync};
use super::super::script::bytes;
use super::{parse, query, run};
use crate::{Output, Pause};

#[test]
fn a_statement_follows_its_client_to_another_server_and_its_reply_is_swallowed() {
    let mut pair = Pair::new(3);
    assert_eq!(pair.ask(&[parse("a", "SELECT 'a'"), Sync]), "1 Z:I");
    pair.change_server();
    assert_eq!(pair.ask(&run("a")), "2 D:a C:SELECT 1 Z:I");
    assert_eq!(pair.ask(&run("a")), "2 D:a C:SELECT 1 Z:I");
    assert_eq!(pair.held(), (1, 1));
}

#[test]
fn an_error_of_a_statement_sent_ahead_reaches_the_client_once() {
    let mut pair = Pair::new(3);
    pair.ask(&[parse("a", "SELECT 'a'"), Sync]);
    pair.change_server();
    pair.ask(&[query("BEGIN; SELECT 1/i FROM zero")]);
    assert_eq!(pair.ask(&run("a")), "E:25P02 Z:E");
    assert_eq!(pair.held(), (0, 0));
    assert_eq!(pair.ask(&[query("ROLLBACK")]), "C:ROLLBACK Z:I");
    assert_eq!(pair.ask(&run("a")), "2 D:a C:SELECT 1 Z:I");
}

#[test]
fn clients_with_the_same_text_share_a_statement_and_keep_their_own_names() {
    let mut pair = Pair::new(3);
    pair.ask(&[parse("a", "SELECT 'one'"), Sync]);
    pair.change_client(&[]);
    assert_eq!(pair.ask(&run("a")), "E:26000 Z:I");
    assert_eq!(pair.ask(&[parse("a", "SELECT 'two'"), Sync]), "1 Z:I");
    assert_eq!(pair.ask(&[parse("b", "SELECT 'one'"), Sync]), "1 Z:I");
    assert_eq!(pair.ask(&run("a")), "2 D:two C:SELECT 1 Z:I");
    assert_eq!(pair.ask(&run("b")), "2 D:one C:SELECT 1 Z:I");
    assert_eq!(pair.held(), (2, 2));
}

#[test]
fn the_same_text_under_settings_that_change_its_meaning_is_another_statement() {
    let cases: [(&[(&str, &str)], usize); 5] = [
        (&[], 1),
        (&[("application_name", "x")], 1),
        (&[("search_path", "b")], 2),
        (&[("DateStyle", "German")], 2),
        (&[("client_encoding", "LATIN1")], 2),
    ];
    for (startup, expected) in cases {
        let mut pair = Pair::new(3);
        pair.ask(&[parse("a", "TABLE three"), Sync]);
        pair.change_client(startup);
        pair.ask(&[parse("a", "TABLE three"), Sync]);
        assert_eq!(pair.held(), (expected, expected), "{startup:?}");
    }
}

#[test]
fn an_eviction_that_the_server_skipped_is_taken_back() {
    let mut pair = Pair::new(1);
    pair.ask(&[parse("a", "SELECT 'a'"), Sync]);
    let seen = pair.ask(&[Execute("none", 0), parse("b", "SELECT 'b'"), Sync]);
    assert_eq!(seen, "E:34000 Z:I");
    assert_eq!(pair.held(), (1, 1));
    pair.send(&run("a"));
    assert_eq!(pair.to_fake[0], b'B', "it is still there: nothing is sent ahead");
    pair.serve();
    assert_eq!(pair.seen(), "2 D:a C:SELECT 1 Z:I");
}

#[test]
fn an_eviction_for_a_statement_that_failed_stands() {
    let mut pair = Pair::new(1);
    pair.ask(&[parse("a", "SELECT 'a'"), Sync]);
    assert_eq!(pair.ask(&[parse("b", "SELECT x FROM missing"), Sync]), "E:42P01 Z:I");
    assert_eq!(pair.held(), (0, 0));
    assert_eq!(pair.ask(&run("a")), "2 D:a C:SELECT 1 Z:I");
    assert_eq!(pair.ask(&run("b")), "E:26000 Z:I");
}

#[test]
fn a_close_that_the_server_would_have_skipped_is_taken_back() {
    let mut pair = Pair::new(3);
    pair.ask(&[parse("a", "SELECT 'a'"), Sync]);
    assert_eq!(pair.ask(&[Execute("none", 0), CloseStatement("a"), Sync]), "E:34000 Z:I");
    assert_eq!(pair.ask(&run("a")), "2 D:a C:SELECT 1 Z:I");
    assert_eq!(pair.ask(&[CloseStatement("a"), Sync]), "3 Z:I");
    assert_eq!(pair.ask(&run("a")), "E:26000 Z:I");
}

#[test]
fn a_name_may_be_used_again_after_its_close_and_not_before() {
    let mut pair = Pair::new(3);
    pair.ask(&[parse("a", "SELECT 'a'"), Sync]);
    assert_eq!(pair.ask(&[parse("a", "SELECT 'b'"), Sync]), "E:42P05 Z:I");
    let again = [CloseStatement("a"), parse("a", "SELECT 'b'"), Sync];
    assert_eq!(pair.ask(&again), "3 1 Z:I");
    assert_eq!(pair.ask(&run("a")), "2 D:b C:SELECT 1 Z:I");
}

#[test]
fn all_names_go_with_deallocate_all_and_discard_all() {
    for text in ["DEALLOCATE ALL", "DISCARD ALL"] {
        let mut pair = Pair::new(3);
        pair.ask(&[parse("a", "SELECT 'a'"), Sync]);
        assert_eq!(pair.ask(&[query(text)]), format!("C:{text} Z:I"));
        assert_eq!(pair.held(), (0, 0));
        assert_eq!(pair.ask(&run("a")), "E:26000 Z:I");
    }
}

#[test]
fn the_unnamed_statement_outlives_discard_all_as_it_does_in_postgres() {
    let mut pair = Pair::new(3);
    pair.ask(&[parse("", "DISCARD ALL"), Sync]);
    assert_eq!(pair.ask(&run("")), "2 C:DISCARD ALL Z:I");
    assert_eq!(pair.ask(&run("")), "2 C:DISCARD ALL Z:I");
}

#[test]
fn an_unnamed_statement_is_sent_again_to_another_server() {
    let mut pair = Pair::new(3);
    assert_eq!(pair.ask(&[parse("", "SELECT 'a'"), Sync]), "1 Z:I");
    pair.change_server();
    assert_eq!(pair.ask(&run("")), "2 D:a C:SELECT 1 Z:I");
}

#[test]
fn an_unnamed_statement_too_long_to_keep_works_where_it_is_and_is_refused_elsewhere() {
    let long = "x".repeat(20_000);
    let mut pair = Pair::new(3);
    let mut flight = vec![parse("", &format!("SELECT '{long}'"))];
    flight.extend(run(""));
    assert_eq!(pair.ask(&flight), format!("1 2 D:{long} C:SELECT 1 Z:I"));
    pair.change_server();
    assert_eq!(pair.ask(&run("")), "E:54000 Z:I");
    assert!(pair.server.is_free());
}

#[test]
fn another_clients_unnamed_statement_is_never_run() {
    let mut pair = Pair::new(3);
    pair.ask(&[parse("", "SELECT 'one'"), Sync]);
    pair.change_client(&[]);
    assert_eq!(pair.ask(&run("")), "E:26000 Z:I");
}

/// Else it would be given a server, give it back unused, and ask again, for ever.
#[test]
fn who_asks_for_a_server_has_a_message_for_it() {
    let long = format!("SELECT '{}'", "x".repeat(100_000));
    let name: &'static str = "n".repeat(5000).leak();
    for message in [query(&long), parse("a", &long), parse("", &long), Bind("p", name)] {
        let bytes = bytes(&[message]);
        for came in (0..bytes.len()).step_by(100).chain([bytes.len()]) {
            let mut pair = Pair::new(3);
            let alone = pair.session.send(None, &bytes[..came], &mut Output::default());
            if alone.pause == Pause::NeedServer {
                let (_, left) = pair.send_bytes(&bytes[..came]);
                assert!(left < came, "{came} of {} bytes", bytes.len());
            } else {
                assert!(came < bytes.len());
            }
        }
    }
}

/// A Sync of the pooler's own would have ended what the server skips, and brought a ReadyForQuery.
#[test]
fn an_execute_by_name_behind_a_flight_that_fails_is_skipped_with_it() {
    for text in ["EXECUTE a", "DEALLOCATE a"] {
        let mut pair = Pair::new(1);
        pair.ask(&[parse("a", "SELECT 'a'"), Sync]);
        pair.ask(&[parse("b", "SELECT 'b'"), Sync]);
        let flight = [Bind("", "none"), query("SELECT 'c'"), query(text), Sync];
        assert_eq!(pair.ask(&flight), "E:26000 Z:I", "{text}");
        assert_eq!(pair.ask(&run("a")), "2 D:a C:SELECT 1 Z:I");
    }
}
