//! What a change of settings touches.

use poolwright_settings::{Settings, diff, parse};

const FILE: &str = "
listen: {port: 6432}
servers: [{name: main, host: pg.example, maxConnections: 50}]
databases: [{name: cloud_01}, {name: cloud_02}]
users: [{name: ws_001, password: hunter2}]
";

fn settings(text: &str) -> Settings {
    parse(text, None).expect("the file is right")
}

#[track_caller]
fn check(from: &str, to: &str, live: &[&str], restart: &[&str]) {
    let changes = diff(&settings(FILE), &settings(&FILE.replace(from, to)));
    assert_eq!((changes.live, changes.restart), (owned(live), owned(restart)), "{from} → {to}");
}

fn owned(paths: &[&str]) -> Vec<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

#[test]
fn equal_settings_have_no_changes() {
    assert!(diff(&settings(FILE), &settings(FILE)).is_empty());
    check("{port: 6432}", "{address: 0.0.0.0}", &[], &[]);
}

#[test]
fn the_listening_socket_waits_for_a_restart() {
    check("6432", "6433", &[], &["listen.port"]);
    check("6432", "6432, tls: {certFile: a}", &["listen.tls.certFile"], &[]);
}

#[test]
fn a_change_is_named_by_its_item_and_shows_no_value() {
    check("hunter2", "hunter3", &["users[ws_001].password", "users[ws_001].serverPassword"], &[]);
    check(
        "{name: cloud_02}",
        "{name: cloud_02, pool: {size: 9}}",
        &["databases[cloud_02].pool.size"],
        &[],
    );
    check(
        "maxConnections: 50",
        "maxConnections: 60",
        &[
            "databases[cloud_01].maxConnections",
            "databases[cloud_02].maxConnections",
            "servers[main].maxConnections",
        ],
        &[],
    );
}

#[test]
fn what_is_added_or_removed_is_a_change() {
    let larger = FILE.replace("{name: cloud_02}", "{name: cloud_02}, {name: cloud_03}");
    for (old, new) in [(FILE, larger.as_str()), (larger.as_str(), FILE)] {
        let changes = diff(&settings(old), &settings(new));
        assert!(changes.restart.is_empty());
        assert!(changes.live.contains(&"databases[cloud_03].name".to_owned()));
        assert!(changes.live.iter().all(|path| path.starts_with("databases[cloud_03]")));
    }
}
