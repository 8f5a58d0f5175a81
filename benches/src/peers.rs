//! Where the poolers of others are: named by an environment variable, else Debian's in the folder
//! that `benches/peers.sh` fills. Never uses what happens to be installed on this machine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use poolwright_tests::process;

/// Where a dynamic loader lies in Debian's folder, for each machine that we know.
const LOADERS: [&str; 2] = ["usr/lib64/ld-linux-x86-64.so.2", "usr/lib/ld-linux-aarch64.so.1"];

/// A program and how it is started.
#[derive(Clone, Debug)]
pub struct Program {
    before: Vec<OsString>,
    path: PathBuf,
}

impl Program {
    /// The program that `variable` names, else the one at this path in Debian's folder.
    pub fn find(variable: &str, in_debian: &str) -> Option<Program> {
        match std::env::var_os(variable) {
            Some(path) => Some(Program { before: Vec::new(), path: path.into() }),
            None => from_debian(&cache()?.join("peers"), in_debian),
        }
    }

    /// Another program of the same package.
    pub fn beside(&self, name: &str) -> Program {
        Program { before: self.before.clone(), path: self.path.with_file_name(name) }
    }

    /// A call that ends with us, as a user that poolers are willing to be.
    pub fn command(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if process::are_root() {
            command.args(["--reuid", "postgres", "--regid", "postgres", "--init-groups"]);
            // The folder may lie in root's home, which that user cannot enter.
            command.args(["--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"]);
        }
        command.args(&self.before).arg(&self.path);
        command
    }

    /// The first number with a dot in what `--version` prints.
    pub fn version(&self) -> Option<String> {
        let output = self.command().arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let dotted = |word: &&str| {
            word.contains('.')
                && word.chars().all(|letter| letter.is_ascii_digit() || letter == '.')
        };
        text.split_whitespace().find(dotted).map(str::to_owned)
    }
}

fn from_debian(folder: &Path, path: &str) -> Option<Program> {
    let path = folder.join(path);
    let loader = LOADERS.iter().map(|loader| folder.join(loader)).find(|file| file.exists())?;
    let libraries = folder.join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH));
    let before = [loader.into_os_string(), "--library-path".into(), libraries.into_os_string()];
    path.exists().then(|| Program { before: before.into(), path })
}

fn cache() -> Option<PathBuf> {
    let named = std::env::var_os("POOLWRIGHT_CACHE").map(PathBuf::from);
    named.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache/poolwright")))
}
