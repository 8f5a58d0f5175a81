//! docs/pgbouncer.md: each setting of pgbouncer.ini and what stands for it here. The columns about
//! ours come from the table of settings, so that a path or a default cannot be wrong.

use std::fmt::Write;

use poolwright_settings::table::{Fallback, Kind, rows};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/pgbouncer.md");
const BEGIN: &str = "<!-- begin: written by `UPDATE=1 cargo test -p poolwright-settings` -->\n";
const END: &str = "<!-- end -->";

/// Their name and default, our path (none: empty), and what differs or why there is none.
type Entry = (&'static str, &'static str, &'static str, &'static str);

const POOLS: &[Entry] = &[
    ("pool_mode", "session", "pool.mode", "per database and per user too"),
    ("max_client_conn", "100", "maxClients", ""),
    ("default_pool_size", "20", "pool.size", ""),
    ("min_pool_size", "0", "pool.min", "once the pool has been used"),
    ("reserve_pool_size", "0", "pool.reserve", ""),
    ("reserve_pool_timeout", "5", "pool.reserveTimeout", "0 in both: the reserve stays closed"),
    (
        "max_db_connections",
        "0",
        "databases[].maxConnections",
        "never without a limit: the server's holds",
    ),
    ("max_db_client_connections", "0", "maxDbClientConnections", ""),
    ("max_user_connections", "0", "maxUserConnections", "a client at the limit waits"),
    ("max_user_client_connections", "0", "maxUserClientConnections", ""),
    (
        "server_round_robin",
        "0",
        "",
        "the connection used last is used again, so that the others can be closed",
    ),
    (
        "track_extra_parameters",
        "IntervalStyle",
        "",
        "nothing to list: the server is asked what a transaction has set, whether it reports it or \
         not (docs/compatibility.md)",
    ),
    (
        "ignore_startup_parameters",
        "",
        "ignoreStartupParameters",
        "needed to drop one only: all others are taken and set on the server",
    ),
    ("max_prepared_statements", "200", "preparedStatements.max", "0 there turns it off; not here"),
];

const SERVERS: &[Entry] = &[
    (
        "server_reset_query",
        "DISCARD ALL",
        "serverResetQuery",
        "runs behind `DISCARD ALL`, never in its place: that is what undoes a session",
    ),
    (
        "server_reset_query_always",
        "0",
        "pool.isolation",
        "`strict` runs `DISCARD ALL` at each change of client; else where state may be left",
    ),
    ("server_check_delay", "30", "serverCheckDelay", "0 there: each time; here: 1ms"),
    ("server_check_query", "", "serverCheckQuery", ""),
    ("server_fast_close", "0", "serverFastClose", ""),
    (
        "server_lifetime",
        "3600",
        "pool.lifetime",
        "a range, from which each connection draws; above `0s`",
    ),
    ("server_idle_timeout", "600", "pool.idleTimeout", "above `0s`"),
    ("server_connect_timeout", "15", "servers[].connectTimeout", "with the login; above `0s`"),
    (
        "server_login_retry",
        "15",
        "serverLoginRetry",
        "the longest pause; it begins with 100 ms, since after a failover it is what clients wait",
    ),
    ("autodb_idle_timeout", "3600", "", "a name that is not listed keeps a few KiB, no connection"),
];

const TIMEOUTS: &[Entry] = &[
    ("query_timeout", "0", "pool.queryTimeout", "57014"),
    ("query_wait_timeout", "120", "pool.waitTimeout", "08P01, and which limit was hit"),
    ("query_wait_notify", "5", "pool.queryWaitNotify", ""),
    (
        "cancel_wait_timeout",
        "10",
        "cancelWaitTimeout",
        "a cancel never waits for a connection; above `0s`",
    ),
    ("client_idle_timeout", "0", "pool.clientIdleTimeout", "57P05"),
    ("idle_transaction_timeout", "0", "pool.idleTransactionTimeout", "25P03"),
    ("transaction_timeout", "0", "pool.transactionTimeout", "25P04"),
    ("client_login_timeout", "60", "clientLoginTimeout", "57014; above `0s`"),
    ("suspend_timeout", "10", "drain.timeout", "there is no suspend; SIGTERM drains"),
];

