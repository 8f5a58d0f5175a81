//! Who may reach the pods over the network: a few of the fields of Kubernetes' own NetworkPolicy,
//! under its names and with its meaning.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{pods::labels, rules};

#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicy {
    /// Who may connect as a client. Default: everybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub clients: Vec<Peer>,
    /// Who may read metrics and health. Default: everybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub metrics: Vec<Peer>,
}

/// Pods, or addresses. Both selectors together mean those pods in those namespaces.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = rules::pods_or_addresses())]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// Pods with all of these labels; in the PoolerCluster's namespace, if no other is selected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<Selector>,
    /// Namespaces with all of these labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<Selector>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_block: Option<IpBlock>,
}

#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Selector {
    /// Empty: all.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "labels")]
    pub match_labels: BTreeMap<String, String>,
}

#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IpBlock {
    /// A range of addresses, such as 10.1.0.0/16.
    #[schemars(schema_with = "cidr")]
    pub cidr: String,
    /// Ranges inside of it that are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "cidrs")]
    pub except: Vec<String>,
}

fn cidr(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 43, "format": "cidr"})
}

fn cidrs(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 16, "items": cidr(generator)})
}
