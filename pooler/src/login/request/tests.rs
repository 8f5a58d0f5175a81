//! Startup messages in, requests or the refusal out.

use poolwright_wire::write;

use super::{LoginError, read};

fn packet(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    let bytes: Vec<_> = parameters.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
    write::startup(&mut out, &bytes);
    out
}

fn check(parameters: &[(&str, &str)], user: &str, database: &str, expect: &[(&str, &str)]) {
    let mut out = Vec::new();
    let found = read(&packet(parameters), &mut out).unwrap();
    let pairs: Vec<_> = found.parameters.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!((found.user.as_str(), found.database.as_str()), (user, database));
    assert_eq!(pairs, expect);
    assert_eq!(out, b"");
}

fn refusal(parameters: &[(&str, &str)]) -> LoginError {
    read(&packet(parameters), &mut Vec::new()).unwrap_err()
}

#[test]
fn a_user_alone_asks_for_the_database_of_its_name() {
    check(&[("user", "ann")], "ann", "ann", &[]);
    check(&[("user", "ann"), ("database", "")], "ann", "ann", &[]);
    check(&[("database", "shop"), ("user", "ann")], "ann", "shop", &[]);
}

#[test]
fn options_become_parameters_that_direct_ones_override() {
    check(
        &[
            ("user", "ann"),
            ("application_name", "psql"),
            ("options", "-c geqo=off --timezone=UTC"),
            ("replication", "off"),
        ],
        "ann",
        "ann",
        &[("geqo", "off"), ("timezone", "UTC"), ("application_name", "psql")],
    );
}

#[test]
fn what_cannot_be_granted_is_refused_by_name() {
    assert!(matches!(refusal(&[]), LoginError::NoUser));
    assert!(matches!(refusal(&[("user", "")]), LoginError::NoUser));
    let options = refusal(&[("user", "ann"), ("options", "-c=")]);
    assert!(matches!(options, LoginError::Options(_)));
    for value in ["database", "true", "1", "on", ""] {
        let replication = refusal(&[("user", "ann"), ("replication", value)]);
        assert!(matches!(replication, LoginError::Replication), "{value}");
    }
    let mut out = Vec::new();
    write::startup(&mut out, &[(b"user", b"a\xff")]);
    assert!(matches!(read(&out, &mut Vec::new()), Err(LoginError::Encoding(_))));
}

#[test]
fn a_newer_minor_version_is_answered_with_what_is_spoken() {
    let mut packet = packet(&[("user", "ann"), ("_pq_.colour", "red")]);
    packet[7] = 2;
    let mut out = Vec::new();
    assert!(read(&packet, &mut out).unwrap().parameters.is_empty());
    assert_eq!(out, b"v\0\0\0\x18\0\x03\0\0\0\0\0\x01_pq_.colour\0");
}
