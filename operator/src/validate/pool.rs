//! How long clients may take and how many there may be: from the spec to the pooler's own terms,
//! field by field; what the spec leaves out stays left out.

use poolwright_crds::{
    Isolation, Pinning, PoolMode, PoolerClusterSpec, Sequences, Timeouts, UserOverrides,
};
use poolwright_settings::{Problem, Span, raw};

use super::{User, duration, whole};

/// The pooler's word for a mode.
pub fn mode(mode: PoolMode) -> poolwright_settings::PoolMode {
    match mode {
        PoolMode::Transaction => poolwright_settings::PoolMode::Transaction,
        PoolMode::Session => poolwright_settings::PoolMode::Session,
        PoolMode::Statement => poolwright_settings::PoolMode::Statement,
    }
}

/// What `timeouts` says, at this path.
pub fn timeouts(path: &str, timeouts: &Timeouts, found: &mut Vec<Problem>) -> raw::Pool {
    let mut span = |field: &str, text: &Option<String>| {
        let path = format!("{path}.{field}");
        text.as_ref().map(|text| Span(duration(&path, text, found)))
    };
    raw::Pool {
        wait_timeout: span("waitTimeout", &timeouts.wait_timeout),
        query_wait_notify: span("queryWaitNotify", &timeouts.query_wait_notify),
        query_timeout: span("queryTimeout", &timeouts.query_timeout),
        idle_transaction_timeout: span(
            "idleTransactionTimeout",
            &timeouts.idle_transaction_timeout,
        ),
        transaction_timeout: span("transactionTimeout", &timeouts.transaction_timeout),
        client_idle_timeout: span("clientIdleTimeout", &timeouts.client_idle_timeout),
        ..raw::Pool::default()
    }
}

/// What holds for all pools: `spec.timeouts` and `spec.sessions`.
pub fn common(spec: &PoolerClusterSpec, found: &mut Vec<Problem>) -> raw::Pool {
    use poolwright_settings as settings;
    let sessions = &spec.sessions;
    let pin_timeout = sessions.pin_timeout.as_ref();
    raw::Pool {
        pinning: Some(match sessions.pinning {
            Pinning::Pin => settings::Pinning::Pin,
            Pinning::Error => settings::Pinning::Error,
            Pinning::Off => settings::Pinning::Off,
        }),
        pin_timeout: pin_timeout
            .map(|text| Span(duration("spec.sessions.pinTimeout", text, found))),
        sequences: Some(match sessions.sequences {
            Sequences::Refuse => settings::Sequences::Refuse,
            Sequences::Pin => settings::Sequences::Pin,
        }),
        isolation: Some(match sessions.isolation {
            Isolation::Tracked => settings::Isolation::Tracked,
            Isolation::Strict => settings::Isolation::Strict,
        }),
        harmless_functions: Some(sessions.harmless_functions.clone()).filter(|it| !it.is_empty()),
        ..timeouts("spec.timeouts", &spec.timeouts, found)
    }
}

