//! A network of its own, joined to this machine's by a link that can be cut: then no packet comes through,
//! and no kernel acknowledges any, as a forwarder's would (`blackhole`). It is held by a process that ends
//! with us, so nothing of it stays, whichever way we end.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::process::{self, Process};

/// The far end of the link.
const FAR_LINK: &str = "far0";
/// Set aside for tests of networks (RFC 2544); each link has 4 addresses of these.
const FIRST: u32 = u32::from_be_bytes([198, 18, 0, 0]);
const LINKS: u32 = 1 << 15;

/// One network, with one address.
#[derive(Debug)]
pub struct Network {
    holder: Process,
    ends: Ends,
}

/// The link's name on this side, and both its addresses.
#[derive(Debug)]
struct Ends {
    link: String,
    near: String,
    far: String,
}

impl Ends {
    fn unique() -> Ends {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let first = FIRST + 4 * (process.wrapping_add(count) % LINKS);
        let [near, far] = [1, 2].map(|place| Ipv4Addr::from(first + place).to_string());
        Ends { link: format!("pw{process}-{count}"), near, far }
    }
}

impl Network {
    /// Makes one.
    ///
    /// # Errors
    /// The machine does not let us: the reason.
    ///
    /// # Panics
    /// It lets us, and the rest fails.
    pub fn make() -> Result<Network> {
        ensure!(process::are_root(), "only root may make a network");
        let mut command = process::bound_to_us(Path::new("unshare"), "KILL", None);
        command.args(["--net", "sleep", "infinity"]).stdin(Stdio::null());
        let holder = Process::spawn(command, "KILL").context("start unshare, of util-linux")?;
        let mut network = Network { holder, ends: Ends::unique() };
        network.wait_until_apart()?;
        network.link()?;
        network.raise().unwrap_or_else(|error| panic!("{error:#}"));
        Ok(network)
    }

    /// Its address.
    pub fn host(&self) -> &str {
        &self.ends.far
    }

    /// Loses all packets from now on, both ways, and tells nobody: each end sends to a station that is
    /// not there. Packets pass again when what is returned is dropped.
    ///
    /// # Errors
    /// The system refuses.
    pub fn cut(&self) -> Result<Cut<'_>> {
        let Ends { link, near, far } = &self.ends;
        let cut = Cut(self);
        succeed(&mut ip(&nobody_is(far, link)))?;
        self.far(&nobody_is(near, FAR_LINK))?;
        Ok(cut)
    }

    fn mend(&self) -> Result<()> {
        let Ends { link, near, far } = &self.ends;
        succeed(&mut ip(&["neighbor", "delete", far, "dev", link]))?;
        self.far(&["neighbor", "delete", near, "dev", FAR_LINK])
    }

    /// The same command, run there.
    pub fn inside(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--net={}", self.path())).arg("--");
        inside.arg(command.get_program()).args(command.get_args());
        inside
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.holder.id())
    }

    fn wait_until_apart(&mut self) -> Result<()> {
        let ours = std::fs::read_link("/proc/self/ns/net")?;
        while std::fs::read_link(self.path()).is_ok_and(|theirs| theirs == ours) {
            let ended = self.holder.wait(Duration::from_millis(5));
            ensure!(ended.is_none(), "the system refuses a network namespace");
        }
        Ok(())
    }

    fn link(&self) -> Result<()> {
        let holder = self.holder.id().to_string();
        let far = ["name", FAR_LINK, "netns", &holder];
        let link = ["link", "add", &self.ends.link, "type", "veth", "peer"];
        succeed(&mut ip(&[&link[..], &far].concat()))
    }

    fn raise(&self) -> Result<()> {
        let Ends { link, near, far } = &self.ends;
        succeed(&mut ip(&["address", "add", &format!("{near}/30"), "dev", link]))?;
        succeed(&mut ip(&["link", "set", "dev", link, "up"]))?;
        self.far(&["address", "add", &format!("{far}/30"), "dev", FAR_LINK])?;
        self.far(&["link", "set", "dev", FAR_LINK, "up"])?;
        self.far(&["link", "set", "dev", "lo", "up"])
    }

    fn far(&self, arguments: &[&str]) -> Result<()> {
        succeed(&mut self.inside(&ip(arguments)))
    }
}

/// A link that loses all packets.
#[must_use]
pub struct Cut<'a>(&'a Network);

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        let _ = self.0.mend();
    }
}

impl Drop for Network {
    /// The kernel would remove the link itself, when the last socket there has ended.
    fn drop(&mut self) {
        let _ = succeed(&mut ip(&["link", "delete", "dev", &self.ends.link]));
    }
}

/// What has the neighbor at this address taken for a station that does not exist.
fn nobody_is<'a>(address: &'a str, link: &'a str) -> [&'a str; 9] {
    let nobody = "02:00:00:00:00:01";
    ["neighbor", "replace", address, "lladdr", nobody, "dev", link, "nud", "permanent"]
}

fn ip(arguments: &[&str]) -> Command {
    let mut command = Command::new("ip");
    command.args(arguments);
    command
}

fn succeed(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().context("run ip, of iproute2")?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
