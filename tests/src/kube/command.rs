//! kubectl and helm as commands, each with a limit of time.
//! Never retries: who expects a change waits for it by name (`wait`).

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// The longest that any command may take.
const LIMIT: Duration = Duration::from_secs(150);

/// Runs a program with this input; its standard output, or all it said if it failed.
pub async fn run(program: &str, arguments: &[&str], input: &str) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let told = || format!("{program} {}", arguments.join(" "));
    let mut child = command.spawn().with_context(told)?;
    let mut stdin = child.stdin.take().context("a child without an input")?;
    let run = async {
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(LIMIT, run).await.with_context(told)??;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{}: {}{said}", told(), String::from_utf8_lossy(&output.stderr));
    }
    Ok(said)
}

/// One namespace, and kubectl in it.
#[derive(Clone, Debug)]
pub struct Namespace(pub String);

impl Namespace {
    /// `arguments` are split at spaces.
    pub async fn kubectl(&self, arguments: &str) -> Result<String> {
        self.run(&arguments.split_whitespace().collect::<Vec<_>>(), "").await
    }

    pub async fn run(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut all = vec!["--request-timeout", "30s", "--namespace", &self.0];
        all.extend_from_slice(arguments);
        run("kubectl", &all, input).await
    }

    pub async fn apply(&self, manifest: &Value) -> Result<String> {
        self.run(&["apply", "--filename", "-"], &manifest.to_string()).await
    }

    /// What the API server would say to this manifest; an error if it would refuse it.
    pub async fn would_apply(&self, manifest: &Value) -> Result<String> {
        let arguments = ["apply", "--dry-run=server", "--filename", "-"];
        self.run(&arguments, &manifest.to_string()).await
    }

    /// Changes `what` (such as `poolercluster/a`) by a merge patch.
    pub async fn patch(&self, what: &str, changes: &Value) -> Result<String> {
        let changes = changes.to_string();
        self.run(&["patch", what, "--type", "merge", "--patch", &changes], "").await
    }

    /// `kubectl get WHAT`, parsed.
    pub async fn get(&self, what: &str) -> Result<Value> {
        let text = self.kubectl(&format!("get {what} --output json")).await?;
        serde_json::from_str(&text).with_context(|| format!("what kubectl said of {what}"))
    }

    /// The objects of a list, such as `pods --selector a=b`.
    pub async fn list(&self, what: &str) -> Result<Vec<Value>> {
        let list = self.get(what).await?;
        list["items"].as_array().cloned().with_context(|| format!("{what} is no list"))
    }
}

/// The text at a JSON pointer; empty where there is none.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The number at a JSON pointer; 0 where there is none, as the API leaves it out.
pub fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}
