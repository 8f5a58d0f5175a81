//! Fifth step: checked values to Kubernetes objects. Everything here is pure; two runs on
//! the same input give the same bytes.

mod accounts;
mod budgets;
pub mod credentials;
mod listen;
pub mod metadata;
mod policies;
mod services;
pub mod settings;
mod stateful_set;
pub mod template;

use k8s_openapi::{
    ByteString,
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, PodTemplateSpec, Secret, Service, ServiceAccount},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
};
use poolwright_settings::control::{Push, Totals};

use crate::{
    home::Home,
    upgrade::{Languages, Made},
    validate::Validated,
};
use settings::Files;

/// Everything that is applied for one PoolerCluster.
#[derive(Clone, Debug)]
pub struct Objects {
    pub service_account: ServiceAccount,
    pub settings: ConfigMap,
    pub credentials: Secret,
    pub client_service: Service,
    pub headless_service: Service,
    /// None where a single pod runs: it could never be evicted.
    pub disruption_budget: Option<PodDisruptionBudget>,
    /// None where the user wants none.
    pub network_policy: Option<NetworkPolicy>,
    pub stateful_set: StatefulSet,
    /// Told to pods, and in no object.
    pub totals: Totals,
}

/// The pods' template, its hash, and what an operator brought to it.
#[derive(Clone, Debug)]
pub struct Template {
    pub spec: PodTemplateSpec,
    pub hash: String,
    pub made: Made,
}

impl Objects {
    /// What pods are told that run already: what these objects hold for those that start.
    pub fn push(&self) -> Push {
        let text = |bytes: &ByteString| String::from_utf8_lossy(&bytes.0).into_owned();
        let settings = self.settings.data.as_ref().and_then(|it| it.get(template::SETTINGS_FILE));
        let files = self.credentials.data.iter().flatten();
        Push {
            settings: settings.cloned().unwrap_or_default(),
            files: files.map(|(key, it)| (template::credential(key), text(it))).collect(),
            totals: self.totals.clone(),
        }
    }
}

/// How many pods there shall be.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// What was asked for.
    pub wanted: u32,
    /// What the StatefulSet shall have now.
    pub replicas: u32,
    /// The ledger's fence.
    pub fence: u64,
}

