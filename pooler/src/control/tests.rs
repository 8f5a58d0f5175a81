//! The control port over real sockets: who is let in, and what is answered.

use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;

use poolwright_settings::control::{
    Answer, GRANTS, Grants, LOOK, OPERATOR, Push, REPORT, Report, SETTINGS, Totals, Verdict,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsConnector;

use super::{HANDSHAKES, HANDSHAKES_OF_ONE, Ways, serve_on};
use crate::config::Config;
use crate::keeper::Order;
use crate::tls::{ClientTls, ControlTls};

const POOLER: &str = "workspaces.apps.poolwright";
const MINIMAL: &str = "
servers: [{name: main, host: pg.example, maxConnections: 50}]
databases: [{name: cloud_01}]
users: [{name: ws_001, password: hunter2}]
";

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate and its key, both PEM.
struct Identity {
    certificate: String,
    key: String,
}

fn identity(
    authority: &Authority,
    name: &str,
    purpose: ExtendedKeyUsagePurpose,
    ended: bool,
) -> Identity {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.extended_key_usages = vec![purpose];
    if ended {
        (params.not_before, params.not_after) =
            (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    }
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    Identity { certificate: certificate.pem(), key: key.serialize_pem() }
}

/// A control port whose settings answer every push so.
struct Port {
    authority: Authority,
    address: SocketAddr,
    pushed: mpsc::Receiver<Push>,
    ordered: mpsc::Receiver<Order>,
}

impl Port {
    async fn open(answer: Answer) -> Port {
        let authority = authority();
        let own = identity(&authority, POOLER, ExtendedKeyUsagePurpose::ServerAuth, false);
        let (certificate, key) = (own.certificate.as_bytes(), own.key.as_bytes());
        let tls = ControlTls::new(certificate, key, authority.pem().as_bytes()).unwrap();
        let settings = poolwright_settings::parse(MINIMAL, None).unwrap();
        let mut config = Config::in_memory(settings, ClientTls::Disabled);
        config.control_tls = Some(tls);
        let (sender, config) = watch::channel(Arc::new(config));
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let (pushes, mut inbox) = mpsc::channel(1);
        let (heard, pushed) = mpsc::channel(8);
        let (orders, ordered) = mpsc::channel(1);
        tokio::spawn(serve_on(tcp, config, Ways { pushes, orders }));
        tokio::spawn(async move {
            let _alive = sender;
            while let Some((push, reply)) = inbox.recv().await {
                heard.send(push).await.unwrap();
                let _ = reply.send(answer.clone());
            }
        });
        Port { authority, address, pushed, ordered }
    }

    async fn put(
        &self,
        client: Option<&Identity>,
        body: &str,
    ) -> std::io::Result<(String, String)> {
        self.ask(client, "PUT", SETTINGS, body).await
    }

    /// Sends a request as this client; the status line and the body, or why there was none.
    async fn ask(
        &self,
        client: Option<&Identity>,
        method: &str,
        path: &str,
        body: &str,
    ) -> std::io::Result<(String, String)> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match client {
            None => builder.with_no_client_auth(),
            Some(Identity { certificate, key }) => {
                let chain = CertificateDer::pem_slice_iter(certificate.as_bytes());
                let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        let tcp = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from(POOLER).unwrap();
        let mut tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: pooler\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        tls.write_all(head.as_bytes()).await?;
        tls.write_all(body.as_bytes()).await?;
        let mut reply = String::new();
        tls.read_to_string(&mut reply).await?;
        let (head, body) = reply.split_once("\r\n\r\n").unwrap_or((&reply, ""));
        Ok((head.lines().next().unwrap_or_default().to_owned(), body.to_owned()))
    }
}

fn answer(verdict: Verdict, problems: &[&str]) -> Answer {
    let problems = problems.iter().map(|text| (*text).to_owned()).collect();
    Answer { verdict, generation: Some(7), hash: None, problems }
}

fn push() -> Push {
    let files = [("users.yaml".to_owned(), "users: []".to_owned())].into();
    Push { settings: MINIMAL.to_owned(), files, totals: Totals::default() }
}

#[tokio::test]
async fn the_operator_is_answered() {
    for (verdict, status) in [
        (Verdict::Applied, "HTTP/1.1 200 OK"),
        (Verdict::Rejected, "HTTP/1.1 422 Unprocessable Entity"),
        (Verdict::Outdated, "HTTP/1.1 409 Conflict"),
    ] {
        let mut port = Port::open(answer(verdict, &["maxClients: found 0"])).await;
        let operator =
            identity(&port.authority, OPERATOR, ExtendedKeyUsagePurpose::ClientAuth, false);
        let body = serde_json::to_string(&push()).unwrap();
        let (head, body) = port.put(Some(&operator), &body).await.unwrap();
        assert_eq!(head, status);
        let read: Answer = serde_json::from_str(&body).unwrap();
        assert_eq!(read, answer(verdict, &["maxClients: found 0"]));
        assert_eq!(port.pushed.recv().await, Some(push()));
    }
}

#[tokio::test]
async fn nobody_else_is_let_in() {
    let port = Port::open(answer(Verdict::Applied, &[])).await;
    let client = ExtendedKeyUsagePurpose::ClientAuth;
    let strange = identity(&authority(), OPERATOR, client.clone(), false);
    let pooler = identity(&port.authority, OPERATOR, ExtendedKeyUsagePurpose::ServerAuth, false);
    let other = identity(&port.authority, POOLER, client.clone(), false);
    let ended = identity(&port.authority, OPERATOR, client, true);
    for (who, why) in [
        (None, "CertificateRequired"),
        (Some(&strange), "DecryptError"),
        (Some(&pooler), "alert: "),
        (Some(&other), "alert: "),
        (Some(&ended), "CertificateExpired"),
    ] {
        let body = serde_json::to_string(&push()).unwrap();
        let refused = port.put(who, &body).await.unwrap_err();
        assert!(refused.to_string().contains(why), "{refused} for {why}");
    }
    assert!(port.pushed.is_empty());
}

#[tokio::test]
async fn an_address_that_holds_handshakes_open_keeps_no_other_out() {
    let port = Port::open(answer(Verdict::Applied, &[])).await;
    let mut silent = Vec::new();
    for _ in 0..2 * HANDSHAKES {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.9:0".parse().unwrap()).unwrap();
        silent.push(socket.connect(port.address).await.unwrap());
    }
    let operator = identity(&port.authority, OPERATOR, ExtendedKeyUsagePurpose::ClientAuth, false);
    let body = serde_json::to_string(&push()).unwrap();
    assert_eq!(port.put(Some(&operator), &body).await.unwrap().0, "HTTP/1.1 200 OK");
    let held = silent.into_iter().map(is_open).filter(|open| *open).count();
    assert!(held <= HANDSHAKES_OF_ONE, "{held} are held open");
}

fn is_open(stream: TcpStream) -> bool {
    let read = stream.into_std().unwrap().read(&mut [0]);
    read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

#[tokio::test]
async fn what_is_no_push_is_refused_and_reaches_nobody() {
    let port = Port::open(answer(Verdict::Applied, &[])).await;
    let operator = identity(&port.authority, OPERATOR, ExtendedKeyUsagePurpose::ClientAuth, false);
    for (body, status) in
        [("{", "HTTP/1.1 400 Bad Request"), ("{}", "HTTP/1.1 422 Unprocessable Entity")]
    {
        assert_eq!(port.put(Some(&operator), body).await.unwrap().0, status);
    }
    assert!(port.pushed.is_empty());
}

#[tokio::test]
async fn orders_are_answered_with_a_report() {
    let mut port = Port::open(answer(Verdict::Applied, &[])).await;
    let mut ordered = std::mem::replace(&mut port.ordered, mpsc::channel(1).1);
    let operator = identity(&port.authority, OPERATOR, ExtendedKeyUsagePurpose::ClientAuth, false);
    let grants =
        Grants { process: "p1".into(), epoch: 3, servers: [("main".to_owned(), 25)].into() };
    let body = serde_json::to_string(&grants).unwrap();
    for (method, path, body, status) in [
        ("PUT", GRANTS, body.as_str(), "HTTP/1.1 409 Conflict"),
        ("GET", REPORT, "", "HTTP/1.1 200 OK"),
        ("GET", LOOK, "", "HTTP/1.1 200 OK"),
    ] {
        let report = Report { process: path.to_owned(), ..Report::default() };
        let answer = async {
            match ordered.recv().await.unwrap() {
                Order::Grant(given, reply) => {
                    assert_eq!(given, grants);
                    reply.send((false, report.clone())).unwrap();
                }
                Order::Report(reply) | Order::Look(reply) => reply.send(report.clone()).unwrap(),
            }
        };
        let asked = port.ask(Some(&operator), method, path, body);
        let (head, body) = tokio::join!(asked, answer).0.unwrap();
        assert_eq!(head, status);
        assert_eq!(serde_json::from_str::<Report>(&body).unwrap(), report);
    }
}
