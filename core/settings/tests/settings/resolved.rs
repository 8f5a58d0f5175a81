//! What a right settings file comes to.

use std::time::Duration;

use poolwright_settings::{PoolMode, Proof, Secret, ServerTlsMode, Settings, parse, users_file};

pub const VERIFIER: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
     WWWWhlJjmvDbZmZDNB1Nt/9WmhtGUcvTzXS3wT0Bzw4=:WWWWLzqNyHIvP2MqYC2v+0JrIgEoYmzZ7VTqW5vYkYk=";

const FILE: &str = "
servers:
- {name: main, host: pg.example, maxConnections: 50, tls: {mode: verify-full, caFile: ca.crt}}
- {name: other, host: 10.0.0.1, port: 5433, maxConnections: 7, connectTimeout: 500ms}
pool: {size: 4, waitTimeout: 0s, lifetime: 1m}
databases:
- {name: cloud_01, server: main, maxConnections: 20}
- {name: cloud_02, server: other, dbname: real, pool: {mode: session, size: 6, min: 5}}
users:
- {name: a, password: secret-a}
usersFile: users.yaml
generation: 7
";

fn settings() -> Settings {
    let users = format!(
        "users:\n- {{name: b, scramVerifier: '{VERIFIER}', serverPassword: secret-b}}\n\
         - {{name: c, scramVerifier: '{VERIFIER}'}}\n"
    );
    parse(FILE, Some(&users)).expect("the file is right")
}

#[test]
fn a_database_finds_its_server_and_the_defaults_around_it() {
    let settings = settings();
    let first = &settings.databases["cloud_01"];
    assert_eq!((first.server, first.dbname.as_str(), first.max_connections), (0, "cloud_01", 20));
    assert_eq!((first.pool.mode, first.pool.size, first.pool.min), (PoolMode::Transaction, 4, 0));
    assert_eq!((settings.workers, first.workers), (None, 1));
    assert_eq!(first.pool.wait_timeout, None);
    let second = &settings.databases["cloud_02"];
    assert_eq!((second.server, second.dbname.as_str(), second.max_connections), (1, "real", 7));
    assert_eq!((second.pool.mode, second.pool.size, second.pool.min), (PoolMode::Session, 6, 5));
    assert_eq!(second.pool.lifetime, (Duration::from_secs(60), Duration::from_secs(60)));
}

#[test]
fn a_server_keeps_what_it_says_and_defaults_for_the_rest() {
    let settings = settings();
    let [main, other] = settings.servers.as_slice() else { panic!("two servers") };
    assert_eq!((main.port, main.tls.mode), (5432, ServerTlsMode::VerifyFull));
    assert_eq!((other.port, other.tls.mode), (5433, ServerTlsMode::Prefer));
    assert_eq!(main.connect_timeout, Duration::from_secs(5));
    assert_eq!(other.connect_timeout, Duration::from_millis(500));
}

#[test]
fn users_of_both_files_know_what_they_log_in_with() {
    let users = settings().users;
    let password = |name: &str| users[name].server_password.as_ref().map(Secret::expose);
    assert_eq!(password("a"), Some("secret-a"));
    assert_eq!(password("b"), Some("secret-b"));
    assert_eq!(password("c"), None);
    assert_eq!(users["a"].proof, Proof::Password(Secret::new("secret-a")));
    assert_eq!(users["b"].proof, Proof::ScramVerifier(Secret::new(VERIFIER)));
}

#[test]
fn a_users_pool_goes_before_its_databases() {
    let file = "
servers: [{name: m, host: h, maxConnections: 9}]
pool: {size: 4, min: 3, queryTimeout: 5s}
databases: [{name: d, pool: {mode: session, queryTimeout: 1s, clientIdleTimeout: 9s}}]
users: [{name: a, password: b, pool: {mode: statement, size: 2, queryTimeout: 0s}}]";
    let settings = parse(file, None).expect(file);
    let database = &settings.databases["d"];
    let (own, other) = (settings.pool(database, "a"), settings.pool(database, "c"));
    assert_eq!((own.mode, own.size, own.min), (PoolMode::Statement, 2, 2));
    assert_eq!((other.mode, other.size, other.min), (PoolMode::Session, 4, 3));
    assert_eq!((own.patience.query, other.patience.query), (None, Some(Duration::from_secs(1))));
    assert_eq!(own.patience.client_idle, Some(Duration::from_secs(9)));
}

#[test]
fn a_database_that_is_not_listed_is_what_the_star_says_of_any() {
    let file = "
servers: [{name: m, host: h, maxConnections: 9}]
databases: [{name: d, dbname: real}, {name: '*', pool: {size: 2}}]";
    let settings = parse(file, None).expect(file);
    let found = |name: &str| settings.database(name).map(|it| (it.dbname.clone(), it.pool.size));
    assert_eq!(found("d"), Some(("real".to_owned(), 5)));
    assert_eq!(found("other"), Some(("other".to_owned(), 2)));
    for name in ["*", "", "a\0b", &"x".repeat(64)] {
        assert_eq!(found(name), None, "{name}");
    }
    assert_eq!((settings.listed_as("d"), settings.listed_as("other")), ("d", "*"));
    let one = file.replace("'*'", "'*', dbname: one");
    let one = parse(&one, None).expect("one database for all names");
    assert_eq!(one.database("other").map(|it| it.dbname.clone()).as_deref(), Some("one"));
    assert!(parse(&file.replace("'*'", "e"), None).expect("no star").database("other").is_none());
}

#[test]
fn a_limit_of_a_user_goes_before_the_one_for_all() {
    let file = "
maxUserConnections: 7
servers: [{name: m, host: h, maxConnections: 9}]
databases: [{name: d}]
users:
- {name: a, password: p}
- {name: b, password: p, maxUserConnections: 2}
- {name: c, password: p, maxUserConnections: 0}";
    let settings = parse(file, None).expect(file);
    let found = ["a", "b", "c", "nobody"].map(|user| settings.user_connections(user));
    assert_eq!(found, [Some(7), Some(2), None, Some(7)]);
}

#[test]
fn debug_output_of_settings_shows_no_secret() {
    let text = format!("{:?}", settings());
    assert!(text.contains("cloud_01"));
    assert!(
        !text.contains("secret-a") && !text.contains("secret-b") && !text.contains("SCRAM-SHA")
    );
}

#[test]
fn the_users_file_is_found_even_in_a_file_with_problems() {
    assert_eq!(users_file("usersFile: a/b.yaml\nnonsense: 1").as_deref(), Some("a/b.yaml"));
    assert_eq!(users_file("servers: ["), None);
    assert_eq!(users_file(""), None);
}
