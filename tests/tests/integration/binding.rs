//! SCRAM towards PostgreSQL is bound to its certificate: where that is demanded nothing else will do,
//! and PostgreSQL itself refuses a proof that somebody in between has relayed.

use std::sync::Arc;

use anyhow::{Result, bail};
use poolwright_tests::certificates::Certificates;
use poolwright_tests::pg::{Client, Fields, Flight, flight};
use poolwright_tests::process::scratch;
use poolwright_tests::site::Site;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

const WHO: &str = "SELECT current_user";

async fn behind(mode: &str, binding: &str, more: &[(&str, &str)]) -> Site {
    let site = Site::direct().await;
    let own = [
        ("servers.0.tls.mode", mode),
        ("servers.0.channelBinding", binding),
        ("pool.waitTimeout", "3s"),
    ];
    site.behind_a_pooler(&[&own, more].concat()).await
}

/// Whom the user comes in as, or what it reads instead.
async fn comes_in(site: &Site, user: &str) -> Result<String, String> {
    let mut client = match site.target(user).connect().await {
        Ok(client) => client,
        Err(error) => return Err(error.downcast::<Fields>().unwrap().message),
    };
    let answer = client.query(WHO).await.unwrap();
    match answer.error {
        Some(error) => Err(error.message),
        None => Ok(answer.rows[0][0].clone().unwrap()),
    }
}

#[track_caller]
fn says(outcome: Result<String, String>, expect: &str) {
    let told = outcome.expect_err(expect);
    assert!(told.contains(expect), "expected {expect:?} in {told:?}");
}

/// The server's pg_hba.conf asks scott for SCRAM, and trusts alice.
#[tokio::test]
async fn a_login_that_is_not_bound_is_none_where_binding_is_required() {
    for mode in ["allow", "prefer", "require"] {
        let mut site = behind(mode, "require", &[]).await;
        site.expect_complaint("servers[].channelBinding");
        assert_eq!(comes_in(&site, "scott").await, Ok("scott".to_owned()), "{mode}");
        says(
            comes_in(&site, "alice").await,
            "without channel binding, which servers[].channelBinding",
        );
    }
}

/// What somebody between pooler and PostgreSQL does, who shows a certificate of their own and relays the
/// rest: a fake.
#[derive(Clone, Copy, Debug)]
enum Relay {
    Everything,
    /// But that PostgreSQL can bind.
    WithoutPlus,
}

/// Relays connections from this port to that one, each of them over TLS on both sides.
async fn relay(what: Relay, to: u16, theirs: &Certificates) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let own = Certificates::make(&scratch("between").unwrap()).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(shown(&own).unwrap()));
    let connector = TlsConnector::from(theirs.client().unwrap());
    tokio::spawn(async move {
        while let Ok((pooler, _)) = listener.accept().await {
            let (acceptor, connector) = (acceptor.clone(), connector.clone());
            tokio::spawn(async move { one(what, pooler, to, &acceptor, &connector).await });
        }
    });
    port
}

fn shown(own: &Certificates) -> Result<ServerConfig> {
    let chain = vec![CertificateDer::from_pem_file(&own.certificate)?];
    let key = PrivateKeyDer::from_pem_file(&own.key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth();
    Ok(config.with_single_cert(chain, key)?)
}

async fn one(
    what: Relay,
    mut pooler: TcpStream,
    to: u16,
    acceptor: &TlsAcceptor,
    connector: &TlsConnector,
) -> Result<()> {
    let mut request = [0; 8];
    pooler.read_exact(&mut request).await?;
    pooler.write_all(b"S").await?;
    let mut pooler = acceptor.accept(pooler).await?;
    let mut server = TcpStream::connect(("127.0.0.1", to)).await?;
    server.write_all(&flight::ssl_request()).await?;
    if server.read_u8().await? != b'S' {
        bail!("PostgreSQL has no TLS");
    }
    let mut server = connector.connect(ServerName::try_from("127.0.0.1")?, server).await?;
    match what {
        Relay::Everything => copy_bidirectional(&mut pooler, &mut server).await.map(drop)?,
        Relay::WithoutPlus => {
            let mut server = Client::over(Box::new(server));
            hide_plus(&mut pooler, &mut server).await?;
            copy_bidirectional(&mut pooler, &mut server.into_wire()).await?;
        }
    }
    Ok(())
}

/// Brings the startup message over, and the answer without the mechanism that binds.
async fn hide_plus(pooler: &mut TlsStream<TcpStream>, server: &mut Client) -> Result<()> {
    let length = pooler.read_i32().await?;
    let mut startup = vec![0; usize::try_from(length)? - 4];
    pooler.read_exact(&mut startup).await?;
    server.send(&[&length.to_be_bytes(), &startup[..]].concat()).await?;
    let asked = server.receive().await?.body;
    assert_eq!(asked, b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0");
    let less = Flight::new().message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0");
    Ok(pooler.write_all(less.bytes()).await?)
}

#[tokio::test]
async fn postgres_refuses_a_proof_that_was_relayed_by_somebody_else() {
    let theirs = Site::direct().await;
    let mismatch = "SCRAM channel binding check failed";
    let downgrade = "SCRAM channel binding negotiation error";
    let missing = "offers no SCRAM-SHA-256-PLUS, which servers[].channelBinding requires";
    for (what, binding, expect) in [
        // The relay works, for who looks at no certificate.
        (Relay::Everything, "disable", None),
        (Relay::Everything, "prefer", Some(mismatch)),
        (Relay::Everything, "require", Some(mismatch)),
        (Relay::WithoutPlus, "disable", None),
        (Relay::WithoutPlus, "prefer", Some(downgrade)),
        (Relay::WithoutPlus, "require", Some(missing)),
    ] {
        let port = relay(what, theirs.postgres.port(), &theirs.postgres.certificates).await;
        let port = port.to_string();
        let mut site = behind("require", binding, &[("servers.0.port", &port)]).await;
        site.expect_complaint("channel");
        let outcome = comes_in(&site, "scott").await;
        match expect {
            None => assert_eq!(outcome, Ok("scott".to_owned()), "{what:?} {binding}"),
            Some(expect) => says(outcome, expect),
        }
    }
}
