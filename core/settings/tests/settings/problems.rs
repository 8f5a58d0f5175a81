//! What a wrong settings file is told.

use poolwright_settings::parse;

const SERVER: &str = "servers: [{name: main, host: pg.example, maxConnections: 50}]\n";
const DATABASE: &str = "databases: [{name: cloud_01}]\n";
const USERS: &str = "users: [{name: ws_001, password: hunter2}]\n";

/// The problems of a small valid file with `text` added, as lines.
fn problems_with(text: &str) -> String {
    let sections = [("servers:", SERVER), ("databases:", DATABASE), ("users:", USERS)];
    let mut file = text.to_owned();
    for (key, section) in sections {
        if !text.lines().any(|line| line.starts_with(key)) {
            file.push_str(&format!("\n{section}"));
        }
    }
    problems(&file, None)
}

fn problems(settings: &str, users: Option<&str>) -> String {
    parse(settings, users).err().map(|all| all.to_string()).unwrap_or_default()
}

#[track_caller]
fn check(text: &str, expect: &str) {
    assert_eq!(problems_with(text), expect, "{text}");
}

#[test]
fn the_small_file_that_these_tests_start_from_has_no_problem() {
    check("", "");
}

#[test]
fn a_control_section_names_its_files() {
    for (missing, given) in [
        ("certFile", "keyFile: k, caFile: a"),
        ("keyFile", "certFile: c, caFile: a"),
        ("caFile", "certFile: c, keyFile: k"),
    ] {
        let found = problems_with(&format!("control: {{{given}}}"));
        assert!(found.starts_with(&format!("control.{missing}: found nothing")), "{found}");
    }
}

#[test]
fn a_previous_password_stands_beside_a_password_only() {
    let user = |proof: &str| format!("users: [{{name: a, previousPassword: old, {proof}}}]");
    check(&user("password: new"), "");
    let verifier = super::resolved::VERIFIER;
    let found = problems_with(&user(&format!("scramVerifier: '{verifier}'")));
    assert!(found.contains("users[0].previousPassword: found a second password"), "{found}");
}

#[test]
fn a_users_own_minimum_stays_within_its_own_size() {
    check("users: [{name: a, password: b, pool: {size: 2, min: 2}}]", "");
    let found = problems_with("users: [{name: a, password: b, pool: {size: 2, min: 3}}]");
    assert!(found.starts_with("users[0].pool.min: found 3, expected at most"), "{found}");
}

#[test]
fn a_forced_password_stands_beside_a_forced_user() {
    check("databases: [{name: a, user: u, password: p}]", "");
    let found = problems_with("databases: [{name: a, password: hunter2}]");
    assert!(found.starts_with("databases[0].password: found a password without"), "{found}");
    assert!(!found.contains("hunter2"), "{found}");
}

#[test]
fn switches_and_names_of_parameters_are_told_from_other_values() {
    let found = problems_with("serverFastClose: 'yes'");
    assert!(found.contains("expected true or false"), "{found}");
    let found = problems_with("ignoreStartupParameters: 'a, ,b'");
    assert!(found.contains("expected names of parameters"), "{found}");
}

#[test]
fn a_number_without_a_unit_is_told_which_unit_to_write() {
    let expected = "expected a duration with unit such as 500ms, 5s, 10m or 1h";
    check(
        "drain: {timeout: '5'}",
        &format!("drain.timeout: found \"5\", {expected}; add the unit, such as 5s"),
    );
    check(
        "pool: {waitTimeout: 120}",
        &format!("pool.waitTimeout: found 120, {expected}; add the unit, such as 120s"),
    );
    check(
        "pool: {waitTimeout: 2d}",
        &format!("pool.waitTimeout: found \"2d\", {expected}; write such a value"),
    );
}

#[test]
fn an_unknown_field_is_told_the_closest_known_one() {
    check(
        "pool: {sise: 5}",
        "pool.sise: found an unknown field, expected one of clientIdleTimeout, harmlessFunctions, \
         idleTimeout, idleTransactionTimeout, isolation, lifetime, min, mode, pinTimeout, pinning, queryTimeout, \
         queryWaitNotify, reserve, reserveTimeout, sequences, size, transactionTimeout, waitTimeout; \
         did you mean size?",
    );
    check(
        "databases: [{name: a, pool: {Lifetime: 5m..10m}}]",
        "databases[0].pool.Lifetime: found an unknown field, expected one of clientIdleTimeout, \
         harmlessFunctions, idleTimeout, idleTransactionTimeout, isolation, lifetime, min, mode, pinTimeout, pinning, \
         queryTimeout, queryWaitNotify, reserve, reserveTimeout, sequences, size, \
         transactionTimeout, waitTimeout; did you mean lifetime?",
    );
    check(
        "drain: {sql: SELECT}",
        "drain.sql: found an unknown field, expected one of timeout; remove it",
    );
}

