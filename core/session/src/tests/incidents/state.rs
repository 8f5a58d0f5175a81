//! What a server says of its session: settings follow the client, the rest pins it.

use poolwright_wire::{TransactionStatus, write};

use super::super::pair::Pair;
use super::super::script::Message::{CloseStatement, Sync};
use super::{TABLE, parse, query};
use crate::parameters::Wanted;
use crate::survey::Pins;

/// A server's answer: entries of kind, name and value.
fn answer(entries: &[(char, &str, &str)]) -> Vec<u8> {
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let entry = |&(kind, name, value): &(char, &str, &str)| match kind {
        '!' => format!("!{name}"),
        'r' => format!("r{}", hex(name)),
        kind => format!("{kind}{}={}", hex(name), hex(value)),
    };
    format!(".,{}", entries.iter().map(entry).collect::<Vec<_>>().join(",")).into_bytes()
}

fn wanted(settings: &[(&str, &str)]) -> Wanted {
    Wanted::new(settings.iter().copied()).expect("names of settings")
}

#[test]
fn settings_that_the_server_has_are_what_the_client_wants() {
    let mut pair = Pair::new(3);
    pair.ask(&[query("SET search_path = b")]);
    assert!(pair.server.in_doubt() && pair.server.is_tainted());
    let said = answer(&[('s', "search_path", "b"), ('r', "none", "")]);
    assert!(pair.server.learn(&said, &mut pair.session));
    assert_eq!(pair.session.wanted, wanted(&[("search_path", "b")]));
    assert!(pair.server.parameters().are(&pair.session.wanted));
    assert!(!pair.server.in_doubt() && !pair.server.is_tainted());
}

#[test]
fn a_startup_value_that_the_server_has_not_was_reset_and_is_due_again() {
    let mut pair = Pair::new(3);
    pair.change_client(&[("search_path", "a"), ("role", "carol"), ("my.var", "x")]);
    pair.server.set_applied(&pair.session.wanted);
    pair.ask(&[query("RESET search_path")]);
    let said = answer(&[('r', "carol", ""), ('c', "my.var", "x")]);
    assert!(pair.server.learn(&said, &mut pair.session));
    let all = wanted(&[("search_path", "a"), ("role", "carol"), ("my.var", "x")]);
    assert_eq!(pair.session.wanted, all);
    let sql = pair.server.parameters().difference(&pair.session.wanted).expect("a difference");
    let expected = "RESET \"role\";SELECT pg_catalog.set_config('search_path',E'a',false),\
                    pg_catalog.set_config('role',E'carol',false);";
    assert_eq!(sql, expected, "the role is given up before and taken again behind all others");
}

#[test]
fn a_pin_ends_when_the_server_says_so_and_what_only_ends_asks_nobody_else() {
    let mut pair = Pair::new(3);
    pair.ask(&[query("DISCARD ALL")]);
    assert!(!pair.server.in_doubt(), "nothing was there to end");
    pair.ask(&[query("SELECT set_config('search_path', 'b', false)")]);
    assert!(pair.server.learn(&answer(&[('!', "l", "")]), &mut pair.session));
    assert!(!pair.server.pins().is_none() && pair.server.is_tainted());
    pair.ask(&[query("DISCARD ALL")]);
    assert!(pair.server.in_doubt());
    assert!(pair.server.learn(b".", &mut pair.session));
    assert_eq!(pair.server.pins(), Pins::NONE);
    assert!(!pair.server.is_tainted());
}

#[test]
fn settings_too_long_to_replay_pin_until_the_server_says_that_they_are_gone() {
    let mut pair = Pair::new(3);
    pair.change_client(&[("my.var", "first"), ("search_path", "a")]);
    pair.server.set_applied(&pair.session.wanted);
    let long = "x".repeat(40_000);
    let said =
        answer(&[('s', "search_path", "b"), ('c', "my.var", &long), ('c', "its.var", &long)]);
    pair.ask(&[query("SELECT set_config('my.var', 'long', false), f()")]);
    assert!(pair.server.learn(&said, &mut pair.session));
    assert_eq!(pair.server.pins(), Pins::SETTING);
    assert_eq!(pair.session.wanted, wanted(&[("search_path", "b")]));
    assert!(pair.server.parameters().are(&pair.session.wanted), "it would be set anew");
    pair.ask(&[query("CLOSE ALL")]);
    let question = pair.server.question(&pair.session);
    assert!(question.contains("'{its.var,my.var}'"), "it ends unasked: {question}");
    assert!(pair.server.learn(&said, &mut pair.session));
    assert_eq!(pair.server.pins(), Pins::SETTING);
}

/// Whose names they are is decided by what no setting tells.
#[test]
fn what_was_parsed_by_the_login_s_own_rights_is_parsed_anew_by_another_s() {
    let mut pair = Pair::new(3);
    pair.ask(&[parse("a", TABLE), Sync]);
    pair.change_client(&[]);
    pair.ask(&[query("SET application_name = b")]);
    let mut status = Vec::new();
    write::parameter_status(&mut status, b"session_authorization", b"other");
    pair.receive(&status);
    assert!(pair.server.learn(b".", &mut pair.session));
    assert_eq!(pair.server.pins(), Pins::AUTHORIZATION);
    for held in 2..4 {
        pair.ask(&[CloseStatement("a"), parse("a", TABLE), Sync]);
        assert_eq!(pair.held(), (held, held));
    }
}

#[test]
fn what_is_no_answer_changes_nothing() {
    let mut pair = Pair::new(3);
    pair.ask(&[query("SET search_path = b")]);
    for said in [&b""[..], b".,s6", b"oops"] {
        assert!(!pair.server.learn(said, &mut pair.session));
        assert!(pair.server.in_doubt());
    }
}

#[test]
fn a_notification_around_the_pooler_s_own_question_is_kept_for_the_client() {
    let mut note = vec![b'A', 0, 0, 0, 14, 0, 0, 0, 7];
    note.extend_from_slice(b"news\0\0");
    let mut end = Vec::new();
    write::command_complete(&mut end, b"SELECT 1");
    write::ready_for_query(&mut end, TransactionStatus::Idle);
    let before = [&note[..], &end].concat();
    let behind = [&end[..], &note].concat();
    for said in [before, behind] {
        let mut pair = Pair::new(3);
        let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
        pair.server.inject("SELECT 1", &mut to_server);
        assert_eq!(pair.server.receive(None, &said, &mut to_client), Ok(said.len()));
        assert_eq!(to_client, b"");
        assert_eq!(pair.server.take_notifications(), note);
        assert!(pair.server.is_free());
    }
}
