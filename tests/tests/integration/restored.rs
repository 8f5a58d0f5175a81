//! What a client goes back to: RESET and DISCARD ALL lead to the values of its startup packet, as they
//! do on a connection of its own, and a statement means what it meant.

use poolwright_tests::pg::{Client, Flight, message::transcript};
use poolwright_tests::site::Site;

const OPTIONS: &str = "-c work_mem=3MB -c search_path=a -c TimeZone=Asia/Tokyo";

async fn check(site: &Site, way: &str) {
    let target = site.target("alice").parameter("options", OPTIONS);
    let mut client = site.connect_to(target).await;
    client.run("SET my.var = 'kept'").await;
    for text in ["RESET work_mem", "SET work_mem TO DEFAULT", "RESET ALL", "DISCARD ALL"] {
        client.run("SET work_mem = '5MB'; SET search_path = b; SET TimeZone = 'UTC'").await;
        let flight = Flight::new().query(text).query("SHOW work_mem");
        let told = transcript(&client.exchange(&flight).await.unwrap());
        assert!(told.contains(&"Row(3MB)".to_owned()), "{way}: {text}: {told:?}");
        client.run("SET work_mem = '5MB'").await;
        let flight = Flight::new().unnamed(text, &[]).sync().unnamed("SHOW work_mem", &[]).sync();
        let told = transcript(&client.exchange(&flight).await.unwrap());
        assert!(told.contains(&"Row(3MB)".to_owned()), "{way}: {text}: {told:?}");
        let all = text.ends_with("ALL");
        let expected = if all { ["a", "Asia/Tokyo"] } else { ["b", "UTC"] };
        let found = [client.cell("SHOW search_path").await, client.cell("SHOW TimeZone").await];
        assert_eq!(found, expected, "{way}: {text}");
        let var = client.cell("SELECT current_setting('my.var', true)").await;
        assert_eq!(var, if all { "" } else { "kept" }, "{way}: {text}");
    }
    client.run("BEGIN").await;
    client.run("SET work_mem = '5MB'").await;
    client.run("RESET work_mem").await;
    client.run("COMMIT").await;
    assert_eq!(client.cell("SHOW work_mem").await, "3MB", "{way}");
}

#[tokio::test]
async fn resets_go_back_to_the_clients_startup_values() {
    check(&Site::direct().await, "direct").await;
    check(&Site::pooled(&[("pool.size", "1")]).await, "transaction").await;
    check(&Site::pooled(&[("pool.mode", "session")]).await, "session").await;
}

#[tokio::test]
async fn a_session_that_resets_a_setting_keeps_all_else() {
    let site = Site::pooled(&[("pool.mode", "session")]).await;
    let target = site.target("alice").parameter("options", OPTIONS);
    let mut client = site.connect_to(target).await;
    client.run("CREATE TEMP TABLE mine AS SELECT 'mine' AS a").await;
    client.run("CREATE TEMP SEQUENCE own; SELECT nextval('own')").await;
    client.run("DO $$BEGIN PERFORM set_config('hidden.var', 'a', false); END$$").await;
    client.run("PREPARE p AS SELECT 'prepared'").await;
    client.run("RESET work_mem").await;
    assert_eq!(client.cell("SELECT a FROM mine").await, "mine");
    assert_eq!(client.cell("SELECT lastval()").await, "1");
    assert_eq!(client.cell("SHOW hidden.var").await, "a");
    assert_eq!(client.cell("EXECUTE p").await, "prepared");
}

/// A role that is none where ALTER ROLE … SET role gives another.
#[tokio::test]
async fn set_role_none_lasts_where_another_role_is_the_default() {
    let site = Site::direct().await.with_users("helped", 1).await;
    let mut superuser = site.superuser().await;
    let _ = superuser.query("CREATE ROLE helper").await;
    superuser.run("GRANT helper TO helped0").await;
    let alter = format!("ALTER ROLE helped0 IN DATABASE {} SET role = helper", site.database);
    superuser.run(&alter).await;
    let site = site.behind_a_pooler(&[("pool.size", "1")]).await;
    let mut client = site.connect("helped0").await;
    let mut other = site.connect("helped0").await;
    let role = "SELECT current_user";
    assert_eq!(client.cell(role).await, "helper");
    client.run("SET ROLE NONE").await;
    for _ in 0..2 {
        assert_eq!(other.cell(role).await, "helper");
        assert_eq!(client.cell(role).await, "helped0");
    }
    client.run("RESET ROLE").await;
    assert_eq!(other.cell(role).await, "helper");
    assert_eq!(client.cell(role).await, "helper");
}

/// Midnight of a zone, in seconds.
const MIDNIGHT: &str = "SELECT extract(epoch FROM timestamptz '2020-01-01')::int8 AS n";
const IN_TOKYO: &str = "1577804400";
const IN_UTC: &str = "1577836800";

async fn run(client: &mut Client, name: &str) -> String {
    client.send(Flight::new().run(name, &[]).sync().bytes()).await.unwrap();
    let told = transcript(&client.until_ready().await.unwrap());
    told.into_iter().find(|it| it.starts_with("Row") || it.starts_with("Error")).unwrap()
}

#[tokio::test]
async fn a_statement_of_other_settings_is_not_read_anew_under_these() {
    let site = Site::pooled(&[("pool.size", "2")]).await;
    let tokyo = || site.target("alice").parameter("TimeZone", "Asia/Tokyo");
    let mut client = site.connect_to(tokyo()).await;
    let mut blocker = site.connect("alice").await;
    let mut alike = site.connect_to(tokyo()).await;
    let parse = || Flight::new().parse("s", MIDNIGHT).parse("t", "SELECT upper('a')").sync();
    client.expect(parse(), &["Parsed", "Parsed", "Ready(I)"]).await;
    assert_eq!(run(&mut client, "s").await, format!("Row({IN_TOKYO})"));
    client.run("SET TimeZone = 'UTC'").await;
    assert_eq!(run(&mut client, "s").await, format!("Row({IN_TOKYO})"), "as PostgreSQL keeps it");
    blocker.run("BEGIN").await;
    assert_eq!(run(&mut client, "s").await, "Error(0A000)");
    assert_eq!(run(&mut client, "t").await, "Row(A)");
    alike.expect(parse(), &["Parsed", "Parsed", "Ready(I)"]).await;
    assert_eq!(run(&mut alike, "s").await, format!("Row({IN_TOKYO})"));
    let flight = Flight::new().close_statement("s").parse("s", MIDNIGHT).sync();
    client.expect(flight, &["Closed", "Parsed", "Ready(I)"]).await;
    assert_eq!(run(&mut client, "s").await, format!("Row({IN_UTC})"));
    blocker.run("COMMIT").await;
}

#[tokio::test]
async fn an_unnamed_statement_of_other_settings_is_not_read_anew_under_these() {
    let site = Site::pooled(&[("pool.size", "2")]).await;
    let mut client = site.connect("alice").await;
    let mut blocker = site.connect("alice").await;
    client
        .exchange(&Flight::new().parse("zone", "SET TimeZone = 'Asia/Tokyo'").sync())
        .await
        .unwrap();
    for (text, expected) in [(MIDNIGHT, "Error(0A000)"), ("SELECT upper('a')", "Row(A)")] {
        let flight = Flight::new().parse("", text).sync().run("zone", &[]).sync();
        client.exchange(&flight).await.unwrap();
        blocker.run("BEGIN").await;
        assert_eq!(run(&mut client, "").await, expected);
        blocker.run("COMMIT").await;
        client.run("RESET TimeZone").await;
    }
}
