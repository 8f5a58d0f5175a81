//! Checked settings back to the file: everything written out, nothing left to defaults.
//! Never leaves out a field: reading the text again gives the same settings.

use std::time::Duration;

use crate::{AuthQuery, Control, Database, Listen, ListenTls, MapLine, Network, Patience};
use crate::{Lifetime, Span};
use crate::{Peer, PoolSettings, Proof, Rule, ServerTls};
use crate::{Server, Settings, User, raw};

impl Settings {
    /// The text of a settings file that holds all of this, secrets in the clear.
    pub fn to_yaml(&self) -> String {
        self.to_raw().to_yaml()
    }

    /// The file that holds all of this; `databases[].pool` stands in for `pool`.
    pub fn to_raw(&self) -> raw::File {
        let Self { listen, admin, servers, databases, users, .. } = self;
        let Self { limits, upkeep, ignored_parameters, .. } = self;
        raw::File {
            listen: Some(self::listen(listen)),
            admin: Some(raw::Admin {
                address: Some(admin.address.to_string()),
                port: Some(admin.port),
            }),
            control: self.control.as_ref().map(control),
            workers: self.workers,
            max_clients: Some(self.max_clients),
            max_user_connections: Some(limits.user_connections.unwrap_or_default()),
            max_db_client_connections: Some(limits.database_clients.unwrap_or_default()),
            max_user_client_connections: Some(limits.user_clients.unwrap_or_default()),
            client_login_timeout: Some(Span(limits.login_timeout)),
            cancel_wait_timeout: Some(Span(limits.cancel_timeout)),
            ignore_startup_parameters: Some(ignored_parameters.join(","))
                .filter(|names| !names.is_empty()),
            server_login_retry: Some(Span(upkeep.login_retry)),
            server_check_delay: Some(Span(upkeep.check_delay)),
            server_check_query: Some(upkeep.check_query.clone().unwrap_or_default()),
            server_reset_query: upkeep.reset_query.clone(),
            server_fast_close: Some(upkeep.fast_close),
            peer_id: self.peer_id,
            peers: some(self.peers.iter().map(peer).collect()),
            servers: Some(servers.iter().map(server).collect()),
            pool: None,
            databases: Some(databases.values().map(|it| database(it, servers)).collect()),
            users: Some(users.values().map(user).collect()),
            users_file: None,
            auth_query: self.auth_query.as_ref().map(auth_query),
            prepared_statements: Some(raw::PreparedStatements {
                max: Some(self.prepared_statements),
            }),
            drain: Some(raw::Drain { timeout: Some(Span(self.drain_timeout)) }),
            generation: self.generation,
        }
    }
}

fn listen(listen: &Listen) -> raw::Listen {
    let Listen { address, port, auth, rules, maps, tls, proxies } = listen;
    raw::Listen {
        address: Some(address.to_string()),
        port: Some(*port),
        auth: Some(*auth),
        rules: some(rules.iter().map(rule).collect()),
        maps: some(maps.iter().map(map_line).collect()),
        tls: Some(listen_tls(tls)),
        proxy_protocol: some(proxies.iter().map(Network::to_string).collect())
            .map(|from| raw::ProxyProtocol { from: Some(from) }),
    }
}

fn rule(rule: &Rule) -> raw::Rule {
    let Rule { channel, databases, users, addresses, method, map } = rule.clone();
    raw::Rule {
        r#type: Some(channel),
        databases: Some(databases),
        users: Some(users),
        addresses: some(addresses.iter().map(Network::to_string).collect()),
        method: Some(method),
        map,
    }
}

fn map_line(line: &MapLine) -> raw::MapLine {
    let MapLine { name, certificate, user } = line.clone();
    raw::MapLine { name: Some(name), certificate: Some(certificate), user: Some(user) }
}

fn auth_query(section: &AuthQuery) -> raw::AuthQuery {
    let AuthQuery { user, password, dbname, query, cache_time } = section.clone();
    let cache_time = Some(Span(cache_time));
    raw::AuthQuery { user: Some(user), password, dbname, query: Some(query), cache_time }
}

/// An empty list is left out: the file knows none.
fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