const DATABASES: &[Entry] = &[
    ("*", "", "databases[].name", "`'*'`: any name that is not listed"),
    ("dbname", "the name", "databases[].dbname", ""),
    ("host", "a Unix socket", "servers[].host", "databases name a server"),
    ("port", "5432", "servers[].port", ""),
    ("user", "the client's", "databases[].user", ""),
    ("password", "as in auth_file", "databases[].password", ""),
    ("pool_size", "default_pool_size", "databases[].pool", "`size`"),
    ("min_pool_size", "min_pool_size", "databases[].pool", "`min`"),
    ("reserve_pool_size", "reserve_pool_size", "databases[].pool", "`reserve`"),
    ("server_lifetime", "server_lifetime", "databases[].pool", "`lifetime`"),
    ("pool_mode", "pool_mode", "databases[].pool", "`mode`"),
    (
        "connect_query",
        "",
        "databases[].connectQuery",
        "after each reset too; a connection that fails at it is not used",
    ),
    ("max_db_connections", "max_db_connections", "databases[].maxConnections", ""),
    (
        "max_db_client_connections",
        "max_db_client_connections",
        "databases[].maxDbClientConnections",
        "",
    ),
    (
        "client_encoding, datestyle, timezone",
        "",
        "databases[].connectQuery",
        "better: `ALTER DATABASE … SET`, which `RESET` goes back to",
    ),
    ("load_balance_hosts", "round-robin", "", "all addresses of a name are tried in turn"),
];

const USERS: &[Entry] = &[
    ("pool_mode", "pool_mode", "users[].pool", "`mode`"),
    ("pool_size", "pool_size", "users[].pool", "`size`"),
    ("reserve_pool_size", "reserve_pool_size", "users[].pool", "`reserve`"),
    ("max_user_connections", "max_user_connections", "users[].maxUserConnections", ""),
    (
        "max_user_client_connections",
        "max_user_client_connections",
        "users[].maxUserClientConnections",
        "",
    ),
    ("query_timeout", "query_timeout", "users[].pool", "`queryTimeout`"),
    (
        "idle_transaction_timeout",
        "idle_transaction_timeout",
        "users[].pool",
        "`idleTransactionTimeout`",
    ),
    ("transaction_timeout", "transaction_timeout", "users[].pool", "`transactionTimeout`"),
    ("client_idle_timeout", "client_idle_timeout", "users[].pool", "`clientIdleTimeout`"),
];

const DOOR: &[Entry] = &[
    ("listen_addr", "not listening", "listen.address", ""),
    ("listen_port", "6432", "listen.port", ""),
    ("auth_type", "md5", "listen.auth", ""),
    ("auth_hba_file", "", "listen.rules[].method", "`listen.rules`, first match wins"),
    ("auth_ident_file", "", "listen.maps[].name", "`listen.maps`"),
    ("auth_file", "", "usersFile", "YAML"),
    ("auth_user", "", "authQuery.user", ""),
    ("auth_query", "from pg_authid", "authQuery.query", ""),
    ("auth_dbname", "the client's", "authQuery.dbname", ""),
    ("auth_ldap_options, scram_iterations", "", "", "no LDAP; verifiers bring their iterations"),
    ("client_tls_sslmode", "disable", "listen.tls.mode", ""),
    ("client_tls_cert_file", "", "listen.tls.certFile", ""),
    ("client_tls_key_file", "", "listen.tls.keyFile", ""),
    ("client_tls_ca_file", "", "listen.tls.caFile", ""),
    ("server_tls_sslmode", "prefer", "servers[].tls.mode", ""),
    ("server_tls_ca_file", "", "servers[].tls.caFile", ""),
    ("server_tls_cert_file", "", "servers[].tls.certFile", ""),
    ("server_tls_key_file", "", "servers[].tls.keyFile", ""),
    (
        "client_tls_protocols, server_tls_protocols, …_ciphers, client_tls_ecdhcurve, \
         client_tls_dheparams",
        "secure",
        "",
        "TLS 1.2 and 1.3 with the safe suites of rustls; nothing to weaken",
    ),
    ("unix_socket_dir, unix_socket_mode, unix_socket_group", "/tmp", "", "TCP only"),
    (
        "admin_users, stats_users",
        "",
        "admin.port",
        "no console: metrics and health over HTTP, settings from the file",
    ),
    ("peer_id, [peers]", "0", "", "pods of a PoolerCluster know each other by their settings"),
];

