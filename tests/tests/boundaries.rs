//! Who may use whom: the table of crates in ARCHITECTURE.md, kept by a machine.
//! Reads `cargo metadata` and source files; never the network.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// One crate, the crates of this workspace that it may use, and the outside ones that it may not.
struct Row {
    name: &'static str,
    may_use: &'static [&'static str],
    never: &'static [&'static str],
}

/// What touches the world.
const WORLD: &[&str] = &[
    "axum",
    "hyper",
    "k8s-openapi",
    "kube",
    "mio",
    "rustls",
    "socket2",
    "tokio",
    "tokio-rustls",
    "tracing-subscriber",
];
const KUBERNETES: &[&str] = &["k8s-openapi", "kube", "kube-lease-manager"];

const TABLE: &[Row] = &[
    Row { name: "budget", may_use: &[], never: WORLD },
    Row { name: "wire", may_use: &[], never: WORLD },
    Row { name: "session", may_use: &["wire"], never: WORLD },
    Row { name: "pool", may_use: &[], never: WORLD },
    Row { name: "settings", may_use: &["budget"], never: WORLD },
    Row { name: "crds", may_use: &[], never: &["axum", "hyper", "tokio"] },
    Row { name: "operator", may_use: &["crds", "settings", "budget"], never: &[] },
    Row {
        name: "pooler",
        may_use: &["settings", "budget", "wire", "session", "pool"],
        never: KUBERNETES,
    },
];

/// What a pure crate never says in its code. `core/clippy.toml` says the same to the compiler.
const NEVER_SAID: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "ToSocketAddrs",
    "std::fs",
    "std::thread",
    "std::process",
    "tokio::",
    "SystemRandom",
];

fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().expect("the tests lie in the workspace").to_owned()
}

/// For each package of the workspace, the names of its ordinary dependencies.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    packages.iter().map(|package| (text(&package["name"]), ordinary(package))).collect()
}

fn ordinary(package: &Value) -> BTreeSet<String> {
    let all = package["dependencies"].as_array().expect("a list of dependencies");
    // Development dependencies have the kind "dev"; ordinary ones have none.
    let ordinary = all.iter().filter(|dependency| dependency["kind"].is_null());
    ordinary.map(|dependency| text(&dependency["name"])).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn package(name: &str) -> String {
    format!("poolwright-{name}")
}

#[test]
fn every_crate_uses_only_what_the_table_allows() {
    let dependencies = dependencies();
    let mut breaches = Vec::new();
    for Row { name, may_use, never } in TABLE {
        let used = &dependencies[&package(name)];
        let allowed: BTreeSet<_> = may_use.iter().map(|name| package(name)).collect();
        let ours = used.iter().filter(|used| used.starts_with("poolwright-"));
        breaches.extend(
            ours.filter(|used| !allowed.contains(*used)).map(|used| format!("{name} uses {used}")),
        );
        let banned = used.iter().filter(|used| never.contains(&used.as_str()));
        breaches.extend(banned.map(|used| format!("{name} uses {used}")));
    }
    assert_eq!(breaches, Vec::<String>::new());
}

#[test]
fn every_crate_of_the_workspace_stands_in_the_table() {
    let known: BTreeSet<_> = TABLE.iter().map(|row| package(row.name)).collect();
    let around = ["tests", "random", "simulation", "fuzz-bodies", "benches"].map(package);
    let unknown: Vec<_> = dependencies().into_keys().filter(|name| !known.contains(name)).collect();
    assert!(unknown.iter().all(|name| around.contains(name)), "not in the table: {unknown:?}");
}

#[test]
fn the_pure_crates_never_name_the_world() {
    let mut said = Vec::new();
    for name in ["budget", "wire", "session", "pool", "settings"] {
        for file in sources(&root().join("core").join(name).join("src")) {
            let code = std::fs::read_to_string(&file).expect("a source file is readable");
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            let lines = lines.filter(|line| NEVER_SAID.iter().any(|word| line.contains(word)));
            said.extend(lines.map(|line| format!("{}: {}", file.display(), line.trim())));
        }
    }
    assert_eq!(said, Vec::<String>::new());
}

#[test]
fn every_source_file_opens_with_what_it_is_for() {
    let rooms = ["core", "crds", "operator", "pooler", "tests", "benches"];
    let files = rooms.iter().flat_map(|room| sources(&root().join(room)));
    let silent: Vec<_> = files
        .filter(|file| {
            let code = std::fs::read_to_string(file).expect("a source file is readable");
            !code.starts_with("//!")
        })
        .map(|file| file.display().to_string())
        .collect();
    assert_eq!(silent, Vec::<String>::new(), "these files do not open with //!");
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let skipped = ["target", "cluster", "results"].iter().any(|name| path.ends_with(name));
        if path.is_dir() && !skipped {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}
