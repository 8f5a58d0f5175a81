//! Run-time parameters: none crosses from client to client.

use super::super::pair::Pair;
use super::super::script::Message::{self, Sync};
use super::super::script::bytes;
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

/// What a statement's text means there, it may mean nowhere else (I10).
#[test]
fn what_is_set_until_the_transaction_ends_is_minded_before_the_server_has_answered() {
    const TIME: &str = "SELECT '2020-01-01'";
    let zone = "SET LOCAL TimeZone = 'Asia/Tokyo'";
    let set = [&[parse("", zone)][..], &run("")[..2]].concat();
    let same_flight = [&set[..], &[parse("a", TIME), Sync]].concat();
    let next_flight = [&set[..], &[Sync, parse("a", TIME), Sync]].concat();
    let simple = [query("BEGIN; SET LOCAL TimeZone = 'Asia/Tokyo'"), parse("a", TIME), Sync];
    let after = [&set[..], &[Sync, query("ROLLBACK"), parse("a", TIME), Sync]].concat();
    for (flight, expected) in [(&same_flight[..], 2), (&next_flight, 2), (&simple, 2), (&after, 1)]
    {
        let mut pair = Pair::new(3);
        pair.ask(&[query("BEGIN")]);
        pair.ask(flight);
        pair.ask(&[query("ROLLBACK")]);
        pair.change_client(&[]);
        pair.ask(&[parse("a", TIME), Sync]);
        assert_eq!(pair.held(), (expected, expected), "{flight:?}");
    }
}

#[test]
fn what_is_set_until_the_transaction_ends_parts_no_texts_without_literals() {
    let set = [&[parse("", "SET LOCAL TimeZone = 'Asia/Tokyo'")][..], &run("")[..2]].concat();
    let mut pair = Pair::new(3);
    pair.ask(&[&set[..], &[parse("a", "TABLE three"), Sync]].concat());
    pair.change_client(&[]);
    pair.ask(&[parse("a", "TABLE three"), Sync]);
    assert_eq!(pair.held(), (1, 1));
}

#[test]
fn a_statement_prepared_anew_behind_what_sets_locally_is_nobody_elses() {
    let mut pair = Pair::new(3);
    pair.ask(&[parse("a", "SELECT '2020-01-01'"), Sync]);
    pair.change_server();
    let set = [&[parse("", "SET LOCAL TimeZone = 'Asia/Tokyo'")][..], &run("")[..2]].concat();
    pair.ask(&[&set[..], &run("a")].concat());
    pair.change_client(&[]);
    pair.ask(&[parse("a", "SELECT '2020-01-01'"), Sync]);
    assert_eq!(pair.held(), (2, 2));
}

fn ahead(pair: &mut Pair) -> String {
    let mut sent = Vec::new();
    assert!(pair.server.send_settings(&pair.session.wanted, &mut sent));
    let told = String::from_utf8_lossy(&sent).replace('\0', " ");
    pair.to_fake.append(&mut sent);
    told
}

#[test]
fn settings_go_ahead_of_a_request_and_what_follows_hangs_on_them() {
    let mut pair = Pair::new(3);
    pair.change_client(&[("search_path", "it's"), ("application_name", "till"), ("role", "b")]);
    let sent = ahead(&mut pair);
    let expected = "SELECT pg_catalog.set_config('application_name',E'till',false),\
                    pg_catalog.set_config('search_path',E'\\x69\\x74\\x27\\x73',false),\
                    pg_catalog.set_config('role',E'b',false),\
                    pg_catalog.set_config('exit_on_error',E'on',true)";
    assert!(sent.contains(expected) && sent.ends_with("BEGIN;COMMIT "), "{sent}");
    assert!(!sent.contains("RESET role"), "{sent}");
    for apart in ["client_encoding", "standard_conforming_strings", "exit_on_error"] {
        let mut pair = Pair::new(3);
        pair.change_client(&[(apart, "on"), ("application_name", "till")]);
        let mut sent = Vec::new();
        assert!(!pair.server.send_settings(&pair.session.wanted, &mut sent), "{apart}");
        assert!(pair.server.parameters().difference(&pair.session.wanted).is_some(), "{apart}");
    }
}