#[test]
fn harmless_functions_are_names_and_few() {
    let expected = "expected a function's name, or schema.name, without quotes";
    for wrong in ["a.b.c", "f()", "a.", "'\"F\"'"] {
        let found = problems_with(&format!("pool: {{harmlessFunctions: [f, {wrong}]}}"));
        assert!(found.contains(expected), "{wrong}: {found}");
    }
    let many = vec!["f"; 201].join(",");
    check(
        &format!("pool: {{harmlessFunctions: [{many}]}}"),
        "pool.harmlessFunctions: found 201 functions, expected at most 200; name those called most",
    );
}

#[test]
fn a_number_must_be_whole_unquoted_and_in_range() {
    let expected = "expected a whole number of clients from 1 to 1000000";
    check(
        "maxClients: '10'",
        &format!("maxClients: found \"10\", {expected}; write it without quotes"),
    );
    for wrong in ["0", "-1", "1.5", "10000000"] {
        check(
            &format!("maxClients: {wrong}"),
            &format!("maxClients: found {wrong}, {expected}; choose a number in that range"),
        );
    }
    check(
        "listen: {port: 70000}",
        "listen.port: found 70000, expected a port from 1 to 65535; choose a number in that range",
    );
}

#[test]
fn a_cap_of_zero_is_refused() {
    let refused = "found 0, expected a whole number of connections from 1 to 100000; \
                   choose a number in that range";
    check("pool: {size: 0}", &format!("pool.size: {refused}"));
    check(
        "servers: [{name: main, host: pg.example, maxConnections: 0}]",
        &format!("servers[0].maxConnections: {refused}"),
    );
    check(
        "databases: [{name: a, maxConnections: 0}]",
        &format!("databases[0].maxConnections: {refused}"),
    );
}

#[test]
fn min_above_size_is_refused_where_it_was_written() {
    let told = "expected at most the pool's size, 5; lower min or raise size";
    check("pool: {min: 6}", &format!("pool.min: found 6, {told}"));
    check(
        "databases: [{name: a}, {name: b, pool: {min: 9}}]",
        &format!("databases[1].pool.min: found 9, {told}"),
    );
    check(
        "pool: {min: 3}\ndatabases: [{name: a, pool: {size: 2}}]",
        "databases[0].pool.min: found 3, expected at most the pool's size, 2; \
         lower min or raise size",
    );
}

#[test]
fn a_lifetime_range_must_rise() {
    let told = "expected a rising range of durations such as 5m..10m; \
                write the shorter duration first, each with its unit";
    for wrong in ["10m..5m", "0s..5m", "5..10m"] {
        check(
            &format!("pool: {{lifetime: {wrong}}}"),
            &format!("pool.lifetime: found {wrong:?}, {told}"),
        );
    }
}

#[test]
fn names_are_unique() {
    let told = "a second time, expected a name of its own; rename or remove one of them";
    check("databases: [{name: a}, {name: a}]", &format!("databases[1].name: found \"a\" {told}"));
    check(
        "servers: [{name: m, host: a, maxConnections: 1}, {name: m, host: b, maxConnections: 1}]\n\
         databases: [{name: a, server: m}]",
        &format!("servers[1].name: found \"m\" {told}"),
    );
    let file = format!("{SERVER}{DATABASE}{USERS}usersFile: users.yaml\n");
    assert_eq!(
        problems(&file, Some("users: [{name: ws_001, password: other}]")),
        format!("usersFile:users[0].name: found \"ws_001\" {told}"),
    );
}

#[test]
fn a_database_names_a_server_of_the_file() {
    check(
        "databases: [{name: a, server: mian}]",
        "databases[0].server: found \"mian\", expected one of main; did you mean main?",
    );
    check(
        "databases: [{name: a, server: other}]",
        "databases[0].server: found \"other\", expected one of main; \
         add it to servers or name one of them",
    );
    check(
        "servers: [{name: m, host: a, maxConnections: 1}, {name: n, host: b, maxConnections: 1}]",
        "databases[0].server: found nothing, expected one of m, n; name the server that holds it",
    );
}

#[test]
fn what_is_needed_and_missing_is_named() {
    check(
        "servers: []",
        "servers: found nothing, expected one server or more; add the Postgres to connect to",
    );
    check(
        "databases:",
        "databases: found nothing, expected one database or more; add what clients ask for",
    );
    check(
        "servers: [{name: main}]",
        "servers[0].host: found nothing, expected its host; add it\n\
         servers[0].maxConnections: found nothing, expected how many connections this process may \
         hold to it; add it",
    );
}

