//! Seventh step: tells the pods that run their settings, all at once, over the control channel.
//! It asks no API server and waits for no pod long.

use std::{error, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::{join, join_all};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use poolwright_settings::{
    Fingerprint,
    control::{Answer, Push, SETTINGS, Verdict},
};
use rustls::{
    AlertDescription, CertificateError, ClientConfig,
    pki_types::{CertificateDer, ServerName},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use crate::{
    build::template,
    certificate::{Flaw, Identity, certificates, provider},
    pods,
};

/// How long a pod may take to take settings over and say so.
const PATIENCE: Duration = Duration::from_secs(3);
/// The longest answer, in bytes.
const LONGEST: usize = 2 * 1024 * 1024;

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
    /// Pods that showed the certificate that they shall have by now.
    pub current: usize,
    /// Whether an authority changes, which waits for all pods to show it.
    pub is_awaited: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the operator's certificate: {0}")]
    Certificate(#[from] rustls::Error),
    #[error("the operator's certificate: found {} at {}", .0.found, .0.key)]
    Flaw(Flaw),
    #[error("the pods' name: {0}")]
    Name(#[from] rustls::pki_types::InvalidDnsNameError),
}

/// The way to the pods of one PoolerCluster.
pub struct Channel {
    connector: TlsConnector,
    name: ServerName<'static>,
    /// What the pods shall show.
    leaf: Option<CertificateDer<'static>>,
}

impl Channel {
    /// As `operator`, to pods whose certificate bears `name`; `theirs` is the newest, in PEM.
    ///
    /// # Errors
    /// If the operator's certificate cannot be used.
    pub fn new(operator: &Identity, name: String, theirs: &str) -> Result<Channel, Error> {
        let roots = operator.roots().map_err(Error::Flaw)?;
        let chain = operator.chain().map_err(Error::Flaw)?;
        let key = operator.private_key().map_err(Error::Flaw)?;
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        Ok(Channel {
            connector: TlsConnector::from(Arc::new(config)),
            name: ServerName::try_from(name)?,
            leaf: certificates(theirs).and_then(|chain| chain.into_iter().next()),
        })
    }

    /// Tells all pods that are ready.
    pub async fn push(&self, pods: &[Pod], push: &Push) -> Told {
        let sent = Sent::of(push);
        let question = Question::put(SETTINGS, push, PATIENCE);
        let ready = pods.iter().filter(|pod| pods::is_ready(pod));
        let replies = self.ask_all(ready.map(|pod| (pod, question.clone()))).await;
        let mut told = Told::default();
        for (pod, reply) in replies {
            let pod = pod.name_any();
            told.pods += 1;
            match reply.and_then(|reply| Ok((reply.read()?, reply.is_current))) {
                Ok((answer, is_current)) => {
                    told.note(&pod, &answer, &sent);
                    told.current += usize::from(is_current);
                }
                Err(error) => {
                    let cause = cause(&error);
                    tracing::warn!(pod, cause, "a pod was not told its settings");
                    told.silent.push(format!("{pod}: {}", in_short(&error)));
                }
            }
        }
        told
    }

    /// Asks all these pods at once; what each replied.
    pub async fn ask_all<'p>(
        &self,
        asked: impl Iterator<Item = (&'p Pod, Question)>,
    ) -> Vec<(&'p Pod, io::Result<Reply>)> {
        join_all(asked.map(async |(pod, question)| (pod, self.ask(pod, question).await))).await
    }

    /// Asks a pod.
    ///
    /// # Errors
    /// The pod does not answer, or one of the two certificates is not accepted.
    pub async fn ask(&self, pod: &Pod, question: Question) -> io::Result<Reply> {
        let address = pods::address(pod, template::CONTROL_PORT)
            .ok_or_else(|| io::Error::other("it has no address yet"))?;
        let patience = question.patience;
        let reply = timeout(patience, self.exchange(address, question)).await;
        reply.unwrap_or_else(|_| {
            Err(io::Error::other(format!("no answer within {} s", patience.as_secs())))
        })
    }

    async fn exchange(&self, address: SocketAddr, question: Question) -> io::Result<Reply> {
        let Question { method, path, body, patience: _ } = question;
        let tcp = TcpStream::connect(address).await?;
        let tls = self.connector.connect(self.name.clone(), tcp).await?;
        let shown = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let is_current = shown.is_some() && shown == self.leaf.as_ref();
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(tls)).await.map_err(io::Error::other)?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "pooler")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(io::Error::other)?;
        let reply = async move {
            let response = sender.send_request(request).await.map_err(io::Error::other)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LONGEST);
            let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
            Ok(Reply { status, body, is_current })
        };
        // A pod that refuses our certificate says so only now, and to the connection.
        match join(connection, reply).await {
            (_, Ok(reply)) => Ok(reply),
            (Err(ended), Err(_)) => Err(io::Error::other(ended)),
            (Ok(()), Err(error)) => Err(error),
        }
    }
}

