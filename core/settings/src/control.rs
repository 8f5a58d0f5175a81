//! What the operator and a pooler say to each other: HTTP over mutual TLS, bodies in JSON. Both ends
//! ignore fields that they do not know, so that they may be of different minor versions.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Fingerprint, language};

/// The path that takes a [`Push`] by PUT and gives an [`Answer`].
pub const SETTINGS: &str = "/v1/settings";
/// What the operator is called in the certificate that it shows; a pooler lets nobody else in.
pub const OPERATOR: &str = "operator.poolwright.dev";
/// The path that takes [`Grants`] by PUT and gives a [`Report`].
pub const GRANTS: &str = "/v1/grants";
/// The path that gives a [`Report`].
pub const REPORT: &str = "/v1/report";
/// The path that has a server looked at and gives a [`Report`] with what was seen.
pub const LOOK: &str = "/v1/look";
/// The longest push, in bytes.
pub const LONGEST: usize = 16 * 1024 * 1024;

/// Settings as a whole: the pooler takes all of it over, or nothing.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Push {
    /// The text of the settings file. Its generation orders pushes: a pooler never goes back.
    pub settings: String,
    /// The texts of files that the settings name, by the names they have there. Files that are not
    /// here are read from disk.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// What all poolers may hold together: a database's part of it goes with a pooler's grant.
    #[serde(default)]
    pub totals: Totals,
}

/// Connections that all poolers may hold together, by name in the settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    #[serde(default)]
    pub servers: BTreeMap<String, u32>,
    #[serde(default)]
    pub databases: BTreeMap<String, u32>,
}

/// Both hold passwords.
impl fmt::Debug for Push {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Push").field("files", &self.files.keys()).finish_non_exhaustive()
    }
}

/// What became of a push.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    pub verdict: Verdict,
    /// The generation of the settings that are in force now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Of the push that is in force now; `None` where it was read from files, and from a pooler
    /// that knows no fingerprints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<Fingerprint>,
    /// What is wrong with settings that were refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// The settings are in force.
    Applied,
    /// They have problems; the last good ones stay in force.
    Rejected,
    /// Settings of a later generation are in force.
    Outdated,
}

/// How many connections one process may hold. This message is frozen: fields may come, but none
/// changes what it means or goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Grants {
    /// The process that is meant: another one refuses it.
    pub process: String,
    /// A process refuses what is of an earlier epoch than what it has.
    pub epoch: u64,
    /// By the server's name in the settings. A server that is not named keeps what its file says.
    pub servers: BTreeMap<String, u32>,
}

/// What a process says about its connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Drawn anew at each start.
    pub process: String,
    /// Of the pooler's program.
    pub version: String,
    /// The language of the settings that it reads.
    #[serde(default = "language::oldest")]
    pub language: u32,
    /// The epoch of the grants in force; 0 without any.
    pub epoch: u64,
    /// By the server's name in the settings.
    pub servers: BTreeMap<String, ServerReport>,
    /// Clients that wait for a connection.
    #[serde(default)]
    pub waiting: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerReport {
    /// Connections that the process may hold.
    pub max: u32,
    /// Connections that it holds, from before their login to the server's end of them, those that TCP
    /// gave up and those that earlier processes of its pod left.
    pub open: u32,
    /// Connections that it would begin with if it were started now.
    pub floor: u32,
    /// The process ids of their backends, as far as these are known.
    #[serde(default)]
    pub backends: Vec<i32>,
    /// What earlier processes of its pod left open there, or TCP gave up, and nobody has seen gone;
    /// nothing of it is in `backends`. `None`: the process does not know, since no journal was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Left>,
    /// Why the last try to connect found no server that takes logins; `None` where it found one, or
    /// there was no try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// What the server said, when it was asked and answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sight: Option<Sight>,
}

/// Connections whose process ended, or whose TCP gave up, before they were seen closed. Empty: all are
/// gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Left {
    /// The process ids of their backends.
    #[serde(default)]
    pub backends: Vec<i32>,
    /// Logins that had not come as far as a process id.
    #[serde(default)]
    pub attempts: u32,
}

/// A server, as it shows itself to somebody with no rights in particular.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sight {
    pub max_connections: u32,
    pub superuser_reserved_connections: u32,
    /// 0 before PostgreSQL 16.
    #[serde(default)]
    pub reserved_connections: u32,
    /// As `server_version_num`: 170004.
    pub version: u32,
    pub in_recovery: bool,
    /// Where it is, by the settings: host:port. Empty where a pooler of an older version looked.
    #[serde(default)]
    pub endpoint: String,
    /// Another one after each start of the server; empty where a pooler of an older version looked.
    #[serde(default)]
    pub instance: String,
    /// The process ids of all backends of databases and users that the settings name.
    pub backends: Vec<i32>,
}