/// Builds all objects.
pub fn objects(
    checked: &Validated,
    files: Files,
    template: Template,
    (home, languages): (&Home, &Languages),
    extent: Extent,
) -> Objects {
    let Extent { wanted, replicas, fence } = extent;
    let policy = checked.network_policy.as_ref();
    Objects {
        service_account: accounts::service_account(checked),
        settings: settings::config_map(checked, files.settings, fence, languages),
        credentials: credentials::secret(checked, files.users),
        client_service: services::client(checked),
        headless_service: services::headless(checked),
        disruption_budget: (wanted > 1).then(|| budgets::disruption_budget(checked)),
        network_policy: policy.map(|it| policies::network_policy(checked, it, home)),
        stateful_set: stateful_set::stateful_set(checked, template, replicas, fence),
        totals: files.totals,
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf, time::Duration};

    use poolwright_settings::language::LANGUAGE;

    use super::*;
    use crate::{live::Live, size::size, testing};

    fn made_by_us(checked: &Validated) -> Template {
        template::template(checked, &testing::own())
    }

    fn made(checked: &Validated, live: &Live, ahead: u64, replicas: u32) -> Objects {
        let plan = size(checked, live, 0).unwrap();
        let files = settings::next(checked, &plan, live, ahead, 1).unwrap();
        let extent = Extent { wanted: replicas, replicas, fence: 1 };
        let around = (&testing::home(), &Languages::new());
        objects(checked, files, made_by_us(checked), around, extent)
    }

    fn built(checked: &Validated, replicas: u32) -> Objects {
        made(checked, &Live::default(), 0, replicas)
    }

    fn documents(objects: &Objects) -> String {
        let Objects {
            service_account,
            settings,
            credentials,
            client_service,
            headless_service,
            disruption_budget,
            network_policy,
            stateful_set,
            totals: _,
        } = objects;
        [
            serde_yaml::to_string(service_account),
            serde_yaml::to_string(settings),
            serde_yaml::to_string(credentials),
            serde_yaml::to_string(client_service),
            serde_yaml::to_string(headless_service),
            serde_yaml::to_string(disruption_budget),
            serde_yaml::to_string(network_policy),
            serde_yaml::to_string(stateful_set),
        ]
        .map(Result::unwrap)
        .join("---\n")
    }

    /// Compares with the file under `tests/built/`; `UPDATE=1` writes it anew.
    #[track_caller]
    fn check(name: &str, checked: &Validated, replicas: u32) {
        let found = documents(&built(checked, replicas));
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/built").join(name);
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, &found).unwrap();
        }
        let expect = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(found, expect, "see {}; UPDATE=1 writes it anew", path.display());
    }

    fn client_tls() -> crate::validate::ClientTls {
        let [certificate, key, authorities] = ["CERTIFICATE", "KEY", "AUTHORITY"].map(String::from);
        let identity = crate::certificate::Identity { certificate, key, authorities };
        crate::validate::ClientTls { mode: poolwright_crds::TlsMode::VerifyCa, identity }
    }

    #[test]
    fn the_example_builds_these_objects() {
        check("example.yaml", &testing::validated(), 2);
    }

    #[test]
    fn a_verified_single_pod_in_session_mode_builds_these_objects() {
        let checked = Validated {
            mode: poolwright_crds::PoolMode::Session,
            tls: poolwright_crds::TlsMode::VerifyFull,
            ca: Some(b"-----BEGIN CERTIFICATE-----\n".to_vec()),
            channel_binding: Some(poolwright_crds::ChannelBinding::Require),
            client_tls: Some(client_tls()),
            restarted_at: Some("2026-01-01T00:00:00Z".into()),
            network_policy: Some(testing::network_policy()),
            ..testing::validated()
        };
        check("verified.yaml", &checked, 1);
    }

    #[test]
    fn settings_and_credentials_change_no_pod_template() {
        let other = Validated {
            budget: 50,
            users: testing::validated().users.split_off(1),
            ..testing::validated()
        };
        let hash = |checked: &Validated| made_by_us(checked).hash;
        assert_eq!(hash(&other), hash(&testing::validated()));
    }

    #[test]
    fn a_longer_drain_is_told_once_no_pod_is_killed_sooner() {
        let checked = Validated { drain: Duration::from_secs(300), ..testing::validated() };
        let told = |grace: [i64; 2]| {
            let mut live =
                testing::live(&[("workspaces-0", "h", true), ("workspaces-1", "h", true)]);
            for (pod, grace) in live.pods.iter_mut().zip(grace) {
                pod.spec.get_or_insert_default().termination_grace_period_seconds = Some(grace);
            }
            let settings = made(&checked, &live, 0, 2).push().settings;
            let file: serde_yaml::Value = serde_yaml::from_str(&settings).unwrap();
            file["drain"]["timeout"].as_str().unwrap().to_owned()
        };
        assert_eq!((told([330, 90]), told([330, 330])), ("1m".into(), "5m".into()));
    }

    #[test]
    fn a_restart_changes_the_pod_template() {
        let restarted = Validated { restarted_at: Some("now".into()), ..testing::validated() };
        let hash = |checked: &Validated| made_by_us(checked).hash;
        assert_ne!(hash(&restarted), hash(&testing::validated()));
    }

    #[test]
    fn the_hash_on_the_secret_does_not_follow_the_passwords() {
        let mut other = testing::validated();
        other.users[0].proof = poolwright_settings::Secret::new("another");
        let [one, two] = [testing::validated(), other].map(|it| built(&it, 2).credentials);
        assert_ne!(one.data, two.data);
        assert_eq!(one.metadata, two.metadata);
    }

    #[test]
    fn a_generation_is_counted_for_each_change_and_none_without() {
        let generation = |objects: &Objects| {
            let file: serde_yaml::Value = serde_yaml::from_str(&objects.push().settings).unwrap();
            file["generation"].as_u64()
        };
        let stored = |objects: &Objects| Live {
            settings: Some(objects.settings.clone()),
            credentials: Some(objects.credentials.clone()),
            ..Live::default()
        };
        let checked = testing::validated();
        let first = made(&checked, &Live::default(), 0, 2);
        let again = made(&checked, &stored(&first), 0, 2);
        assert_eq!((generation(&first), generation(&again)), (Some(1), Some(1)));
        let mut rotated = checked.clone();
        rotated.users[0].proof = poolwright_settings::Secret::new("another");
        let third = made(&rotated, &stored(&again), 0, 2);
        let lower = Validated { budget: 40, ..rotated };
        let fourth = made(&lower, &stored(&third), 0, 2);
        assert_eq!((generation(&third), generation(&fourth)), (Some(2), Some(3)));
        assert!(third.push().files.values().any(|text| text.contains("another")));
        // Somebody removed the settings, and pods have said what they have.
        let counted_on = made(&lower, &Live::default(), 3, 2);
        assert_eq!(generation(&counted_on), Some(4));
    }

    #[test]
    fn a_renewed_certificate_is_told_to_pods_as_settings_of_their_own_generation() {
        let checked = Validated { client_tls: Some(client_tls()), ..testing::validated() };
        let first = built(&checked, 2);
        let files = first.push().files;
        let named = |end: &str| files.iter().find(|(name, _)| name.ends_with(end)).unwrap().1;
        let all = ["client-tls.crt", "client-tls.key", "client-ca.crt"].map(named);
        assert_eq!(all, ["CERTIFICATE", "KEY", "AUTHORITY"]);
        let live = Live {
            settings: Some(first.settings.clone()),
            credentials: Some(first.credentials.clone()),
            ..Live::default()
        };
        assert_eq!(made(&checked, &live, 0, 2).push(), first.push());
        let mut renewed = checked.clone();
        renewed.client_tls.as_mut().unwrap().identity.certificate = "RENEWED".into();
        let second = made(&renewed, &live, 0, 2).push();
        assert!(second.settings.contains("generation: 2"), "{}", second.settings);
        assert!(second.files.values().any(|text| text == "RENEWED"));
        assert_eq!(made_by_us(&renewed).hash, made_by_us(&testing::validated()).hash);
        let without = Validated { client_tls: None, ..renewed };
        assert!(made(&without, &live, 0, 2).credentials.data.unwrap().len() == 1);
    }

    #[test]
    fn access_is_written_for_the_pooler_and_its_problems_are_those_of_the_spec() {
        let plan = |checked: &_| size(checked, &Live::default(), 0).unwrap();
        let mut checked = testing::validated();
        let spec = serde_json::json!({
            "rules": [
                {"users": ["ws_001"], "addresses": ["10.0.0.0/8"], "method": "md5"},
                {"type": "hostssl", "method": "cert", "map": "staff"},
            ],
            "maps": [{"name": "staff", "certificate": "*@example", "user": "ws_001"}],
            "authQuery": {"user": "ws_001", "dbname": "postgres"},
            "users": [],
        });
        let auth: poolwright_crds::Auth = serde_json::from_value(spec).unwrap();
        (checked.rules, checked.auth_query) = (auth.rules, auth.auth_query);
        (checked.maps, checked.client_tls) = (auth.maps, Some(client_tls()));
        let from = vec!["192.0.2.0/24".to_owned()];
        checked.service.proxy_protocol = Some(poolwright_crds::ProxyProtocol { from });
        let files =
            settings::next(&checked, &plan(&checked), &Live::default(), 0, LANGUAGE).unwrap();
        let lines = [
            "method: md5",
            "- 10.0.0.0/8",
            "user: ws_001",
            "- 192.0.2.0/24",
            "- type: hostssl\n    method: cert\n    map: staff",
            "certificate: '*@example'",
            "mode: verify-ca",
        ];
        for line in lines {
            assert!(files.settings.contains(line), "{line}: {}", files.settings);
        }
        checked.maps.clear();
        let unknown = settings::next(&checked, &plan(&checked), &Live::default(), 0, LANGUAGE);
        let unknown = unknown.err().unwrap().spec[0].to_string();
        let expect =
            "spec.auth.rules[1].map: found \"staff\", expected the name of a map in listen.maps";
        assert!(unknown.starts_with(expect), "{unknown}");
        checked.rules.truncate(1);
        checked.rules[0].addresses = vec!["10.0.0.0/40".to_owned()];
        let problems = settings::next(&checked, &plan(&checked), &Live::default(), 0, LANGUAGE);
        let problems = problems.err().unwrap();
        let text = problems.spec[0].to_string();
        assert!(
            text.starts_with("spec.auth.rules[0].addresses[0]: found \"10.0.0.0/40\""),
            "{text}"
        );
    }

    #[test]
    fn users_that_the_pooler_would_refuse_are_named_by_their_secret() {
        let mut checked = testing::validated();
        checked.users[1].proof = poolwright_settings::Secret::new("SCRAM-SHA-256$nonsense");
        checked.users[1].is_verifier = true;
        let plan = size(&checked, &Live::default(), 0).unwrap();
        let problems = settings::next(&checked, &plan, &Live::default(), 0, 1).err().unwrap();
        let text = problems.credentials[0].to_string();
        assert!(text.contains("Secret ws-users, key ws_002"), "{text}");
        assert!(!text.contains("nonsense"), "{text}");
    }

    #[test]
    fn pods_that_can_read_it_are_told_of_each_other() {
        let checked = Validated { max_replicas: 2, ..testing::validated() };
        let plan = size(&checked, &Live::default(), 0).unwrap();
        let next = |language| settings::next(&checked, &plan, &Live::default(), 0, language);
        let text = next(LANGUAGE).unwrap().settings;
        for number in 0..2 {
            let host = format!("host: workspaces-{number}.workspaces-pods.apps.svc\n  port: 6432");
            assert!(text.contains(&format!("- id: {number}\n  {host}")), "{text}");
        }
        assert!(!text.contains("id: 2"), "{text}");
        assert!(!next(2).unwrap().settings.contains("peers"), "it would be refused");
    }
}
