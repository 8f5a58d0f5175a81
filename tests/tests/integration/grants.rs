//! What the operator grants a pooler over the control port, and what the pooler says about it.

use poolwright_settings::control::{Grants, ServerReport};
use poolwright_tests::control::Control;
use poolwright_tests::kube::processes;
use poolwright_tests::pg::Client;
use poolwright_tests::site::Site;

/// A pooler with a control port, whose settings give it `own` connections.
async fn controlled(own: &str) -> (Site, Control) {
    let control = Control::prepare().unwrap();
    let mut site = Site::direct().await;
    site.settings = control.open_in(site.settings.clone());
    let changes = [("servers.0.maxConnections", own), ("pool.size", "9"), ("workers", "2")];
    (site.behind_a_pooler(&changes).await, control)
}

async fn main_server(control: &Control) -> ServerReport {
    control.report().await.unwrap().servers.remove("main").expect("the only server")
}

async fn grant(control: &Control, epoch: u64, connections: u32) -> (u16, ServerReport) {
    let process = control.report().await.unwrap().process;
    let servers = [("main".to_owned(), connections)].into();
    let (status, report) = control.grant(&Grants { process, epoch, servers }).await.unwrap();
    (status, report.servers["main"].clone())
}

/// Clients that each hold a transaction, as many as get a connection within a moment.
async fn holders(site: &Site, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = site.connect("alice").await;
        client.run("BEGIN").await;
        clients.push(client);
    }
    clients
}

#[tokio::test]
async fn a_grant_lifts_the_cap_and_a_lower_one_takes_connections_back() {
    let (site, control) = controlled("1").await;
    assert_eq!((main_server(&control).await.max, main_server(&control).await.floor), (1, 1));
    let (status, granted) = grant(&control, 1, 3).await;
    assert_eq!((status, granted.max, granted.floor), (200, 3, 1));
    let mut busy = holders(&site, 3).await;
    assert_eq!(site.server_connections().await, 3);
    let held = main_server(&control).await;
    assert_eq!((held.open, held.backends.len()), (3, 3));

    let (_, lowered) = grant(&control, 2, 1).await;
    assert_eq!((lowered.max, lowered.open), (1, 3), "busy connections stay until their boundary");
    for client in &mut busy {
        client.run("COMMIT").await;
    }
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'alice' AND datname = '{}'",
        site.database
    );
    site.eventually(&sql, "1").await;
    let left = main_server(&control).await;
    assert_eq!((left.open, left.backends.len()), (1, 1));
    assert_eq!(busy[0].cell("SELECT 1").await, "1");
}

#[tokio::test]
async fn an_earlier_grant_and_one_for_another_process_change_nothing() {
    let (_site, control) = controlled("2").await;
    assert_eq!(grant(&control, 5, 4).await.1.max, 4);
    let (status, report) = grant(&control, 4, 9).await;
    assert_eq!((status, report.max), (409, 4));
    let another = Grants { process: "another".into(), epoch: 9, servers: Default::default() };
    let (status, report) = control.grant(&another).await.unwrap();
    assert_eq!((status, report.epoch, report.servers["main"].max), (409, 5, 4));
}

#[tokio::test]
async fn a_changed_file_changes_no_grant_but_what_a_start_begins_with() {
    let (site, control) = controlled("2").await;
    grant(&control, 1, 4).await;
    let changed = [("servers.0.maxConnections", "3"), ("generation", "2")];
    let settings = changed.iter().fold(site.settings.clone(), |it, (path, to)| it.with(path, to));
    site.pooler().write_settings(&settings).unwrap();
    site.metric_reaches("poolwright_settings_generation", "", |seen| seen == 2.0).await;
    let report = main_server(&control).await;
    assert_eq!((report.max, report.floor), (4, 3));
    assert_eq!(site.pooler().metric("poolwright_server_connections_max", "").await, 4.0);
}

#[tokio::test]
async fn a_restart_begins_with_the_file_again_and_another_name() {
    let (mut site, control) = controlled("2").await;
    grant(&control, 1, 4).await;
    let before = control.report().await.unwrap().process;
    site.pooler = None;
    let site = site.behind_a_pooler(&[]).await;
    let after = control.report().await.unwrap();
    assert_ne!(before, after.process);
    assert_eq!((after.epoch, after.servers["main"].max), (0, 2));
    drop(site);
}

#[tokio::test]
async fn a_look_shows_the_server_and_whose_its_backends_are() {
    let (site, control) = controlled("2").await;
    let looked = control.look().await.unwrap().servers.remove("main").unwrap();
    let sight = looked.sight.expect("a pooler that nobody has used yet can look");
    assert_eq!(sight.backends, looked.backends);
    let mut admin = site.superuser().await;
    let setting = async |admin: &mut Client, name: &str| -> u32 {
        admin.cell(&format!("SELECT current_setting('{name}')")).await.parse().unwrap()
    };
    assert_eq!(sight.max_connections, setting(&mut admin, "max_connections").await);
    let reserved = setting(&mut admin, "superuser_reserved_connections").await;
    assert_eq!(sight.superuser_reserved_connections, reserved);
    assert_eq!(sight.version, setting(&mut admin, "server_version_num").await);
    assert!(!sight.in_recovery);

    let stranger = {
        let mut target = site.postgres.target("bob", &site.database);
        target.password = site.target("bob").password;
        target.connect().await.unwrap()
    };
    let looked = control.look().await.unwrap().servers.remove("main").unwrap();
    let sight = looked.sight.unwrap();
    let unknown: Vec<_> =
        sight.backends.iter().filter(|it| !looked.backends.contains(it)).collect();
    assert_eq!(unknown.len(), 1, "{sight:?} {:?}", looked.backends);
    drop(stranger);
}

#[tokio::test]
async fn a_server_that_looks_up_slowly_loses_no_connection_by_it() {
    let (site, control) = controlled("1").await;
    let mut client = site.connect("alice").await;
    let pid = client.cell("SELECT pg_backend_pid()").await;
    let backend = pid.parse().unwrap();
    processes::signal(backend, "STOP").unwrap();
    let looked = control.look().await.unwrap().servers.remove("main").unwrap();
    processes::signal(backend, "CONT").unwrap();
    assert!(looked.sight.is_none());
    assert_eq!(client.cell("SELECT pg_backend_pid()").await, pid);
}

#[tokio::test]
async fn a_look_changes_no_session_and_waits_its_turn_in_vain_only_for_a_while() {
    let (site, control) = controlled("1").await;
    let mut holder = site.connect("alice").await;
    holder.run("SET DateStyle = 'German'").await;
    let looked = control.look().await.unwrap();
    assert!(looked.servers["main"].sight.is_some(), "{looked:?}");
    assert_eq!(holder.cell("SHOW DateStyle").await, "German, DMY");
    holder.run("BEGIN").await;
    let looked = control.look().await.unwrap();
    assert_eq!(looked.servers["main"].sight, None, "the only connection is in use");
    holder.run("COMMIT").await;
    assert!(control.look().await.unwrap().servers["main"].sight.is_some());
    assert_eq!(site.pooler().metric("poolwright_client_connections", "").await, 1.0);
}
