//! Examples for the tests: a good PoolerCluster, what it refers to, and pods in any state.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::{
        apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetStatus},
        core::v1::{ConfigMap, Pod, PodCondition, PodStatus, PodTemplateSpec, Secret},
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
    jiff::Timestamp,
};
use poolwright_crds::{LabelSelector, Namespaces, PoolerCluster, TenantSelector};
use serde_json::json;

use crate::{
    dereference::Dereferenced,
    home::Home,
    live::Live,
    names,
    upgrade::Made,
    validate::{Validated, validate},
};

pub fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

pub fn cluster() -> PoolerCluster {
    let object = json!({
        "apiVersion": "poolwright.dev/v1alpha1",
        "kind": "PoolerCluster",
        "metadata": {"name": "workspaces", "namespace": "apps", "uid": "u1", "generation": 7},
        "spec": {
            "replicas": 2,
            "maxReplicas": 3,
            "server": {
                "endpoints": {"writer": "10.1.2.3:5432"},
                "budget": {"maxConnections": 125, "reserve": 22},
            },
            "sizing": {
                "connectionsPerTenant": "2.5",
                "perDatabase": {"min": 2, "max": 100},
                "perTenant": {"poolSize": 5, "reserve": 20},
            },
            "databases": [
                {"name": "cloud_01", "tenants": {"count": 10}},
                {"name": "cloud_02",
                 "tenants": {"configMapKeyRef": {"name": "tenants", "key": "cloud_02"}}},
            ],
            "auth": {"users": [{"secretRef": {"name": "ws-users"}}]},
        },
    });
    serde_json::from_value(object).unwrap()
}

pub fn dereferenced() -> Dereferenced {
    let mut read = Dereferenced {
        cluster: cluster(),
        read_at: now(),
        conflict: None,
        secrets: BTreeMap::new(),
        config_maps: BTreeMap::new(),
        counts: BTreeMap::new(),
        live: Live::default(),
    };
    set_tenants(&mut read, "10\n");
    set_user(&mut read, "ws_001", b"one");
    set_user(&mut read, "ws_002", b"two");
    read
}

pub fn set_tenants(read: &mut Dereferenced, text: &str) {
    let data = Some([("cloud_02".to_owned(), text.to_owned())].into());
    read.config_maps.insert("tenants".into(), Some(ConfigMap { data, ..ConfigMap::default() }));
}

/// Workspaces with these labels.
pub fn selector(labels: &[(&str, &str)]) -> TenantSelector {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    TenantSelector {
        api_version: "example.com/v1".into(),
        kind: "Workspace".into(),
        namespaces: Namespaces::Own,
        label_selector: LabelSelector {
            match_labels: labels.iter().map(pair).collect(),
            match_expressions: Vec::new(),
        },
    }
}

pub fn set_user(read: &mut Dereferenced, name: &str, value: &[u8]) {
    let secret = read.secrets.entry("ws-users".into()).or_default();
    let data = &mut secret.get_or_insert_with(Secret::default).data;
    data.get_or_insert_default().insert(name.into(), ByteString(value.into()));
}

pub fn secret(users: &[(&str, &[u8])]) -> Secret {
    let pair = |(name, value): &(&str, &[u8])| ((*name).to_owned(), ByteString((*value).into()));
    Secret { data: Some(users.iter().map(pair).collect()), ..Secret::default() }
}

/// TLS towards clients by the Secrets `app-tls` and `clients-ca`.
pub fn client_tls() -> poolwright_crds::ClientTls {
    let tls = json!({
        "mode": "prefer",
        "secretRef": {"name": "app-tls"},
        "clientCaSecretRef": {"name": "clients-ca"},
    });
    serde_json::from_value(tls).unwrap()
}

pub fn home() -> Home {
    let labels = "app.kubernetes.io/name=poolwright,app.kubernetes.io/component=operator";
    let (namespace, install) = ("poolwright".into(), "poolwright".into());
    Home { namespace, install, labels: labels.parse().unwrap() }
}

/// Clients from pods, namespaces and addresses; metrics from one namespace.
pub fn network_policy() -> poolwright_crds::NetworkPolicy {
    let policy = json!({
        "clients": [
            {"podSelector": {}},
            {"podSelector": {"matchLabels": {"app": "chat"}},
             "namespaceSelector": {"matchLabels": {"team": "chat"}}},
            {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
        ],
        "metrics": [{"namespaceSelector": {"matchLabels": {"team": "monitoring"}}}],
    });
    serde_json::from_value(policy).unwrap()
}

pub fn validated() -> Validated {
    validate(&dereferenced(), "poolwright:1").unwrap()
}

/// What the operator brings to [`cluster`].
pub fn own() -> Made {
    Made::own(&cluster(), "poolwright:1")
}

/// Pods by name, template hash and readiness, of a StatefulSet with the first one's template.
pub fn live(pods: &[(&str, &str, bool)]) -> Live {
    live_of(pods.first().map_or("", |pod| pod.1), pods)
}

/// Pods of a StatefulSet whose template has this hash and that has caught up.
pub fn live_of(template: &str, pods: &[(&str, &str, bool)]) -> Live {
    let metadata = ObjectMeta {
        name: Some("workspaces".into()),
        uid: Some("s1".into()),
        generation: Some(1),
        owner_references: Some(vec![owner("PoolerCluster", "u1")]),
        ..ObjectMeta::default()
    };
    let spec = StatefulSetSpec {
        replicas: i32::try_from(pods.len()).ok(),
        template: PodTemplateSpec { metadata: Some(hashed(template)), spec: None },
        ..StatefulSetSpec::default()
    };
    let stateful_set = Some(StatefulSet { metadata, spec: Some(spec), ..StatefulSet::default() });
    let pods = pods.iter().map(|(name, hash, ready)| pod(name, hash, *ready)).collect();
    let mut live = Live { stateful_set, pods, ..Live::default() };
    catch_up(&mut live);
    live
}

pub fn set_replicas(live: &mut Live, replicas: i32) {
    live.stateful_set.as_mut().unwrap().spec.as_mut().unwrap().replicas = Some(replicas);
}

/// The StatefulSet's controller has seen the newest spec.
pub fn catch_up(live: &mut Live) {
    let set = live.stateful_set.as_mut().unwrap();
    let observed_generation = set.metadata.generation;
    set.status = Some(StatefulSetStatus { observed_generation, ..StatefulSetStatus::default() });
}

fn pod(name: &str, hash: &str, ready: bool) -> Pod {
    let status = if ready { "True" } else { "False" };
    let condition =
        PodCondition { type_: "Ready".into(), status: status.into(), ..PodCondition::default() };
    let metadata = ObjectMeta {
        name: Some(name.into()),
        owner_references: Some(vec![owner("StatefulSet", "s1")]),
        ..hashed(hash)
    };
    let status = PodStatus { conditions: Some(vec![condition]), ..PodStatus::default() };
    Pod { metadata, status: Some(status), ..Pod::default() }
}

fn hashed(hash: &str) -> ObjectMeta {
    let annotations = Some([(names::TEMPLATE_HASH.to_owned(), hash.to_owned())].into());
    ObjectMeta { annotations, ..ObjectMeta::default() }
}

fn owner(kind: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        kind: kind.into(),
        uid: uid.into(),
        controller: Some(true),
        ..OwnerReference::default()
    }
}
