//! COPY FROM STDIN: Syncs that mean nothing, and those that nobody can tell.

use super::super::pair::Pair;
use super::super::script::Message::{self, Bind, CopyData, CopyDone, CopyFail, Execute, Sync};
use super::{parse, query};
use crate::Pause;

fn begin(table: &str) -> Vec<Message> {
    vec![parse("", &format!("COPY {table} FROM STDIN")), Bind("", ""), Execute("", 0)]
}

#[test]
fn a_sync_before_the_server_asks_for_data_is_not_counted() {
    let mut pair = Pair::new(3);
    let mut messages = begin("sink");
    messages.push(Sync);
    assert_eq!(pair.ask(&messages), "1 2 G");
    assert!(!pair.server.is_quiet());
    assert_eq!(pair.ask(&[CopyData("1\n"), CopyDone, Sync]), "C:COPY 1 Z:I");
    assert!(pair.server.is_free() && pair.fake.is_at_rest());
}

#[test]
fn a_sync_counts_if_the_copy_never_began() {
    let mut pair = Pair::new(3);
    let mut messages = vec![Execute("none", 0), Sync];
    messages.extend([CopyData("1\n"), CopyDone, Sync]);
    assert_eq!(pair.ask(&messages), "E:34000 Z:I Z:I");
    assert!(pair.server.is_free() && pair.fake.is_at_rest());
}

#[test]
fn a_sync_that_races_with_the_failure_of_a_copy_leaves_nothing_behind() {
    let mut pair = Pair::new(3);
    assert_eq!(pair.ask(&[query("COPY number FROM STDIN")]), "G");
    assert_eq!(pair.ask(&[CopyData("x\n"), Sync, CopyDone]), "E:22P02 Z:I");
    assert!(pair.server.is_free() && pair.fake.is_at_rest());
}

#[test]
fn a_sync_that_nobody_can_tell_ends_the_client() {
    let mut pair = Pair::new(3);
    let mut messages = begin("number");
    messages.extend([CopyData("x\n"), Sync]);
    let (pause, left) = pair.send(&messages);
    let Pause::Fatal(fatal) = pause else { panic!("{pause:?}") };
    assert_eq!((fatal.sqlstate, left), ("08P01", 5));
}

#[test]
fn a_failed_copy_ends_as_other_errors_do_in_both_protocols() {
    for last in [CopyDone, CopyFail] {
        let mut pair = Pair::new(3);
        assert_eq!(pair.ask(&begin("number")), "1 2 G");
        assert_eq!(pair.ask(&[CopyData("x\n")]), "E:22P02");
        assert_eq!(pair.ask(&[last.clone(), Sync]), "Z:I");
        assert_eq!(pair.ask(&[query("COPY number FROM STDIN")]), "G");
        let error = if matches!(last, CopyFail) { "57014" } else { "22P02" };
        let data = if matches!(last, CopyFail) { "1\n" } else { "x\n" };
        assert_eq!(pair.ask(&[CopyData(data), last]), format!("E:{error} Z:I"));
        assert!(pair.server.is_free() && pair.fake.is_at_rest());
    }
}

#[test]
fn another_query_inside_a_copy_ends_the_client_before_the_server_sees_it() {
    let mut pair = Pair::new(3);
    pair.ask(&[query("COPY sink FROM STDIN")]);
    assert!(matches!(pair.send(&[query("SELECT 'x'")]).0, Pause::Fatal(_)));
    assert!(pair.to_fake.is_empty());
}
