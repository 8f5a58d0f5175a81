//! Checks where clients connect to, and what is demanded of them.
//! Never looks at users: rules may name those that nobody has listed.

use super::{Report, address};
use crate::rules::{ALL, ANY};
use crate::{Channel, Listen, ListenAuth, ListenTls, ListenTlsMode, MapLine, Network, Rule};
use crate::{defaults, kind, raw};

pub(super) fn check(listen: raw::Listen, report: &mut Report) -> Listen {
    let tls = tls(listen.tls.unwrap_or_default(), report);
    let auth = listen.auth.unwrap_or(defaults::LISTEN_AUTH);
    if auth == ListenAuth::Cert {
        certificates_are_asked_for("listen.auth", &tls, report);
    }
    let maps = maps(listen.maps.unwrap_or_default(), report);
    let lines = listen.rules.unwrap_or_default().into_iter().enumerate();
    let rules = lines.map(|(index, line)| rule(index, line, &maps, &tls, report)).collect();
    let proxies = listen.proxy_protocol.unwrap_or_default().from.unwrap_or_default();
    Listen {
        address: address(listen.address.as_deref()),
        port: listen.port.unwrap_or(defaults::LISTEN_PORT),
        auth,
        rules,
        maps,
        tls,
        proxies: networks(&proxies),
    }
}

fn rule(
    index: usize,
    line: raw::Rule,
    maps: &[MapLine],
    tls: &ListenTls,
    report: &mut Report,
) -> Rule {
    let path = format!("listen.rules[{index}]");
    let channel = line.r#type.unwrap_or(defaults::RULE_TYPE);
    let method_path = format!("{path}.method");
    if line.method.is_none() && !report.has_reported(&method_path) {
        let expected = "how who fits the rule proves who they are";
        report.add(&method_path, "nothing", expected, "add it");
    }
    let method = line.method.unwrap_or(ListenAuth::Reject);
    if method == ListenAuth::Cert {
        certificates_are_asked_for(&method_path, tls, report);
        if channel != Channel::Hostssl {
            let expected = "hostssl, since only TLS has certificates";
            let found = "a rule for other connections too";
            report.add(&format!("{path}.type"), found, expected, "write type: hostssl");
        }
    }
    if let Some(map) = &line.map {
        check_map(&format!("{path}.map"), map, method, maps, report);
    }
    let names = |names: Option<Vec<String>>| names.unwrap_or_else(|| vec![ALL.to_owned()]);
    Rule {
        channel,
        databases: names(line.databases),
        users: names(line.users),
        addresses: networks(&line.addresses.unwrap_or_default()),
        method,
        map: line.map,
    }
}

fn check_map(path: &str, map: &str, method: ListenAuth, maps: &[MapLine], report: &mut Report) {
    if method != ListenAuth::Cert {
        report.add(path, kind::quoted(map), "a map beside method cert", "remove it");
        return;
    }
    let known: Vec<&str> = maps.iter().map(|line| line.name.as_str()).collect();
    if known.contains(&map) {
        return;
    }
    let remedy = match kind::closest(map, &known) {
        Some(near) => format!("did you mean {near}?"),
        None => "add its lines to listen.maps".to_owned(),
    };
    report.add(path, kind::quoted(map), "the name of a map in listen.maps", &remedy);
}

fn maps(lines: Vec<raw::MapLine>, report: &mut Report) -> Vec<MapLine> {
    let line = |(index, line): (usize, raw::MapLine)| {
        let path = format!("listen.maps[{index}]");
        let of = |field: &str| format!("{path}.{field}");
        let certificate_path = of("certificate");
        let certificate =
            report.required(&certificate_path, line.certificate.as_ref(), "a common name");
        let user = report.required(&of("user"), line.user.as_ref(), "a user");
        let stars = certificate.matches(ANY).count();
        if stars > 1 {
            let found = kind::quoted(&certificate);
            report.add(&certificate_path, found, "at most one *", "write several lines");
        }
        if stars == 0 && user.contains(ANY) {
            let expected = "a user without *, since there is none in the certificate's name";
            report.add(&of("user"), kind::quoted(&user), expected, "name the user, or all");
        }
        let name = report.required(&of("name"), line.name.as_ref(), "the map's name");
        MapLine { name, certificate, user }
    };
    lines.into_iter().enumerate().map(line).collect()
}

/// Clients are asked for a certificate only where one can be checked.
fn certificates_are_asked_for(path: &str, tls: &ListenTls, report: &mut Report) {
    if tls.mode == ListenTlsMode::Disable || tls.ca_file.is_none() {
        let expected = "another method, since listen.tls has no caFile to check certificates by";
        report.add(path, "cert", expected, "set listen.tls.mode and listen.tls.caFile");
    }
}

fn tls(tls: raw::ListenTls, report: &mut Report) -> ListenTls {
    let mode = tls.mode.unwrap_or(defaults::LISTEN_TLS_MODE);
    if mode != ListenTlsMode::Disable {
        report.required("listen.tls.certFile", tls.cert_file.as_ref(), "the certificate's file");
        report.required("listen.tls.keyFile", tls.key_file.as_ref(), "the private key's file");
    }
    if matches!(mode, ListenTlsMode::VerifyCa | ListenTlsMode::VerifyFull) {
        let expected = "the file of the authorities that clients' certificates lead to";
        report.required("listen.tls.caFile", tls.ca_file.as_ref(), expected);
    }
    let raw::ListenTls { cert_file, key_file, ca_file, .. } = tls;
    ListenTls { mode, cert_file, key_file, ca_file }
}

/// The table has let nothing but networks through.
fn networks(texts: &[String]) -> Vec<Network> {
    texts.iter().filter_map(|text| Network::parse(text)).collect()
}