#[test]
fn what_another_client_had_set_is_reset_ahead_its_role_first() {
    let mut pair = Pair::new(3);
    let other = Wanted::new([("role", "b"), ("timezone", "Asia/Tokyo")]).expect("names");
    pair.server.set_applied(&other);
    let sent = ahead(&mut pair);
    let (role, rest) = sent.split_once("RESET role").expect("the role is reset");
    assert!(!role.contains("set_config"), "{sent}");
    assert!(rest.contains("set_config('timezone',NULL,false)"), "{sent}");
}

/// A request behind settings that are canceled; `sent`: what of it the server has, `later`: what
/// comes when the client has been told. What it sees, with the answer to a question behind it.
#[track_caller]
fn canceled(sent: &[Message], later: &[Message], expected: &str) {
    let mut pair = Pair::new(3);
    pair.ask(&[parse("s", "SELECT 'held'"), Sync]);
    pair.change_client(&[("timezone", "Asia/Tokyo")]);
    ahead(&mut pair);
    let (_, left) = pair.send(sent);
    let sent = bytes(sent);
    let mut held = sent[sent.len() - left..].to_vec();
    pair.fake.canceled = true;
    pair.serve();
    pair.serve();
    held.extend(bytes(later));
    let (_, left) = pair.send_bytes(&held);
    let held = held[held.len() - left..].to_vec();
    pair.serve();
    assert!(pair.server.is_unset() && pair.server.is_free(), "{expected}");
    assert_eq!(pair.server.parameters().get("TimeZone"), Some("UTC"));
    assert!(pair.fake.is_at_rest(), "{expected}");
    assert_eq!(pair.fake.inserted, 0, "{expected}: something ran in the old state");
    assert_eq!(pair.seen(), expected);
    pair.server.begin_stay(false);
    ahead(&mut pair);
    let rest = pair.ask_bytes(held);
    assert!(!rest.contains("E:"), "{expected}: {rest}");
    assert_eq!(pair.ask(&[query("SHOW TimeZone")]), "T D:Asia/Tokyo C:SHOW Z:I");
}

#[test]
fn a_cancel_that_meets_settings_sent_ahead_cancels_the_request() {
    let insert = || query("INSERT INTO sink VALUES ('a')");
    let flight = || Vec::from(run(""));
    let told = "E:57014 Z:I";
    canceled(&[insert()], &[], told);
    canceled(&[insert(), insert()], &[], told);
    canceled(&[insert()], &[query("BEGIN"), query("COMMIT")], told);
    let whole = [vec![parse("", "INSERT INTO sink VALUES ('a')")], flight()].concat();
    canceled(&whole, &[], told);
    canceled(&[whole.clone(), whole.clone()].concat(), &[insert()], told);
    canceled(&whole[..2], &whole[2..], told);
    canceled(&whole[..2], &[insert(), Sync], told);
    canceled(&[parse("t", "SELECT 'held'")], &[Sync], told);
    canceled(&[query("COPY sink FROM STDIN")], &[], told);
}

#[test]
fn what_a_canceled_flight_would_have_named_is_not_named() {
    let mut pair = Pair::new(3);
    pair.change_client(&[("timezone", "Asia/Tokyo")]);
    ahead(&mut pair);
    pair.send(&[parse("s", "SELECT 'a'"), Sync]);
    pair.fake.canceled = true;
    pair.serve();
    assert_eq!(pair.seen(), "E:57014 Z:I");
    assert_eq!(pair.held(), (0, 0));
    pair.server.begin_stay(false);
    ahead(&mut pair);
    assert_eq!(pair.ask(&[parse("s", "SELECT 'a'"), Sync]), "1 Z:I");
}

