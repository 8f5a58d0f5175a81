//! Processes of the cluster's nodes, as they are seen from inside: told to stop and to go on,
//! ended, and started again as they were.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::stage::state;
use super::wait::{eventually, seconds};

/// The process in this pod whose command begins with these letters (15 at most).
pub fn of_pod(uid: &str, command: &str) -> Result<u32> {
    let pids =
        fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let text = |pid: u32, file: &str| {
        fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default()
    };
    let mut found = pids.filter(|pid| {
        text(*pid, "comm").starts_with(command) && text(*pid, "cgroup").contains(uid)
    });
    found.next().with_context(|| format!("no process {command} of pod {uid}"))
}

/// Sends a signal by its name, such as STOP.
pub fn signal(pid: u32, name: &str) -> Result<()> {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status()?;
    ensure!(status.success(), "kill -{name} {pid}: {status}");
    Ok(())
}

/// A daemon of the cluster that does not run for a while.
pub struct Ended {
    name: String,
    arguments: Vec<String>,
}

/// Ends it at once, as a machine would that loses its power.
pub async fn end(name: &str) -> Result<Ended> {
    let noted = fs::read_to_string(pid_file(name)?).context("the daemon's pid")?;
    let pid: u32 = noted.split(' ').next().unwrap_or_default().parse()?;
    let command = fs::read_to_string(format!("/proc/{pid}/cmdline"))?;
    let arguments = command.split_terminator('\0').map(str::to_owned).collect();
    signal(pid, "KILL")?;
    eventually(&format!("{name} is gone"), seconds(20), async || {
        Ok((!fs::exists(format!("/proc/{pid}/exe"))?).then_some(()))
    })
    .await?;
    Ok(Ended { name: name.to_owned(), arguments })
}

impl Ended {
    /// Starts it again.
    pub fn is_over(self) {
        drop(self);
    }

    fn start(&self) -> Result<()> {
        let (program, arguments) = self.arguments.split_first().context("no command")?;
        let log = state()?.join("log").join(format!("{}.log", self.name));
        let log = fs::OpenOptions::new().append(true).open(log)?;
        let mut daemon = Command::new(program);
        daemon.args(arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let pid = daemon.process_group(0).spawn()?.id();
        let status = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let (_, fields) = status.rsplit_once(')').context("a process's stat")?;
        let started = fields.split_whitespace().nth(19).context("a process's start")?;
        fs::write(pid_file(&self.name)?, format!("{pid} {started}\n"))?;
        Ok(())
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        if let Err(error) = self.start() {
            eprintln!("{} was not started again: {error:#}", self.name);
        }
    }
}

fn pid_file(daemon: &str) -> Result<PathBuf> {
    Ok(state()?.join("run").join(format!("{daemon}.pid")))
}
