//! TLS on both sides, by rustls: PEM and mode in, acceptor or connector out. It never opens a file
//! and never decides whether TLS is asked for.

mod verify;

use std::io;
use std::sync::Arc;

use poolwright_settings::{ListenTlsMode, ServerTlsMode};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use verify::Verifier;

use crate::stream::Socket;

/// PEM that is not what its setting needs.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("certFile: no PEM certificate is in it, expected the leaf and its intermediates")]
    NoCertificate,
    #[error("caFile: no PEM certificate is in it, expected the authorities to trust")]
    NoAuthority,
    #[error("{setting}: {source}; expected PEM")]
    Pem { setting: &'static str, source: rustls::pki_types::pem::Error },
    #[error("certFile and keyFile: {0}")]
    KeyPair(rustls::Error),
    #[error("caFile: {0}")]
    Authority(rustls::Error),
    #[error("caFile: {0}")]
    Verifier(rustls::server::VerifierBuilderError),
    #[error("rustls: {0}")]
    Config(rustls::Error),
}

/// TLS towards clients.
#[derive(Clone)]
pub enum ClientTls {
    Disabled,
    Allowed(TlsAcceptor),
    Required(TlsAcceptor),
}

/// TLS towards a server.
#[derive(Clone)]
pub struct ServerTls {
    pub mode: ServerTlsMode,
    connector: TlsConnector,
}

impl ClientTls {
    /// `certificate`, `key`: PEM, not looked at where the mode is `disable`.
    ///
    /// # Errors
    /// The PEM does not hold a certificate chain and its key.
    pub fn new(mode: ListenTlsMode, certificate: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        Ok(match mode {
            ListenTlsMode::Disable => ClientTls::Disabled,
            ListenTlsMode::Allow => ClientTls::Allowed(acceptor(certificate, key)?),
            ListenTlsMode::Require => ClientTls::Required(acceptor(certificate, key)?),
        })
    }

    pub fn acceptor(&self) -> Option<&TlsAcceptor> {
        match self {
            ClientTls::Disabled => None,
            ClientTls::Allowed(acceptor) | ClientTls::Required(acceptor) => Some(acceptor),
        }
    }

    pub fn is_required(&self) -> bool {
        matches!(self, ClientTls::Required(_))
    }
}

impl ServerTls {
    /// `authorities`: PEM. As in libpq, `require` with authorities checks the chain, and modes below
    /// it check nothing.
    ///
    /// # Errors
    /// The PEM does not hold certificates, or a verify mode has none.
    pub fn new(mode: ServerTlsMode, authorities: Option<&[u8]>) -> Result<Self, TlsError> {
        let provider = provider();
        let name = mode == ServerTlsMode::VerifyFull;
        let verify = name || mode == ServerTlsMode::VerifyCa;
        let verifier = match authorities {
            Some(pem) if verify || mode == ServerTlsMode::Require => {
                Verifier::chain(certificates(pem, "caFile")?, name, provider.clone())?
            }
            None if verify => return Err(TlsError::NoAuthority),
            _ => Verifier::nothing(provider.clone()),
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Config)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(ServerTls { mode, connector: TlsConnector::from(Arc::new(config)) })
    }

    /// The handshake; `host` (a name or an IP address) is sent as SNI if it is a name.
    ///
    /// # Errors
    /// The handshake fails, or the certificate does not pass the mode's checks.
    pub async fn connect(&self, host: &str, tcp: TcpStream) -> io::Result<TlsStream<Socket>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        self.connector.connect(name, Socket::Live(tcp)).await.map(TlsStream::from)
    }
}

fn acceptor(certificate: &[u8], key: &[u8]) -> Result<TlsAcceptor, TlsError> {
    let chain = certificates(certificate, "certFile")?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|source| TlsError::Pem { setting: "keyFile", source })?;
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Config)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsError::KeyPair)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(
    pem: &[u8],
    setting: &'static str,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|source| TlsError::Pem { setting, source })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
