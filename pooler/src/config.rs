//! Loads what a pooler is told: the settings file, its users file, and the certificates they name,
//! or what was pushed in their place.
//! Never gives a part of it: all of it is right, or every problem is returned.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Deref;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use poolwright_settings::control::{Push, Totals};
use poolwright_settings::{Fingerprint, Problem, Problems, Settings, parse, users_file};

use crate::peers::{PEERS, number_of_host};
use crate::tls::{ClientTls, ControlTls, ServerTls, TlsError};

/// Settings that were checked as a whole, with the TLS that they ask for.
pub struct Config {
    pub settings: Settings,
    pub client_tls: ClientTls,
    /// One for each of [`Settings::servers`], in that order.
    pub server_tls: Vec<ServerTls>,
    pub control_tls: Option<ControlTls>,
    /// Its own id among its peers, where it has any.
    pub own_id: Option<u32>,
    /// What all poolers together may hold, where that was pushed.
    pub totals: Totals,
    /// The certificates' files as they were read; a renewed certificate makes a new config.
    pem: Vec<Vec<u8>>,
}

impl Deref for Config {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        &self.settings
    }
}

impl Config {
    /// Settings without files.
    #[cfg(test)]
    pub fn in_memory(settings: Settings, client_tls: ClientTls) -> Config {
        let (server_tls, pem) = (Vec::new(), Vec::new());
        let totals = Totals::default();
        let own_id = settings.peer_id;
        Config { settings, client_tls, server_tls, control_tls: None, own_id, totals, pem }
    }

    /// Whether both were read from the same certificates.
    pub fn has_certificates_of(&self, other: &Self) -> bool {
        self.pem == other.pem
    }
}

/// One look at the files.
pub struct Attempt {
    pub result: Result<Config, Problems>,
    /// The files looked at, as they were just before they were read.
    seen: Vec<(PathBuf, Option<Stamp>)>,
}

impl Attempt {
    /// Whether one of the files has been replaced or written since. Blocks on the file system.
    pub fn is_stale(seen: &Seen) -> bool {
        seen.0.iter().any(|(path, stamp)| Stamp::of(path) != *stamp)
    }

    pub fn into_parts(self) -> (Result<Config, Problems>, Seen) {
        (self.result, Seen(self.seen))
    }
}

/// Which files an attempt looked at, and how they were then.
#[derive(Clone)]
pub struct Seen(Vec<(PathBuf, Option<Stamp>)>);

/// What changes when a file is written, replaced, or reached over another symlink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// None where there is no such file.
    fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        Some(Self {
            inode: (file.dev(), file.ino()),
            length: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }
}

/// What was pushed.
#[derive(Clone, Default)]
pub struct Pushed {
    /// Texts that stand in for files, by path.
    texts: BTreeMap<PathBuf, Vec<u8>>,
    totals: Totals,
    /// `None`: nothing was.
    pub hash: Option<Fingerprint>,
}

impl Pushed {
    /// What was pushed in place of the settings file at `path` and of those that it names.
    pub fn new(push: Push, path: &Path) -> Pushed {
        let hash = Some(Fingerprint::of(&push));
        let base = path.parent().unwrap_or(Path::new(""));
        let named = push.files.into_iter().map(|(name, text)| (base.join(name), text.into_bytes()));
        let settings = (path.to_path_buf(), push.settings.into_bytes());
        Pushed { texts: named.chain([settings]).collect(), totals: push.totals, hash }
    }
}

/// Reads and checks everything that `path` names, or what was pushed instead. Blocks on the file
/// system.
pub fn load(path: &Path, pushed: &Pushed) -> Attempt {
    let mut reader = Reader::new(path, pushed);
    let result = reader.load(path);
    Attempt { result, seen: reader.seen }
}

