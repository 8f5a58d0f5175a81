//! Rules and maps as they are written, and what comes of them.

use super::Visitor;
use crate::{Listen, ListenAuth, parse};

fn listen(section: &str) -> Listen {
    let text = format!(
        "listen: {section}\n\
         servers: [{{name: main, host: localhost, maxConnections: 10}}]\n\
         databases: [{{name: shop}}]\n\
         users: [{{name: ann, password: pencil}}]"
    );
    parse(&text, None).unwrap().listen
}

const RULES: &str = "{tls: {mode: prefer, certFile: c, keyFile: k, caFile: a}, \
    maps: [{name: staff, certificate: ann, user: ann}], rules: [\
    {users: [eve], method: reject}, \
    {type: hostssl, users: [ann, bob], method: cert, map: staff}, \
    {type: hostnossl, databases: [shop], addresses: [10.0.0.0/8, '::1'], method: password}, \
    {databases: [sameuser], addresses: [192.0.2.1], method: md5}, \
    {databases: [replication], method: trust}, \
    {databases: [all], users: [all], addresses: [10.1.0.0/16], method: scram-sha-256}]}";

#[test]
fn the_first_rule_that_fits_holds() {
    use ListenAuth::{Cert, Md5, Password, Reject, ScramSha256, Trust};
    let listen = listen(RULES);
    for (database, user, address, is_tls, expect) in [
        ("shop", "eve", "10.1.0.1", false, Some(Reject)),
        ("shop", "ann", "203.0.113.1", true, Some(Cert)),
        ("shop", "ann", "10.9.0.1", false, Some(Password)),
        ("shop", "zoe", "::1", false, Some(Password)),
        ("shop", "zoe", "::1", true, None),
        ("zoe", "zoe", "192.0.2.1", true, Some(Md5)),
        ("bank", "zoe", "192.0.2.1", true, None),
        ("bank", "zoe", "10.1.7.7", true, Some(ScramSha256)),
        ("replication", "zoe", "10.2.0.1", true, None),
    ] {
        let address = address.parse().unwrap();
        let visitor = Visitor { database, user, address, is_tls, is_replication: false };
        let found = listen.demand(&visitor);
        assert_eq!(found.map(|it| it.method), expect, "{visitor:?}");
        assert_eq!(found.is_some_and(|it| it.in_clear), expect == Some(Password), "{visitor:?}");
    }
    let address = "10.1.0.1".parse().unwrap();
    let visitor =
        Visitor { database: "zoe", user: "zoe", address, is_tls: true, is_replication: true };
    assert_eq!(listen.demand(&visitor).map(|it| it.method), Some(Trust));
}

#[test]
fn without_rules_one_method_is_for_all() {
    let listen = listen("{auth: md5}");
    let address = "192.0.2.1".parse().unwrap();
    let visitor =
        Visitor { database: "shop", user: "ann", address, is_tls: false, is_replication: true };
    assert_eq!(listen.demand(&visitor).map(|it| it.method), Some(ListenAuth::Md5));
}

#[test]
fn a_map_says_whom_a_certificate_stands_for() {
    let listen = listen(
        "{maps: [{name: staff, certificate: Ann Lee, user: ann}, \
         {name: staff, certificate: '*@shop.example', user: '*'}, \
         {name: staff, certificate: 'svc-*', user: 'app_*'}, \
         {name: root, certificate: admin, user: all}]}",
    );
    for (map, certificate, user, expect) in [
        (None, "ann", "ann", true),
        (None, "Ann Lee", "ann", false),
        (Some("staff"), "Ann Lee", "ann", true),
        (Some("staff"), "Ann Lee", "bob", false),
        (Some("staff"), "bob@shop.example", "bob", true),
        (Some("staff"), "bob@shop.example", "ann", false),
        (Some("staff"), "@shop.example", "", false),
        (Some("staff"), "bob@shop.example.org", "bob", false),
        (Some("staff"), "svc-till", "app_till", true),
        (Some("staff"), "ann", "ann", false),
        (Some("root"), "admin", "bob", true),
        (Some("root"), "Ann Lee", "ann", false),
    ] {
        let found = listen.allows(map, certificate, user);
        assert_eq!(found, expect, "{map:?} {certificate} {user}");
    }
}
