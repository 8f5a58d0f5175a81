//! The pooler's process as its user starts it: arguments, logs, signals and the admin address.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

const POOLER: &str = env!("CARGO_BIN_EXE_poolwright-pooler");
const SECRETS: [&str; 3] = ["hunter2", "hunter3", "hunter4"];

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).expect("a folder for the test");
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let (path, fresh) = (self.0.join(name), self.0.join("fresh"));
        fs::write(&fresh, text).expect("a file");
        fs::rename(&fresh, &path).expect("the file in its place");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn settings(port: u16, admin: u16) -> String {
    format!(
        "listen: {{address: 127.0.0.1, port: {port}}}\n\
         admin: {{address: 127.0.0.1, port: {admin}}}\n\
         servers: [{{name: main, host: 127.0.0.1, maxConnections: 5}}]\n\
         databases: [{{name: cloud_01}}]\nusersFile: users.yaml\ndrain: {{timeout: 1s}}\n"
    )
}

/// Two ports that were free a moment ago.
fn free_ports() -> (u16, u16) {
    let open = || TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let (first, second) = (open(), open());
    let port = |listener: TcpListener| listener.local_addr().expect("its address").port();
    (port(first), port(second))
}

fn check(path: &PathBuf) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } =
        Command::new(POOLER).arg(path).arg("--check").output().expect("the pooler runs");
    (status.code(), String::from_utf8([stdout, stderr].concat()).expect("text"))
}

/// A running pooler and its log.
struct Running {
    child: Child,
    log: BufReader<ChildStderr>,
    admin: u16,
    /// All lines of the log and all answers so far.
    said: String,
    /// Dropped with the rest, which tells the watchdog that all is well.
    _ended: mpsc::Sender<()>,
}

/// Ends the process `id` after a minute, so that a test that waits in vain fails.
fn watch_over(id: u32) -> mpsc::Sender<()> {
    let (ended, wait) = mpsc::channel();
    thread::spawn(move || {
        if wait.recv_timeout(Duration::from_secs(60)) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = Command::new("kill").args(["-s", "KILL", &id.to_string()]).status();
        }
    });
    ended
}

impl Running {
    fn start(path: &PathBuf, admin: u16) -> Self {
        let mut child = Command::new(POOLER)
            .arg(path)
            .env("RUST_LOG", "trace")
            .stderr(Stdio::piped())
            .spawn()
            .expect("the pooler starts");
        let log = BufReader::new(child.stderr.take().expect("its log"));
        let _ended = watch_over(child.id());
        let mut running = Self { child, log, admin, said: String::new(), _ended };
        running.wait_for("admin address is open");
        running
    }

    /// Reads the log up to a line with `words`.
    fn wait_for(&mut self, words: &str) {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            let read = self.log.read_line(&mut line).expect("a line of text");
            assert_ne!(read, 0, "the log ended without {words:?}:\n{}", self.said);
            self.said.push_str(&line);
        }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().expect("kill runs");
        assert!(sent.success());
    }

    fn get(&mut self, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.admin)).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer in text");
        self.said.push_str(&answer);
        answer
    }

    fn end(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().expect("it ends");
        self.log.read_to_string(&mut self.said).expect("the rest of the log");
        (status.code(), std::mem::take(&mut self.said))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn check_says_what_is_wrong_and_fails() {
    let folder = Folder::new("check");
    let path = folder.write("settings.yaml", &settings(1, 2));
    folder.write("users.yaml", "users: [{name: ws_001, password: hunter2}]");
    let (code, text) = check(&path);
    assert!(code == Some(0) && text.contains("settings.yaml: no problem found\n"), "{text}");
    folder.write("settings.yaml", &settings(1, 2).replace("1s", "1"));
    let (code, text) = check(&path);
    assert_eq!(code, Some(1));
    assert!(text.contains("drain.timeout: found 1, expected a duration with unit"), "{text}");
    let (code, text) = check(&folder.0.join("absent.yaml"));
    assert!(code == Some(1) && text.contains("cannot be read"), "{text}");
}

#[test]
fn a_taken_admin_address_is_named() {
    let folder = Folder::new("taken");
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = taken.local_addr().expect("its address").port();
    let path = folder.write("settings.yaml", &settings(1, port));
    folder.write("users.yaml", "users: []");
    let output = Command::new(POOLER).arg(path).output().expect("the pooler runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains(&format!("listen on the admin address 127.0.0.1:{port}")), "{text}");
}

#[test]
fn a_process_follows_its_files_and_signals_and_tells_no_secret() {
    let folder = Folder::new("follow");
    let (port, admin) = free_ports();
    let path = folder.write("settings.yaml", &settings(port, admin));
    folder.write("users.yaml", "users: [{name: ws_001, password: hunter2}]");
    let mut running = Running::start(&path, admin);
    running.wait_for("clients are let in");
    assert!(running.get("/healthz").starts_with("HTTP/1.1 200 "));
    assert!(running.get("/readyz").starts_with("HTTP/1.1 200 "));

    folder.write("users.yaml", "users: [{name: ws_001, password: hunter3}]");
    running.wait_for("changed settings are taken over");
    folder.write("users.yaml", "users: [{name: ws_001, passwort: hunter4, password: 5}]");
    running.wait_for("usersFile:users[0].passwort: found an unknown field");
    running.wait_for("usersFile:users[0].password: found a number");
    running.signal("HUP");
    let moved = settings(port, admin % 65_535 + 1);
    folder.write("users.yaml", "users: [{name: ws_001, password: hunter4}]");
    folder.write("settings.yaml", &format!("{moved}generation: 9\n"));
    running.wait_for("these settings differ and wait for the next start");
    let metrics = running.get("/metrics");
    assert!(metrics.contains("\npoolwright_settings_generation 9\n"), "{metrics}");

    running.signal("TERM");
    running.wait_for("draining");
    let (code, said) = running.end();
    assert_eq!(code, Some(0), "{said}");
    let refusals = said.matches("passwort: found an unknown field").count();
    assert_eq!(refusals, 1, "{said}");
    for secret in SECRETS {
        assert!(!said.contains(secret), "{said}");
    }
}
