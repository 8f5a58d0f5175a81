//! Parameters: each client's own, whichever server it gets.

use poolwright_tests::pg::{Client, Flight};
use poolwright_tests::site::Site;

three_ways!(1:
    a_client_learns_the_parameters_of_its_session,
    startup_parameters_hold_for_each_client_alone,
    options_at_startup_are_settings,
    a_change_is_reported_and_stays_with_its_client,
    reset_goes_back_to_what_the_client_started_with,
    a_local_change_ends_with_its_transaction,
    a_change_that_is_rolled_back_did_not_happen,
    a_client_encoding_is_the_clients_own,
);

three_ways!(2: changes_hold_on_every_server_of_the_pool);

async fn show(client: &mut Client, name: &str) -> String {
    client.cell(&format!("SHOW {name}")).await
}

async fn a_client_learns_the_parameters_of_its_session(site: &Site) {
    let client = site.connect("alice").await;
    let known = |name: &str| client.parameters.get(name).cloned().unwrap_or_default();
    assert_eq!(known("client_encoding"), "UTF8");
    assert_eq!(known("server_encoding"), "UTF8");
    assert_eq!(known("integer_datetimes"), "on");
    assert_eq!(known("standard_conforming_strings"), "on");
    assert_eq!(known("DateStyle"), "ISO, MDY");
    assert_eq!(known("session_authorization"), "alice");
    assert_eq!(known("is_superuser"), "off");
    assert!(!known("server_version").is_empty() && !known("TimeZone").is_empty());
    assert_ne!(client.key.process_id, 0);
    assert!(client.key.secret.len() >= 4);
}

async fn startup_parameters_hold_for_each_client_alone(site: &Site) {
    let target = |name: &str, zone: &str, style: &str| {
        let target = site.target("alice").parameter("application_name", name);
        target.parameter("TimeZone", zone).parameter("DateStyle", style)
    };
    let mut one = site.connect_to(target("one", "Europe/Berlin", "German")).await;
    let mut two = site.connect_to(target("two", "Asia/Tokyo", "ISO, DMY")).await;
    let mut plain = site.connect("alice").await;
    assert_eq!(one.parameters["application_name"], "one");
    assert_eq!(two.parameters["TimeZone"], "Asia/Tokyo");
    for _ in 0..3 {
        assert_eq!(show(&mut one, "application_name").await, "one");
        assert_eq!(show(&mut two, "application_name").await, "two");
        assert_eq!(show(&mut one, "TimeZone").await, "Europe/Berlin");
        assert_eq!(show(&mut two, "DateStyle").await, "ISO, DMY");
        assert_eq!(show(&mut one, "DateStyle").await, "German, DMY");
        assert_eq!(show(&mut plain, "DateStyle").await, "ISO, MDY");
        assert_ne!(show(&mut plain, "TimeZone").await, "Asia/Tokyo");
    }
}

async fn options_at_startup_are_settings(site: &Site) {
    let options = "-c search_path=elsewhere -c statement_timeout=12345 --lock_timeout=77";
    let target = site.target("alice").parameter("options", options);
    let mut client = site.connect_to(target.parameter("extra_float_digits", "2")).await;
    let mut plain = site.connect("alice").await;
    for _ in 0..3 {
        assert_eq!(show(&mut client, "search_path").await, "elsewhere");
        assert_eq!(show(&mut plain, "search_path").await, "\"$user\", public");
        assert_eq!(show(&mut client, "statement_timeout").await, "12345ms");
        assert_eq!(show(&mut plain, "statement_timeout").await, "0");
        assert_eq!(show(&mut client, "lock_timeout").await, "77ms");
        assert_eq!(show(&mut client, "extra_float_digits").await, "2");
        assert_eq!(show(&mut plain, "extra_float_digits").await, "1");
    }
}

