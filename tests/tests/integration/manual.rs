//! What docs/compatibility.md says in its tables "what" and in its lists, and the tests that show it to
//! be true; its table of session features is checked next door. It runs none of them.

use std::path::Path;

const MANUAL: &str = include_str!("../../../docs/compatibility.md");

/// The tables of the manual by their first column: this one's, that of `features.rs`, and which
/// PostgreSQL is tested.
const TABLES: [&str; 3] = ["what", "feature", "PostgreSQL"];

/// What a section says, by the first cell of a row or the first words of a point, and the tests that
/// show it, as `cargo test` names them: of this crate, or behind `pooler` and `session`.
type Section = (&'static str, &'static [(&'static str, &'static [&'static str])]);

const SHOWN: [Section; 8] = [
    ("Protocol", PROTOCOL),
    ("Replication", REPLICATION),
    ("Databases and users", DATABASES),
    ("Prepared statements", PREPARED),
    ("Limits", LIMITS),
    ("Statement mode", STATEMENT_MODE),
    ("Session mode", SESSION_MODE),
    ("Errors", ERRORS),
];

const PROTOCOL: &[(&str, &[&str])] = &[
    (
        "protocol 3.0 and 3.2",
        &[
            "login::a_newer_minor_protocol_is_talked_down",
            "cancel::a_client_of_protocol_3_2_has_a_long_secret_of_which_no_part_will_do",
            "pooler::login::request::tests::what_is_not_spoken_is_answered_with_what_is",
        ],
    ),
    (
        "secrets of cancel keys",
        &[
            "cancel::a_client_of_protocol_3_2_has_a_long_secret_of_which_no_part_will_do",
            "protocol::a_server_that_knows_protocol_3_2_is_spoken_to_in_it_and_gives_long_cancel_keys",
        ],
    ),
    (
        "a cancel request that comes to another pooler behind the same address",
        &[
            "peers::a_cancel_that_comes_to_another_pooler_hits_the_right_query",
            "peers::two_poolers_that_point_at_each_other_do_not_send_in_circles",
            "peers::a_wrong_secret_or_id_spares_the_query_and_opens_nothing",
            "peers::a_peer_that_is_gone_or_silent_holds_nobody_up_for_long",
            "peers::poolers_that_expect_a_proxy_where_they_are_themselves_reach_each_other",
            "pooler::peers::tests::a_key_tells_who_gave_it_out",
        ],
    ),
    (
        "bytes that are not UTF-8 in the startup message, or in a password that is sent as it is",
        &["login::bytes_that_are_not_utf_8_are_refused_where_postgres_takes_them"],
    ),
    (
        "SSLRequest, GSSENCRequest",
        &[
            "login::an_ssl_request_is_answered_with_one_byte",
            "login::a_gss_request_is_declined",
            "tls::tls_is_had_after_gssapi_was_declined",
            "garbage::an_ssl_request_that_was_declined_comes_again_as_little_as_to_postgres",
            "pooler::login::tests::refused::each_request_may_come_once_and_waits_for_its_answer",
        ],
    ),
    (
        "TLS without an SSLRequest (`sslnegotiation=direct`)",
        &[
            "tls::clients_may_begin_with_tls",
            "pooler::login::tests::welcome::tls_without_a_request_carries_the_login_of_who_names_the_protocol",
            "pooler::login::tests::refused::tls_that_is_not_spoken_here_ends_without_a_word",
        ],
    ),
    ("TLS sessions", &["pooler::login::tests::welcome::a_client_resumes_its_tls_session"]),
    (
        "clients' certificates",
        &[
            "tls::clients_show_a_certificate_where_it_is_verified",
            "access::rules_choose_the_method_and_the_first_that_fits_holds",
        ],
    ),
    (
        "authentication",
        &[
            "access::rules_choose_the_method_and_the_first_that_fits_holds",
            "access::who_is_trusted_shows_nothing",
            "access::methods_that_are_not_spoken_are_no_settings",
        ],
    ),
];

const REPLICATION: &[(&str, &[&str])] = &[
    (
        "which server",
        &[
            "replication::changes_of_a_database_are_received_decoded",
            "replication::the_log_is_received_as_it_is_written",
            "pooler::replication::place::tests::a_database_of_the_settings_names_its_server",
            "pooler::replication::place::tests::the_only_server_is_meant_by_any_other_name_where_no_database_is",
        ],
    ),
    (
        "who",
        &[
            "replication::what_the_server_says_against_it_is_told",
            "replication::settings_without_the_user_end_its_connection",
            "replication::a_user_that_only_the_server_knows_may_replicate_too",
        ],
    ),
    ("how many", &["replication::a_replication_connection_is_its_clients_own_and_counted_apart"]),
    (
        "a drain",
        &[
            "replication::a_drain_ends_streams_between_messages_and_lets_commands_finish",
            "replication::a_command_is_cancelled_when_nobody_is_let_in_any_more",
        ],
    ),
    (
        "`pool.waitTimeout`",
        &[
            "replication::a_replication_connection_is_its_clients_own_and_counted_apart",
            "replication::none_is_let_in_where_the_settings_say_none",
        ],
    ),
];

const DATABASES: &[(&str, &[&str])] = &[
    (
        "a database that is not listed",
        &[
            "login::an_unknown_database_is_named_in_the_refusal",
            "upkeep::any_database_may_be_asked_for_where_the_settings_say_so",
            "upkeep::ten_thousand_databases_may_be_asked_for_that_are_not_listed",
        ],
    ),
    ("`databases[].user`", &["upkeep::all_clients_of_a_forced_user_share_one_pool_and_its_rights"]),
    (
        "`databases[].connectQuery`",
        &[
            "upkeep::a_connect_query_runs_before_clients_and_after_a_reset",
            "upkeep::a_reset_undoes_a_connect_query_until_its_transaction_ends",
            "upkeep::a_connection_whose_connect_query_fails_is_not_used",
            "state::what_a_connect_query_has_set_is_every_clients",
        ],
    ),
    (
        "startup parameters in `ignoreStartupParameters`",
        &["upkeep::startup_parameters_are_ignored_by_name"],
    ),
];

const PREPARED: &[(&str, &[&str])] = &[
    (
        "protocol-level prepared statements",
        &[
            "prepared::a_named_statement_lives_over_transactions",
            "prepared::two_clients_may_use_one_name_for_different_texts",
            "prepared::a_statement_is_prepared_again_on_another_server",
            "prepared::a_server_keeps_no_more_statements_than_its_limit",
            "prepared::a_server_keeps_no_more_than_16_mib_of_statements",
        ],
    ),
    (
        "a named statement that gives other columns since its table changed",
        &[
            "prepared::a_changed_table_spoils_a_statement_of_a_client_that_knows_it",
            "prepared::a_client_that_prepares_after_a_change_hears_nothing_of_it",
            "prepared::a_describe_that_fails_may_do_so_at_once",
            "prepared::a_statement_stays_spoilt_though_its_table_is_changed_back",
            "session::tests::incidents::changing::a_client_that_was_told_otherwise_gets_the_error_on_a_server_that_prepares_anew",
        ],
    ),
    (
        "a statement that a server connection has lost (`DEALLOCATE ALL` in a trigger), or holds from before a change that the client does not know of",
        &[
            "prepared::a_statement_that_the_server_lost_is_prepared_anew",
            "prepared::a_client_that_prepares_after_a_change_hears_nothing_of_it",
            "session::tests::incidents::changing::an_error_amid_a_transaction_passes_and_the_next_use_prepares_anew",
            "session::tests::incidents::changing::an_error_behind_which_more_was_sent_passes",
            "session::tests::incidents::changing::a_flight_too_long_to_be_kept_is_not_sent_again",
        ],
    ),
    (
        "a statement used on another server connection after its client has changed its settings",
        &[
            "prepared::a_statement_is_read_anew_once_the_search_path_is_another",
            "restored::a_statement_of_other_settings_is_not_read_anew_under_these",
            "restored::an_unnamed_statement_of_other_settings_is_not_read_anew_under_these",
            "session::client::meaning::tests::literals_of_times_are_spoilt_by_settings_of_times_only",
            "session::client::meaning::tests::other_literals_are_spoilt_by_how_they_are_read",
        ],
    ),
    (
        "an unnamed statement that is used in a later transaction than its Parse, whose table has changed since",
        &[
            "unnamed::parameters_have_the_types_that_the_client_was_told",
            "unnamed::a_changed_result_is_an_error_and_nothing_of_it_is_committed",
            "unnamed::who_has_not_described_it_gets_the_new_columns",
            "session::tests::incidents::unnamed::what_writes_runs_at_once_and_is_not_committed_before_its_columns_are_known",
            "session::tests::incidents::unnamed::what_else_there_is_in_the_flight_waits_and_falls_with_it",
            "session::tests::incidents::unnamed::what_ran_before_it_in_the_flight_is_not_committed",
            "session::tests::incidents::unnamed::the_flights_behind_wait_for_the_answer",
        ],
    ),
    (
        "`DEALLOCATE name`, `EXECUTE name`, `EXPLAIN EXECUTE name`, `CREATE TABLE … AS EXECUTE name`, `DEALLOCATE ALL`, `DISCARD ALL`",
        &[
            "prepared::deallocate_gives_up_a_statement_of_the_protocol",
            "prepared::deallocate_all_works_among_other_statements",
            "prepared::discard_all_forgets_the_statements_of_this_client",
            "prepared::execute_runs_a_statement_of_the_protocol",
            "by_name::execute_by_parse_runs_a_statement_of_the_protocol",
            "by_name::deallocate_by_parse_gives_up_a_statement_of_the_protocol",
            "by_name::all_statements_are_given_up_by_parse_too",
            "by_name::what_a_text_executes_may_be_made_a_table",
            "by_name::names_are_seen_wherever_they_stand_in_a_text",
            "by_name::functions_and_what_is_not_read_find_no_statement_of_the_protocol",
        ],
    ),
    (
        "`PREPARE name`",
        &[
            "prepared::sql_and_the_protocol_share_their_names",
            "by_name::prepare_by_parse_shares_its_names",
        ],
    ),
    (
        "what is sent by Parse and names another statement",
        &[
            "by_name::what_names_a_statement_may_be_prepared_itself",
            "by_name::what_names_a_statement_that_was_replaced_says_so",
            "by_name::what_is_sent_by_parse_gives_up_a_statement_when_it_is_bound",
        ],
    ),
    (
        "`EXECUTE` as a simple query behind messages that no Sync has ended, of a statement that the server connection does not hold",
        &["by_name::execute_amid_a_flight_of_what_is_not_there_says_so"],
    ),
    (
        "a text that executes more statements than `preparedStatements.max`",
        &["by_name::a_text_that_executes_more_than_a_server_may_hold_says_so"],
    ),
];

const LIMITS: &[(&str, &[&str])] = &[
    (
        "text that the lexer reads",
        &[
            "state::a_setting_follows_its_client_and_no_other",
            "isolation::a_change_beyond_what_the_lexer_reads_is_undone_too",
        ],
    ),
    (
        "a client's part of a TLS handshake",
        &["pooler::login::tests::refused::a_handshake_takes_no_more_memory_than_a_startup_message"],
    ),
    (
        "any other message",
        &[
            "large::messages_of_1_gib_pass_both_ways_in_bounded_memory",
            "large::messages_of_32_mib_pass_both_ways_in_bounded_memory",
            "large::big_results_pass_in_bounded_memory",
            "garbage::a_message_that_claims_two_gigabytes_takes_no_memory",
        ],
    ),
    (
        "a named prepared statement",
        &["prepared::a_named_statement_has_one_mib_at_most_and_all_of_a_client_have_16"],
    ),
    (
        "all named statements of a client",
        &["prepared::a_named_statement_has_one_mib_at_most_and_all_of_a_client_have_16"],
    ),
    (
        "an unnamed statement kept for a later transaction",
        &["unnamed::a_text_longer_than_16_kib_is_not_kept_for_another_connection"],
    ),
];

const STATEMENT_MODE: &[(&str, &[&str])] = &[
    (
        "several statements in one simple query, or up to one Sync",
        &["modes::one_request_is_one_transaction_in_statement_mode"],
    ),
    (
        "a transaction that is open at the end of it",
        &["modes::a_transaction_block_is_refused_in_statement_mode_and_leaves_nothing"],
    ),
];

const SESSION_MODE: &[(&str, &[&str])] = &[
    (
        "what a session has left, seen by the pooler or not",
        &[
            "strict::a_session_in_session_mode_reads_nothing_of_the_one_before",
            "pools::a_session_keeps_its_server_until_it_ends",
        ],
    ),
    (
        "`pool.isolation: strict`",
        &["strict::a_strict_session_reads_nothing_of_a_tracked_client_that_shares_its_pool"],
    ),
    (
        "`pool.pinTimeout`",
        &[
            "timeouts::a_session_in_session_mode_is_no_pin",
            "timeouts::an_idle_client_is_sent_away_and_an_active_one_is_not",
        ],
    ),
];

const ERRORS: &[(&str, &[&str])] = &[
    (
        "One client too many",
        &[
            "login::a_client_too_many_is_told_so",
            "clients::a_database_has_no_more_clients_than_its_limit",
            "clients::a_user_has_no_more_clients_than_its_limit_in_all_databases",
            "clients::no_more_logins_are_under_way_than_there_may_be_clients",
            "clients::a_hundred_logins_are_under_way_where_fewer_clients_may_be",
            "clients::a_login_that_takes_too_long_is_told_so",
        ],
    ),
    ("A Sync amid a COPY", &["copy::a_sync_amid_a_copy_that_has_not_begun_ends_its_client"]),
    (
        "A cancel request or a `statement_timeout`",
        &[
            "ahead::a_cancel_that_meets_a_clients_settings_cancels_its_request",
            "ahead::a_cancel_that_meets_settings_in_their_own_round_trip_cancels_the_request",
            "ahead::a_statement_timeout_that_meets_a_clients_settings_cancels_its_request",
        ],
    ),
    (
        "A server that takes longer than 10 seconds",
        &[
            "strict::a_reset_that_does_not_end_costs_its_client_the_session_and_nobody_else",
            "silent::a_client_whose_settings_do_not_get_through_is_told_so",
        ],
    ),
    (
        "A Close of a statement between CopyData and CopyDone",
        &["copy::a_close_amid_a_copy_that_has_not_begun_is_answered_and_the_copy_goes_on"],
    ),
    (
        "A FATAL error by which a server ends a session",
        &["trouble::the_last_words_of_a_server_pass_and_those_of_the_pooler_follow"],
    ),
    (
        "A text that executes a statement which cannot be prepared any more",
        &["by_name::that_a_statement_cannot_be_prepared_any_more_is_told_before_its_text"],
    ),
    (
        "A duplicate statement name",
        &["prepared::a_name_that_is_taken_is_told_before_a_text_that_is_none"],
    ),
    (
        "What takes longer than `pool.queryTimeout`",
        &[
            "timeouts::a_query_that_takes_too_long_is_cancelled_and_its_server_serves_on",
            "timeouts::an_idle_transaction_is_rolled_back",
            "timeouts::a_transaction_that_takes_too_long_is_rolled_back",
            "timeouts::an_idle_client_is_sent_away_and_an_active_one_is_not",
            "timeouts::the_limit_of_a_query_is_for_each_of_a_transaction",
            "timeouts::the_limit_of_a_query_holds_though_more_are_sent_behind_it",
        ],
    ),
    (
        "Waiting longer than `pool.waitTimeout`",
        &[
            "pools::a_wait_that_takes_too_long_is_an_error_and_the_client_may_try_again",
            "pools::who_waits_in_vain_reads_which_limit_it_hit",
            "silent::the_wait_ends_in_time_though_many_connections_are_silent",
            "silent::who_waits_anew_behind_a_silent_connection_is_told_for_what",
        ],
    ),
];

/// What the manual says, and where.
enum Said {
    /// The first cells of a table, and of one of its rows.
    Row(&'static str, &'static str),
    Point(&'static str),
}

use Said::{Point, Row};

impl Said {
    fn is(&self, entry: &str) -> bool {
        match self {
            Row(_, cell) => *cell == entry,
            Point(text) => text.starts_with(entry),
        }
    }
}

/// All that the manual says in tables and lists, each with its section.
fn said() -> Vec<(&'static str, Said)> {
    let (mut section, mut table, mut said) = ("", None, Vec::new());
    for line in MANUAL.lines() {
        let cell = line.strip_prefix('|').and_then(|line| line.split('|').next()).map(str::trim);
        match (table, cell) {
            (None, Some(_)) => table = cell,
            (Some(_), Some(cell)) if cell.starts_with("---") => {}
            (Some(head), Some(cell)) => said.push((section, Row(head, cell))),
            (_, None) => table = None,
        }
        if line.starts_with('#') {
            section = line.trim_start_matches('#').trim();
        }
        said.extend(line.strip_prefix("- ").map(|text| (section, Point(text))));
    }
    said
}

#[test]
fn all_that_the_manual_says_has_its_tests_and_nothing_else_has() {
    let said = said();
    let entries = || SHOWN.iter().flat_map(|(name, all)| all.iter().map(move |it| (*name, it.0)));
    let mut problems = Vec::new();
    for (section, it) in &said {
        let shown = entries().filter(|(of, entry)| of == section && it.is(entry)).count();
        match it {
            Row(table, _) if !TABLES.contains(table) => {
                problems.push(format!("{section}: no test reads a table {table:?}"));
            }
            Row("what", text) | Point(text) if shown != 1 => {
                problems.push(format!("{section}: {shown} entries for {text:?}"));
            }
            _ => {}
        }
    }
    for (section, entry) in entries() {
        if !said.iter().any(|(of, it)| *of == section && it.is(entry)) {
            problems.push(format!("{section}: the manual does not say {entry:?}"));
        }
    }
    assert_eq!(problems, Vec::<String>::new());
    assert!(said.iter().any(|(_, it)| matches!(it, Row("what", _))), "no table is found");
}

#[test]
fn each_entry_has_tests_and_they_are_there() {
    let mut problems = Vec::new();
    for (entry, tests) in SHOWN.iter().flat_map(|(_, all)| all.iter()) {
        if tests.is_empty() {
            problems.push(format!("{entry}: it is shown by nothing"));
        }
        let missing = tests.iter().filter(|test| !is_there(test));
        problems.extend(missing.map(|test| format!("{entry}: there is no {test}")));
    }
    assert_eq!(problems, Vec::<String>::new());
}

fn is_there(test: &str) -> bool {
    let Some((module, name)) = test.rsplit_once("::") else { return false };
    source(module).is_some_and(|code| is_test(&code, name))
}

/// The file of a module; that of the one around it where its tests are in its own.
fn source(module: &str) -> Option<String> {
    let (folder, module) = match module.split_once("::") {
        Some(("pooler", module)) => ("pooler/src", module),
        Some(("session", module)) => ("core/session/src", module),
        _ => ("tests/tests/integration", module),
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let around = module.strip_suffix("::tests").unwrap_or(module);
    let files = [module, around].map(|it| folder.join(it.replace("::", "/") + ".rs"));
    files.iter().find_map(|file| std::fs::read_to_string(file).ok())
}

/// Whether it is marked as one, or run three ways.
fn is_test(code: &str, name: &str) -> bool {
    let lines: Vec<&str> = code.lines().map(str::trim).collect();
    let begin = format!("fn {name}(");
    let begins = |line: &&str| line.strip_prefix("async ").unwrap_or(line).starts_with(&begin);
    let Some(at) = lines.iter().position(begins) else { return false };
    let mut marks = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
    let marked =
        marks.any(|mark| ["#[test]", "#[tokio::test"].iter().any(|it| mark.starts_with(it)));
    let lists = code.split("three_ways!(").skip(1).filter_map(|it| it.split(");").next());
    let mut three_ways = lists.flat_map(|list| list.split([' ', '\n', ',', ':']));
    marked || three_ways.any(|it| it == name)
}

#[test]
fn a_helper_is_no_test() {
    assert!(is_there("manual::a_helper_is_no_test"));
    for test in [
        "manual::is_test",
        "manual::no_such_test",
        "no_such_module::direct",
        "login::refusal",
        "pooler::login::tests::message",
        "a_helper_is_no_test",
    ] {
        assert!(!is_there(test), "{test}");
    }
}
