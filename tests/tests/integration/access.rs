//! Who may come in: each method with libpq's own client, rules, users that only the server knows, and
//! what the pooler shows the server in its turn.

use std::process::Command;
use std::time::Duration;

use poolwright_tests::certificates::Certificates;
use poolwright_tests::pg::{Fields, Target, flight};
use poolwright_tests::pooler::{Pooler, Settings};
use poolwright_tests::postgres::{BY_PASSWORD, Options, password_of, programs};
use poolwright_tests::process::scratch;
use poolwright_tests::site::{Site, start_postgres};

/// psql, with these words of its connection string; what it printed, or why not.
fn psql(site: &Site, words: &str, password: &str) -> Result<String, String> {
    let port = site.pooler().port;
    let target = format!("host=127.0.0.1 port={port} dbname={} {words}", site.database);
    let mut command = Command::new(programs().unwrap().join("psql"));
    command.args(["-X", "-A", "-t", "-c", "SELECT current_user", &target]);
    let output = command.env("PGPASSWORD", password).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[track_caller]
fn check(site: &Site, words: &str, password: &str, expect: Result<&str, &str>) {
    match (psql(site, words, password), expect) {
        (Ok(found), expect) => assert_eq!(Ok(&*found), expect, "{words}"),
        (Err(found), Err(expect)) => assert!(found.contains(expect), "{words}: {found}"),
        (Err(found), Ok(_)) => panic!("{words}: {found}"),
    }
}

fn path(path: &std::path::Path) -> String {
    path.display().to_string()
}

fn shown(certificates: &Certificates) -> String {
    let key = path(&certificates.key);
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    format!("sslcert={} sslkey={key}", path(&certificates.certificate))
}

/// The text of the refusal.
async fn refusal(site: &Site, user: &str, password: &str) -> Fields {
    let error = site.target(user).password(password).connect().await.err().expect("refused");
    error.downcast::<Fields>().expect("the refusal must be an ErrorResponse")
}

#[tokio::test]
async fn rules_choose_the_method_and_the_first_that_fits_holds() {
    let own = Certificates::make(&scratch("own").unwrap()).unwrap();
    let known = Certificates::make_for(&scratch("known").unwrap(), &["carol", "x-bob"]).unwrap();
    let rules = "[{users: [carol], method: reject, type: hostnossl}, \
        {users: [carol], method: cert, type: hostssl}, \
        {users: [bob], method: cert, type: hostssl, map: staff}, \
        {users: [alice], method: md5, addresses: [127.0.0.0/8]}, \
        {type: hostssl, users: [scott], method: scram-sha-256}, \
        {type: hostnossl, users: [scott], method: password}, \
        {databases: [elsewhere], method: trust}]";
    let site = Site::pooled(&[
        ("listen.tls.mode", "prefer"),
        ("listen.tls.certFile", &path(&own.certificate)),
        ("listen.tls.keyFile", &path(&own.key)),
        ("listen.tls.caFile", &path(&known[0].authority)),
        ("listen.maps", "[{name: staff, certificate: 'x-*', user: '*'}]"),
        ("listen.rules", rules),
        ("databases.1.name", "elsewhere"),
        ("users.4", "{name: hash, password: md50123456789abcdef0123456789abcdef}"),
    ])
    .await;
    let authority = path(&own.authority);
    let by_tls = |words: &str| format!("{words} sslmode=verify-full sslrootcert={authority}");
    let in_clear = |words: &str| format!("{words} sslmode=disable");
    let none = "sslcert=/none";
    let word = |user: &str| password_of(user);
    let carol = shown(&known[0]);
    check(&site, &by_tls(&format!("user=carol {carol}")), "", Ok("carol"));
    check(&site, &by_tls(&format!("user=bob {}", shown(&known[1]))), "", Ok("bob"));
    let failed = "certificate authentication failed for user \"bob\"";
    check(&site, &by_tls(&format!("user=bob {carol}")), "", Err(failed));
    let required = "connection requires a valid client certificate";
    check(&site, &by_tls(&format!("user=carol {none}")), "", Err(required));
    let rejected =
        "listen.rules rejects connection for host \"127.0.0.1\", user \"carol\", database";
    check(&site, &in_clear("user=carol"), &word("carol"), Err(rejected));
    check(&site, &in_clear("user=alice"), &word("alice"), Ok("alice"));
    check(&site, &in_clear("user=alice"), "wrong", Err("authentication failed for user \"alice\""));
    let required = "channel_binding=require";
    let scott = format!("user=scott {none} {required}");
    check(&site, &by_tls(&scott), &word("scott"), Ok("scott"));
    check(&site, &by_tls(&scott), "wrong", Err("password authentication failed"));
    check(&site, &in_clear("user=scott"), &word("scott"), Ok("scott"));
    check(&site, &in_clear("user=scott"), "wrong", Err("password authentication failed"));
    check(&site, &in_clear("user=hash"), "", Err("no listen.rules entry for host \"127.0.0.1\""));
}

#[tokio::test]
async fn who_is_trusted_shows_nothing() {
    let site = Site::pooled(&[("listen.auth", "trust")]).await;
    check(&site, "user=bob sslmode=disable", "", Ok("bob"));
}

#[tokio::test]
async fn methods_that_are_not_spoken_are_no_settings() {
    for method in ["gss", "sspi", "ldap", "pam", "radius", "oauth"] {
        let settings = Settings::new(5432, "app", &["alice"]).with("listen.auth", method);
        let mut pooler = Pooler::launch(settings).unwrap();
        let status = pooler.wait(Duration::from_secs(20)).expect("it must end");
        assert!(!status.success(), "{method}");
        let log = pooler.log();
        assert!(log.contains("listen.auth") && log.contains(method), "{log}");
    }
}

/// A site whose pooler knows nobody; dora, who must show PostgreSQL her password, is known to that
/// alone, and so are others who may not come in.
async fn unlisted(changes: &[(&str, &str)]) -> Site {
    let mut site = Site::direct().await;
    let mut admin = site.superuser().await;
    let tag = site.database.clone();
    for (user, more) in [
        ("dora", "LOGIN"),
        ("late", "LOGIN VALID UNTIL '2001-01-01'"),
        ("soon", "LOGIN VALID UNTIL '2999-01-01'"),
        ("locked", "NOLOGIN"),
    ] {
        let name = format!("{user}_{tag}");
        let password = password_of(&name);
        admin.run(&format!("CREATE ROLE {name} PASSWORD '{password}' {more}")).await;
        admin.run(&format!("GRANT {BY_PASSWORD} TO {name}")).await;
    }
    site.settings = site.settings.clone().with("users", "[]").with("authQuery.user", "postgres");
    site.behind_a_pooler(changes).await
}

fn named(site: &Site, user: &str) -> String {
    format!("{user}_{}", site.database)
}

#[tokio::test]
async fn users_that_only_the_server_knows_are_let_in_and_logged_in_by_their_own_proof() {
    let site = unlisted(&[]).await;
    for user in ["dora", "soon"] {
        let name = named(&site, user);
        let mut client = site.connect(&name).await;
        assert_eq!(client.cell("SELECT current_user").await, name);
        assert_eq!(client.cell("SHOW search_path").await, "\"$user\", public");
    }
    // One connection asks for all, and counts as the server's others do.
    assert_eq!(site.pooler().metric("poolwright_server_connects_total", "authQuery").await, 1.0);
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'postgres' \
               AND application_name = 'poolwright' AND query LIKE '%pg_authid WHERE rolname = $1%'";
    let own = format!("{sql} AND datname = '{}'", site.database);
    assert_eq!(site.superuser().await.cell(&own).await, "1");
}

#[tokio::test]
async fn who_asks_has_two_passwords_where_they_are_listed() {
    let mut site = Site::direct().await;
    let mut admin = site.superuser().await;
    let asker = named(&site, "asker");
    let old = password_of(&asker);
    admin.run(&format!("CREATE ROLE {asker} LOGIN SUPERUSER PASSWORD '{old}'")).await;
    admin.run(&format!("GRANT {BY_PASSWORD} TO {asker}")).await;
    let users = format!("[{{name: {asker}, password: brand-new, previousPassword: '{old}'}}]");
    site.settings = site.settings.clone().with("users", &users).with("authQuery.user", &asker);
    let site = site.behind_a_pooler(&[]).await;
    assert_eq!(site.connect("alice").await.cell("SELECT current_user").await, "alice");
}

#[tokio::test]
async fn who_may_not_come_in_reads_the_same_as_a_wrong_password() {
    let site = unlisted(&[]).await;
    let dora = named(&site, "dora");
    let wrong = refusal(&site, &dora, "wrong").await;
    assert_eq!(wrong.code, "28P01");
    for user in ["late", "locked", "nobody"] {
        let name = named(&site, user);
        let refused = refusal(&site, &name, &password_of(&name)).await;
        let message = wrong.message.replace(&dora, &name);
        assert_eq!(refused, Fields { message, ..wrong.clone() }, "{user}");
    }
    let elsewhere = |password: &str| Target {
        database: "no_such_database".to_owned(),
        ..site.target(&dora).password(password)
    };
    for (password, code) in [(&*password_of(&dora), "3D000"), ("wrong", "28P01")] {
        let error = elsewhere(password).connect().await.err().expect("refused");
        assert_eq!(error.downcast::<Fields>().expect("an ErrorResponse").code, code);
    }
    let long = format!("{dora}{}", "x".repeat(64));
    assert_eq!(refusal(&site, &long, &password_of(&dora)).await.code, "28P01");
    let quoted = format!("{dora}' OR rolname = '{dora}");
    assert_eq!(refusal(&site, &quoted, &password_of(&dora)).await.code, "28P01");
}

#[tokio::test]
async fn a_query_that_speaks_of_somebody_else_lets_nobody_in() {
    let query = "SELECT 'postgres'::name, $1::text";
    let mut site = unlisted(&[("authQuery.query", query)]).await;
    site.expect_complaint("authQuery failed");
    let refused = refusal(&site, "eve", "eve").await;
    assert_eq!(refused.code, "57P03", "{refused}");
    let query = "SELECT $1::text, 'a password in clear'";
    let site = unlisted(&[("authQuery.query", query)]).await;
    let name = named(&site, "dora");
    assert_eq!(refusal(&site, &name, &password_of(&name)).await.code, "28P01");
}

/// What a database's own search_path would find first is not what the query gets.
#[tokio::test]
async fn names_in_the_query_mean_what_they_mean_to_the_server() {
    let site = unlisted(&[(
        "authQuery.query",
        "SELECT usename, passwd FROM pg_shadow \
        WHERE usename = $1",
    )])
    .await;
    let mut admin = site.superuser().await;
    admin.run("CREATE TABLE public.pg_shadow AS SELECT 'eve'::name usename, 'eve' passwd").await;
    let database = &site.database;
    admin.run(&format!("ALTER DATABASE {database} SET search_path = public, pg_catalog")).await;
    assert_eq!(refusal(&site, "eve", "eve").await.code, "28P01");
    let dora = named(&site, "dora");
    assert_eq!(site.connect(&dora).await.cell("SELECT current_user").await, dora);
}

#[tokio::test]
async fn a_password_changed_at_the_server_counts_and_so_does_the_key_behind_it() {
    let site = unlisted(&[("authQuery.cacheTime", "0s"), ("pool.size", "1")]).await;
    let dora = named(&site, "dora");
    assert_eq!(site.connect(&dora).await.cell("SELECT 1").await, "1");
    let mut admin = site.superuser().await;
    admin.run(&format!("ALTER ROLE {dora} PASSWORD 'another'")).await;
    assert_eq!(refusal(&site, &dora, &password_of(&dora)).await.code, "28P01");
    let mut client = site.connect_to(site.target(&dora).password("another")).await;
    let end = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                       WHERE usename = '{dora}'"
    );
    assert_eq!(admin.cell(&end).await, "1");
    let left = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{dora}'");
    site.eventually(&left, "0").await;
    // The connection that is opened now is opened with the new key.
    assert_eq!(client.cell("SELECT current_user").await, dora);
}

