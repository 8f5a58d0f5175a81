//! TLS on both sides, with certificates of our own.

use poolwright_tests::certificates::Certificates;
use poolwright_tests::pg::{Flight, Target, flight};
use poolwright_tests::postgres::{BY_TLS, password_of, programs};
use poolwright_tests::process::scratch;
use poolwright_tests::site::Site;

struct Tls {
    site: Site,
    certificates: Certificates,
}

async fn site(mode: &str, changes: &[(&str, &str)]) -> Tls {
    let certificates = Certificates::make(&scratch("certificates").unwrap()).unwrap();
    let (certificate, key) = (path(&certificates.certificate), path(&certificates.key));
    let own = [
        ("listen.tls.mode", mode),
        ("listen.tls.certFile", certificate.as_str()),
        ("listen.tls.keyFile", key.as_str()),
    ];
    let site = Site::pooled(&[&own, changes].concat()).await;
    Tls { site, certificates }
}

fn path(path: &std::path::Path) -> String {
    path.display().to_string()
}

impl Tls {
    fn target(&self, user: &str) -> Target {
        let mut target = self.site.target(user);
        target.tls = Some(self.certificates.client().unwrap());
        target
    }
}

#[tokio::test]
async fn clients_may_use_tls_or_not_where_it_is_allowed() {
    for mode in ["allow", "prefer"] {
        tls_or_not(mode).await;
    }
}

async fn tls_or_not(mode: &str) {
    let tls = site(mode, &[("pool.size", "1")]).await;
    let mut secret = tls.site.connect_to(tls.target("alice")).await;
    let mut plain = tls.site.connect("alice").await;
    for _ in 0..5 {
        assert_eq!(secret.cell("SELECT 'secret'").await, "secret");
        assert_eq!(plain.cell("SELECT 'plain'").await, "plain");
    }
    let big = secret.cell("SELECT repeat('x', 5000000)").await;
    assert_eq!(big.len(), 5_000_000);
    let request = "y".repeat(5_000_000);
    assert_eq!(secret.cell(&format!("SELECT length('{request}')")).await, "5000000");
    secret.terminate().await.unwrap();
}

#[tokio::test]
async fn clients_without_tls_are_refused_where_it_is_required() {
    let tls = site("require", &[]).await;
    let error = tls.site.target("alice").connect().await.err().expect("refused");
    let refused = error.downcast::<poolwright_tests::pg::Fields>().unwrap();
    assert_eq!(refused.code, "28000", "{refused}");
    assert_eq!(tls.site.connect_to(tls.target("alice")).await.cell("SELECT 1").await, "1");
}

/// Bytes behind the SSLRequest in the same packet would be taken as sent under TLS (CVE-2021-23214).
#[tokio::test]
async fn bytes_between_the_request_and_the_handshake_are_not_taken_as_secret() {
    let mut tls = site("allow", &[]).await;
    tls.site.expect_complaint("TLS");
    let mut client = tls.site.target("alice").dial().await.unwrap();
    let startup = [("user", "alice"), ("database", tls.site.database.as_str())];
    let startup = flight::startup(flight::VERSION_3_0, &startup);
    client.send(&[flight::ssl_request(), startup].concat()).await.unwrap();
    let mut answers = Vec::new();
    while let Ok(byte) = client.byte().await {
        answers.push(byte);
    }
    assert!(!answers.contains(&b'R'), "the smuggled startup was answered: {answers:?}");
    assert_eq!(tls.site.connect_to(tls.target("alice")).await.cell("SELECT 1").await, "1");
}

#[tokio::test]
async fn a_broken_handshake_ends_only_its_own_connection() {
    let mut tls = site("allow", &[]).await;
    tls.site.expect_complaint("TLS");
    for garbage in [&b"not a handshake at all"[..], &[0x16, 3, 1, 0xff, 0xff], &[]] {
        let mut client = tls.site.target("alice").dial().await.unwrap();
        client.send(&flight::ssl_request()).await.unwrap();
        assert_eq!(client.byte().await.unwrap(), b'S');
        client.send(garbage).await.unwrap();
        drop(client);
        assert_eq!(tls.site.connect_to(tls.target("alice")).await.cell("SELECT 1").await, "1");
    }
}

#[tokio::test]
async fn a_cancel_is_heard_from_a_client_with_tls() {
    let tls = site("allow", &[("pool.size", "1")]).await;
    let mut client = tls.site.connect_to(tls.target("alice")).await;
    client.send(Flight::new().query("SELECT pg_sleep(60)").bytes()).await.unwrap();
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}'
         AND state = 'active' AND query LIKE 'SELECT pg_sleep%'",
        tls.site.database
    );
    tls.site.eventually(&sql, "1").await;
    tls.site.target("alice").cancel(&client.key).await.unwrap();
    let told = client.until_ready().await.unwrap();
    assert!(told.iter().any(|m| m.tag == b'E' && m.fields().code == "57014"), "{told:?}");
}

#[tokio::test]
async fn clients_may_begin_with_tls() {
    for mode in ["allow", "require"] {
        let tls = site(mode, &[("pool.size", "1")]).await;
        let mut target = tls.target("alice");
        target.tls_at_once = true;
        let mut client = tls.site.connect_to(target.clone()).await;
        for _ in 0..3 {
            assert_eq!(client.cell("SELECT 'direct'").await, "direct");
        }
        let mut config = rustls::ClientConfig::clone(target.tls.as_ref().unwrap());
        config.alpn_protocols.clear();
        target.tls = Some(config.into());
        assert!(target.connect().await.is_err(), "{mode}: no protocol was named");
        assert_eq!(client.cell("SELECT 'on'").await, "on");
    }
}

