//! Who wrote what to the API server, from its audit log. Reads only what came after a mark.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use super::command::text;
use super::stage::state;

/// A place in the audit log, which holds writes only.
pub struct Mark {
    file: PathBuf,
    place: u64,
}

/// A write: who, and what was done to what.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Write {
    pub user: String,
    /// The pod that the user's token belongs to, if it is a pod's.
    pub pod: String,
    pub what: String,
}

impl Mark {
    /// Everything that comes from now on.
    pub fn now() -> Result<Mark> {
        let file = state()?.join("audit.log");
        let place = std::fs::metadata(&file).context("the audit log")?.len();
        Ok(Mark { file, place })
    }

    /// The writes since then, with their number.
    pub fn since(&self) -> Result<BTreeMap<Write, usize>> {
        let mut file = std::fs::File::open(&self.file)?;
        file.seek(SeekFrom::Start(self.place))?;
        let mut log = String::new();
        file.read_to_string(&mut log)?;
        let mut writes = BTreeMap::new();
        // The last line may be half written.
        for line in log.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            *writes.entry(write(line)?).or_default() += 1;
        }
        Ok(writes)
    }
}

fn write(line: &str) -> Result<Write> {
    let event: Value = serde_json::from_str(line).context("a line of the audit log")?;
    let object = |part: &str| text(&event, &format!("/objectRef/{part}")).to_owned();
    let [resource, sub, namespace, name] =
        ["resource", "subresource", "namespace", "name"].map(object);
    let resource = if sub.is_empty() { resource } else { format!("{resource}/{sub}") };
    let pod = text(&event, "/user/extra/authentication.kubernetes.io~1pod-name/0").to_owned();
    let what = format!("{} {resource} {namespace}/{name}", text(&event, "/verb"));
    Ok(Write { user: text(&event, "/user/username").to_owned(), pod, what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_who_did_what_to_what() {
        let line = r#"{"verb":"patch","user":{"username":"me",
            "extra":{"authentication.kubernetes.io/pod-name":["mine"]}},"objectRef":{"resource":"pods",
            "subresource":"status","namespace":"a","name":"b"}}"#;
        let expected =
            Write { user: "me".into(), pod: "mine".into(), what: "patch pods/status a/b".into() };
        assert_eq!(write(line).unwrap(), expected);
    }
}
