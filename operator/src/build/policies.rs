//! The NetworkPolicy: clients and metrics as the user says, settings from the operator alone.
//! Where pods may connect to is nobody's business here.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::networking::v1::{
        IPBlock, NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
        NetworkPolicySpec,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use poolwright_crds::network;

use super::{metadata, template};
use crate::{
    home::{Home, Labels},
    names,
    validate::Validated,
};

/// The label by which a namespace is known by its name; Kubernetes sets it.
const NAMESPACE: &str = "kubernetes.io/metadata.name";

pub fn network_policy(
    checked: &Validated,
    wanted: &network::NetworkPolicy,
    home: &Home,
) -> NetworkPolicy {
    let network::NetworkPolicy { clients, metrics } = wanted;
    let spec = NetworkPolicySpec {
        pod_selector: Some(selector(names::selector(&checked.name))),
        policy_types: Some(vec!["Ingress".into()]),
        ingress: Some(vec![
            rule(template::POSTGRES_PORT, clients_and_pods(checked, clients)),
            rule(template::ADMIN_PORT, metrics.iter().map(peer).collect()),
            rule(template::CONTROL_PORT, vec![operator(home)]),
        ]),
        ..NetworkPolicySpec::default()
    };
    let metadata = metadata::owned(checked, names::network_policy(&checked.name));
    metadata::hashed(NetworkPolicy { metadata, spec: Some(spec) })
}

/// From nobody in particular: from everybody.
fn rule(port: i32, from: Vec<NetworkPolicyPeer>) -> NetworkPolicyIngressRule {
    let port = NetworkPolicyPort {
        port: Some(IntOrString::Int(port)),
        protocol: Some("TCP".into()),
        end_port: None,
    };
    NetworkPolicyIngressRule { from: (!from.is_empty()).then_some(from), ports: Some(vec![port]) }
}

/// Whoever may be a client, and the pods, which send cancel requests on to each other.
fn clients_and_pods(checked: &Validated, clients: &[network::Peer]) -> Vec<NetworkPolicyPeer> {
    let pods = NetworkPolicyPeer {
        pod_selector: Some(selector(names::selector(&checked.name))),
        ..NetworkPolicyPeer::default()
    };
    // None listed: everybody.
    let pods = (!clients.is_empty()).then_some(pods);
    clients.iter().map(peer).chain(pods).collect()
}

fn operator(home: &Home) -> NetworkPolicyPeer {
    let Home { namespace, install: _, labels: Labels(labels) } = home;
    NetworkPolicyPeer {
        namespace_selector: Some(selector([(NAMESPACE.to_owned(), namespace.clone())].into())),
        pod_selector: Some(selector(labels.clone())),
        ip_block: None,
    }
}

fn peer(it: &network::Peer) -> NetworkPolicyPeer {
    let network::Peer { pod_selector, namespace_selector, ip_block } = it.clone();
    let labels = |it: network::Selector| selector(it.match_labels);
    NetworkPolicyPeer {
        pod_selector: pod_selector.map(labels),
        namespace_selector: namespace_selector.map(labels),
        ip_block: ip_block.map(|network::IpBlock { cidr, except }| IPBlock {
            cidr,
            except: (!except.is_empty()).then_some(except),
        }),
    }
}

fn selector(labels: BTreeMap<String, String>) -> LabelSelector {
    let match_labels = (!labels.is_empty()).then_some(labels);
    LabelSelector { match_labels, ..LabelSelector::default() }
}
