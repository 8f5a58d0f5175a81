//! Texts and what the lexer makes of them.

use super::{Reading, look};
use crate::doubts::Doubts;

fn suspect(text: &[u8], reading: Reading) -> Doubts {
    look(text, reading).doubts
}

#[track_caller]
fn check(expected: Doubts, texts: &[&str]) {
    for text in texts {
        assert_eq!(suspect(text.as_bytes(), Reading::default()), expected, "{text}");
    }
}

#[test]
fn plain_queries_and_transactions_leave_the_session_alone() {
    check(
        Doubts::NONE,
        &[
            "",
            ";;",
            "SELECT abalance FROM pgbench_accounts WHERE aid = 1;",
            "BEGIN; UPDATE t SET (a, b) = (1, 2) WHERE lower(c) IN ('x'); COMMIT",
            "INSERT INTO pgbench_history (tid, bid) VALUES (1, 2)",
            "insert into s.t (a) select count(*) from u on conflict (a) do nothing",
            "/* SET x /* nested */ = 1 */ SELECT 1 -- ; SET x = 1",
            "SELECT $$; SET x = 1$$, $a$ $$ ; SET x $a$, '; SET x', E'\\'; SET x', $1",
            "SELECT pg_catalog.now(), cast(a as numeric(10, 2)) FROM generate_series(1, 3) AS g(a)",
            "SET LOCAL statement_timeout = 5; SET TRANSACTION READ ONLY",
            "DECLARE c CURSOR FOR SELECT 1",
            "EXPLAIN (ANALYZE, BUFFERS) SELECT coalesce(a, 1) FROM t",
            "COPY s.t (a, b) FROM STDIN",
            "(SELECT 1) UNION (SELECT 2)",
            "SELECT count(*) FILTER (WHERE a) OVER (PARTITION BY b ORDER BY (c)) FROM t GROUP BY (b)",
            "INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET (a, b) = (1, 2)",
            "SELECT \"set\", temp FROM weather",
        ],
    );
}

#[test]
fn statements_that_set_something_leave_settings_in_doubt() {
    check(
        Doubts::SETTINGS,
        &[
            "SET x = 1",
            "select 1; set x = 1",
            "sEt/**/x = 1",
            "SET SESSION x = 1",
            "SET \"x\" = 1; SET y = 2",
            "SELECT 'a'; RESET ALL",
            "SELECT '\\'; SET x = 1 --'",
            "SET search_path = public, pg_temp",
            "SET ROLE \"pg_temp\"",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            "UPDATE pg_settings SET setting = '1' WHERE name = 'work_mem'",
            "WITH a AS (UPDATE pg_catalog.pg_settings SET setting = '1') SELECT 1",
            "SELECT $a$ $b$ $a$; SET x = 1",
        ],
    );
}

#[test]
fn what_pins_is_known_by_its_kind() {
    check(Doubts::CHANNELS, &["LISTEN a", "SELECT 1; listen \"A\""]);
    check(Doubts::STATEMENTS, &["PREPARE a AS SELECT 1", "prepare transaction_log AS SELECT 1"]);
    check(Doubts::NONE, &["PREPARE TRANSACTION 'a'"]);
    check(
        Doubts::LOCKS,
        &["SELECT pg_advisory_lock (1)", "SELECT pg_catalog.PG_TRY_ADVISORY_LOCK_shared(1)"],
    );
    check(
        Doubts::CURSORS,
        &[
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "DECLARE c BINARY SCROLL CURSOR WITH HOLD FOR TABLE t",
        ],
    );
    check(Doubts::TEMPORARY, &["SELECT 1 AS a INTO TEMP t", "SELECT 1 INTO TEMPORARY TABLE t"]);
    check(
        Doubts::TEMPORARY.and(Doubts::ANYTHING),
        &[
            "CREATE TEMP TABLE t (a int)",
            "CREATE GLOBAL TEMPORARY TABLE t AS SELECT 1",
            "CREATE OR REPLACE TEMP VIEW v AS SELECT 1",
            "CREATE TEMP TABLE t (a int) ON COMMIT DELETE ROWS; DROP TABLE u",
            "CREATE TEMP TABLE t (a int); CREATE TEMP TABLE u (a int) ON COMMIT DROP",
        ],
    );
    let together = Doubts::CHANNELS.and(Doubts::LOCKS).and(Doubts::SETTINGS);
    check(together, &["LISTEN a; SELECT pg_advisory_lock(1); SET x = 1"]);
}

#[test]
fn what_only_ends_something_is_told_apart() {
    check(
        Doubts::ENDS,
        &[
            "CLOSE c",
            "CLOSE ALL",
            "UNLISTEN *",
            "DEALLOCATE a",
            "DISCARD ALL",
            "SELECT pg_advisory_unlock(1)",
            "SELECT pg_advisory_unlock_all()",
        ],
    );
}