/// What a pod is asked.
#[derive(Clone)]
pub struct Question {
    method: Method,
    path: &'static str,
    body: Bytes,
    /// How long the pod may take.
    patience: Duration,
}

impl Question {
    pub fn get(path: &'static str, patience: Duration) -> Question {
        Question { method: Method::GET, path, body: Bytes::new(), patience }
    }

    pub fn put(path: &'static str, message: &impl Serialize, patience: Duration) -> Question {
        let body = Bytes::from(serde_json::to_vec(message).unwrap_or_default());
        Question { method: Method::PUT, path, body, patience }
    }
}

/// What a pod answered.
pub struct Reply {
    pub status: StatusCode,
    body: Bytes,
    /// Whether the pod showed its newest certificate.
    is_current: bool,
}

impl Reply {
    /// The body, read as JSON.
    ///
    /// # Errors
    /// It is another.
    pub fn read<T: DeserializeOwned>(&self) -> io::Result<T> {
        serde_json::from_slice(&self.body).map_err(|_| {
            let text = String::from_utf8_lossy(&self.body[..self.body.len().min(200)]);
            io::Error::other(format!("answered {} {text:?}", self.status))
        })
    }
}

/// The same words as long as it is the same: they stand in the status.
pub fn in_short(error: &io::Error) -> String {
    let accepted = "its certificate is not accepted";
    match tls_error(error) {
        Some(rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => format!("{accepted}: it has expired"),
        Some(rustls::Error::InvalidCertificate(_)) => accepted.to_owned(),
        Some(rustls::Error::AlertReceived(AlertDescription::CertificateExpired)) => {
            "it says that the operator's certificate has expired".to_owned()
        }
        Some(rustls::Error::AlertReceived(_)) => {
            "it does not accept the operator's certificate".to_owned()
        }
        _ if error.kind() == io::ErrorKind::Other => error.to_string(),
        _ => error.kind().to_string(),
    }
}

/// What lies at the bottom, for the log.
fn cause(error: &io::Error) -> String {
    tls_error(error).map_or_else(|| error.to_string(), ToString::to_string)
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    let mut next = Some(error as &(dyn error::Error + 'static));
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // An io::Error names as its source that of what it wraps.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = wrapped.map(|it| it as &(dyn error::Error + 'static)).or_else(|| error.source());
    }
    None
}

/// What tells the settings that were sent from others.
struct Sent {
    generation: Option<u64>,
    hash: Fingerprint,
}

impl Sent {
    fn of(push: &Push) -> Sent {
        let generation = poolwright_settings::generation(&push.settings);
        Sent { generation, hash: Fingerprint::of(push) }
    }

    /// Whether it is they that a pod has in force. A pod of an earlier version says no hash.
    fn are_in_force(&self, answer: &Answer) -> bool {
        let Answer { generation, hash, .. } = answer;
        *generation == self.generation && hash.as_ref().is_none_or(|hash| *hash == self.hash)
    }
}

impl Told {
    fn note(&mut self, pod: &str, answer: &Answer, sent: &Sent) {
        match answer.verdict {
            Verdict::Applied if sent.are_in_force(answer) => self.applied += 1,
            Verdict::Applied => {
                let generation = answer.generation.unwrap_or_default();
                let other = "is in force, with other settings than were sent";
                self.rejected.push(format!("{pod}: generation {generation} {other}"));
            }
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

#[cfg(test)]
mod tests;
