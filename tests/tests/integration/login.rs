//! From the connect to the first ReadyForQuery, and every way to be turned away.

use poolwright_tests::pg::{Client, Fields, Flight, Target, flight};
use poolwright_tests::postgres::password_of;
use poolwright_tests::site::Site;

three_ways!(1:
    a_user_with_a_password_is_let_in,
    an_unknown_database_is_named_in_the_refusal,
    an_old_protocol_is_refused,
    a_newer_minor_protocol_is_talked_down,
    an_ssl_request_is_answered_with_one_byte,
    replication_is_judged_by_its_value,
);

async fn refusal(target: Target) -> Fields {
    let error = target.connect().await.err().expect("this login must be refused");
    error.downcast::<Fields>().expect("the refusal must be an ErrorResponse")
}

async fn a_user_with_a_password_is_let_in(site: &Site) {
    let mut client = site.connect("scott").await;
    assert_eq!(client.cell("SELECT current_user").await, "scott");
    let refused = refusal(site.target("scott").password("wrong")).await;
    assert_eq!((refused.code.as_str(), refused.severity.as_str()), ("28P01", "FATAL"));
    assert_eq!(refused.message, "password authentication failed for user \"scott\"");
}

async fn an_unknown_database_is_named_in_the_refusal(site: &Site) {
    let mut target = site.target("alice");
    target.database = "no_such_database".to_owned();
    let refused = refusal(target).await;
    assert_eq!(refused.code, "3D000");
    assert!(refused.message.contains("no_such_database"), "{refused}");
}

async fn an_old_protocol_is_refused(site: &Site) {
    let mut client = site.target("alice").dial().await.unwrap();
    let version_2 = 2 << 16;
    client.send(&flight::startup(version_2, &[("user", "alice")])).await.unwrap();
    // Postgres answers such a client in protocol 2, in which an error is a text without fields.
    let mut bytes = Vec::new();
    while let Ok((tag, _)) = client.skim().await {
        bytes.push(tag);
    }
    assert!(bytes.is_empty() || bytes == *b"E", "{bytes:?}");
    assert_eq!(site.connect("alice").await.cell("SELECT 1").await, "1");
}

async fn a_newer_minor_protocol_is_talked_down(site: &Site) {
    let mut client = site.target("alice").dial().await.unwrap();
    let version_3_99 = (3 << 16) + 99;
    let parameters = [("user", "alice"), ("database", site.database.as_str()), ("_pq_.new", "1")];
    client.send(&flight::startup(version_3_99, &parameters)).await.unwrap();
    let first = client.receive().await.unwrap();
    assert_eq!(char::from(first.tag), 'v', "expected NegotiateProtocolVersion");
    assert_eq!(first.texts_from(8).next().as_deref(), Some("_pq_.new"));
    assert_eq!(char::from(client.receive().await.unwrap().tag), 'R');
}

async fn an_ssl_request_is_answered_with_one_byte(site: &Site) {
    if site.pooler.is_none() {
        return;
    }
    let mut client = site.target("alice").dial().await.unwrap();
    client.send(&flight::ssl_request()).await.unwrap();
    assert_eq!(client.byte().await.unwrap(), b'N');
    let parameters = [("user", "alice"), ("database", site.database.as_str())];
    client.send(&flight::startup(flight::VERSION_3_0, &parameters)).await.unwrap();
    assert_eq!(client.receive().await.unwrap().tag, b'R');
}

#[tokio::test]
async fn a_gss_request_is_declined() {
    let site = Site::pooled(&[]).await;
    let mut client = site.target("alice").dial().await.unwrap();
    let gss_request: i32 = 80_877_104;
    client.send(&flight::packet(&gss_request.to_be_bytes())).await.unwrap();
    assert_eq!(client.byte().await.unwrap(), b'N');
    let parameters = [("user", "alice"), ("database", site.database.as_str())];
    client.send(&flight::startup(flight::VERSION_3_0, &parameters)).await.unwrap();
    assert_eq!(client.receive().await.unwrap().tag, b'R');
}

/// A startup message of alice with this parameter, in which `~` stands for a byte that is in no UTF-8.
fn not_utf_8(site: &Site, name: &str, value: &str) -> Vec<u8> {
    let parameters = [("user", "alice"), ("database", site.database.as_str()), (name, value)];
    let packet = flight::startup(flight::VERSION_3_0, &parameters);
    packet.into_iter().map(|byte| if byte == b'~' { 0xff } else { byte }).collect()
}