#[test]
fn a_user_proves_itself_in_exactly_one_way() {
    let told = "expected either password or scramVerifier";
    check(
        "users: [{name: a}]",
        &format!("users[0]: found neither password nor scramVerifier, {told}; add one of them"),
    );
    let verifier = super::resolved::VERIFIER;
    check(
        &format!("users: [{{name: a, password: b, scramVerifier: '{verifier}'}}]"),
        &format!("users[0]: found password and scramVerifier, {told}; remove one of them"),
    );
}

#[test]
fn a_verifier_has_the_form_that_postgres_stores() {
    let told = "expected SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey> with keys of \
                32 bytes in base64; copy rolpassword of the role from pg_authid";
    let good = super::resolved::VERIFIER;
    let wrong = [
        good.replace("SHA-256", "SHA-1"),
        good.replace("4096", "0"),
        good.replace("4096", "many"),
        good.replace('=', ""),
        good.replace("WWWW", "WW*W"),
        "md5d41d8cd98f00b204e9800998ecf8427e".to_owned(),
    ];
    for verifier in wrong {
        assert_ne!(verifier, good);
        check(
            &format!("users: [{{name: a, scramVerifier: '{verifier}'}}]"),
            &format!("users[0].scramVerifier: found a text (not shown), {told}"),
        );
    }
}

#[test]
fn no_problem_shows_a_secret() {
    let users = "users: [{name: a, password: [hunter2]}, {name: b, password: 12345}, \
                 {name: c, scramVerifier: hunter2, serverPassword: {hunter2: 1}}]";
    let told = problems_with(users);
    assert_eq!(told.lines().count(), 4, "{told}");
    assert!(!told.contains("hunter2") && !told.contains("12345"), "{told}");
    let broken = problems(&format!("{SERVER}{DATABASE}usersFile: u"), Some("users: [hunter2: {"));
    assert!(
        broken.starts_with("(users file): found text that fails at line 2")
            && !broken.contains("hunter2"),
        "{broken}"
    );
}

#[test]
fn tls_needs_its_files() {
    check(
        "listen: {tls: {mode: require, certFile: tls.crt}}",
        "listen.tls.keyFile: found nothing, expected the private key's file; add it",
    );
    for mode in ["verify-ca", "verify-full"] {
        check(
            &format!("listen: {{tls: {{mode: {mode}, certFile: a, keyFile: b}}}}"),
            "listen.tls.caFile: found nothing, expected the file of the authorities that clients' \
             certificates lead to; add it",
        );
    }
    check(
        "servers: [{name: m, host: a, maxConnections: 1, tls: {mode: verify-full}}]",
        "servers[0].tls.caFile: found nothing, expected the file of the authorities to trust; \
         add it",
    );
    check(
        "servers: [{name: m, host: a, maxConnections: 1, tls: {mode: disable}, channelBinding: require}]",
        "servers[0].channelBinding: found require, expected prefer or disable, since only TLS has a \
         certificate to bind to; set the server's tls.mode to another than disable",
    );
    check(
        "listen: {tls: {mode: requird}}",
        "listen.tls.mode: found \"requird\", expected one of disable, allow, prefer, require, \
         verify-ca, verify-full; did you mean require?",
    );
}

#[test]
fn a_host_holds_no_port_and_an_address_is_an_ip() {
    let server = |host: &str| format!("servers: [{{name: m, host: '{host}', maxConnections: 1}}]");
    for good in ["pg.example", "10.1.2.3", "::1", "2001:db8::1"] {
        check(&server(good), "");
    }
    check(
        &server("pg.example:5432"),
        "servers[0].host: found \"pg.example:5432\", expected a host name or IP address without \
         port; write the port in the field port beside it",
    );
    check(
        "listen: {address: localhost}",
        "listen.address: found \"localhost\", expected an IP address such as 0.0.0.0 or ::; \
         write such a value",
    );
}

#[test]
fn all_problems_are_reported_together() {
    let told = problems_with(
        "maxClients: 0\npool: {sise: 1, min: 9}\ndrain: 5s\n\
         databases: [{name: a, server: x}, 7, {dbname: b}]\nusers: [{name: a}]",
    );
    let paths: Vec<&str> =
        told.lines().map(|line| line.split(": found").next().unwrap_or(line)).collect();
    let expect = [
        "maxClients",
        "pool.sise",
        "drain",
        "databases[1]",
        "pool.min",
        "databases[0].server",
        "databases[2].name",
        "users[0]",
    ];
    assert_eq!(paths, expect, "{told}");
}

#[test]
fn text_that_is_not_yaml_is_one_problem_with_its_place() {
    for text in ["servers: [", "a: b: c", "\t- x", "a: 1\na: 2", "--- a\n--- b\n"] {
        let told = problems(text, None);
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.starts_with("(settings file): found text"), "{told}");
    }
    let told = problems("[1, 2]", None);
    assert!(told.starts_with("(settings file): found a list, expected a section"), "{told}");
}

