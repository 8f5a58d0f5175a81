//! Replication connections: PostgreSQL's own tools work through the pooler as they do without it.

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use poolwright_tests::kube::processes;
use poolwright_tests::pg::{Client, Fields, Flight, Target, message::transcript};
use poolwright_tests::postgres::{Options, password_of, programs};
use poolwright_tests::process::{bound_to_us, scratch};
use poolwright_tests::site::{Site, start_postgres};
use tokio::process::Command;
use tokio::time::timeout;

const OPEN: &str = "poolwright_replication_connections";

/// A PostgreSQL whose users may replicate, and a pooler in front.
async fn site(changes: &[(&str, &str)]) -> Site {
    let settings = vec!["wal_level = logical".to_owned()];
    let postgres = start_postgres(Options { settings, ..Options::default() }).await.unwrap();
    let site = Site::on(postgres).await;
    site.superuser().await.run("ALTER ROLE alice REPLICATION; ALTER ROLE scott REPLICATION").await;
    site.behind_a_pooler(changes).await
}

/// One of PostgreSQL's programs, as scott, who is asked for a password at both ends.
fn tool(site: &Site, name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::from(bound_to_us(&programs().unwrap().join(name), "KILL", None));
    command.args(["-h", "127.0.0.1", "-U", "scott", "-w", "-p"]);
    command.arg(site.pooler().port.to_string()).args(arguments);
    command.env("PGPASSWORD", password_of("scott")).stdin(Stdio::null()).kill_on_drop(true);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn succeed(mut command: Command) -> Output {
    let ended = timeout(Duration::from_secs(120), command.output()).await;
    let output = ended.expect("it must end within 120 s").unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn folder(name: &str) -> (PathBuf, String) {
    let folder = scratch(name).unwrap();
    let text = folder.display().to_string();
    (folder, text)
}

fn logical(site: &Site, user: &str) -> Target {
    site.target(user).parameter("replication", "database")
}

fn physical(site: &Site) -> Target {
    let mut target = site.target("alice").parameter("replication", "true");
    target.database = "replication".to_owned();
    target
}

async fn refusal(target: Target) -> Fields {
    let error = target.connect().await.err().expect("this login must be refused");
    error.downcast::<Fields>().expect("the refusal must be an ErrorResponse")
}

async fn start_streaming(site: &Site) -> Client {
    let mut client = site.connect_to(physical(site)).await;
    let start = client.rows("IDENTIFY_SYSTEM").await[0][2].clone().unwrap();
    let command = format!("START_REPLICATION PHYSICAL {start}");
    client.send(Flight::new().query(&command).bytes()).await.unwrap();
    assert_eq!(client.receive().await.unwrap().tag, b'W');
    client
}

#[tokio::test]
async fn a_base_backup_is_whole_and_queries_go_on() {
    let site = site(&[("pool.size", "1")]).await;
    site.connect("alice").await.run("CREATE TABLE t AS SELECT generate_series(1, 100000)").await;
    let (folder, place) = folder("backup");
    let backup = tool(&site, "pg_basebackup", &["-D", &place, "-X", "stream", "-c", "fast"]);
    let mut backup = tokio::spawn(succeed(backup));
    let mut client = site.connect("alice").await;
    while !backup.is_finished() {
        assert_eq!(client.cell("SELECT count(*) FROM t").await, "100000");
        tokio::task::yield_now().await;
    }
    (&mut backup).await.unwrap();
    let mut check = Command::new(programs().unwrap().join("pg_verifybackup"));
    check.arg(&place).stdout(Stdio::piped()).stderr(Stdio::piped());
    succeed(check).await;
    site.metric_reaches(OPEN, "server=\"main\"", |open| open == 0.0).await;
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn the_log_is_received_as_it_is_written() {
    let site = site(&[]).await;
    let (folder, place) = folder("wal");
    let mut receiver = tool(&site, "pg_receivewal", &["-D", &place, "-n"]).spawn().unwrap();
    site.metric_reaches(OPEN, "", |open| open == 1.0).await;
    let mut admin = site.superuser().await;
    let file = admin.cell("SELECT pg_walfile_name(pg_current_wal_lsn())").await;
    let written = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
    site.eventually(written, "1").await;
    admin.run("CREATE TABLE t (a int); SELECT pg_switch_wal(); INSERT INTO t VALUES (1)").await;
    let whole = folder.join(&file);
    for _ in 0..1500 {
        if whole.exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(std::fs::metadata(&whole).unwrap().len(), 16 * 1024 * 1024);
    receiver.kill().await.unwrap();
    site.metric_reaches(OPEN, "", |open| open == 0.0).await;
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn changes_of_a_database_are_received_decoded() {
    let site = site(&[]).await;
    let mut client = site.connect("alice").await;
    client.run("CREATE TABLE t (a int)").await;
    let own = ["-d", site.database.as_str(), "-S", "changes"];
    let create = [&own[..], &["--create-slot", "-P", "test_decoding"]].concat();
    succeed(tool(&site, "pg_recvlogical", &create)).await;
    // Only what has been flushed is sent.
    client.run("SET LOCAL synchronous_commit = on; INSERT INTO t VALUES (42)").await;
    let end = site.superuser().await.cell("SELECT pg_current_wal_lsn()").await;
    let start = [&own[..], &["--start", "-f", "-", "-E", &end]].concat();
    let received = succeed(tool(&site, "pg_recvlogical", &start)).await;
    let text = String::from_utf8_lossy(&received.stdout).into_owned();
    assert!(text.contains("table public.t: INSERT: a[integer]:42"), "{text}");
    succeed(tool(&site, "pg_recvlogical", &[&own[..], &["--drop-slot"]].concat())).await;
}

#[tokio::test]
async fn a_replication_connection_is_its_clients_own_and_counted_apart() {
    let changes = [("servers.0.maxConnections", "1"), ("servers.0.maxReplicationConnections", "2")];
    let site = site(&changes).await;
    let target = logical(&site, "alice").parameter("application_name", "standby_1");
    let mut one = site.connect_to(target).await;
    assert_eq!(one.cell("SHOW application_name").await, "standby_1");
    one.run("SET work_mem = '7MB'").await;
    let backend = one.cell("SELECT pg_backend_pid()").await;
    let mut pooled = site.connect("alice").await;
    assert_ne!(pooled.cell("SELECT pg_backend_pid()").await, backend);
    assert_ne!(pooled.cell("SHOW work_mem").await, "7MB");
    assert_eq!(one.cell("SHOW work_mem").await, "7MB");
    let _two = site.connect_to(physical(&site)).await;
    let refused = refusal(logical(&site, "alice")).await;
    assert_eq!((refused.code.as_str(), refused.severity.as_str()), ("53300", "FATAL"));
    assert!(refused.message.contains("maxReplicationConnections"), "{refused}");
    assert_eq!(site.pooler().metric(OPEN, "server=\"main\"").await, 2.0);
    one.terminate().await.unwrap();
    site.metric_reaches(OPEN, "", |open| open == 1.0).await;
    site.connect_to(logical(&site, "alice")).await.run("SELECT 1").await;
}

#[tokio::test]
async fn a_walsender_that_does_not_end_keeps_its_place() {
    let site = site(&[("servers.0.maxReplicationConnections", "1")]).await;
    let mut client = site.connect_to(logical(&site, "alice")).await;
    let backend = client.cell("SELECT pg_backend_pid()").await.parse().unwrap();
    processes::signal(backend, "STOP").unwrap();
    drop(client);
    tokio::time::sleep(Duration::from_secs(11)).await;
    let refused = refusal(logical(&site, "alice")).await;
    processes::signal(backend, "CONT").unwrap();
    assert_eq!(refused.code, "53300", "{refused}");
    site.metric_reaches(OPEN, "", |open| open == 0.0).await;
    site.connect_to(logical(&site, "alice")).await.run("SELECT 1").await;
}

#[tokio::test]
async fn a_command_is_cancelled_when_nobody_is_let_in_any_more() {
    let mut site = site(&[("drain.timeout", "8s")]).await;
    let mut client = site.connect_to(logical(&site, "alice")).await;
    client.send(Flight::new().query("SELECT pg_sleep(60)").bytes()).await.unwrap();
    let running = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'";
    site.eventually(running, "1").await;
    site.pooler().signal("TERM");
    while !site.pooler().log().contains("no more clients are let in") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    site.target("alice").cancel(&client.key).await.unwrap();
    let told = transcript(&client.until_closed().await.unwrap());
    assert_eq!(told.last_chunk::<3>().unwrap(), &["Error(57014)", "Ready(I)", "Error(57P01)"]);
    let ended = site.pooler.as_mut().unwrap().wait(Duration::from_secs(30));
    assert!(ended.expect("it must end").success());
}

#[tokio::test]
async fn what_the_server_says_against_it_is_told() {
    let site = site(&[]).await;
    assert_eq!(refusal(logical(&site, "bob")).await.code, "42501");
    let mut nowhere = logical(&site, "alice");
    nowhere.database = "nowhere".to_owned();
    assert_eq!(refusal(nowhere).await.code, "3D000");
    let mut client = site.connect_to(logical(&site, "alice")).await;
    assert_eq!(client.fails("SELEC").await, "42601");
    assert_eq!(client.fails("START_REPLICATION SLOT nothing LOGICAL 0/0").await, "42704");
    assert_eq!(client.cell("SELECT 'on'").await, "on");
    client.send(b"!\0\0\0\x04").await.unwrap();
    let last = client.until_closed().await.unwrap().pop().expect("an error");
    assert_eq!(last.fields().code, "08P01");
}

/// It would be an ordinary session that no pool counts, or another database's or user's.
#[tokio::test]
async fn nothing_of_who_asks_for_what_comes_from_options() {
    let site = site(&[]).await;
    for own in ["replication=off", "replication=true", "database=postgres", "user=postgres"] {
        let target = logical(&site, "alice").parameter("options", &format!("-c {own}"));
        let refused = refusal(target).await;
        assert_eq!((refused.code.as_str(), refused.severity.as_str()), ("42704", "FATAL"), "{own}");
    }
}

#[tokio::test]
async fn none_is_let_in_where_the_settings_say_none() {
    let site = site(&[("servers.0.maxReplicationConnections", "0")]).await;
    assert_eq!(refusal(physical(&site)).await.code, "53300");
}

#[tokio::test]
async fn a_cancel_reaches_the_walsender() {
    let site = site(&[]).await;
    let mut client = site.connect_to(logical(&site, "alice")).await;
    client.send(Flight::new().query("SELECT pg_sleep(60)").bytes()).await.unwrap();
    let running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'";
    site.eventually(&format!("{running} AND state = 'active'"), "1").await;
    let mut wrong = client.key.clone();
    wrong.secret[0] ^= 1;
    site.target("alice").cancel(&wrong).await.unwrap();
    site.target("alice").cancel(&client.key).await.unwrap();
    let told = client.until_ready().await.unwrap();
    assert!(told.iter().any(|m| m.tag == b'E' && m.fields().code == "57014"), "{told:?}");
    assert_eq!(client.cell("SELECT 'on'").await, "on");
}

#[tokio::test]
async fn the_server_is_free_of_who_vanishes_at_any_point() {
    let site = site(&[]).await;
    let gone = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender'";
    for command in ["SELECT 1", "SELECT pg_sleep(600)", "BASE_BACKUP (CHECKPOINT 'fast')"] {
        let mut client = site.connect_to(logical(&site, "alice")).await;
        client.send(Flight::new().query(command).bytes()).await.unwrap();
        drop(client);
        site.eventually(gone, "0").await;
    }
    let mut streaming = start_streaming(&site).await;
    streaming.send(b"d\0\0\0\x22r").await.unwrap();
    drop(streaming);
    site.eventually(gone, "0").await;
    site.metric_reaches(OPEN, "", |open| open == 0.0).await;
}

#[tokio::test]
async fn a_drain_ends_streams_between_messages_and_lets_commands_finish() {
    let mut site = site(&[("drain.timeout", "20s")]).await;
    let mut streaming = start_streaming(&site).await;
    let mut idle = site.connect_to(logical(&site, "alice")).await;
    let mut busy = site.connect_to(logical(&site, "alice")).await;
    busy.send(Flight::new().query("SELECT pg_sleep(7), 'done'").bytes()).await.unwrap();
    site.pooler().signal("TERM");
    for client in [&mut idle, &mut streaming] {
        let told = client.until_closed().await.unwrap();
        let last = told.last().expect("a last word").fields();
        assert_eq!((last.code.as_str(), last.severity.as_str()), ("57P01", "FATAL"));
    }
    let told = busy.until_closed().await.unwrap();
    let tags: String = told.iter().map(|message| char::from(message.tag)).collect();
    assert_eq!(tags, "TDCZE", "{told:?}");
    let status = site.pooler.as_mut().unwrap().wait(Duration::from_secs(30));
    assert!(status.expect("it must end").success());
}

#[tokio::test]
async fn settings_without_the_user_end_its_connection() {
    let site = site(&[]).await;
    let mut client = site.connect_to(logical(&site, "scott")).await;
    client.run("SELECT 1").await;
    let without = site.settings.clone().with("users.3", "{name: other, password: other}");
    site.pooler().write_settings(&without).unwrap();
    let told = client.until_closed().await.unwrap();
    assert_eq!(told.last().expect("a last word").fields().code, "57P01");
}

#[tokio::test]
async fn a_user_that_only_the_server_knows_may_replicate_too() {
    let settings = vec!["wal_level = logical".to_owned()];
    let postgres = start_postgres(Options { settings, ..Options::default() }).await.unwrap();
    let mut site = Site::on(postgres).await;
    site.superuser().await.run("ALTER ROLE scott REPLICATION").await;
    site.settings = site.settings.clone().with("users", "[]").with("authQuery.user", "postgres");
    let site = site.behind_a_pooler(&[]).await;
    let mut client = site.connect_to(logical(&site, "scott")).await;
    assert_eq!(client.rows("IDENTIFY_SYSTEM").await[0][3].as_deref(), Some(&*site.database));
    assert_eq!(refusal(logical(&site, "nobody")).await.code, "28P01");
}