#[tokio::test]
async fn bytes_that_are_not_utf_8_are_refused_where_postgres_takes_them() {
    let direct = Site::direct().await;
    let rules = "[{type: hostnossl, method: password}]";
    let pooled = Site::pooled(&[("listen.rules", rules)]).await;
    for name in ["application_name", "my.var"] {
        let mut client = direct.target("alice").dial().await.unwrap();
        client.send(&not_utf_8(&direct, name, "a~b")).await.unwrap();
        client.until_ready().await.unwrap();
        if name == "application_name" {
            let escaped = if direct.postgres.version() < 16 { "a?b" } else { r"a\xffb" };
            assert_eq!(client.parameters[name], escaped);
        }
        let mut client = pooled.target("alice").dial().await.unwrap();
        client.send(&not_utf_8(&pooled, name, "a~b")).await.unwrap();
        assert_eq!(client.receive().await.unwrap().fields().code, "22021", "{name}");
    }
    let mut client = pooled.target("alice").dial().await.unwrap();
    client.send(&not_utf_8(&pooled, "my.var", "a")).await.unwrap();
    assert_eq!(client.receive().await.unwrap().number(0), Some(3));
    client.send(Flight::new().message(b'p', b"\xff\0").bytes()).await.unwrap();
    assert_eq!(client.receive().await.unwrap().fields().code, "22021");
}

#[tokio::test]
async fn an_unknown_user_is_told_the_same_as_a_wrong_password() {
    let site = Site::pooled(&[]).await;
    let wrong = refusal(site.target("alice").password("wrong")).await;
    let unknown = refusal(site.target("nobody")).await;
    assert_eq!(wrong.code, "28P01");
    let renamed = wrong.message.replace("alice", "nobody");
    assert_eq!(unknown, Fields { message: renamed, ..wrong });
}

/// The salt of an unknown user must be the same each time, as a known user's is.
#[tokio::test]
async fn an_unknown_user_has_a_lasting_salt() {
    let site = Site::pooled(&[]).await;
    for user in ["alice", "nobody"] {
        let mut salts = std::collections::BTreeSet::new();
        for _ in 0..2 {
            salts.insert(salt(&site, user).await);
        }
        assert_eq!(salts.len(), 1, "{user}: {salts:?}");
    }
    assert_ne!(salt(&site, "nobody").await, salt(&site, "somebody").await);
    assert_eq!(salt(&site, "nobody").await.len(), salt(&site, "alice").await.len());
}

async fn salt(site: &Site, user: &str) -> String {
    let mut client = site.target(user).dial().await.unwrap();
    let parameters = [("user", user), ("database", site.database.as_str())];
    client.send(&flight::startup(flight::VERSION_3_0, &parameters)).await.unwrap();
    assert_eq!(client.receive().await.unwrap().number(0), Some(10));
    let first = "n,,n=,r=abcdefgh";
    let body = [b"SCRAM-SHA-256\0", &(first.len() as i32).to_be_bytes()[..], first.as_bytes()];
    client.send(Flight::new().message(b'p', &body.concat()).bytes()).await.unwrap();
    let answer = client.receive().await.unwrap();
    let text = String::from_utf8(answer.body[4..].to_vec()).unwrap();
    let salt = text.split(',').find_map(|part| part.strip_prefix("s="));
    salt.expect("the server's first message has a salt").to_owned()
}

#[tokio::test]
async fn a_user_known_by_its_verifier_is_let_in() {
    let mut site = Site::direct().await;
    let sql = "SELECT rolpassword FROM pg_authid WHERE rolname = 'scott'";
    let verifier = site.superuser().await.cell(sql).await;
    let place = 3;
    site.settings = site
        .settings
        .clone()
        .with(&format!("users.{place}"), "{name: scott}")
        .with(&format!("users.{place}.scramVerifier"), &verifier)
        .with(&format!("users.{place}.serverPassword"), &password_of("scott"));
    let site = site.behind_a_pooler(&[]).await;
    assert_eq!(site.connect("scott").await.cell("SELECT current_user").await, "scott");
    assert_eq!(refusal(site.target("scott").password("wrong")).await.code, "28P01");
}

#[tokio::test]
async fn a_user_whom_postgres_refuses_is_told_so_and_others_go_on() {
    let mut site = Site::direct().await;
    site.settings = site.settings.clone().with("users.3.scramVerifier", "null");
    let wrong = "{name: scott, password: not what Postgres knows}";
    let mut site = site.behind_a_pooler(&[("users.3", wrong), ("pool.waitTimeout", "5s")]).await;
    site.expect_complaint("scott");
    let target = site.target("scott").password("not what Postgres knows");
    let code = match target.connect().await {
        Err(error) => error.downcast::<Fields>().expect("an ErrorResponse").code,
        Ok(mut client) => client.fails("SELECT 1").await,
    };
    assert!(code.starts_with("28") || code.starts_with("08"), "{code}");
    assert_eq!(site.connect("alice").await.cell("SELECT 1").await, "1");
}