#[tokio::test]
async fn a_handshake_meets_silence_where_there_is_no_tls() {
    let tls = site("disable", &[]).await;
    let mut target = tls.target("alice");
    target.tls_at_once = true;
    assert!(target.connect().await.is_err());
    assert_eq!(tls.site.connect("alice").await.cell("SELECT 1").await, "1");
}

#[tokio::test]
async fn tls_is_had_after_gssapi_was_declined() {
    let tls = site("allow", &[]).await;
    let mut client = tls.site.target("alice").dial().await.unwrap();
    for (request, answer) in [(flight::gss_request(), b'N'), (flight::ssl_request(), b'S')] {
        client.send(&request).await.unwrap();
        assert_eq!(client.byte().await.unwrap(), answer);
    }
}

/// psql, as libpq's own TLS has it; what it printed, or why not.
fn psql(tls: &Tls, user: &str, more: &str) -> Result<String, String> {
    psql_by(tls, user, &password_of(user), more)
}

fn psql_by(tls: &Tls, user: &str, password: &str, more: &str) -> Result<String, String> {
    let authority = path(&tls.certificates.authority);
    let target = format!(
        "host=127.0.0.1 port={} dbname={} user={user} sslmode=verify-full \
         sslrootcert={authority} {more}",
        tls.site.pooler().port,
        tls.site.database,
    );
    let mut command = std::process::Command::new(programs().unwrap().join("psql"));
    command.args(["-X", "-A", "-t", "-c", "SELECT current_user", &target]);
    command.env("PGPASSWORD", password);
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn shown(certificates: &Certificates) -> String {
    let key = path(&certificates.key);
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    format!("sslcert={} sslkey={key}", path(&certificates.certificate))
}

#[tokio::test]
async fn clients_show_a_certificate_where_it_is_verified() {
    let known = Certificates::make_for(&scratch("clients").unwrap(), &["alice", "bob"]).unwrap();
    let strange = Certificates::make_for(&scratch("strangers").unwrap(), &["alice"]).unwrap();
    let authority = path(&known[0].authority);
    let required = "connection requires a valid client certificate";
    let other = "certificate authentication failed for user \"alice\"";
    for (mode, others) in [("verify-ca", Ok("alice")), ("verify-full", Err(other))] {
        let tls = site(mode, &[("listen.tls.caFile", &authority)]).await;
        for (more, expect) in [
            (shown(&known[0]), Ok("alice")),
            (shown(&known[1]), others),
            ("sslcert=/none".to_owned(), Err(required)),
            (shown(&strange[0]), Err("alert")),
        ] {
            match (psql(&tls, "alice", &more), expect) {
                (Ok(found), expect) => assert_eq!(Ok(&*found), expect, "{mode} {more}"),
                (Err(found), Err(expect)) => assert!(found.contains(expect), "{mode}: {found}"),
                (Err(found), Ok(_)) => panic!("{mode} {more}: {found}"),
            }
        }
        let guessed = psql_by(&tls, "alice", "wrong", &shown(&known[0])).expect_err("a password");
        assert!(guessed.contains("password authentication failed"), "{mode}: {guessed}");
    }
}

async fn behind_tls(mode: &str, authority: Option<&str>) -> Site {
    let mut site = Site::direct().await.with_users("tls_only_", 1).await;
    site.superuser().await.run(&format!("GRANT {BY_TLS} TO tls_only_0")).await;
    site.settings = site.settings.clone().with("servers.0.tls.mode", mode);
    if let Some(authority) = authority {
        site.settings = site.settings.clone().with("servers.0.tls.caFile", authority);
    }
    site.behind_a_pooler(&[("pool.waitTimeout", "3s")]).await
}

const USES_TLS: &str = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

#[tokio::test]
async fn servers_are_reached_over_tls_when_asked_for() {
    let authority = path(&Site::direct().await.postgres.certificates.authority.clone());
    for (mode, authority, expected) in [
        ("disable", None, "f"),
        ("prefer", None, "t"),
        ("require", None, "t"),
        ("verify-ca", Some(authority.as_str()), "t"),
        ("verify-full", Some(authority.as_str()), "t"),
    ] {
        let user = if expected == "t" { "tls_only_0" } else { "alice" };
        let keep_running = Site::direct().await;
        let authority = authority.map(|_| path(&keep_running.postgres.certificates.authority));
        let site = behind_tls(mode, authority.as_deref()).await;
        assert_eq!(site.connect(user).await.cell(USES_TLS).await, expected, "{mode}");
    }
}

#[tokio::test]
async fn a_server_with_a_certificate_of_somebody_else_is_not_spoken_to() {
    let stranger = Certificates::make(&scratch("stranger").unwrap()).unwrap();
    for mode in ["verify-ca", "verify-full"] {
        let mut site = behind_tls(mode, Some(&path(&stranger.authority))).await;
        site.expect_complaint("");
        let refused = match site.target("alice").connect().await {
            Err(_) => true,
            Ok(mut client) => client.query("SELECT 1").await.is_ok_and(|a| a.error.is_some()),
        };
        assert!(refused, "{mode}");
    }
}
