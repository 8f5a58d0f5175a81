//! The pods' template. Nothing in it follows sizes, users or certificates: those are files
//! that the pooler reads again, so that changing them restarts nobody.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    api::core::v1::{
        Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource,
        EnvVar, HTTPGetAction, LocalObjectReference, Pod, PodSecurityContext, PodSpec,
        PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile, SecretVolumeSource,
        SecurityContext, Toleration, TopologySpreadConstraint, Volume, VolumeMount,
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};
use poolwright_crds::{Pods, Resources};

use super::Template;
use crate::{hash, names, upgrade::Made, validate::Validated};

pub const POSTGRES: &str = "postgres";
pub const POSTGRES_PORT: i32 = 6432;
pub const ADMIN: &str = "admin";
pub const ADMIN_PORT: i32 = 9187;
pub const CONTROL: &str = "control";
pub const CONTROL_PORT: i32 = 9188;

pub const SETTINGS_FILE: &str = "settings.yaml";
pub const USERS_FILE: &str = "users.yaml";
/// Who signs for the server.
pub const CA_FILE: &str = "ca.crt";
/// What clients are shown, its key, and who signs for clients.
pub const CLIENT_TLS_FILE: &str = "client-tls.crt";
pub const CLIENT_KEY_FILE: &str = "client-tls.key";
pub const CLIENT_CA_FILE: &str = "client-ca.crt";

const POOLER: &str = "/usr/local/bin/poolwright-pooler";
const SETTINGS: &str = "/etc/poolwright/settings";
const CREDENTIALS: &str = "/etc/poolwright/credentials";
const CERTIFICATES: &str = "/etc/poolwright/control";
/// Where the pooler keeps its journal without being told to.
const STATE: &str = "/var/lib/poolwright-pooler";
/// A KiB for each connection that a pooler has at a time; in memory, so that no disk holds up the
/// opening of one, and none gets to see the keys with which they can be cancelled.
const STATE_SIZE: &str = "16Mi";

/// The image's own user; it owns no file.
const USER: i64 = 65532;

/// Seconds that a pod has beyond its drain: to close what is left and to exit.
const MARGIN: i64 = 30;

/// Where a pod finds this key of the Secret with the credentials.
pub fn credential(key: &str) -> String {
    format!("{CREDENTIALS}/{key}")
}

/// Where a pod finds this key of the Secret with the control channel's certificate.
pub fn certificate(key: &str) -> String {
    format!("{CERTIFICATES}/{key}")
}

/// The template, with its own hash in an annotation: the user's fields laid over what an operator
/// made. How they are laid must not change, or an operator that brings the change replaces pods by
/// itself; what is to change belongs into [`base`].
pub fn template(checked: &Validated, made: &Made) -> Template {
    let restarted = checked.restarted_at.iter().map(|at| (names::RESTARTED_AT.into(), at.clone()));
    let mut annotations = checked.pods.annotations.clone();
    annotations.extend(restarted);
    let mut labels = checked.pods.labels.clone();
    labels.extend(names::labels(&checked.name));
    // The first version of pods had no such annotation.
    let later = made.language(checked).filter(|language| *language > 1);
    annotations.extend(later.map(|language| (names::LANGUAGE.into(), language.to_string())));
    let mut spec = PodTemplateSpec { metadata: None, spec: Some(pod(checked, made)) };
    let hash = hash::of(&(&annotations, &checked.pods.labels, &spec));
    annotations.insert(names::TEMPLATE_HASH.into(), hash.clone());
    spec.metadata = Some(ObjectMeta {
        labels: Some(labels),
        annotations: Some(annotations),
        ..ObjectMeta::default()
    });
    Template { spec, hash, made: made.clone() }
}

fn pod(checked: &Validated, made: &Made) -> PodSpec {
    let Pods { image_pull_secrets, node_selector, priority_class_name, tolerations, .. } =
        checked.pods.clone();
    let secrets = image_pull_secrets.into_iter();
    let secrets = secrets.map(|it| LocalObjectReference { name: it.name }).collect::<Vec<_>>();
    let drain = i64::try_from(checked.drain.as_millis().div_ceil(1000)).unwrap_or(i64::MAX);
    let margin = made.template.termination_grace_period_seconds.unwrap_or(MARGIN);
    let mut pod = PodSpec {
        image_pull_secrets: some(secrets),
        node_selector: (!node_selector.is_empty()).then_some(node_selector),
        priority_class_name,
        termination_grace_period_seconds: Some(drain.saturating_add(margin)),
        tolerations: some(tolerations.into_iter().map(toleration).collect()),
        ..made.template.clone()
    };
    if let Some(pooler) = pod.containers.first_mut() {
        pooler.image = Some(made.image(checked).to_owned());
        pooler.env = some(checked.pods.env.iter().map(variable).collect());
        pooler.resources =
            checked.pods.resources.clone().map(resources).or(pooler.resources.take());
    }
    pod
}

/// How long a pod may drain before it is killed.
pub fn longest_drain(pod: &Pod) -> Option<Duration> {
    let grace = pod.spec.as_ref()?.termination_grace_period_seconds?;
    Some(Duration::from_secs(u64::try_from(grace.saturating_sub(MARGIN)).unwrap_or(0)))
}

