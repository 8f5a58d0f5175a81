//! Run-time parameters: none crosses from client to client.

use super::super::pair::Pair;
use super::super::script::Message::Sync;
use super::{parse, query, run};
use crate::parameters::Wanted;

#[test]
fn what_may_change_the_session_makes_a_reset_due_and_nothing_else_does() {
    let cases = [
        ("SELECT 'a'", false),
        ("BEGIN; SET LOCAL TimeZone = 'UTC'; COMMIT", false),
        ("SET TimeZone = 'Asia/Tokyo'", true),
        ("DISCARD ALL", false),
    ];
    for (text, expected) in cases {
        let mut pair = Pair::new(3);
        pair.ask(&[query(text)]);
        assert_eq!(pair.server.is_tainted(), expected, "{text}");
        pair.server.set_reset();
        assert!(!pair.server.is_tainted());
    }
}

#[test]
fn a_statement_prepared_elsewhere_is_as_suspect_as_its_text() {
    let mut pair = Pair::new(3);
    pair.ask(&[parse("a", "SET TimeZone = 'Asia/Tokyo'"), parse("", "RESET TimeZone"), Sync]);
    assert!(!pair.server.is_tainted(), "nothing has run");
    for name in ["a", ""] {
        pair.change_server();
        pair.ask(&run(name));
        assert!(pair.server.settings_in_doubt(), "{name:?}");
    }
}

#[test]
fn a_client_takes_what_it_has_set_to_its_next_server() {
    let mut pair = Pair::new(3);
    assert_eq!(pair.ask(&[query("SET TimeZone = 'Asia/Tokyo'")]), "C:SET S Z:I");
    pair.change_server();
    let sql = pair.server.parameters().difference(&pair.session.wanted).expect("a difference");
    pair.server.inject(&sql, &mut pair.to_fake);
    pair.serve();
    assert_eq!(pair.seen(), "", "the client knows what it has set");
    pair.server.set_applied(&pair.session.wanted);
    assert_eq!(pair.ask(&[query("SHOW TimeZone")]), "T D:Asia/Tokyo C:SHOW Z:I");
}

#[test]
fn what_a_client_has_set_is_undone_for_the_next() {
    let mut pair = Pair::new(3);
    pair.ask(&[query("SET TimeZone = 'Asia/Tokyo'")]);
    pair.change_client(&[]);
    let sql = pair.server.parameters().difference(&Wanted::default()).expect("a difference");
    pair.server.inject(&sql, &mut pair.to_fake);
    pair.serve();
    pair.server.set_applied(&Wanted::default());
    assert_eq!(pair.ask(&[query("SHOW TimeZone")]), "T D:UTC C:SHOW Z:I");
}

#[test]
fn what_was_set_in_a_transaction_that_rolled_back_is_not_wanted() {
    let mut pair = Pair::new(3);
    pair.ask(&[query("BEGIN"), query("SET TimeZone = 'Asia/Tokyo'")]);
    assert_eq!(pair.session.wanted.get("timezone"), Some("Asia/Tokyo"));
    pair.ask(&[query("ROLLBACK")]);
    assert_eq!(pair.session.wanted, Wanted::default());
}

#[test]
fn settings_that_are_not_reported_count_as_gone_after_discard_all() {
    let mut pair = Pair::new(3);
    pair.change_client(&[("search_path", "b")]);
    pair.server.set_applied(&pair.session.wanted);
    assert_eq!(pair.server.parameters().difference(&pair.session.wanted), None);
    pair.ask(&[query("DISCARD ALL")]);
    let sql = pair.server.parameters().difference(&pair.session.wanted).expect("a difference");
    assert_eq!(sql, "SELECT pg_catalog.set_config('search_path',E'b',false);");
}

#[test]
fn settings_go_ahead_of_a_request_and_end_the_session_where_one_is_refused() {
    let mut pair = Pair::new(3);
    pair.change_client(&[("search_path", "it's"), ("application_name", "till")]);
    let sql = pair.server.parameters().difference_or_end(&pair.session.wanted);
    let expected = "SET exit_on_error=on;SELECT pg_catalog.set_config('application_name',E'till',false),\
                    pg_catalog.set_config('search_path',E'\\x69\\x74\\x27\\x73',false);RESET exit_on_error";
    assert_eq!(sql.as_deref(), Some(expected));
    for apart in ["client_encoding", "standard_conforming_strings", "exit_on_error"] {
        let wanted = Wanted::new([(apart, "on"), ("application_name", "till")]).expect("names");
        assert_eq!(pair.server.parameters().difference_or_end(&wanted), None, "{apart}");
        assert!(pair.server.parameters().difference(&wanted).is_some(), "{apart}");
    }
}