#[test]
fn a_users_file_that_was_not_brought_is_a_problem() {
    let told = problems(&format!("{SERVER}{DATABASE}usersFile: users.yaml"), None);
    assert_eq!(
        told,
        "usersFile: found \"users.yaml\", expected a file that can be read; bring its text"
    );
}

#[test]
fn a_users_file_holds_users_only() {
    let told = problems(&format!("{SERVER}{DATABASE}usersFile: u"), Some("maxClients: 5"));
    assert_eq!(
        told,
        "usersFile:maxClients: found an unknown field, expected one of generation, users; remove it"
    );
}

#[test]
fn rules_must_be_possible() {
    let tls = "tls: {mode: prefer, certFile: c, keyFile: k, caFile: a}";
    let listen = |fields: &str| format!("listen: {{{fields}}}");
    let maps = "maps: [{name: staff, certificate: '*', user: '*'}]";
    let cert = "rules: [{type: hostssl, method: cert, map: staff}]";
    check(&listen(&format!("{tls}, {maps}, {cert}")), "");
    check(
        &listen(&format!("{tls}, {maps}, {}", cert.replace("staff", "stuff"))),
        "listen.rules[0].map: found \"stuff\", expected the name of a map in listen.maps; \
         did you mean staff?",
    );
    check(
        &listen(&format!("{tls}, {maps}, rules: [{{method: md5, map: staff}}]")),
        "listen.rules[0].map: found \"staff\", expected a map beside method cert; remove it",
    );
    check(
        &listen(&format!("{tls}, rules: [{{method: cert}}]")),
        "listen.rules[0].type: found a rule for other connections too, expected hostssl, since only \
         TLS has certificates; write type: hostssl",
    );
    check(
        &listen("auth: cert"),
        "listen.auth: found cert, expected another method, since listen.tls has no caFile to check \
         certificates by; set listen.tls.mode and listen.tls.caFile",
    );
    check(
        &listen("rules: [{users: [ann]}]"),
        "listen.rules[0].method: found nothing, expected how who fits the rule proves who they are; \
         add it",
    );
    check(
        &listen("rules: [{users: ann, addresses: [10.0.0.0/40, 10.0.0.1], method: md5}]"),
        "listen.rules[0].users: found \"ann\", expected a list of one or more, each a name of 1 to \
         63 bytes; write it as a list: [ann]\n\
         listen.rules[0].addresses[0]: found \"10.0.0.0/40\", expected an IP address or a range such \
         as 10.0.0.0/8 or fd00::/8; write such a value",
    );
    check(
        &listen(
            "maps: [{name: a, certificate: 'x', user: '*'}, {name: a, certificate: '*-*', user: u}]",
        ),
        "listen.maps[0].user: found \"*\", expected a user without *, since there is none in the \
         certificate's name; name the user, or all\n\
         listen.maps[1].certificate: found \"*-*\", expected at most one *; write several lines",
    );
}

#[test]
fn a_query_for_users_says_who_asks_and_for_whom() {
    check("authQuery: {user: asker}", "");
    check(
        "authQuery: {password: pencil}",
        "authQuery.user: found nothing, expected who may run the query; add it",
    );
    let found = problems_with("authQuery: {user: asker, query: 'SELECT 1'}");
    assert!(found.starts_with("authQuery.query: found \"SELECT 1\", expected a query with $1"));
}

#[test]
fn a_second_verifier_has_the_salt_of_the_first() {
    let now = super::resolved::VERIFIER;
    let user = |proof: &str, previous: &str| {
        format!("users: [{{name: a, {proof}, previousScramVerifier: '{previous}'}}]")
    };
    check(&user(&format!("scramVerifier: '{now}'"), now), "");
    check(&user(&format!("password: '{now}'"), now), "");
    let other = now.replacen("$4096:", "$4097:", 1);
    check(
        &user(&format!("scramVerifier: '{now}'"), &other),
        "users[0].previousScramVerifier: found a verifier with another salt or number of \
         iterations, expected those of scramVerifier, since a client is asked with one salt; \
         make both verifiers with one salt, or give the passwords themselves",
    );
    check(
        &user("password: new", now),
        "users[0].previousScramVerifier: found a verifier beside a password, expected it beside \
         scramVerifier; write previousPassword instead",
    );
}

#[test]
fn a_certificate_for_a_server_has_its_key() {
    let server = |tls: &str| SERVER.replace("50}", &format!("50, tls: {{{tls}}}}}"));
    check(&server("certFile: c, keyFile: k"), "");
    check(
        &server("certFile: c"),
        "servers[0].tls.keyFile: found nothing, expected a certificate and its key; add it",
    );
}