/// Only a superuser or a replication role gets past the others.
async fn replication_is_judged_by_its_value(site: &Site) {
    for (value, code) in [
        ("true", "42501"),
        ("database", "42501"),
        ("on", "42501"),
        ("1", "42501"),
        ("maybe", "22023"),
        ("", "22023"),
    ] {
        let refused = refusal(site.target("alice").parameter("replication", value)).await;
        assert_eq!(refused.code, code, "{value}: {refused}");
    }
    for value in ["false", "OFF", "0", "n"] {
        let target = site.target("alice").parameter("replication", value);
        assert_eq!(site.connect_to(target).await.cell("SELECT 1").await, "1");
    }
}

#[tokio::test]
async fn a_client_too_many_is_told_so() {
    let site = Site::pooled(&[("maxClients", "3")]).await;
    let mut inside = Vec::new();
    for _ in 0..3 {
        inside.push(site.connect("alice").await);
    }
    let refused = refusal(site.target("alice")).await;
    assert_eq!(refused.code, "53300");
    assert!(refused.hint.contains("maxClients"), "{refused:?}");
    for client in inside.drain(..1) {
        client.terminate().await.unwrap();
    }
    let mut patient = None;
    for _ in 0..500 {
        if let Ok(client) = site.target("alice").connect().await {
            patient = Some(client);
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(patient.expect("the freed place can be taken").cell("SELECT 1").await, "1");
}

#[tokio::test]
async fn a_database_may_have_another_name_on_the_server() {
    let site = Site::direct().await;
    let real = site.database.clone();
    let changes = [("databases.0.name", "alias"), ("databases.0.dbname", real.as_str())];
    let site = site.behind_a_pooler(&changes).await;
    let mut target = site.target("alice");
    target.database = "alias".to_owned();
    assert_eq!(site.connect_to(target).await.cell("SELECT current_database()").await, real);
    assert_eq!(refusal(site.target("alice")).await.code, "3D000");
}

/// The iteration count is the server's to choose, the work is ours.
#[tokio::test]
async fn a_server_cannot_make_the_pooler_compute_for_ever() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counted = asked.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            tokio::spawn(bombard(Client::over(Box::new(stream))));
        }
    });
    let mut site = Site::direct().await;
    site.settings = site
        .settings
        .clone()
        .with("servers.0.port", &port.to_string())
        .with("servers.0.tls.mode", "disable")
        .with("pool.waitTimeout", "2s");
    let mut site = site.behind_a_pooler(&[]).await;
    site.expect_complaint("");
    let refused = match site.target("alice").connect().await {
        Err(_) => true,
        Ok(mut client) => client.query("SELECT 1").await.is_ok_and(|answer| answer.error.is_some()),
    };
    assert!(refused);
    assert!(asked.load(std::sync::atomic::Ordering::SeqCst) > 0);
    let log = site.pooler().log();
    assert!(log.contains("iterations, at most"), "it was not for their number: {log}");
    assert_eq!(site.pooler().get("/healthz").await.unwrap().0, 200);
}

#[tokio::test]
async fn a_server_that_has_the_old_password_yet_is_logged_in_to_with_it() {
    let old = password_of("scott");
    let changes = [("users.3.password", "brand-new"), ("users.3.previousPassword", old.as_str())];
    let site = Site::pooled(&changes).await;
    for password in ["brand-new", &old] {
        let mut client = site.target("scott").password(password).connect().await.unwrap();
        assert_eq!(client.cell("SELECT current_user").await, "scott");
    }
    let refused = refusal(site.target("scott").password("wrong")).await;
    assert_eq!(refused.code, "28P01");
}

#[tokio::test]
async fn a_databases_own_user_has_two_passwords_where_it_is_listed() {
    let old = password_of("scott");
    let changes = [
        ("users.3.password", "brand-new"),
        ("users.3.previousPassword", old.as_str()),
        ("databases.0.user", "scott"),
    ];
    let site = Site::pooled(&changes).await;
    assert_eq!(site.connect("alice").await.cell("SELECT current_user").await, "scott");
}

/// A server that asks for two thousand million rounds of PBKDF2.
async fn bombard(mut pooler: Client) -> anyhow::Result<()> {
    let mut length = [0; 4];
    pooler.take(&mut length).await?;
    pooler.take(&mut vec![0; u32::from_be_bytes(length) as usize - 4]).await?;
    let offer = [&10i32.to_be_bytes()[..], b"SCRAM-SHA-256\0\0"].concat();
    pooler.send(Flight::new().message(b'R', &offer).bytes()).await?;
    let first = pooler.receive().await?;
    let text = String::from_utf8_lossy(&first.body).into_owned();
    let nonce = text.split("r=").nth(1).unwrap_or_default();
    let challenge = format!("r={nonce}more,s=c2FsdHNhbHRzYWx0,i=2000000000");
    let body = [&11i32.to_be_bytes()[..], challenge.as_bytes()].concat();
    pooler.send(Flight::new().message(b'R', &body).bytes()).await?;
    pooler.receive().await?;
    Ok(())
}