#[test]
fn text_that_may_run_anything_may_change_anything() {
    check(
        Doubts::ANYTHING,
        &[
            "DO $$ begin end $$",
            "CALL f()",
            "EXECUTE a",
            "EXPLAIN ANALYZE EXECUTE a",
            "CREATE TABLE t (a int)",
            "CREATE TABLE temp_t AS SELECT 1",
            "CREATE TEMP TABLE t (a int) ON COMMIT DROP",
            "\"SET\" x = 1",
            "mine",
        ],
    );
}

#[test]
fn calls_of_unknown_functions_may_change_anything() {
    check(
        Doubts::ANYTHING,
        &[
            "SELECT mine(1)",
            "SELECT public.lower('A')",
            "SELECT public.pg_advisory_lock(1)",
            "SELECT \"lower\"('A')",
            "SELECT \"pg_advisory_lock\"(1)",
            "INSERT INTO t (a) VALUES (mine(1))",
            "INSERT INTO t SELECT mine(1)",
            "SELECT DISTINCT ON (a) mine(a) FROM t",
            "SELECT a FROM t AS x JOIN mine(1) ON true",
            "SELECT setseed(0.5)",
            "SELECT DISTINCT ON (a) filter(a) FROM t",
            "SELECT explain(1), set(1)",
            "UPDATE t SET a = 1 RETURNING set(1)",
            "SELECT \"into\" mine(1)",
        ],
    );
}

#[test]
fn the_sessions_own_schema_may_hold_anything() {
    check(
        Doubts::ANYTHING,
        &[
            "SELECT 1 INTO pg_temp.t",
            "SELECT 1 INTO \"pg_temp\".t",
            "CREATE TABLE pg_temp_3.t (a int)",
        ],
    );
}

#[test]
fn text_without_an_end_is_undecidable() {
    check(
        Doubts::ANYTHING,
        &["SELECT 'a", "SELECT \"a", "SELECT $$a", "SELECT /* a", "SELECT E'a'\n'\\'; SET x'"],
    );
}

#[test]
fn strings_that_do_not_conform_and_unsafe_encodings_are_undecidable() {
    let odd = Reading { conforming: false, ascii_safe: true };
    assert_eq!(suspect(br"SELECT '\'; SET x'", odd), Doubts::ANYTHING);
    let sjis = Reading { conforming: true, ascii_safe: false };
    assert_eq!(suspect(b"SELECT '\x83\x5c'", sjis), Doubts::ANYTHING);
    assert_eq!(suspect(b"SELECT 1", sjis), Doubts::NONE);
}

#[test]
fn comments_without_an_end_are_undecidable_wherever_they_begin() {
    check(
        Doubts::ANYTHING,
        &[
            "/* a",
            "SELECT/* a",
            "SELECT lower /* (",
            "SELECT 'a' /* a",
            "SELECT E'a' /* a",
            "SELECT \"a\"/*/",
            "SELECT 1; -- a\n /* /* */",
        ],
    );
}

#[test]
fn a_hundred_thousand_comments_are_passed_like_one() {
    let text = format!("SELECT {} lower(a)", "/**/--\n".repeat(50_000));
    assert_eq!(suspect(text.as_bytes(), Reading::default()), Doubts::NONE);
}

#[test]
fn what_a_name_belongs_to_outlasts_comments_and_dots() {
    check(
        Doubts::NONE,
        &["INSERT INTO a . /* b */ c (d) VALUES (1)", "SELECT pg_catalog -- a\n . lower(b)"],
    );
    check(
        Doubts::ANYTHING,
        &["SELECT a.pg_catalog.lower(b)", "SELECT pg_catalog, a.lower(b)", "SELECT x(1)"],
    );
}

#[test]
fn reading_a_sequence_and_advancing_one_are_told_apart() {
    let cases = [
        ("SELECT currval('s'), LASTVAL()", (false, true)),
        ("SELECT nextval('s'); SELECT lastval()", (true, true)),
        ("INSERT INTO t DEFAULT VALUES", (true, false)),
        ("SELECT 'lastval()', lastval FROM t -- lastval()", (false, false)),
        ("SET x = 1; SELECT lastval()", (false, true)),
        ("SELECT mine(); SELECT lastval()", (true, true)),
        ("SELECT \"lastval\"(), pg_catalog.\"currval\"('s')", (true, true)),
        ("SELECT \"LASTVAL\"()", (true, false)),
    ];
    for (text, expected) in cases {
        let look = look(text.as_bytes(), Reading::default());
        assert_eq!((look.advances, look.reads), expected, "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_answered(text: Vec<u8>) {
        suspect(&text, Reading::default());
    }

    #[test]
    fn a_set_after_whole_literals_is_never_missed(
        literals in proptest::collection::vec("('[a-z;\\\\]*'|\"[a-z; ]*\"|\\$q\\$[a-z;' ]*\\$q\\$|1\\.5)", 0..5)
    ) {
        let text = format!("SELECT {} ; SET x = 1", literals.join(", "));
        assert!(!suspect(text.as_bytes(), Reading::default()).is_none());
    }
}
