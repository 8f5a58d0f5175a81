//! Child processes that end with us, whichever way we end.
//! Never ends a process by name, and never one that it did not start.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};

/// A running child, ended by its id when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    ending: &'static str,
}

impl Process {
    /// Starts `command`; `ending` is the signal (a name as `kill` takes it) that asks it to end.
    pub fn spawn(command: Command, ending: &'static str) -> io::Result<Process> {
        let child = spawn_from_the_lasting_thread(command)?;
        Ok(Process { child, ending })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name, such as `HUP`.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let _ = Command::new("kill").args(["-s", name, &id]).stderr(Stdio::null()).status();
    }

    /// The exit status if it has ended.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits at most `limit` for the end.
    pub fn wait(&mut self, limit: Duration) -> Option<std::process::ExitStatus> {
        let until = Instant::now() + limit;
        while Instant::now() < until {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.ended()
    }

    /// Asks it to end, waits ten seconds, then kills it.
    pub fn end(&mut self) {
        if self.ended().is_some() {
            return;
        }
        self.signal(self.ending);
        if self.wait(Duration::from_secs(10)).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    /// Kills it at once, as a node that vanishes would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Wraps `program` so that it receives `signal` when this process ends, and runs as `user` if
/// one is named.
pub fn bound_to_us(program: &Path, signal: &str, user: Option<&str>) -> Command {
    let mut command = Command::new("setpriv");
    command.arg("--pdeathsig").arg(signal);
    if let Some(user) = user {
        command.args(["--reuid", user, "--regid", user, "--init-groups"]);
    }
    command.arg(program);
    command
}

/// Whether we are root, and so have to give PostgreSQL another user.
pub fn are_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    uid.and_then(|ids| ids.split_whitespace().nth(1)) == Some("0")
}

/// The peak of the resident memory of a process, in KiB, from the kernel's VmHWM.
pub fn peak_memory_kib(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// A new folder of ours under the temporary one. Folders of processes that are gone are removed
/// first, since a killed test cannot clean up after itself.
pub fn scratch(what: &str) -> io::Result<PathBuf> {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    static SWEPT: std::sync::Once = std::sync::Once::new();
    let root = scratch_root()?;
    SWEPT.call_once(|| sweep(&root));
    let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let folder = root.join(format!("{}-{what}-{number}", std::process::id()));
    std::fs::create_dir(&folder)?;
    Ok(folder)
}

/// Where all scratch folders and the cached template live.
pub fn scratch_root() -> io::Result<PathBuf> {
    let root = std::env::temp_dir().join("poolwright-tests");
    std::fs::create_dir_all(&root)?;
    Ok(root)
}

fn sweep(root: &Path) {
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.split('-').next().and_then(|id| id.parse::<u32>().ok());
        if owner.is_some_and(|id| !Path::new(&format!("/proc/{id}")).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// The kernel sends the parent-death signal when the *thread* that forked ends, and a test's
/// thread ends with its test; so one thread that never ends starts them all.
fn spawn_from_the_lasting_thread(command: Command) -> io::Result<Child> {
    static ORDERS: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (send, receive) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in receive {
                let _ = answer.send(command.spawn());
            }
        });
        send
    });
    let (send, receive) = mpsc::channel();
    let gone = || io::Error::other("the thread that starts processes is gone");
    orders.send((command, send)).map_err(|_| gone())?;
    receive.recv().map_err(|_| gone())?
}
