//! `poolwright-pooler query`, the client with which an install is tested.

use std::path::Path;
use std::process::Stdio;

use poolwright_tests::certificates::Certificates;
use poolwright_tests::pooler::binary;
use poolwright_tests::postgres::password_of;
use poolwright_tests::process::scratch;
use poolwright_tests::site::Site;

/// Asks as `user` with `password`; whether it went well, and all that was said.
async fn ask(site: &Site, user: &str, password: &str, sql: &str) -> (bool, String) {
    ask_by(site, user, password, sql, &[]).await
}

/// The same with these variables too.
async fn ask_by(
    site: &Site,
    user: &str,
    password: &str,
    sql: &str,
    more: &[(&str, String)],
) -> (bool, String) {
    let mut command = tokio::process::Command::new(binary().unwrap());
    command.args(["query", "--host", "127.0.0.1", "--timeout", "20", sql]);
    let port = site.pooler.as_ref().map_or(site.postgres.port(), |pooler| pooler.port);
    let place = [("PGUSER", user), ("PGDATABASE", &site.database), ("PGPASSWORD", password)];
    // As it is set in a pod, where this program is too.
    command
        .envs(place)
        .envs(more.iter().cloned())
        .env("PGPORT", port.to_string())
        .env("POOLWRIGHT_STATE_DIR", "/nowhere");
    let output = command.stdin(Stdio::null()).output().await.unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.success(), said)
}

const ROWS: &str = "SELECT n, current_user, NULL FROM generate_series(1, 2) n";

#[tokio::test]
async fn it_prints_the_rows_of_a_pooler_and_of_postgres_alike() {
    for site in [Site::pooled(&[]).await, Site::direct().await] {
        let (ok, said) = ask(&site, "scott", &password_of("scott"), ROWS).await;
        assert!(ok, "{said}");
        assert_eq!(said, "1|scott|\n2|scott|\n");
    }
}

#[tokio::test]
async fn it_says_what_it_was_told_and_fails() {
    let site = Site::pooled(&[]).await;
    let place = format!("127.0.0.1:{}, database {:?}: ", site.pooler().port, site.database);
    let password = password_of("alice");
    for (password, sql, expect) in [
        ("wrong", "SELECT 1", "password authentication failed for user \"alice\" (28P01)"),
        (&password, "SELECT 1/0", "the server answered: division by zero (22012)"),
        (&password, "COPY (SELECT 1) TO STDOUT", "the query is a COPY"),
    ] {
        let (ok, said) = ask(&site, "alice", password, sql).await;
        assert!(!ok && said.starts_with(&place) && said.contains(expect), "{said}");
        assert!(!said.contains(password), "{said}");
    }
}

/// A pooler that lets in only who shows a certificate of this name, and the certificates: its own, and
/// that one.
async fn strict_site(user: &str) -> (Site, Certificates, Certificates) {
    let folder = scratch("certificates").unwrap();
    let own = Certificates::make(&folder).unwrap();
    let shown = Certificates::make_for(&folder, &[user]).unwrap().remove(0);
    let changes = [
        ("listen.tls.mode", "verify-full".to_owned()),
        ("listen.tls.certFile", path(&own.certificate)),
        ("listen.tls.keyFile", path(&own.key)),
        ("listen.tls.caFile", path(&shown.authority)),
    ];
    let changes = changes.each_ref().map(|(place, value)| (*place, value.as_str()));
    (Site::pooled(&changes).await, own, shown)
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

#[tokio::test]
async fn it_shows_a_certificate_and_looks_at_the_servers() {
    let (site, own, shown) = strict_site("alice").await;
    let password = password_of("alice");
    let shows = [("PGSSLCERT", path(&shown.certificate)), ("PGSSLKEY", path(&shown.key))];
    let checks = |authority: &Path| {
        [("PGSSLMODE", "verify-full".to_owned()), ("PGSSLROOTCERT", path(authority))]
    };
    let by_both = [shows.clone(), checks(&own.authority)].concat();
    for way in [&shows[..], &by_both] {
        let (ok, said) = ask_by(&site, "alice", &password, "SELECT 'in'", way).await;
        assert!(ok && said == "in\n", "{said}");
    }
    let stranger = [shows, checks(&shown.authority)].concat();
    let (nowhere, other) = ("/nowhere".to_owned(), [("PGSSLMODE", "verify".to_owned())]);
    let absent = [("PGSSLCERT", nowhere.clone()), ("PGSSLKEY", nowhere)];
    for (way, expect) in [
        (&[][..], "requires a valid client certificate"),
        (&[], "test.clientCertificate"),
        (&stranger, "TLS handshake: invalid peer certificate"),
        (&absent, "read /nowhere: "),
        (&absent[..1], "--sslkey"),
        (&other, "verify-full"),
    ] {
        let (ok, said) = ask_by(&site, "alice", &password, "SELECT 1", way).await;
        assert!(!ok && said.contains(expect), "expected {expect:?} in {said}");
    }
}