async fn a_change_is_reported_and_stays_with_its_client(site: &Site) {
    let mut client = site.connect("alice").await;
    let mut plain = site.connect("alice").await;
    let zone = plain.parameters["TimeZone"].clone();
    let unnamed = plain.parameters["application_name"].clone();
    client.run("SET TimeZone = 'Asia/Tokyo'").await;
    client.run("SET application_name = 'changed'").await;
    assert_eq!(client.parameters["TimeZone"], "Asia/Tokyo");
    assert_eq!(client.parameters["application_name"], "changed");
    for _ in 0..3 {
        assert_eq!(show(&mut plain, "TimeZone").await, zone);
        assert_eq!(show(&mut client, "TimeZone").await, "Asia/Tokyo");
        assert_eq!(show(&mut plain, "application_name").await, unnamed);
        assert_eq!(show(&mut client, "application_name").await, "changed");
    }
    assert_eq!(plain.parameters["TimeZone"], zone, "the other client was told of the change");
}

async fn reset_goes_back_to_what_the_client_started_with(site: &Site) {
    let target = site.target("alice").parameter("application_name", "at start");
    let mut client = site.connect_to(target.parameter("TimeZone", "Asia/Tokyo")).await;
    for sql in ["RESET application_name", "RESET ALL", "DISCARD ALL"] {
        client.run("SET application_name = 'changed'; SET TimeZone = 'UTC'").await;
        client.run(sql).await;
        assert_eq!(show(&mut client, "application_name").await, "at start", "after {sql}");
        assert_eq!(client.parameters["application_name"], "at start", "after {sql}");
    }
    assert_eq!(show(&mut client, "TimeZone").await, "Asia/Tokyo");
}

async fn a_local_change_ends_with_its_transaction(site: &Site) {
    let mut client = site.connect("alice").await;
    client.run("SET application_name = 'kept'").await;
    client.run("BEGIN").await;
    client.run("SET LOCAL application_name = 'local'").await;
    assert_eq!(show(&mut client, "application_name").await, "local");
    client.run("COMMIT").await;
    for _ in 0..3 {
        assert_eq!(show(&mut client, "application_name").await, "kept");
    }
    assert_eq!(client.parameters["application_name"], "kept");
}

async fn a_change_that_is_rolled_back_did_not_happen(site: &Site) {
    let mut client = site.connect("alice").await;
    client.run("SET TimeZone = 'Asia/Tokyo'").await;
    client.run("BEGIN").await;
    client.run("SET TimeZone = 'UTC'").await;
    client.run("ROLLBACK").await;
    assert_eq!(show(&mut client, "TimeZone").await, "Asia/Tokyo");
    let flight = Flight::new().query("SET TimeZone = 'UTC'; SELECT 1/0");
    client.expect(flight, &["Done(SET)", "Error(22012)", "Ready(I)"]).await;
    for _ in 0..3 {
        assert_eq!(show(&mut client, "TimeZone").await, "Asia/Tokyo");
    }
}

async fn a_client_encoding_is_the_clients_own(site: &Site) {
    let latin = site.target("alice").parameter("client_encoding", "LATIN1");
    let mut latin = site.connect_to(latin).await;
    let mut plain = site.connect("alice").await;
    assert_eq!(latin.parameters["client_encoding"], "LATIN1");
    for _ in 0..3 {
        let flight = Flight::new().query("SELECT chr(228) AS a");
        let one = latin.exchange(&flight).await.unwrap();
        assert_eq!(one[1].body, b"\0\x01\0\0\0\x01\xe4");
        let two = plain.exchange(&flight).await.unwrap();
        assert_eq!(two[1].body, "\0\x01\0\0\0\x02ä".as_bytes());
    }
}

async fn changes_hold_on_every_server_of_the_pool(site: &Site) {
    let mut client = site.connect("alice").await;
    let mut blocker = site.connect("alice").await;
    client.run("SET DateStyle = 'German'").await;
    for round in 0..6 {
        blocker.run(if round % 2 == 0 { "BEGIN" } else { "COMMIT" }).await;
        assert_eq!(show(&mut client, "DateStyle").await, "German, DMY");
        assert_eq!(show(&mut blocker, "DateStyle").await, "ISO, MDY");
        assert_eq!(client.cell("SELECT date '2024-02-01'").await, "01.02.2024");
    }
}

