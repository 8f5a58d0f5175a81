//! One end's part of the control channel: a certificate, its key, the authorities to trust; and
//! whether they are of use there. It makes none, and never shows a key.

use std::{sync::Arc, time::Duration};

use k8s_openapi::{api::core::v1::Secret, jiff::Timestamp};
use poolwright_settings::control::OPERATOR;
use rustls::{
    CertificateError, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier, verify_server_name},
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::{ParsedCertificate, WebPkiClientVerifier},
    sign::CertifiedKey,
};

pub const CA_CERTIFICATE: &str = "ca.crt";
pub const CERTIFICATE: &str = "tls.crt";
pub const KEY: &str = "tls.key";

/// All in PEM.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The leaf, and what leads from it to an authority.
    pub certificate: String,
    pub key: String,
    /// Who signs for the other end.
    pub authorities: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Identity { certificate, key: _, authorities } = self;
        let mut shown = f.debug_struct("Identity");
        shown.field("certificate", certificate).field("authorities", authorities);
        shown.finish_non_exhaustive()
    }
}

/// Whose certificate it is.
#[derive(Clone, Copy, Debug)]
pub enum End<'a> {
    /// The pods', which bears this name.
    Pods(&'a str),
    Operator,
}

/// What is wrong, and with which key of the Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    pub key: &'static str,
    pub found: String,
}

impl Identity {
    /// What the Secret holds; empty where it holds nothing.
    pub fn of(secret: &Secret) -> Identity {
        let text = |key| text(secret, key).unwrap_or_default().to_owned();
        Identity {
            certificate: text(CERTIFICATE),
            key: text(KEY),
            authorities: text(CA_CERTIFICATE),
        }
    }

    /// Checks that this end can show its certificate now and the other will accept it.
    ///
    /// # Errors
    /// The first flaw.
    pub fn check(&self, end: End<'_>, now: Timestamp) -> Result<(), Flaw> {
        let (leaf, intermediates) = self.pair()?;
        let (leaf, intermediates) = (&leaf, intermediates.as_slice());
        let roots = Arc::new(self.roots()?);
        let accepted = match end {
            End::Pods(name) => as_server(roots, leaf, intermediates, name, unix(now)),
            End::Operator => as_client(roots, leaf, intermediates, unix(now)),
        };
        accepted.map_err(|error| Flaw::of(CERTIFICATE, &in_words(&error, end)))
    }

    /// The leaf, whose key this has, and what leads from it to an authority.
    ///
    /// # Errors
    /// There is no certificate, or no key, or it is another's.
    pub fn pair(&self) -> Result<(CertificateDer<'static>, Vec<CertificateDer<'static>>), Flaw> {
        let mut chain = self.chain()?.into_iter();
        self.private_key()?;
        let leaf = chain.next().ok_or_else(|| Flaw::of(CERTIFICATE, "no certificate"))?;
        if !belong_together(&self.certificate, &self.key) {
            return Err(Flaw::of(KEY, "a key that is not that of tls.crt"));
        }
        Ok((leaf, chain.collect()))
    }

    /// # Errors
    /// If it is no PEM.
    pub fn chain(&self) -> Result<Vec<CertificateDer<'static>>, Flaw> {
        certificates(&self.certificate).ok_or_else(|| Flaw::of(CERTIFICATE, "what is no PEM"))
    }

    /// # Errors
    /// If it is no key in PEM.
    pub fn private_key(&self) -> Result<PrivateKeyDer<'static>, Flaw> {
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes());
        key.map_err(|_| Flaw::of(KEY, "no private key in PEM"))
    }

    /// # Errors
    /// If there is no authority, or one that cannot be read.
    pub fn roots(&self) -> Result<RootCertStore, Flaw> {
        let all = certificates(&self.authorities).unwrap_or_default();
        let mut roots = RootCertStore::empty();
        for authority in all {
            let added = roots.add(authority);
            added.map_err(|error| Flaw::of(CA_CERTIFICATE, &error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(Flaw::of(CA_CERTIFICATE, "no certificate in PEM"));
        }
        Ok(roots)
    }
}

impl Flaw {
    fn of(key: &'static str, found: &str) -> Flaw {
        Flaw { key, found: found.to_owned() }
    }
}

/// The text under this key.
pub fn text<'a>(secret: &'a Secret, key: &str) -> Option<&'a str> {
    let bytes = secret.data.as_ref()?.get(key)?;
    std::str::from_utf8(&bytes.0).ok()
}

/// Whether the key, in PEM, is that of the first certificate.
pub fn belong_together(certificate: &str, key: &str) -> bool {
    let chain = certificates(certificate).filter(|chain| !chain.is_empty());
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).ok();
    let pair = chain.zip(key);
    pair.is_some_and(|(chain, key)| CertifiedKey::from_der(chain, key, &provider()).is_ok())
}

/// `None` if it is no PEM.
pub fn certificates(pem: &str) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().ok()
}

fn as_server(
    roots: Arc<RootCertStore>,
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    name: &str,
    now: UnixTime,
) -> Result<(), rustls::Error> {
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider()).build();
    let verifier = verifier.map_err(general)?;
    let name = ServerName::try_from(name).map_err(general)?;
    verifier.verify_server_cert(leaf, intermediates, &name, &[], now).map(drop)
}

fn as_client(
    roots: Arc<RootCertStore>,
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<(), rustls::Error> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
    verifier.map_err(general)?.verify_client_cert(leaf, intermediates, now)?;
    let name = ServerName::try_from(OPERATOR).map_err(general)?;
    verify_server_name(&ParsedCertificate::try_from(leaf)?, &name)
}

fn in_words(error: &rustls::Error, end: End<'_>) -> String {
    use CertificateError as Wrong;
    let rustls::Error::InvalidCertificate(wrong) = error else { return error.to_string() };
    let (purpose, name) = match end {
        End::Pods(name) => ("server auth", name),
        End::Operator => ("client auth", OPERATOR),
    };
    match wrong {
        Wrong::Expired | Wrong::ExpiredContext { .. } => "a certificate that has expired".into(),
        Wrong::NotValidYet | Wrong::NotValidYetContext { .. } => {
            "a certificate that is not valid yet".into()
        }
        Wrong::UnknownIssuer | Wrong::BadSignature => {
            "a certificate that no authority in ca.crt has signed".into()
        }
        Wrong::InvalidPurpose | Wrong::InvalidPurposeContext { .. } => {
            format!("a certificate without the usage {purpose:?}")
        }
        Wrong::NotValidForName | Wrong::NotValidForNameContext { .. } => {
            format!("a certificate that does not bear the DNS name {name}")
        }
        other => other.to_string(),
    }
}

fn general(error: impl ToString) -> rustls::Error {
    rustls::Error::General(error.to_string())
}

fn unix(now: Timestamp) -> UnixTime {
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
