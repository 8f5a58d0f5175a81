//! The channel over real sockets: what is said of a pod that shows the wrong certificate, or that
//! takes none of ours.

use std::collections::BTreeMap;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use poolwright_settings::control::Totals;
use rustls::{ServerConfig, server::WebPkiClientVerifier};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::{
    authority::{self, Certificates},
    live::Live,
    names, testing,
};

const ANSWER: &str = r#"{"verdict":"applied","generation":7}"#;

fn certificates_of(days_ago: i64) -> Certificates {
    let made = Timestamp::now() - SignedDuration::from_hours(24 * days_ago);
    authority::certificates(&testing::validated(), &Live::default(), None, made).unwrap()
}

/// A pod that is ready, with this certificate: where it is.
async fn pod(own: &Identity) -> SocketAddr {
    let roots = Arc::new(own.roots().unwrap());
    let clients = WebPkiClientVerifier::builder_with_provider(roots, provider()).build().unwrap();
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(own.chain().unwrap(), own.private_key().unwrap())
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let Ok(mut tls) = acceptor.accept(tcp).await else { return };
        let mut request = [0; 4096];
        let _ = tls.read(&mut request).await;
        let length = ANSWER.len();
        let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{ANSWER}");
        let _ = tls.write_all(reply.as_bytes()).await;
        let _ = tls.read(&mut request).await;
    });
    address
}

async fn ask(
    operator: &Identity,
    pods: &Identity,
    newest: &Identity,
) -> io::Result<(Answer, bool)> {
    let name = names::server_name("workspaces", "apps");
    let channel = Channel::new(operator, name, &newest.certificate).unwrap();
    let address = pod(pods).await;
    let question = Question::put(SETTINGS, &(), PATIENCE);
    let reply = channel.exchange(address, question).await?;
    Ok((reply.read()?, reply.is_current))
}

#[tokio::test]
async fn a_pod_answers_and_is_seen_to_have_the_newest_certificate_or_not() {
    let Certificates { control, operator, .. } = certificates_of(0);
    let pods = Identity::of(&control);
    let (answer, is_current) = ask(&operator, &pods, &pods).await.unwrap();
    assert_eq!((answer.generation, is_current), (Some(7), true));
    let newer = Identity::of(&certificates_of(0).control);
    let (_, is_current) = ask(&operator, &pods, &newer).await.unwrap();
    assert!(!is_current);
}

#[tokio::test]
async fn a_pods_certificate_that_has_expired_is_refused_and_said() {
    let old = certificates_of(91);
    let pods = Identity::of(&old.control);
    let refused = ask(&old.operator, &pods, &pods).await.unwrap_err();
    assert_eq!(in_short(&refused), "its certificate is not accepted: it has expired");
    assert!(cause(&refused).contains("certificate expired"), "{}", cause(&refused));
}

#[tokio::test]
async fn a_pod_that_refuses_the_operators_certificate_is_quoted() {
    let Certificates { control, operator, .. } = certificates_of(0);
    let pods = Identity::of(&control);
    let stranger = certificates_of(0).operator;
    let stranger = Identity { authorities: operator.authorities.clone(), ..stranger };
    let refused = ask(&stranger, &pods, &pods).await.unwrap_err();
    assert_eq!(in_short(&refused), "it does not accept the operator's certificate");
    assert!(cause(&refused).contains("fatal alert"), "{}", cause(&refused));
}

#[tokio::test]
async fn an_operators_certificate_that_has_expired_is_said_by_the_pod() {
    // Both leaves are old: only the pod's own is made again by the same authority.
    let old = certificates_of(91);
    let live = Live {
        authority: old.authority.clone(),
        control: Some(old.control.clone()),
        ..Live::default()
    };
    let now = Timestamp::now();
    let new = authority::certificates(&testing::validated(), &live, None, now).unwrap();
    let pods = Identity::of(&new.control);
    let refused = ask(&old.operator, &pods, &pods).await.unwrap_err();
    assert_eq!(in_short(&refused), "it says that the operator's certificate has expired");
}

#[test]
fn settings_count_as_applied_where_generation_and_hash_are_those_that_were_sent() {
    let push = |text: &str| Push {
        settings: format!("generation: 7\nmaxClients: {text}\n"),
        files: BTreeMap::new(),
        totals: Totals::default(),
    };
    let sent = push("9");
    let told_by = |generation, hash| {
        let answer = Answer { verdict: Verdict::Applied, generation, hash, problems: Vec::new() };
        let mut told = Told::default();
        told.note("a-0", &answer, &Sent::of(&sent));
        (told.applied, told.rejected)
    };
    let same = Some(Fingerprint::of(&sent));
    assert_eq!(told_by(Some(7), same.clone()), (1, Vec::new()));
    assert_eq!(told_by(Some(7), None), (1, Vec::new()), "of a version that knows no hash");
    let other = "a-0: generation 7 is in force, with other settings than were sent".to_owned();
    assert_eq!(told_by(Some(7), Some(Fingerprint::of(&push("8")))), (0, vec![other]));
    assert_eq!(told_by(Some(6), same).0, 0);
    assert_eq!(told_by(Some(6), None).0, 0);
}
