//! Which objects are tenants: a kind, and labels that its objects carry. The kind need not exist
//! when the operator is built or started.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{pods, rules};

#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantSelector {
    /// API group and version of the kind: example.com/v1, or v1 for the core group.
    #[schemars(length(min = 1, max = 317))]
    #[x_kube(validation = rules::api_version())]
    pub api_version: String,
    /// Kind of the objects. The operator needs the right to list and watch it: the chart's value
    /// `tenantKinds`.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::kind())]
    pub kind: String,
    /// `Own`: objects in the namespace of the PoolerCluster. `All`: in all namespaces or in none,
    /// if the operator was installed with the chart's value `tenantsInAllNamespaces`.
    #[serde(default)]
    pub namespaces: Namespaces,
    /// The labels that an object must have to count. Default: every object counts.
    #[serde(default)]
    pub label_selector: LabelSelector,
}

#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Namespaces {
    #[default]
    Own,
    All,
}

/// As everywhere in Kubernetes: all of it must hold.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// Labels with these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "pods::labels")]
    pub match_labels: BTreeMap<String, String>,
    /// Labels with one of several values or none of them, that exist or do not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub match_expressions: Vec<Requirement>,
}

#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = rules::values_fit_the_operator())]
#[serde(rename_all = "camelCase")]
pub struct Requirement {
    /// The label's name.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    pub operator: Operator,
    #[serde(default)]
    #[schemars(length(max = 64), inner(length(max = 63)))]
    pub values: Vec<String>,
}

#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}