const PROCESS: &[Entry] = &[
    (
        "logfile, pidfile, user, service_name, job_name, conffile, syslog, syslog_ident, \
         syslog_facility",
        "",
        "",
        "a container's: it logs to stderr and runs as whom it was started",
    ),
    (
        "log_connections, log_disconnections, log_pooler_errors, log_stats, stats_period, verbose",
        "1",
        "",
        "RUST_LOG says what is logged; `/metrics` has the counts",
    ),
    (
        "dns_max_ttl, dns_nxdomain_ttl, dns_zone_check_period, resolv_conf",
        "15",
        "",
        "names are resolved for each connection",
    ),
    (
        "tcp_keepalive, tcp_keepcnt, tcp_keepidle, tcp_keepintvl, tcp_user_timeout",
        "1",
        "",
        "set so that a dead peer is found in seconds",
    ),
    (
        "pkt_buf, max_packet_size, sbuf_loopcnt, listen_backlog, tcp_defer_accept, \
         tcp_socket_buffer",
        "",
        "",
        "nothing to tune: messages of any size stream through bounded memory",
    ),
    ("so_reuseport", "0", "workers", "threads of one process"),
    ("disable_pqexec", "0", "", "simple queries are part of the protocol"),
    ("application_name_add_host", "0", "", "clients' names pass as they are"),
];

const SECTIONS: [(&str, &[Entry]); 7] = [
    ("Pools and limits", POOLS),
    ("Server connections", SERVERS),
    ("Timeouts", TIMEOUTS),
    ("[databases]", DATABASES),
    ("[users]", USERS),
    ("Clients and TLS", DOOR),
    ("Process", PROCESS),
];

fn table() -> String {
    let mut text = String::new();
    for (title, entries) in SECTIONS {
        let head = "| pgbouncer.ini | default there | here | kind | default here | what differs |";
        let _ = write!(text, "\n### {title}\n\n{head}\n|---|---|---|---|---|---|\n");
        entries.iter().for_each(|entry| text.push_str(&line(entry)));
    }
    text.push('\n');
    text
}

fn line(&(name, default, path, words): &Entry) -> String {
    let names: Vec<String> = name.split(", ").map(|name| format!("`{}`", name.trim())).collect();
    let names = names.join(", ");
    let default = if default.is_empty() { String::new() } else { format!("`{default}`") };
    if path.is_empty() {
        return format!("| {names} | {default} | none | | | {words} |\n");
    }
    let all = rows();
    let row = all.iter().find(|row| row.path == path);
    let row = row.unwrap_or_else(|| panic!("{name}: {path} is no setting"));
    let ours = match &row.fallback {
        Fallback::Required => "required".to_owned(),
        Fallback::Value(value) => format!("`{value}`"),
        Fallback::Said(words) => (*words).to_owned(),
    };
    format!("| {names} | {default} | `{path}` | {} | {ours} | {words} |\n", kind(row.kind))
}

/// Theirs are seconds without a unit.
fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Span(_) => "duration with its unit",
        Kind::Lifetime => "two durations",
        Kind::Whole(_, _, unit) => unit,
        Kind::SameAs(_) => "section",
        _ => "text",
    }
}

#[test]
fn the_page_for_who_comes_from_pgbouncer_is_up_to_date() {
    let page = std::fs::read_to_string(PAGE).expect("docs/pgbouncer.md can be read");
    let (before, rest) = page.split_once(BEGIN).expect("the page marks where the tables begin");
    let (_, after) = rest.split_once(END).expect("the page marks where the tables end");
    let fresh = format!("{before}{BEGIN}{}{END}{after}", table());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(PAGE, &fresh).expect("docs/pgbouncer.md can be written");
    } else {
        assert_eq!(page, fresh, "run UPDATE=1 cargo test -p poolwright-settings");
    }
}

/// Settings of pgbouncer.ini that change what a client may notice; each has its line.
#[test]
fn no_setting_of_pgbouncers_that_a_client_may_notice_is_left_out() {
    const NOTICED: &str = "pool_mode max_client_conn default_pool_size min_pool_size \
        reserve_pool_size reserve_pool_timeout max_db_connections max_db_client_connections \
        max_user_connections max_user_client_connections server_round_robin \
        track_extra_parameters ignore_startup_parameters max_prepared_statements \
        server_reset_query server_reset_query_always server_check_delay server_check_query \
        server_fast_close server_lifetime server_idle_timeout server_connect_timeout \
        server_login_retry client_login_timeout query_timeout query_wait_timeout \
        query_wait_notify cancel_wait_timeout client_idle_timeout idle_transaction_timeout \
        transaction_timeout suspend_timeout autodb_idle_timeout connect_query user password dbname";
    let page = table();
    for name in NOTICED.split_whitespace() {
        assert!(page.contains(&format!("`{name}`")), "{name} has no line");
    }
}

#[test]
fn the_example_of_the_page_is_a_valid_file() {
    let page = std::fs::read_to_string(PAGE).expect("docs/pgbouncer.md can be read");
    let example = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
    let example = example.expect("the page has an example");
    poolwright_settings::parse(example, None).unwrap_or_else(|problems| panic!("{problems}"));
}