#[test]
fn a_message_of_which_half_is_sent_is_sent_whole_before_its_end() {
    let mut pair = Pair::new(3);
    pair.change_client(&[("timezone", "Asia/Tokyo")]);
    ahead(&mut pair);
    let long = bytes(&[query(&format!("SELECT '{}'", "x".repeat(40_000)))]);
    let (first, rest) = long.split_at(30_000);
    pair.send_bytes(first);
    pair.fake.canceled = true;
    pair.serve();
    assert_eq!(pair.seen(), "E:57014");
    pair.serve();
    pair.send_bytes(rest);
    pair.serve();
    assert_eq!(pair.seen(), "Z:I");
    assert!(pair.server.is_unset() && pair.server.is_free() && pair.fake.is_at_rest());
}

#[test]
fn settings_that_are_refused_let_nothing_run() {
    let mut pair = Pair::new(3);
    pair.change_client(&[("timezone", "Nowhere/Land")]);
    ahead(&mut pair);
    pair.send(&[query("INSERT INTO sink VALUES ('a')")]);
    pair.fake.take(&std::mem::take(&mut pair.to_fake));
    let replies = std::mem::take(&mut pair.fake.visible);
    let mut told = Vec::new();
    assert!(pair.server.receive(Some(&mut pair.session), &replies, &mut told).is_err());
    assert_eq!(pair.server.injected().map_err(|it| it.sqlstate), Err("22023".to_owned()));
    assert!(told.is_empty() && pair.fake.inserted == 0);
}

#[test]
fn a_client_that_is_gone_leaves_canceled_settings_to_be_ended() {
    for request in [vec![query("SELECT 'a'")], vec![parse("", "SELECT 'a'")], run("").into()] {
        let mut pair = Pair::new(3);
        pair.change_client(&[("timezone", "Asia/Tokyo")]);
        ahead(&mut pair);
        pair.send(&request);
        pair.fake.canceled = true;
        pair.serve_nobody();
        if pair.server.awaits_sync() {
            assert!(pair.server.finish_flight(&mut pair.to_fake));
        }
        pair.serve_nobody();
        assert!(pair.server.is_free() && pair.fake.is_at_rest(), "{request:?}");
    }
}

#[test]
fn a_server_that_is_gone_before_it_read_the_request_leaves_the_client_where_it_was() {
    let whole = [vec![parse("s", "SELECT 'a'")], run("s").into()].concat();
    for (sent, later, first) in [
        (vec![query("SELECT 'a'")], vec![], "E:57014 Z:I"),
        (whole.clone(), vec![], "E:57014 Z:I"),
        (whole[..2].to_vec(), whole[2..].to_vec(), "E:57014"),
    ] {
        let mut pair = Pair::new(3);
        pair.change_client(&[("timezone", "Asia/Tokyo")]);
        ahead(&mut pair);
        pair.send(&sent);
        assert_eq!(pair.lose_server(), first);
        assert_eq!(pair.send_detached(&later), if later.is_empty() { "" } else { "Z:I" });
        assert_eq!(pair.ask(&whole), "1 2 D:a C:SELECT 1 Z:I", "{sent:?}");
    }
}

/// It is as the client has set it, not as it was at the start.
#[test]
fn what_is_reset_and_set_in_one_text_is_told_as_it_is() {
    let mut pair = Pair::new(3);
    pair.change_client(&[("TimeZone", "Asia/Tokyo")]);
    let mut sent = Vec::new();
    assert!(pair.server.send_settings(&pair.session.wanted, &mut sent));
    pair.to_fake.append(&mut sent);
    pair.serve();
    pair.send(&[query("RESET TimeZone; SET TimeZone = 'Europe/Rome'")]);
    pair.serve();
    let seen = String::from_utf8_lossy(&pair.received).into_owned();
    assert!(seen.contains("Europe/Rome") && !seen.contains("Asia/Tokyo"), "{seen:?}");
}
