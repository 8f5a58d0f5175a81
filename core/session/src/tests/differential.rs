//! Each client must see through the pooler, byte for byte, what it sees on a server of its own. Left
//! out are only the cases that `fake::Deviation` lists, RESET and DISCARD ALL of clients with startup
//! parameters, and Sync between CopyData and CopyDone.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::direct;
use super::script::{Script, script};
use super::world::World;

#[derive(Clone, Debug)]
struct Case {
    scripts: Vec<Script>,
    servers: usize,
    statements: usize,
    choices: Vec<u8>,
}

fn case() -> impl Strategy<Value = Case> {
    let scripts = (1usize..4).prop_flat_map(|count| (0..count).map(script).collect::<Vec<_>>());
    let choices = prop::collection::vec(any::<u8>(), 0..1500);
    (scripts, 1usize..3, 1usize..4, choices).prop_map(|(scripts, servers, statements, choices)| {
        Case { scripts, servers, statements, choices }
    })
}

fn check(case: &Case) {
    let expected: Vec<_> =
        case.scripts.iter().map(|script| (script.zone, direct::run(script))).collect();
    let mut world = World::new(&expected, case.servers, case.statements, &case.choices);
    world.run();
    for (index, (client, (_, expected))) in world.clients.iter().zip(&expected).enumerate() {
        let due = match client.gone {
            true => &expected.replies[..client.received.len()],
            false => &expected.replies,
        };
        let (seen, due) = (readable(&client.received), readable(due));
        assert_eq!(seen, due, "client {index}: through the pooler, directly");
    }
}

/// Messages, one a string: tag, then body with what is not text escaped.
fn readable(mut bytes: &[u8]) -> Vec<String> {
    let mut messages = Vec::new();
    while let Ok(Some(head)) = poolwright_wire::header(bytes) {
        let (message, rest) = bytes.split_at(head.total().min(bytes.len()));
        let body = message[5..].escape_ascii();
        messages.push(format!("{} {body}", char::from(head.tag)));
        bytes = rest;
    }
    messages.push(bytes.escape_ascii().to_string());
    messages
}

fn run(cases: u32) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let tested = TestRunner::new(config).run(&case(), |case| {
        check(&case);
        Ok(())
    });
    if let Err(failure) = tested {
        panic!("{failure}");
    }
}

#[test]
fn clients_see_what_they_would_see_on_a_server_of_their_own() {
    run(500);
}

/// For minutes: `POOLWRIGHT_CASES=100000 cargo test -p poolwright-session -- --ignored long`;
/// `PROPTEST_RNG_SEED` repeats a run.
#[test]
#[ignore = "runs for minutes"]
fn clients_see_it_in_a_long_run_too() {
    let cases = std::env::var("POOLWRIGHT_CASES").ok().and_then(|cases| cases.parse().ok());
    run(cases.unwrap_or(20_000));
}
