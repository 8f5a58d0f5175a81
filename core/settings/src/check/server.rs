//! Checks the list of servers.
//! Never looks at databases.

use super::Report;
use crate::{ChannelBinding, Server, ServerTls, ServerTlsMode, defaults, raw};

pub(super) fn check(servers: Vec<raw::Server>, report: &mut Report) -> Vec<Server> {
    if servers.is_empty() && !report.has_reported("servers") {
        report.add("servers", "nothing", "one server or more", "add the Postgres to connect to");
    }
    let mut checked: Vec<Server> = Vec::with_capacity(servers.len());
    for (index, server) in servers.into_iter().enumerate() {
        let path = format!("servers[{index}]");
        let server = one(server, &path, report);
        let taken = checked.iter().any(|other| other.name == server.name);
        report.unique(&format!("{path}.name"), &server.name, taken);
        checked.push(server);
    }
    checked
}

fn one(server: raw::Server, path: &str, report: &mut Report) -> Server {
    let limit = "how many connections this process may hold to it";
    let tls = tls(server.tls.unwrap_or_default(), path, report);
    let channel_binding = server.channel_binding.unwrap_or(defaults::CHANNEL_BINDING);
    if channel_binding == ChannelBinding::Require && tls.mode == ServerTlsMode::Disable {
        let expected = "prefer or disable, since only TLS has a certificate to bind to";
        let remedy = "set the server's tls.mode to another than disable";
        report.add(&format!("{path}.channelBinding"), "require", expected, remedy);
    }
    Server {
        name: report.required(&format!("{path}.name"), server.name.as_ref(), "a name"),
        host: report.required(&format!("{path}.host"), server.host.as_ref(), "its host"),
        port: server.port.unwrap_or(defaults::SERVER_PORT),
        max_connections: report.required(
            &format!("{path}.maxConnections"),
            server.max_connections.as_ref(),
            limit,
        ),
        max_replication_connections: server
            .max_replication_connections
            .unwrap_or(defaults::MAX_REPLICATION_CONNECTIONS),
        connect_timeout: server.connect_timeout.map_or(defaults::CONNECT_TIMEOUT, |span| span.0),
        tls,
        cleartext_password: server.cleartext_password.unwrap_or(defaults::CLEARTEXT_PASSWORD),
        channel_binding,
    }
}

fn tls(tls: raw::ServerTls, path: &str, report: &mut Report) -> ServerTls {
    let mode = tls.mode.unwrap_or(defaults::SERVER_TLS_MODE);
    if matches!(mode, ServerTlsMode::VerifyCa | ServerTlsMode::VerifyFull) {
        let expected = "the file of the authorities to trust";
        report.required(&format!("{path}.tls.caFile"), tls.ca_file.as_ref(), expected);
    }
    let raw::ServerTls { ca_file, cert_file, key_file, .. } = tls;
    let whole = "a certificate and its key";
    if key_file.is_some() {
        report.required(&format!("{path}.tls.certFile"), cert_file.as_ref(), whole);
    }
    if cert_file.is_some() {
        report.required(&format!("{path}.tls.keyFile"), key_file.as_ref(), whole);
    }
    ServerTls { mode, ca_file, cert_file, key_file }
}
