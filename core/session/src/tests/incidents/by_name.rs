//! SQL that names statements of the protocol, or drops them.

use super::super::pair::Pair;
use super::super::script::Message::{Bind, CloseStatement, Execute, Sync};
use super::{Message, TABLE, late, parse, prepared, query, run};

#[test]
fn what_a_query_could_not_execute_is_prepared_anew_at_the_next_use() {
    let mut pair = late(3);
    assert_eq!(pair.ask(&[query("EXECUTE b")]), "E:0A000 Z:I");
    pair.server.begin_stay(false);
    assert_eq!(pair.ask(&[CloseStatement("b"), parse("b", TABLE), Sync]), "3 1 Z:I");
    assert_eq!(pair.ask(&[query("EXECUTE b")]), "T D:1 C:SELECT 1 Z:I");
    pair.server.begin_stay(false);
    pair.fake.statements.clear();
    assert_eq!(pair.ask(&[query("EXECUTE b")]), "E:26000 Z:I");
    pair.server.begin_stay(false);
    assert_eq!(pair.ask(&[query("EXECUTE b")]), "T D:1 C:SELECT 1 Z:I");
}

#[test]
fn what_a_parsed_execute_could_not_execute_is_prepared_anew_at_the_next_use() {
    let mut pair = prepared(3);
    pair.ask(&[parse("e", "EXECUTE a"), Sync]);
    pair.fake.statements.remove(&b"pw_1"[..]);
    assert_eq!(pair.ask(&run("e")), "2 E:26000 Z:I");
    assert_eq!(pair.ask(&run("e")), "2 C:SELECT 1 Z:I");
}

/// Other settings make another statement of it, which is as the table is now.
#[test]
fn a_name_whose_statement_has_changed_is_not_taken_for_one_that_has_not() {
    for how in [[query("EXECUTE a")].as_slice(), &[parse("e", "EXECUTE a"), Sync], &[Sync]] {
        let mut pair = prepared(1);
        pair.ask(&[parse("c", "SELECT 'c'"), Sync]);
        pair.fake.version = 1;
        assert_eq!(pair.ask(&[parse("b", TABLE), Sync]), "1 Z:I");
        pair.ask(&[query("SET TimeZone = 'Asia/Tokyo'")]);
        pair.server.begin_stay(false);
        pair.ask(&[parse("d", "SELECT 'd'"), Sync]);
        pair.ask(how);
        assert_eq!(pair.ask(&run("a")), "E:0A000 Z:I");
    }
}

#[test]
fn names_behind_a_parsed_deallocate_all_wait_until_it_has_run() {
    let mut pair = Pair::new(3);
    pair.ask(&[parse("c", "SELECT 'c'"), Sync]);
    pair.change_server();
    pair.change_client(&[]);
    pair.ask(&[parse("d", "DEALLOCATE ALL"), Sync]);
    let flight: [Message; 6] = [
        Bind("", "d"),
        Execute("", 0),
        parse("c", "SELECT 'c'"),
        Bind("", "c"),
        Execute("", 0),
        Sync,
    ];
    assert_eq!(pair.ask(&flight), "2 C:DEALLOCATE ALL 1 2 D:c C:SELECT 1 Z:I");
    assert_eq!(pair.ask(&run("c")), "2 D:c C:SELECT 1 Z:I");
    pair.session = pair.others.remove(0);
    assert_eq!(pair.ask(&run("c")), "2 D:c C:SELECT 1 Z:I");
}

#[test]
fn several_may_be_given_up_by_what_was_bound_before() {
    let mut pair = Pair::new(10);
    pair.ask(&[parse("a", "SELECT 'a'"), parse("b", "SELECT 'b'"), Sync]);
    pair.ask(&[parse("da", "DEALLOCATE a"), parse("db", "DEALLOCATE b"), Sync]);
    let flight = [Bind("p", "da"), Bind("q", "db"), Execute("p", 0), Execute("q", 0), Sync];
    assert_eq!(pair.ask(&flight), "2 2 C:DEALLOCATE C:DEALLOCATE Z:I");
}

#[test]
fn what_the_pooler_refuses_says_nothing_of_what_the_server_holds() {
    let mut pair = prepared(3);
    assert_eq!(pair.ask(&[query("SELECT currval('s')")]), "E:55000 Z:I");
    pair.server.begin_stay(false);
    pair.send(&run("a"));
    assert_eq!(pair.to_fake.first(), Some(&b'B'), "it is prepared anew");
}
