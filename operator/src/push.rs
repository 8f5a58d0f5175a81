//! Seventh step: tells the pods that run their settings, all at once, over the control channel.
//! It asks no API server and waits for no pod long.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::join_all;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;
use poolwright_settings::control::{Answer, Push, SETTINGS, Verdict};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use crate::{authority, build::template, pods};

/// How long a pod may take to take settings over and say so.
const PATIENCE: Duration = Duration::from_secs(3);
/// The longest answer, in bytes.
const LONGEST: usize = 256 * 1024;

/// What the ready pods said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Pods that were told.
    pub pods: usize,
    pub applied: usize,
    /// Why others did not take the settings over, each with its pod.
    pub rejected: Vec<String>,
    pub silent: Vec<String>,
    /// The generation in force in a pod that is ahead of what it was told: somebody has removed
    /// the settings from which the next one is counted.
    pub ahead: Option<u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the operator's certificate: {0}")]
    Certificate(#[from] rustls::Error),
    #[error("the operator's certificate: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    #[error("the pods' name: {0}")]
    Name(#[from] rustls::pki_types::InvalidDnsNameError),
}

/// The way to the pods of one PoolerCluster.
pub struct Channel {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Channel {
    /// With the operator's certificate in `secret`, to pods whose own bears `name`.
    ///
    /// # Errors
    /// If what the Secret holds cannot be used.
    pub fn new(secret: &Secret, name: String) -> Result<Channel, Error> {
        let pem = |key| authority::pem(secret, key).unwrap_or_default().as_bytes();
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem(authority::CA_CERTIFICATE)) {
            roots.add(certificate?)?;
        }
        let chain = CertificateDer::pem_slice_iter(pem(authority::CERTIFICATE));
        let chain = chain.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(pem(authority::KEY))?;
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        Ok(Channel {
            connector: TlsConnector::from(Arc::new(config)),
            name: ServerName::try_from(name)?,
        })
    }

    /// Tells all pods that are ready.
    pub async fn push(&self, pods: &[Pod], push: &Push) -> Told {
        let body = Bytes::from(serde_json::to_vec(push).unwrap_or_default());
        let ready = pods.iter().filter(|pod| pods::is_ready(pod));
        let answers = join_all(ready.map(async |pod| (pod.name_any(), self.ask(pod, &body).await)));
        let mut told = Told::default();
        for (pod, answer) in answers.await {
            told.pods += 1;
            match answer {
                Ok(answer) => told.note(&pod, &answer),
                Err(error) => {
                    tracing::warn!(pod, %error, "a pod was not told its settings");
                    told.silent.push(format!("{pod}: {}", in_short(&error)));
                }
            }
        }
        told
    }

    async fn ask(&self, pod: &Pod, body: &Bytes) -> io::Result<Answer> {
        let address = pods::address(pod, template::CONTROL_PORT)
            .ok_or_else(|| io::Error::other("it has no address yet"))?;
        let answer = timeout(PATIENCE, self.put(address, body.clone())).await;
        answer.unwrap_or_else(|_| {
            Err(io::Error::other(format!("no answer within {} s", PATIENCE.as_secs())))
        })
    }

    async fn put(&self, address: SocketAddr, body: Bytes) -> io::Result<Answer> {
        let tcp = TcpStream::connect(address).await?;
        let tls = self.connector.connect(self.name.clone(), tcp).await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(tls)).await.map_err(io::Error::other)?;
        let request = Request::builder()
            .method(Method::PUT)
            .uri(SETTINGS)
            .header(header::HOST, "pooler")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(io::Error::other)?;
        let reply = async {
            let response = sender.send_request(request).await.map_err(io::Error::other)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LONGEST);
            let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
            read(status, &body)
        };
        tokio::select! {
            reply = reply => reply,
            Err(error) = connection => Err(io::Error::other(error)),
        }
    }
}

/// The same words as long as it is the same: they stand in the status.
fn in_short(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::InvalidData => "its certificate or ours is not accepted".to_owned(),
        io::ErrorKind::Other => error.to_string(),
        kind => kind.to_string(),
    }
}

fn read(status: StatusCode, body: &[u8]) -> io::Result<Answer> {
    serde_json::from_slice(body).map_err(|_| {
        let text = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        io::Error::other(format!("answered {status} {text:?}"))
    })
}

impl Told {
    fn note(&mut self, pod: &str, answer: &Answer) {
        match answer.verdict {
            Verdict::Applied => self.applied += 1,
            Verdict::Rejected => {
                self.rejected.push(format!("{pod}: {}", answer.problems.join("; ")));
            }
            Verdict::Outdated => {
                let later = answer.generation.unwrap_or_default();
                self.ahead = self.ahead.max(Some(later));
                self.rejected.push(format!("{pod}: generation {later} is in force, a later one"));
            }
        }
    }
}