#[tokio::test]
async fn with_the_servers_own_verifier_no_password_need_be_known() {
    let mut site = Site::direct().await;
    let sql = "SELECT rolpassword FROM pg_authid WHERE rolname = 'scott'";
    let verifier = site.superuser().await.cell(sql).await;
    site.settings = site.settings.clone().with("users.3", "{name: scott}");
    let theirs = site.settings.clone();
    site.settings = theirs.clone().with("users.3.scramVerifier", &verifier);
    let mut site = site.behind_a_pooler(&[("pool.min", "1")]).await;
    assert_eq!(site.connect("scott").await.cell("SELECT current_user").await, "scott");
    assert_eq!(refusal(&site, "scott", "wrong").await.code, "28P01");
    // Another salt: the proof is of no use at the server, and who waits reads why.
    site.pooler = None;
    let other = verifier.replacen("$4096:", "$4095:", 1);
    assert_ne!(other, verifier);
    site.settings = theirs.with("users.3.scramVerifier", &other);
    let mut site = site.behind_a_pooler(&[]).await;
    site.expect_complaint("another salt or number of iterations");
    assert_eq!(refusal(&site, "scott", &password_of("scott")).await.code, "28P01");
}

/// A PostgreSQL with a rule of its own for each of these roles.
async fn choosy(settings: Vec<String>, rules: &[(&str, &str)]) -> Site {
    let options = Options { settings, ..Options::default() };
    let site = Site::on(start_postgres(options).await.unwrap()).await;
    let file = site.postgres.folder().join("data/pg_hba.conf");
    let mut lines = String::new();
    for (user, rule) in rules {
        let (kind, method) = rule.split_once(' ').unwrap();
        lines += &format!("{kind} all {user} 127.0.0.1/32 {method}\n");
    }
    let before = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, lines + &before).unwrap();
    let mut admin = site.superuser().await;
    assert_eq!(admin.cell("SELECT pg_reload_conf()").await, "t");
    let sql = "SELECT count(*) FROM pg_hba_file_rules WHERE error IS NOT NULL";
    assert_eq!(admin.cell(sql).await, "0");
    site
}

