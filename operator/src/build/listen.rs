//! The part of the settings that is for clients: who may come in, and by what TLS. It judges
//! nothing: the pooler's own check reads it back.

use poolwright_crds::{AccessMethod, AccessRule, AccessType, CertificateMap, TlsMode};
use poolwright_settings::{
    Channel, ListenAuth, ListenTlsMode,
    raw::{Listen, ListenTls, MapLine, ProxyProtocol, Rule},
};

use super::{settings::some, template};
use crate::validate::{ClientTls, Validated};

/// What is left out holds as the pooler's own default.
pub fn listen(checked: &Validated) -> Option<Listen> {
    let rules = checked.rules.iter().map(rule).collect();
    let proxies = checked.service.proxy_protocol.as_ref();
    let listen = Listen {
        rules: some(rules),
        maps: some(checked.maps.iter().map(map_line).collect()),
        tls: checked.client_tls.as_ref().map(listen_tls),
        proxy_protocol: proxies.map(|it| ProxyProtocol { from: some(it.from.clone()) }),
        ..Listen::default()
    };
    Some(listen).filter(|listen| *listen != Listen::default())
}

fn rule(rule: &AccessRule) -> Rule {
    let method = match rule.method {
        AccessMethod::Trust => ListenAuth::Trust,
        AccessMethod::Reject => ListenAuth::Reject,
        AccessMethod::Password => ListenAuth::Password,
        AccessMethod::Md5 => ListenAuth::Md5,
        AccessMethod::ScramSha256 => ListenAuth::ScramSha256,
        AccessMethod::Cert => ListenAuth::Cert,
    };
    let channel = match rule.type_ {
        AccessType::Host => None,
        AccessType::Hostssl => Some(Channel::Hostssl),
        AccessType::Hostnossl => Some(Channel::Hostnossl),
    };
    Rule {
        r#type: channel,
        databases: some(rule.databases.clone()),
        users: some(rule.users.clone()),
        addresses: some(rule.addresses.clone()),
        method: Some(method),
        map: rule.map.clone(),
    }
}

fn map_line(line: &CertificateMap) -> MapLine {
    let CertificateMap { name, certificate, user } = line.clone();
    MapLine { name: Some(name), certificate: Some(certificate), user: Some(user) }
}

fn listen_tls(tls: &ClientTls) -> ListenTls {
    let asks = !tls.identity.authorities.is_empty();
    ListenTls {
        mode: Some(listen_tls_mode(tls.mode)),
        cert_file: Some(template::credential(template::CLIENT_TLS_FILE)),
        key_file: Some(template::credential(template::CLIENT_KEY_FILE)),
        ca_file: asks.then(|| template::credential(template::CLIENT_CA_FILE)),
    }
}

fn listen_tls_mode(mode: TlsMode) -> ListenTlsMode {
    match mode {
        TlsMode::Disable => ListenTlsMode::Disable,
        TlsMode::Allow => ListenTlsMode::Allow,
        TlsMode::Prefer => ListenTlsMode::Prefer,
        TlsMode::Require => ListenTlsMode::Require,
        TlsMode::VerifyCa => ListenTlsMode::VerifyCa,
        TlsMode::VerifyFull => ListenTlsMode::VerifyFull,
    }
}
