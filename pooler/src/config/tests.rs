//! Loading from a real folder.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Attempt, Config, Pushed, load};

pub const SETTINGS: &str = "
servers: [{name: main, host: pg.example, maxConnections: 50}]
databases: [{name: cloud_01}]
usersFile: credentials/users.yaml
";
pub const USERS: &str = "users: [{name: ws_001, password: hunter2}]\n";

/// A folder of its own, removed at the end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("poolwright-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a folder for the test");
        Self(path)
    }

    /// With a valid settings file and its users file.
    pub fn with_settings() -> Self {
        let folder = Self::new();
        folder.write("settings.yaml", SETTINGS);
        folder.write("credentials/users.yaml", USERS);
        folder
    }

    /// Replaces the file by another, as editors and the kubelet do.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let (path, fresh) = (self.0.join(name), self.0.join("fresh"));
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("its folder");
        fs::write(&fresh, content).expect("a file");
        fs::rename(&fresh, &path).expect("the file in its place");
    }

    pub fn settings(&self) -> PathBuf {
        self.0.join("settings.yaml")
    }

    /// Points `name` at `target`, in one step.
    pub fn link(&self, target: &str, name: &str) {
        let fresh = self.0.join("fresh-link");
        symlink(target, &fresh).expect("a symlink");
        fs::rename(&fresh, self.0.join(name)).expect("the symlink in its place");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[track_caller]
fn loaded(folder: &Folder) -> Config {
    load(&folder.settings(), &Pushed::default())
        .result
        .unwrap_or_else(|problems| panic!("{problems}"))
}

#[track_caller]
fn refused(folder: &Folder) -> String {
    match load(&folder.settings(), &Pushed::default()).result {
        Ok(_) => panic!("the files were taken"),
        Err(problems) => problems.to_string(),
    }
}

fn self_signed() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["pooler.example".to_owned()]);
    let made = made.expect("a certificate");
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn with_tls(folder: &Folder, certificate: &str, key: &str) {
    let tls = "listen: {tls: {mode: allow, certFile: tls/tls.crt, keyFile: tls/tls.key}}\n";
    folder.write("settings.yaml", format!("{tls}{SETTINGS}"));
    folder.write("tls/tls.crt", certificate);
    folder.write("tls/tls.key", key);
}

#[test]
fn the_users_file_is_found_beside_the_settings_file() {
    let config = loaded(&Folder::with_settings());
    assert_eq!(config.users.keys().collect::<Vec<_>>(), ["ws_001"]);
    assert_eq!(config.server_tls.len(), 1);
}

#[test]
fn a_file_that_is_missing_is_named_with_its_setting() {
    let folder = Folder::new();
    let told = refused(&folder);
    assert!(told.starts_with("(settings file): found \"") && told.contains("cannot be read"));
    folder.write("settings.yaml", SETTINGS);
    let told = refused(&folder);
    assert!(told.starts_with("usersFile: found ") && told.lines().count() == 1, "{told}");
    assert!(told.contains("credentials/users.yaml"), "{told}");
}

#[test]
fn problems_of_both_files_are_told_together() {
    let folder = Folder::with_settings();
    folder.write("settings.yaml", format!("maxClients: 0\n{SETTINGS}"));
    folder.write("credentials/users.yaml", "users: [{name: ws_001}]");
    let told = refused(&folder);
    assert!(told.starts_with("maxClients: ") && told.contains("\nusersFile:users[0]: "), "{told}");
}

#[test]
fn bytes_that_are_no_text_are_a_problem() {
    let folder = Folder::with_settings();
    folder.write("credentials/users.yaml", [0xff, 0xfe, 0x00]);
    assert!(refused(&folder).starts_with("usersFile: found bytes that are not UTF-8"));
}

#[test]
fn a_certificate_is_taken_with_its_own_key_only() {
    let folder = Folder::with_settings();
    let ((certificate, key), (other, _)) = (self_signed(), self_signed());
    with_tls(&folder, &certificate, &key);
    let first = loaded(&folder);
    assert!(first.client_tls.terms().is_some());
    assert!(first.has_certificates_of(&loaded(&folder)));
    with_tls(&folder, &other, &key);
    assert!(refused(&folder).starts_with("listen.tls: found certFile and keyFile: "));
    with_tls(&folder, "no certificate", &key);
    assert!(refused(&folder).starts_with("listen.tls: found certFile: "));
    fs::remove_file(folder.0.join("tls/tls.key")).expect("the key was there");
    let told = refused(&folder);
    assert!(told.starts_with("listen.tls.keyFile: found ") && told.lines().count() == 1, "{told}");
}

#[test]
fn authorities_that_cannot_be_used_name_their_server() {
    let folder = Folder::with_settings();
    let tls = "host: pg.example, tls: {mode: verify-full, caFile: ca.crt}";
    folder.write("settings.yaml", SETTINGS.replace("host: pg.example", tls));
    folder.write("ca.crt", "nothing");
    assert!(refused(&folder).starts_with("servers[0].tls: found caFile: "));
    folder.write("ca.crt", self_signed().0);
    loaded(&folder);
}

#[test]
fn a_file_replaced_written_removed_or_reached_over_a_new_link_is_stale() {
    let folder = Folder::with_settings();
    let changes: [&dyn Fn(); 4] = [
        &|| folder.write("settings.yaml", SETTINGS),
        &|| folder.write("credentials/users.yaml", USERS),
        &|| fs::write(folder.settings(), format!("{SETTINGS}\n")).expect("written"),
        &|| fs::remove_file(folder.0.join("credentials/users.yaml")).expect("it was there"),
    ];
    for change in changes {
        let (_, seen) = load(&folder.settings(), &Pushed::default()).into_parts();
        assert!(!Attempt::is_stale(&seen));
        change();
        assert!(Attempt::is_stale(&seen));
    }
}

#[test]
fn the_links_of_a_mounted_volume_are_followed() {
    let folder = Folder::new();
    folder.write("..first/settings.yaml", SETTINGS);
    folder.write("..second/settings.yaml", SETTINGS);
    folder.write("credentials/users.yaml", USERS);
    folder.link("..first", "..data");
    folder.link("..data/settings.yaml", "settings.yaml");
    let (result, seen) = load(&folder.settings(), &Pushed::default()).into_parts();
    assert!(result.is_ok() && !Attempt::is_stale(&seen));
    folder.link("..second", "..data");
    assert!(Attempt::is_stale(&seen));
}