/// The operator's part of the pods: all that no user sets, and what holds where one sets nothing.
pub fn base(cluster: &str) -> PodSpec {
    let mut pod = first(cluster);
    pod.volumes.get_or_insert_default().push(state());
    for pooler in &mut pod.containers {
        let mount = VolumeMount { read_only: None, ..mount("state", STATE) };
        pooler.volume_mounts.get_or_insert_default().push(mount);
    }
    pod
}

/// That part as the first version had it. It never changes: pods that exist were made from it.
pub fn first(cluster: &str) -> PodSpec {
    PodSpec {
        automount_service_account_token: Some(false),
        containers: vec![container()],
        enable_service_links: Some(false),
        security_context: Some(pod_security()),
        service_account_name: Some(names::service_account(cluster)),
        termination_grace_period_seconds: Some(MARGIN),
        topology_spread_constraints: Some(vec![
            spread(cluster, "topology.kubernetes.io/zone"),
            spread(cluster, "kubernetes.io/hostname"),
        ]),
        volumes: Some(volumes(cluster)),
        ..PodSpec::default()
    }
}

/// The API server drops empty lists.
fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn toleration(it: poolwright_crds::Toleration) -> Toleration {
    let poolwright_crds::Toleration { key, operator, value, effect, toleration_seconds } = it;
    Toleration { key, operator, value, effect, toleration_seconds }
}

fn container() -> Container {
    Container {
        name: "pooler".into(),
        image_pull_policy: Some("IfNotPresent".into()),
        command: Some(vec![POOLER.into(), format!("{SETTINGS}/{SETTINGS_FILE}")]),
        ports: Some(vec![
            port(POSTGRES, POSTGRES_PORT),
            port(ADMIN, ADMIN_PORT),
            port(CONTROL, CONTROL_PORT),
        ]),
        readiness_probe: Some(probe("/readyz", 2, 3)),
        liveness_probe: Some(probe("/healthz", 10, 6)),
        resources: Some(resources(default_resources())),
        security_context: Some(container_security()),
        volume_mounts: Some(vec![
            mount("settings", SETTINGS),
            mount("credentials", CREDENTIALS),
            mount("control", CERTIFICATES),
        ]),
        ..Container::default()
    }
}

fn port(name: &str, port: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.into()),
        container_port: port,
        protocol: Some("TCP".into()),
        ..ContainerPort::default()
    }
}

/// Asks every `period` seconds; so many failures in a row count.
fn probe(path: &str, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::String(ADMIN.into()),
            scheme: Some("HTTP".into()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(2),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn variable(it: &poolwright_crds::EnvVar) -> EnvVar {
    EnvVar { name: it.name.clone(), value: Some(it.value.clone()), ..EnvVar::default() }
}

fn resources(Resources { requests, limits }: Resources) -> ResourceRequirements {
    let quantities = |texts: BTreeMap<String, String>| {
        let quantity = |(name, amount)| (name, Quantity(amount));
        (!texts.is_empty()).then(|| texts.into_iter().map(quantity).collect())
    };
    ResourceRequirements {
        requests: quantities(requests),
        limits: quantities(limits),
        ..ResourceRequirements::default()
    }
}

/// No CPU limit: throttling a pooler makes every tenant wait.
fn default_resources() -> Resources {
    let amount = |name: &str, amount: &str| (name.to_owned(), amount.to_owned());
    Resources {
        requests: [amount("cpu", "100m"), amount("memory", "128Mi")].into(),
        limits: [amount("memory", "1Gi")].into(),
    }
}

fn pod_security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: Some(USER),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".into(),
            ..SeccompProfile::default()
        }),
        ..PodSecurityContext::default()
    }
}

fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".into()]),
            ..Capabilities::default()
        }),
        ..SecurityContext::default()
    }
}

fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only: Some(true),
        ..VolumeMount::default()
    }
}

fn volumes(cluster: &str) -> Vec<Volume> {
    let settings = ConfigMapVolumeSource {
        name: names::settings(cluster),
        default_mode: Some(0o444),
        ..ConfigMapVolumeSource::default()
    };
    let secret = |volume: &str, name: String| Volume {
        name: volume.into(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(name),
            default_mode: Some(0o440),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    };
    vec![
        Volume { name: "settings".into(), config_map: Some(settings), ..Volume::default() },
        secret("credentials", names::credentials(cluster)),
        secret("control", names::control(cluster)),
    ]
}

/// Outlives the pooler's process, not the pod.
fn state() -> Volume {
    let folder = EmptyDirVolumeSource {
        medium: Some("Memory".into()),
        size_limit: Some(Quantity(STATE_SIZE.into())),
    };
    Volume { name: "state".into(), empty_dir: Some(folder), ..Volume::default() }
}

fn spread(cluster: &str, topology_key: &str) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: topology_key.into(),
        when_unsatisfiable: "ScheduleAnyway".into(),
        label_selector: Some(LabelSelector {
            match_labels: Some(names::selector(cluster)),
            ..LabelSelector::default()
        }),
        ..TopologySpreadConstraint::default()
    }
}
