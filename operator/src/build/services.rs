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
    let spec = ServiceSpec {
        selector: Some(names::selector(&checked.name)),
        ports: Some(vec![port(template::POSTGRES, CLIENTS)]),
        type_: Some("ClusterIP".into()),
        ..ServiceSpec::default()
    };
    service(checked, checked.name.clone(), spec)
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
    service(checked, names::headless_service(&checked.name), spec)
}

fn service(checked: &Validated, name: String, spec: ServiceSpec) -> Service {
    let metadata = metadata::owned(checked, name);
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
