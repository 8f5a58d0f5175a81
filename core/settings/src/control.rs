//! What the operator and a pooler say to each other: HTTP over mutual TLS, bodies in JSON. Both ends
//! ignore fields that they do not know, so that they may be of different minor versions.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The path that takes a [`Push`] by PUT and gives an [`Answer`].
pub const SETTINGS: &str = "/v1/settings";
/// What the operator is called in the certificate that it shows; a pooler lets nobody else in.
pub const OPERATOR: &str = "operator.poolwright.dev";
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
