//! The Services: one that clients connect to, one that names each pod.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{metadata, template};
use crate::{names, validate::Validated};

/// Port of the client Service: PostgreSQL's own.
const CLIENTS: i32 = 5432;

pub fn client(checked: &Validated) -> Service {
    let poolwright_crds::Service { type_, annotations, source_ranges, traffic_policy, .. } =
        checked.service.clone();
    let spec = ServiceSpec {
        selector: Some(names::selector(&checked.name)),
        ports: Some(vec![port(template::POSTGRES, CLIENTS)]),
        type_: Some(type_.text().into()),
        load_balancer_source_ranges: (!source_ranges.is_empty()).then_some(source_ranges),
        external_traffic_policy: traffic_policy.map(|policy| policy.text().into()),
        ..ServiceSpec::default()
    };
    let mut metadata = metadata::owned(checked, checked.name.clone());
    metadata.annotations = (!annotations.is_empty()).then_some(annotations);
    metadata::hashed(Service { metadata, spec: Some(spec), ..Service::default() })
}

pub fn headless(checked: &Validated) -> Service {
    let ports = [
        port(template::POSTGRES, template::POSTGRES_PORT),
        port(template::ADMIN, template::ADMIN_PORT),
    ];
    let spec = ServiceSpec {
        selector: Some(names::selector(&checked.name)),
        ports: Some(ports.into()),
        cluster_ip: Some("None".into()),
        publish_not_ready_addresses: Some(true),
        ..ServiceSpec::default()
    };
    let metadata = metadata::owned(checked, names::headless_service(&checked.name));
    metadata::hashed(Service { metadata, spec: Some(spec), ..Service::default() })
}

fn port(name: &str, port: i32) -> ServicePort {
    ServicePort {
        name: Some(name.into()),
        port,
        protocol: Some("TCP".into()),
        target_port: Some(IntOrString::String(name.into())),
        ..ServicePort::default()
    }
}
