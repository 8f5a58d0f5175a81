//! What the operator answers. It holds no figure that follows load, so that a quiet cluster
//! sees no writes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolerClusterStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    #[serde(default)]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// Pods that exist.
    #[serde(default)]
    pub replicas: i32,
    /// Pods that are ready.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Ready pods of those wanted: 2/2.
    #[serde(default)]
    pub pods: String,
    /// Label selector of the pods, for autoscalers.
    #[serde(default)]
    pub selector: String,
    /// The version of the operator whose template the pods are made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The image that the pods are made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The server, as a pod saw it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerStatus>,
    /// How the sizes came about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sizing: Option<SizingStatus>,
}

#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SizingStatus {
    pub tenants: i64,
    /// Connections that the tenants deserve.
    pub wanted: i64,
    /// Connections that the server can give.
    pub budget: i64,
    /// Connections that the pods share.
    pub granted: i64,
    /// Parts into which the floor is cut: the pods that may ever exist.
    pub shares: i64,
    /// Connections that each pod may hold now.
    pub per_pod: i64,
    /// Connections that a pod begins with, and may hold with no operator.
    #[serde(default)]
    pub floor: i64,
    /// Granted and budget in one: 50/103.
    pub granted_of_budget: String,
    /// The sum with its numbers.
    pub formula: String,
}

/// A server's settings, by PostgreSQL's names.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerStatus {
    /// The endpoint at which it was seen: host:port.
    #[serde(default)]
    pub endpoint: String,
    pub max_connections: i64,
    pub superuser_reserved_connections: i64,
    /// 0 before PostgreSQL 16.
    pub reserved_connections: i64,
    /// Its `server_version_num`: 170004.
    pub version: i64,
    pub in_recovery: bool,
}

impl ServerStatus {
    /// Whether it was seen at this endpoint. (Pods of older versions do not say where they looked.)
    pub fn is_at(&self, endpoint: &str) -> bool {
        self.endpoint.is_empty() || self.endpoint == endpoint
    }
}

const CONDITIONS: &str = "\
    Ready, TenantsResolved, CredentialsReady, BudgetSatisfied, ReplicasAccepted, ConfigApplied, \
    BackendReachable and UpToDate are True when all is well; Reconciling while something is under way; Stalled when \
    somebody has to act; Conflict where another install serves the namespace.";

fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "description": CONDITIONS,
        "type": "array",
        "maxItems": 32,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "lastTransitionTime": {"type": "string", "format": "date-time"},
                "message": {"type": "string", "maxLength": 32768},
                "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
                "reason": {"type": "string", "minLength": 1, "maxLength": 1024},
                "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
                "type": {"type": "string", "maxLength": 316},
            },
        },
    })
}