#[tokio::test]
async fn a_startup_parameter_that_the_server_refuses_lets_nothing_run_without_it() {
    let mut site = Site::pooled(&[("pool.size", "1")]).await;
    site.expect_complaint("no_such_parameter");
    site.expect_complaint("Nowhere/Land");
    for (name, value) in [("no_such_parameter", "1"), ("TimeZone", "Nowhere/Land")] {
        let target = site.target("alice").parameter(name, value);
        match target.connect().await {
            Err(error) => {
                assert!(error.root_cause().is::<poolwright_tests::pg::Fields>(), "{error:#}")
            }
            Ok(mut client) => {
                let outcome = client.query("SELECT 'ran without its parameter'").await;
                let ran = outcome.is_ok_and(|answer| !answer.rows.is_empty());
                assert!(!ran, "{name}={value} was refused, and the query ran all the same");
            }
        }
        assert_eq!(site.connect("alice").await.cell("SELECT 'others go on'").await, "others go on");
    }
}

#[tokio::test]
async fn a_setting_that_the_server_refuses_later_lets_no_request_run_without_it() {
    let mut site = Site::pooled(&[("pool.size", "1")]).await;
    site.expect_complaint("permission denied to set role");
    let mut superuser = site.superuser().await;
    superuser.run("CREATE ROLE limited; GRANT limited TO alice; CREATE TABLE log (a text)").await;
    superuser.run("GRANT INSERT, SELECT ON log TO public").await;
    let target = site.target("alice").parameter("options", "-c role=limited");
    let mut client = site.connect_to(target).await;
    assert_eq!(client.cell("SELECT current_user").await, "limited");
    let mut plain = site.connect("alice").await;
    assert_eq!(plain.cell("SELECT current_user").await, "alice");
    superuser.run("REVOKE limited FROM alice").await;
    let outcome = client.query("INSERT INTO log VALUES ('ran as ' || current_user)").await;
    let answer = outcome.map(|answer| answer.error.map(|error| error.code));
    assert!(!matches!(answer, Ok(None)), "the request ran although its role was refused");
    assert_eq!(plain.cell("SELECT count(*) FROM log").await, "0");
}

#[tokio::test]
async fn a_default_that_changes_is_for_sessions_to_come() {
    let site = Site::pooled(&[("pool.size", "1")]).await;
    let asked = site.target("alice").parameter("DateStyle", "ISO, MDY");
    let mut asked = site.connect_to(asked).await;
    let (mut plain, mut own) = (site.connect("alice").await, site.connect("alice").await);
    let database = &site.database;
    let change = format!(
        "ALTER DATABASE {database} SET TimeZone = 'Asia/Tokyo'; \
         ALTER DATABASE {database} SET DateStyle = 'German'; \
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}' AND usename = 'alice'"
    );
    let before = plain.cell("SHOW TimeZone").await;
    own.run("SET TimeZone = 'Asia/Tokyo'").await;
    site.superuser().await.run(&change).await;
    site.metric_reaches("poolwright_server_connections", database, |open| open == 0.0).await;
    assert_eq!(plain.cell("SHOW TimeZone").await, before);
    let mut later = site.connect("alice").await;
    assert_eq!(later.parameters["TimeZone"], "Asia/Tokyo");
    for _ in 0..2 {
        assert_eq!(later.cell("SHOW TimeZone").await, "Asia/Tokyo");
        assert_eq!(plain.cell("SHOW TimeZone").await, before);
        assert_eq!(asked.cell("SHOW DateStyle").await, "ISO, MDY");
        assert_eq!(own.cell("SHOW TimeZone").await, "Asia/Tokyo");
        own.run("SET TimeZone = 'Asia/Tokyo'").await;
    }
    plain.run("SET TimeZone = 'Europe/Paris'; RESET TimeZone").await;
    own.run("RESET TimeZone").await;
    assert_eq!(plain.parameters["TimeZone"], before);
    for client in [&mut plain, &mut own] {
        assert_eq!(client.cell("SHOW TimeZone").await, before);
    }
}
