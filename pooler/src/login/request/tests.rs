//! Startup messages in, requests or the refusal out.

use poolwright_wire::startup::{PROTOCOL_3_0, PROTOCOL_3_2};
use poolwright_wire::write;

use super::{LoginError, read};
use crate::replication::Kind;

fn packet(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    let bytes: Vec<_> = parameters.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
    write::startup(&mut out, PROTOCOL_3_0, &bytes);
    out
}

fn check(parameters: &[(&str, &str)], user: &str, database: &str, expect: &[(&str, &str)]) {
    let mut out = Vec::new();
    let found = read(&packet(parameters), &[], &mut out).unwrap();
    let pairs: Vec<_> = found.parameters.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!((found.user.as_str(), found.database.as_str()), (user, database));
    assert_eq!(pairs, expect);
    assert_eq!(out, b"");
}

fn refusal(parameters: &[(&str, &str)]) -> LoginError {
    read(&packet(parameters), &[], &mut Vec::new()).unwrap_err()
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
    for name in ["user", "database", "replication", "Replication", "options", "_pq_.x"] {
        let options = format!("-c geqo=off -c {name}=off");
        let refused = refusal(&[("user", "ann"), ("options", &options)]);
        let is_named = |found: &str| found.eq_ignore_ascii_case(name);
        assert!(matches!(&refused, LoginError::Unrecognized(it) if is_named(it)), "{name}");
        assert_eq!(refused.sqlstate(), Some("42704"));
    }
    for value in ["", "o", "2", "Database", "trueish", "-"] {
        let replication = refusal(&[("user", "ann"), ("replication", value)]);
        assert!(matches!(replication, LoginError::Replication(_)), "{value}");
    }
    let mut out = Vec::new();
    write::startup(&mut out, PROTOCOL_3_0, &[(b"user", b"a\xff")]);
    assert!(matches!(read(&out, &[], &mut Vec::new()), Err(LoginError::Encoding(_))));
}

#[test]
fn replication_is_said_in_any_spelling_of_postgres() {
    for (value, expect) in [
        ("database", Some(Kind::Logical)),
        ("true", Some(Kind::Physical)),
        ("T", Some(Kind::Physical)),
        ("1", Some(Kind::Physical)),
        ("on", Some(Kind::Physical)),
        ("yE", Some(Kind::Physical)),
        ("false", None),
        ("of", None),
        ("n", None),
        ("0", None),
    ] {
        let packet = packet(&[("user", "ann"), ("replication", value)]);
        assert_eq!(read(&packet, &[], &mut Vec::new()).unwrap().replication, expect, "{value}");
    }
}

/// What a client of this minor version is told, and the version that is spoken then.
fn check_version(minor: i32, options: &[(&str, &str)], expect: &[u8], spoken: i32) {
    let mut packet = packet(&[&[("user", "ann")], options].concat());
    packet[4..8].copy_from_slice(&(PROTOCOL_3_0 + minor).to_be_bytes());
    let mut out = Vec::new();
    let request = read(&packet, &[], &mut out).unwrap();
    assert!(request.parameters.is_empty());
    assert_eq!((&out[..], request.protocol), (expect, spoken), "3.{minor} {options:?}");
}

#[test]
fn what_is_not_spoken_is_answered_with_what_is() {
    let colour = [("_pq_.colour", "red")];
    check_version(0, &[], b"", PROTOCOL_3_0);
    check_version(1, &[], b"", PROTOCOL_3_0 + 1);
    check_version(2, &[], b"", PROTOCOL_3_2);
    check_version(3, &[], b"v\0\0\0\x0c\0\x03\0\x02\0\0\0\0", PROTOCOL_3_2);
    check_version(9999, &[], b"v\0\0\0\x0c\0\x03\0\x02\0\0\0\0", PROTOCOL_3_2);
    let told = b"v\0\0\0\x18\0\x03\0\0\0\0\0\x01_pq_.colour\0";
    check_version(0, &colour, told, PROTOCOL_3_0);
    let told = b"v\0\0\0\x18\0\x03\0\x02\0\0\0\x01_pq_.colour\0";
    check_version(2, &colour, told, PROTOCOL_3_2);
    check_version(3, &colour, told, PROTOCOL_3_2);
}