/// Reads files relative to the settings file, keeping what it has seen and what was wrong.
struct Reader<'a> {
    base: PathBuf,
    pushed: &'a Pushed,
    seen: Vec<(PathBuf, Option<Stamp>)>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    fn new(settings: &Path, pushed: &'a Pushed) -> Self {
        let base = settings.parent().map(Path::to_path_buf).unwrap_or_default();
        Self { base, pushed, seen: Vec::new(), problems: Vec::new() }
    }

    fn load(&mut self, path: &Path) -> Result<Config, Problems> {
        let text = self.text("(settings file)", path);
        let settings = text.and_then(|text| self.settings(&text));
        let config = settings.map(|settings| self.config(settings));
        match config {
            Some(config) if self.problems.is_empty() => Ok(config),
            _ => Err(Problems(std::mem::take(&mut self.problems))),
        }
    }

    fn settings(&mut self, text: &str) -> Option<Settings> {
        let users = users_file(text).map(|name| {
            let path = self.base.join(name);
            self.text("usersFile", &path).unwrap_or_default()
        });
        let parsed = parse(text, users.as_deref());
        parsed.map_err(|problems| self.problems.extend(problems.0)).ok()
    }

    fn config(&mut self, settings: Settings) -> Config {
        let mut pem = Vec::new();
        let listen = &settings.listen.tls;
        let certificate = self.pem("listen.tls.certFile", listen.cert_file.as_ref(), &mut pem);
        let key = self.pem("listen.tls.keyFile", listen.key_file.as_ref(), &mut pem);
        let authorities = self.pem("listen.tls.caFile", listen.ca_file.as_ref(), &mut pem);
        let client_tls = ClientTls::new(listen.mode, &certificate, &key, &authorities);
        let client_tls = client_tls.unwrap_or_else(|error| {
            self.refuse("listen.tls", &error.to_string());
            ClientTls::Disabled
        });
        let mut server_tls = Vec::new();
        for (index, server) in settings.servers.iter().enumerate() {
            let place = format!("servers[{index}].tls");
            match self.server_tls(&place, &server.tls, &mut pem) {
                Ok(tls) => server_tls.push(tls),
                Err(error) => self.refuse(&place, &error.to_string()),
            }
        }
        let control_tls = self.control(&settings, &mut pem);
        let totals = self.pushed.totals.clone();
        let own_id = self.own_id(&settings);
        Config { settings, client_tls, server_tls, control_tls, own_id, totals, pem }
    }

    fn own_id(&mut self, settings: &Settings) -> Option<u32> {
        if settings.peers.is_empty() {
            return None;
        }
        let own = settings.peer_id.or_else(number_of_host).filter(|id| *id < PEERS);
        if own.is_none() {
            let expected = "this pooler's id, as the host's name ends with no number below 1024";
            self.problems.push(Problem::new("peerId", "nothing", expected, "add it"));
        }
        own
    }

    fn server_tls(
        &mut self,
        place: &str,
        settings: &poolwright_settings::ServerTls,
        pem: &mut Vec<Vec<u8>>,
    ) -> Result<ServerTls, TlsError> {
        let mut read = |name: &str, file: &Option<String>| {
            file.as_ref().map(|_| self.pem(&format!("{place}.{name}"), file.as_ref(), pem))
        };
        let authorities = read("caFile", &settings.ca_file);
        let certificate = read("certFile", &settings.cert_file);
        let key = read("keyFile", &settings.key_file);
        let own = certificate.as_deref().zip(key.as_deref());
        ServerTls::new(settings.mode, authorities.as_deref(), own)
    }

    fn control(&mut self, settings: &Settings, pem: &mut Vec<Vec<u8>>) -> Option<ControlTls> {
        let control = settings.control.as_ref()?;
        let certificate = self.pem("control.certFile", Some(&control.cert_file), pem);
        let key = self.pem("control.keyFile", Some(&control.key_file), pem);
        let authorities = self.pem("control.caFile", Some(&control.ca_file), pem);
        let tls = ControlTls::new(&certificate, &key, &authorities);
        tls.map_err(|error| self.refuse("control", &error.to_string())).ok()
    }

    /// The file's bytes, also kept in `all`; empty where no file is named or it cannot be read.
    fn pem(&mut self, place: &str, file: Option<&String>, all: &mut Vec<Vec<u8>>) -> Vec<u8> {
        let Some(file) = file else { return Vec::new() };
        let path = self.base.join(file);
        let bytes = self.bytes(place, &path).unwrap_or_default();
        all.push(bytes.clone());
        bytes
    }

    fn text(&mut self, place: &str, path: &Path) -> Option<String> {
        let bytes = self.bytes(place, path)?;
        let text = String::from_utf8(bytes);
        text.map_err(|_| self.refuse(place, "bytes that are not UTF-8")).ok()
    }

    fn bytes(&mut self, place: &str, path: &Path) -> Option<Vec<u8>> {
        self.seen.push((path.to_path_buf(), Stamp::of(path)));
        if let Some(bytes) = self.pushed.texts.get(path) {
            return Some(bytes.clone());
        }
        fs::read(path).map_err(|error| self.unreadable(place, path, &error)).ok()
    }

    fn unreadable(&mut self, place: &str, path: &Path, error: &io::Error) {
        let found = format!("{path:?}, which cannot be read ({error})");
        let remedy = "correct the path, or the file's permissions";
        self.problems.push(Problem::new(place, found, "a file that can be read", remedy));
    }

    /// Adds a problem with a file's content, unless the file could not be read at all.
    fn refuse(&mut self, place: &str, found: &str) {
        if !self.problems.iter().any(|problem| problem.path.starts_with(place)) {
            let remedy = "put the right content into the file";
            self.problems.push(Problem::new(place, found, "a file that can be used", remedy));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
