//! What holds for all settings and all texts.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use poolwright_settings::{
    Admin, AuthQuery, Channel, ChannelBinding, CleartextPassword, Control, Database, Forced,
    Isolation, Limits, Listen, ListenAuth, ListenTls, ListenTlsMode, MapLine, Network, Patience,
    Peer, Pinning, PoolMode, PoolSettings, Proof, Rule, Secret, Sequences, Server, ServerTls,
    ServerTlsMode, Settings, Upkeep, User, diff, parse, raw, users_file,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
    ]
}

fn span() -> impl Strategy<Value = Duration> {
    prop_oneof![1..100_000u64, (1..1_000u64).prop_map(|seconds| seconds * 1_000)]
        .prop_map(Duration::from_millis)
}

/// Names that YAML would take for something else are among them.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_][a-z0-9_]{0,20}",
        "[^\\p{C}]{1,15}",
        prop_oneof![Just("null"), Just("true"), Just("5"), Just("5s"), Just("~"), Just("- x")]
            .prop_map(str::to_owned),
    ]
}

fn secret() -> impl Strategy<Value = Secret> {
    "[^\\x00]{1,20}".prop_map(Secret::new)
}

fn listen() -> impl Strategy<Value = Listen> {
    let tls = prop_oneof![
        Just(ListenTls {
            mode: ListenTlsMode::Disable,
            cert_file: None,
            key_file: None,
            ca_file: None,
        }),
        ("[a-z/.]{1,9}", "[a-z/.]{1,9}").prop_map(|(cert, key)| ListenTls {
            mode: ListenTlsMode::VerifyFull,
            ca_file: Some(format!("{cert}.ca")),
            cert_file: Some(cert),
            key_file: Some(key),
        }),
    ];
    let auth = prop_oneof![Just(ListenAuth::Trust), Just(ListenAuth::ScramSha256)];
    let lines = (vec(rule(), 0..3), vec(map_line(), 0..3), vec(network(), 0..3));
    (address(), 1..=u16::MAX, auth, tls, lines).prop_map(
        |(address, port, auth, tls, (rules, maps, proxies))| Listen {
            address,
            port,
            auth,
            rules,
            maps,
            tls,
            proxies,
        },
    )
}