/// Gives each user what is different for it; a name that no Secret has is a problem.
pub fn override_users(spec: &PoolerClusterSpec, users: &mut [User], found: &mut Vec<Problem>) {
    for (index, own) in spec.users.iter().enumerate() {
        let path = format!("spec.users[{index}]");
        let UserOverrides { name, pool_mode, pool_size, .. } = own;
        let pool = raw::Pool {
            mode: pool_mode.map(mode),
            size: pool_size.map(whole),
            ..timeouts(&format!("{path}.timeouts"), &own.timeouts, found)
        };
        let Some(user) = users.iter_mut().find(|user| user.name == *name) else {
            let what = format!("{name:?}, a key of no Secret");
            let expected = "a user that one of the Secrets in spec.auth.users has";
            found.push(Problem::new(format!("{path}.name"), what, expected, "correct the name"));
            continue;
        };
        user.own = raw::User {
            max_user_client_connections: own.max_user_client_connections.map(whole),
            max_user_connections: own.max_user_connections.map(whole),
            pool: Some(pool).filter(|pool| *pool != raw::Pool::default()),
            ..raw::User::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use poolwright_settings::{language::LANGUAGE, parse};
    use serde_json::json;

    use crate::build::settings;
    use crate::{dereference::Dereferenced, live::Live, size::size, testing, validate::validate};

    fn with(spec: serde_json::Value) -> Dereferenced {
        let mut read = testing::dereferenced();
        let mut object = serde_json::to_value(&read.cluster).unwrap();
        for (field, value) in spec.as_object().unwrap() {
            object["spec"][field] = value.clone();
        }
        read.cluster = serde_json::from_value(object).unwrap();
        read
    }

    #[test]
    fn what_the_spec_says_of_clients_reaches_the_poolers() {
        let tenants = json!({"count": 10});
        let read = with(json!({
            "poolMode": "statement",
            "timeouts": {"queryTimeout": "30s", "waitTimeout": "10s"},
            "sessions": {"pinning": "error", "pinTimeout": "1m", "isolation": "strict",
                         "harmlessFunctions": ["own.f", "g"]},
            "limits": {"maxClients": 500, "maxDbClientConnections": 100, "maxUserConnections": 7},
            "databases": [
                {"name": "cloud_01", "tenants": tenants},
                {"name": "cloud_02", "tenants": tenants, "poolMode": "session",
                 "maxDbClientConnections": 0, "connectQuery": "SELECT 1",
                 "timeouts": {"queryTimeout": "0s"}},
            ],
            "users": [{"name": "ws_001", "poolMode": "transaction", "poolSize": 2,
                       "maxUserConnections": 3, "timeouts": {"clientIdleTimeout": "1h"}}],
        }));
        let checked = validate(&read, "poolwright:1").unwrap();
        let live = Live::default();
        let plan = size(&checked, &live, 0).unwrap();
        let files = settings::next(&checked, &plan, &live, 0, LANGUAGE).unwrap();
        let settings = parse(&files.settings, Some(&files.users)).unwrap();
        let pool = |database: &str, user: &str| {
            let pool = settings.pool(&settings.databases[database], user);
            let seconds = |limit: Option<std::time::Duration>| limit.map(|it| it.as_secs());
            (pool.mode, pool.size, seconds(pool.patience.query), seconds(pool.patience.client_idle))
        };
        use poolwright_settings::PoolMode::{Session, Statement, Transaction};
        assert_eq!(pool("cloud_01", "ws_002"), (Statement, 5, Some(30), None));
        assert_eq!(pool("cloud_02", "ws_002"), (Session, 5, None, None));
        assert_eq!(pool("cloud_01", "ws_001"), (Transaction, 2, Some(30), Some(3600)));
        assert_eq!(settings.max_clients, 500);
        let of_all = settings.pool(&settings.databases["cloud_01"], "ws_002");
        assert_eq!(of_all.pinning, poolwright_settings::Pinning::Error);
        assert_eq!(of_all.isolation, poolwright_settings::Isolation::Strict);
        assert_eq!(of_all.harmless_functions, ["own.f", "g"]);
        assert_eq!(of_all.sequences, poolwright_settings::Sequences::Refuse);
        assert_eq!(of_all.pin_timeout.map(|it| it.as_secs()), Some(60));
        let clients = ["cloud_01", "cloud_02"].map(|name| settings.databases[name].max_clients);
        assert_eq!(clients, [Some(100), None]);
        let connections = ["ws_001", "ws_002"].map(|user| settings.user_connections(user));
        assert_eq!(connections, [Some(3), Some(7)]);
        assert_eq!(settings.databases["cloud_02"].connect_query.as_deref(), Some("SELECT 1"));
    }

    #[test]
    fn a_user_that_no_secret_has_and_a_wrong_duration_are_told() {
        let read = with(json!({
            "timeouts": {"queryTimeout": "soon"},
            "users": [{"name": "nobody"}],
        }));
        let problems = validate(&read, "poolwright:1").unwrap_err().spec;
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(told[0].starts_with("spec.timeouts.queryTimeout: found \"soon\""), "{told:?}");
        assert!(told[1].starts_with("spec.users[0].name: found \"nobody\""), "{told:?}");
    }
}
