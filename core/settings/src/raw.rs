//! The settings file as it is written: every field optional, no default filled in.
//! Never judged here. Whoever writes settings (the operator, tests) uses these types too.

use serde::{Deserialize, Serialize};

use crate::checked::{
    Channel, ChannelBinding, CleartextPassword, Isolation, ListenAuth, ListenTlsMode, Pinning,
    PoolMode, Sequences, ServerTlsMode,
};
use crate::{Lifetime, Secret, Span};

/// Declares a section of the file; a field left out is neither read nor written.
macro_rules! section {
    ($(#[$about:meta])* $name:ident { $($field:ident: $type:ty,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct $name {
            $(
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $field: Option<$type>,
            )*
        }
    };
}

section! {
    /// The whole settings file.
    File {
        listen: Listen,
        admin: Admin,
        control: Control,
        workers: u32,
        max_clients: u32,
        max_user_connections: u32,
        max_db_client_connections: u32,
        max_user_client_connections: u32,
        client_login_timeout: Span,
        cancel_wait_timeout: Span,
        ignore_startup_parameters: String,
        server_login_retry: Span,
        server_check_delay: Span,
        server_check_query: String,
        server_reset_query: String,
        server_fast_close: bool,
        peer_id: u32,
        peers: Vec<Peer>,
        servers: Vec<Server>,
        pool: Pool,
        databases: Vec<Database>,
        users: Vec<User>,
        users_file: String,
        auth_query: AuthQuery,
        prepared_statements: PreparedStatements,
        drain: Drain,
        generation: u64,
    }
}

section! {
    /// The whole users file.
    UsersFile { users: Vec<User>, generation: u64, }
}

section! {
    Listen {
        address: String,
        port: u16,
        auth: ListenAuth,
        rules: Vec<Rule>,
        maps: Vec<MapLine>,
        tls: ListenTls,
        proxy_protocol: ProxyProtocol,
    }
}

section! {
    Rule {
        r#type: Channel,
        databases: Vec<String>,
        users: Vec<String>,
        addresses: Vec<String>,
        method: ListenAuth,
        map: String,
    }
}

section! {
    MapLine { name: String, certificate: String, user: String, }
}

section! {
    ProxyProtocol { from: Vec<String>, }
}

section! {
    AuthQuery { user: String, password: Secret, dbname: String, query: String, cache_time: Span, }
}

section! {
    ListenTls { mode: ListenTlsMode, cert_file: String, key_file: String, ca_file: String, }
}

section! {
    Peer { id: u32, host: String, port: u16, }
}

section! {
    Admin { address: String, port: u16, }
}

section! {
    Control { address: String, port: u16, cert_file: String, key_file: String, ca_file: String, }
}

section! {
    Server {
        name: String,
        host: String,
        port: u16,
        max_connections: u32,
        max_replication_connections: u32,
        connect_timeout: Span,
        tls: ServerTls,
        cleartext_password: CleartextPassword,
        channel_binding: ChannelBinding,
    }
}

section! {
    ServerTls { mode: ServerTlsMode, ca_file: String, cert_file: String, key_file: String, }
}

section! {
    Pool {
        mode: PoolMode,
        size: u32,
        min: u32,
        reserve: u32,
        reserve_timeout: Span,
        wait_timeout: Span,
        query_wait_notify: Span,
        query_timeout: Span,
        idle_transaction_timeout: Span,
        transaction_timeout: Span,
        client_idle_timeout: Span,
        idle_timeout: Span,
        lifetime: Lifetime,
        pinning: Pinning,
        pin_timeout: Span,
        sequences: Sequences,
        isolation: Isolation,
        harmless_functions: Vec<String>,
    }
}

section! {
    Database {
        name: String,
        server: String,
        dbname: String,
        user: String,
        password: Secret,
        connect_query: String,
        max_connections: u32,
        max_db_client_connections: u32,
        workers: u32,
        pool: Pool,
    }
}

section! {
    User {
        name: String,
        password: Secret,
        scram_verifier: Secret,
        server_password: Secret,
        previous_password: Secret,
        max_user_connections: u32,
        max_user_client_connections: u32,
        pool: Pool,
        previous_scram_verifier: Secret,
    }
}

section! {
    PreparedStatements { max: u32, }
}

section! {
    Drain { timeout: Span, }
}

impl File {
    /// The text of a settings file.
    pub fn to_yaml(&self) -> String {
        text(self)
    }
}

impl UsersFile {
    /// The text of a users file; it holds the secrets in the clear.
    pub fn to_yaml(&self) -> String {
        text(self)
    }
}

/// These types hold only strings, numbers and lists under string keys: YAML writes all of them.
pub(crate) fn text(file: &impl Serialize) -> String {
    serde_yaml::to_string(file).expect("strings, numbers and lists can be written as YAML")
}