fn network() -> impl Strategy<Value = Network> {
    (address(), 0..=32u8).prop_map(|(address, prefix)| {
        Network::parse(&format!("{address}/{prefix}")).expect("an address and a short prefix")
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    let channel =
        prop_oneof![Just(Channel::Host), Just(Channel::Hostssl), Just(Channel::Hostnossl)];
    let method = prop_oneof![Just(ListenAuth::Reject), Just(ListenAuth::Md5)];
    let lists = (vec(name(), 1..3), vec(name(), 1..3), vec(network(), 0..3));
    (channel, lists, method).prop_map(|(channel, (databases, users, addresses), method)| Rule {
        channel,
        databases,
        users,
        addresses,
        method,
        map: None,
    })
}

fn map_line() -> impl Strategy<Value = MapLine> {
    (name(), name()).prop_map(|(name, user)| MapLine { name, certificate: "a*".to_owned(), user })
}

fn auth_query() -> impl Strategy<Value = AuthQuery> {
    let names = (name(), option::of(secret()), option::of(name()));
    (names, "[^\\x00]{0,9}", 0..100u64).prop_map(|((user, password, dbname), query, seconds)| {
        let (query, cache_time) = (format!("{query}$1"), Duration::from_secs(seconds));
        AuthQuery { user, password, dbname, query, cache_time }
    })
}

fn servers() -> impl Strategy<Value = Vec<Server>> {
    let one = (name(), "[a-z][a-z.-]{0,9}", 1..=u16::MAX, 1..=100_000u32, span(), any::<bool>());
    vec(one, 1..4).prop_map(|servers| {
        let build = |(index, it): (usize, (String, String, u16, u32, Duration, bool))| Server {
            name: format!("{index}{}", it.0),
            host: it.1,
            port: it.2,
            max_connections: it.3,
            max_replication_connections: it.3 / 2,
            connect_timeout: it.4,
            tls: ServerTls {
                mode: if it.5 { ServerTlsMode::VerifyFull } else { ServerTlsMode::Allow },
                ca_file: it.5.then(|| "ca.crt".to_owned()),
                cert_file: it.5.then(|| "own.crt".to_owned()),
                key_file: it.5.then(|| "own.key".to_owned()),
            },
            cleartext_password: CleartextPassword::Never,
            channel_binding: if it.5 { ChannelBinding::Require } else { ChannelBinding::Prefer },
        };
        servers.into_iter().enumerate().map(build).collect()
    })
}

fn pool() -> impl Strategy<Value = PoolSettings> {
    let times = (span(), option::of(span()), span(), span(), span());
    let modes = [PoolMode::Transaction, PoolMode::Session, PoolMode::Statement];
    let limit = || option::of(span());
    let patience = (limit(), limit(), limit(), limit(), limit());
    (0..modes.len(), 1..=50u32, 0..=50u32, 0..=50u32, times, patience).prop_map(
        move |(mode, size, min, reserve, (first, wait, idle, from, more), limits)| PoolSettings {
            mode: modes[mode],
            size,
            min: min.min(size),
            reserve,
            reserve_timeout: first,
            wait_timeout: wait,
            query_wait_notify: limits.0,
            patience: Patience {
                query: limits.1,
                idle_transaction: limits.2,
                transaction: limits.3,
                client_idle: limits.4,
            },
            idle_timeout: idle,
            lifetime: (from, from + more),
            pinning: if mode == 0 { Pinning::Error } else { Pinning::Off },
            pin_timeout: wait,
            sequences: if mode == 1 { Sequences::Pin } else { Sequences::Refuse },
            isolation: if mode == 2 { Isolation::Strict } else { Isolation::Tracked },
            harmless_functions: if mode == 0 { vec!["own.f".into(), "g".into()] } else { vec![] },
        },
    )
}

fn forced(user: &str, password: Option<u32>) -> Option<Forced> {
    let password = password.map(|number| Secret::new(number.to_string()));
    password.is_some().then(|| Forced { user: user.to_owned(), password })
}

fn databases(servers: usize) -> impl Strategy<Value = BTreeMap<String, Database>> {
    let most = option::of(1..=9u32);
    let one = (0..servers, name(), 1..=100_000u32, (1..=256u32, most), pool());
    btree_map(name(), one, 1..5).prop_map(|all| {
        type One = (usize, String, u32, (u32, Option<u32>), PoolSettings);
        let build = |(name, one): (String, One)| {
            let (server, dbname, max_connections, (workers, max_clients), pool) = one;
            (
                name.clone(),
                Database {
                    forced: forced(&dbname, max_clients),
                    connect_query: max_clients.map(|n| format!("SELECT {n}")),
                    name,
                    server,
                    dbname,
                    max_connections,
                    max_clients,
                    workers,
                    pool,
                },
            )
        };
        all.into_iter().map(build).collect()
    })
}

fn users() -> impl Strategy<Value = BTreeMap<String, User>> {
    let one = (option::of(secret()), secret(), any::<bool>(), option::of(1..=50u32));
    btree_map(name(), one, 0..5).prop_map(|all| {
        let build = |(name, (own, password, verifier, size)): (
            String,
            (Option<Secret>, Secret, bool, _),
        )| {
            let (proof, server_password) = match verifier {
                true => (Proof::ScramVerifier(Secret::new(super::resolved::VERIFIER)), own),
                false => (Proof::Password(password.clone()), Some(own.unwrap_or(password))),
            };
            let previous_password = server_password.clone().filter(|_| !verifier);
            let previous_verifier = verifier.then(|| Secret::new(super::resolved::VERIFIER));
            let pool = raw::Pool { size, ..raw::Pool::default() };
            let user = User {
                name: name.clone(),
                proof,
                server_password,
                previous_password,
                previous_verifier,
                max_connections: size,
                max_clients: size,
                pool,
            };
            (name, user)
        };
        all.into_iter().map(build).collect()
    })
}

fn settings() -> impl Strategy<Value = Settings> {
    let servers_and_databases =
        servers().prop_flat_map(|servers| (databases(servers.len()), Just(servers)));
    let workers = option::of(1..=256u32);
    let numbers = (1..=1_000_000u32, 1..=100_000u32, span(), option::of(any::<u64>()), workers);
    let users = (users(), option::of(auth_query()));
    (listen(), address(), servers_and_databases, users, numbers).prop_map(
        |(listen, address, (databases, servers), (users, auth_query), numbers)| Settings {
            listen,
            admin: Admin { address, port: 9187 },
            control: numbers.4.map(|port| Control {
                address,
                port: port as u16,
                cert_file: "tls.crt".to_owned(),
                key_file: "tls.key".to_owned(),
                ca_file: "ca.crt".to_owned(),
            }),
            peer_id: numbers.4,
            peers: numbers
                .4
                .map(|id| (id, Peer { host: "peer".to_owned(), port: 1 }))
                .into_iter()
                .collect(),
            workers: numbers.4,
            max_clients: numbers.0,
            limits: Limits {
                user_connections: numbers.4,
                user_clients: numbers.4,
                database_clients: numbers.4,
                login_timeout: numbers.2,
                cancel_timeout: numbers.2,
            },
            upkeep: Upkeep {
                login_retry: numbers.2,
                check_delay: numbers.2,
                check_query: numbers.4.map(|number| format!("SELECT {number}")),
                reset_query: numbers.4.map(|number| format!("RESET ALL; SELECT {number}")),
                fast_close: numbers.4.is_some(),
            },
            ignored_parameters: numbers.4.map(|_| "options".to_owned()).into_iter().collect(),
            servers,
            databases,
            users,
            auth_query,
            prepared_statements: numbers.1,
            drain_timeout: numbers.2,
            generation: numbers.3,
            users_generation: None,
        },
    )
}

proptest! {
    #[test]
    fn settings_written_and_read_again_are_the_same(settings in settings()) {
        let text = settings.to_yaml();
        let read = parse(&text, None).map_err(|problems| problems.to_string());
        prop_assert_eq!(read.as_ref(), Ok(&settings), "{}", text);
        prop_assert!(diff(&settings, &settings).is_empty());
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[-a-z0-9:{}\\[\\],&*!|>'\"%@#.\\n ]{0,200}") {
        let _ = parse(&text, Some(&text));
        let _ = users_file(&text);
    }

    #[test]
    fn no_value_in_place_of_another_makes_the_reader_panic(
        settings in settings(),
        line in any::<prop::sample::Index>(),
        value in "[-a-z0-9:{}\\[\\],&*!' ]{0,20}",
    ) {
        let text = settings.to_yaml();
        let lines: Vec<&str> = text.lines().collect();
        let broken = line.get(&lines);
        let key = broken.split(':').next().unwrap_or(broken);
        let changed = text.replacen(broken, &format!("{key}: {value}"), 1);
        let _ = parse(&changed, None);
    }
}