fn listen_tls(tls: &ListenTls) -> raw::ListenTls {
    let ListenTls { mode, cert_file, key_file, ca_file } = tls.clone();
    raw::ListenTls { mode: Some(mode), cert_file, key_file, ca_file }
}

fn control(control: &Control) -> raw::Control {
    let Control { address, port, cert_file, key_file, ca_file } = control.clone();
    raw::Control {
        address: Some(address.to_string()),
        port: Some(port),
        cert_file: Some(cert_file),
        key_file: Some(key_file),
        ca_file: Some(ca_file),
    }
}

fn peer((id, peer): (&u32, &Peer)) -> raw::Peer {
    let Peer { host, port } = peer.clone();
    raw::Peer { id: Some(*id), host: Some(host), port: Some(port) }
}

fn server(server: &Server) -> raw::Server {
    let Server { name, host, port, max_connections, max_replication_connections, .. } =
        server.clone();
    let Server { connect_timeout, tls, cleartext_password, channel_binding, .. } = server.clone();
    let ServerTls { mode, ca_file, cert_file, key_file } = tls;
    raw::Server {
        name: Some(name),
        host: Some(host),
        port: Some(port),
        max_connections: Some(max_connections),
        max_replication_connections: Some(max_replication_connections),
        connect_timeout: Some(Span(connect_timeout)),
        tls: Some(raw::ServerTls { mode: Some(mode), ca_file, cert_file, key_file }),
        cleartext_password: Some(cleartext_password),
        channel_binding: Some(channel_binding),
    }
}

fn database(database: &Database, servers: &[Server]) -> raw::Database {
    let Database { name, server, dbname, forced, connect_query, .. } = database.clone();
    let Database { max_connections, max_clients, workers, pool, .. } = database.clone();
    let (user, password) = forced.map(|forced| (forced.user, forced.password)).unzip();
    raw::Database {
        name: Some(name),
        server: Some(servers[server].name.clone()),
        dbname: Some(dbname),
        user,
        password: password.flatten(),
        connect_query,
        max_connections: Some(max_connections),
        max_db_client_connections: Some(max_clients.unwrap_or_default()),
        workers: Some(workers),
        pool: Some(pool_section(pool)),
    }
}

fn pool_section(pool: PoolSettings) -> raw::Pool {
    let PoolSettings { mode, size, min, reserve, reserve_timeout, .. } = pool;
    let (from, to) = pool.lifetime;
    let Patience { query, idle_transaction, transaction, client_idle } = pool.patience;
    let limit = |limit: Option<Duration>| Some(Span(limit.unwrap_or_default()));
    raw::Pool {
        mode: Some(mode),
        size: Some(size),
        min: Some(min),
        reserve: Some(reserve),
        reserve_timeout: Some(Span(reserve_timeout)),
        wait_timeout: limit(pool.wait_timeout),
        query_wait_notify: limit(pool.query_wait_notify),
        query_timeout: limit(query),
        idle_transaction_timeout: limit(idle_transaction),
        transaction_timeout: limit(transaction),
        client_idle_timeout: limit(client_idle),
        idle_timeout: Some(Span(pool.idle_timeout)),
        lifetime: Some(Lifetime { from: Span(from), to: Span(to) }),
        pinning: Some(pool.pinning),
        pin_timeout: limit(pool.pin_timeout),
        sequences: Some(pool.sequences),
        isolation: Some(pool.isolation),
        harmless_functions: Some(pool.harmless_functions).filter(|list| !list.is_empty()),
    }
}

fn user(user: &User) -> raw::User {
    let User { name, proof, server_password, previous_password, .. } = user.clone();
    let User { previous_verifier, max_connections, max_clients, pool, .. } = user.clone();
    let pool = Some(pool).filter(|pool| *pool != raw::Pool::default());
    let (password, scram_verifier) = match proof {
        Proof::Password(password) | Proof::Md5(password) => (Some(password), None),
        Proof::ScramVerifier(verifier) => (None, Some(verifier)),
    };
    raw::User {
        name: Some(name),
        password,
        scram_verifier,
        server_password,
        previous_password,
        max_user_connections: Some(max_connections.unwrap_or_default()),
        max_user_client_connections: Some(max_clients.unwrap_or_default()),
        pool,
        previous_scram_verifier: previous_verifier,
    }
}