#[tokio::test]
async fn servers_are_shown_what_they_ask_for() {
    let clients = Certificates::make_for(&scratch("pooler").unwrap(), &["by_cert"]).unwrap();
    let authority = format!("ssl_ca_file = '{}'", path(&clients[0].authority));
    let mut site = choosy(
        vec![authority],
        &[
            ("by_md5", "host md5"),
            ("by_hash", "host md5"),
            ("in_clear", "hostssl password"),
            ("by_cert", "hostssl cert"),
            ("by_scram", "hostssl scram-sha-256"),
        ],
    )
    .await;
    let mut admin = site.superuser().await;
    admin.run("SET password_encryption = 'md5'").await;
    for user in ["by_md5", "by_hash"] {
        let password = password_of(user);
        admin.run(&format!("CREATE ROLE {user} LOGIN PASSWORD '{password}'")).await;
    }
    admin.run("SET password_encryption = 'scram-sha-256'").await;
    for user in ["in_clear", "by_cert", "by_scram"] {
        let password = password_of(user);
        admin.run(&format!("CREATE ROLE {user} LOGIN PASSWORD '{password}'")).await;
    }
    let hash = "SELECT rolpassword FROM pg_authid WHERE rolname = 'by_hash'";
    let hash = admin.cell(hash).await;
    let mut settings = site.settings.clone().with("listen.auth", "md5");
    for user in ["by_md5", "in_clear", "by_cert", "by_scram"] {
        settings = settings.user(user);
    }
    settings = settings.with("users.8", &format!("{{name: by_hash, password: {hash}}}"));
    site.settings = settings;
    let site = site
        .behind_a_pooler(&[
            ("servers.0.tls.mode", "require"),
            ("servers.0.tls.certFile", &path(&clients[0].certificate)),
            ("servers.0.tls.keyFile", &path(&clients[0].key)),
        ])
        .await;
    for user in ["by_md5", "by_hash", "in_clear", "by_cert", "by_scram"] {
        let words = format!("user={user} sslmode=disable");
        check(&site, &words, &password_of(user), Ok(user));
    }
    let mut admin = site.superuser().await;
    let shown = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                 WHERE usename = 'by_cert' AND client_dn LIKE '%by_cert%'";
    assert_eq!(admin.cell(shown).await, "1");
}

#[tokio::test]
async fn two_verifiers_are_valid_while_a_password_is_changed() {
    let mut site = Site::direct().await;
    let salt = "W22ZaJ0SNY7soEsUEjb6gQ==";
    // Of "pencil", from RFC 7677, and a second one that nothing fits.
    let keys =
        "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    let other =
        "AG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:AfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    let verifier = |keys: &str| format!("SCRAM-SHA-256$4096:{salt}${keys}");
    site.settings = site
        .settings
        .clone()
        .with("users.3", "{name: scott}")
        .with("users.3.scramVerifier", &verifier(other))
        .with("users.3.previousScramVerifier", &verifier(keys))
        .with("users.3.serverPassword", &password_of("scott"));
    let site = site.behind_a_pooler(&[]).await;
    let mut client = site.connect_to(site.target("scott").password("pencil")).await;
    assert_eq!(client.cell("SELECT current_user").await, "scott");
    assert_eq!(refusal(&site, "scott", "pen").await.code, "28P01");
}

/// What balancers say is as good as an address of their own, and nobody else may say it.
#[tokio::test]
async fn behind_a_balancer_rules_see_the_clients_address() {
    let rules = "[{addresses: [192.0.2.7], method: scram-sha-256}]";
    let site =
        Site::pooled(&[("listen.rules", rules), ("listen.proxyProtocol.from", "[127.0.0.1]")])
            .await;
    for (last, expect) in [(7, b'R'), (8, b'E')] {
        let mut client = site.target("alice").dial().await.unwrap();
        let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02".to_vec();
        header.extend_from_slice(&[last, 127, 0, 0, 1, 0xd4, 0x31, 0x19, 0x20]);
        let parameters = [("user", "alice"), ("database", site.database.as_str())];
        header.extend(flight::startup(flight::VERSION_3_0, &parameters));
        client.send(&header).await.unwrap();
        let answer = client.receive().await.unwrap();
        assert_eq!(answer.tag, expect, "192.0.2.{last}");
        if expect == b'E' {
            let text = "no listen.rules entry for host \"192.0.2.8\", user \"alice\"";
            assert!(answer.fields().message.starts_with(text), "{}", answer.fields());
        }
    }
}

/// The figures are printed and not judged.
#[tokio::test]
async fn guesses_wait_longer_each_time_and_the_right_password_does_not() {
    let site = Site::pooled(&[]).await;
    let began = std::time::Instant::now();
    for guess in 1..=4 {
        let before = began.elapsed();
        for user in ["alice", "nobody"] {
            assert_eq!(refusal(&site, user, "guessed").await.code, "28P01");
        }
        println!("guess {guess}, of two users: {:?}", began.elapsed() - before);
    }
    let before = began.elapsed();
    let mut client = site.connect("alice").await;
    println!("the right password: {:?}", began.elapsed() - before);
    assert_eq!(client.cell("SELECT 1").await, "1");
}
