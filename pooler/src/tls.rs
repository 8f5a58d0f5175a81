//! TLS on both sides, by rustls: PEM and mode in, acceptor or connector out. It never opens a file
//! and never decides whether TLS is asked for.

mod binding;
mod der;
mod name;
mod verify;

use std::io;
use std::sync::Arc;

use poolwright_settings::control::OPERATOR;
use poolwright_settings::{ListenTlsMode, ServerTlsMode};
use poolwright_wire::startup::ALPN;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::Ticketer;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{Acceptor, NoClientAuth, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::{StartHandshake, TlsAcceptor, TlsConnector, TlsStream, server};
use verify::{Named, Verifier};

pub use binding::end_point;
pub use name::common_name;

use crate::stream::Socket;

/// The most bytes of a client's part of a handshake: as many as of a startup message.
const MAX_HANDSHAKE: usize = 10_000;
/// Where it may show a certificate: a chain of them may take some thousand bytes each.
const MAX_HANDSHAKE_SHOWN: usize = 30_000;

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
    #[error("the operator's name: {0}")]
    Name(rustls::pki_types::InvalidDnsNameError),
}

/// TLS towards clients.
#[derive(Clone)]
pub enum ClientTls {
    Disabled,
    Enabled(Terms),
}

/// What clients are offered, and what they must do.
#[derive(Clone)]
pub struct Terms {
    acceptor: TlsAcceptor,
    /// Of a client's part of a handshake.
    most_bytes: usize,
    mode: ListenTlsMode,
    end_point: Option<Arc<[u8]>>,
}

/// TLS towards a server.
#[derive(Clone)]
pub struct ServerTls {
    pub mode: ServerTlsMode,
    connector: TlsConnector,
}

/// TLS on the control port, where both ends show a certificate of one authority.
#[derive(Clone)]
pub struct ControlTls(TlsAcceptor);

impl ControlTls {
    /// All three are PEM. A client's certificate must be one for clients (its extended key usage),
    /// so that a pooler's own opens no other pooler's port, and bear the operator's name.
    ///
    /// # Errors
    /// The PEM does not hold a certificate chain, its key, and an authority.
    pub fn new(certificate: &[u8], key: &[u8], authorities: &[u8]) -> Result<Self, TlsError> {
        let roots = roots(&certificates(authorities, "caFile")?)?;
        let name = ServerName::try_from(OPERATOR).map_err(TlsError::Name)?;
        let verifier = Named::new(roots, name, provider())?;
        let config = server_config(certificate, key, Some(Arc::new(verifier)))?;
        Ok(ControlTls(TlsAcceptor::from(Arc::new(config))))
    }

    pub fn acceptor(&self) -> &TlsAcceptor {
        &self.0
    }
}

impl ClientTls {
    /// All three are PEM: not looked at where the mode is `disable`. With authorities, clients are
    /// asked for a certificate that leads to one of them; the verify modes need them.
    ///
    /// # Errors
    /// The PEM does not hold a certificate chain and its key, or an authority.
    pub fn new(
        mode: ListenTlsMode,
        certificate: &[u8],
        key: &[u8],
        authorities: &[u8],
    ) -> Result<Self, TlsError> {
        if mode == ListenTlsMode::Disable {
            return Ok(ClientTls::Disabled);
        }
        let verify = matches!(mode, ListenTlsMode::VerifyCa | ListenTlsMode::VerifyFull);
        let asks = verify || !authorities.is_empty();
        let clients = asks.then(|| shown(authorities)).transpose()?;
        let acceptor = client_acceptor(certificate, key, clients)?;
        let most_bytes = if asks { MAX_HANDSHAKE_SHOWN } else { MAX_HANDSHAKE };
        let leaf = certificates(certificate, "certFile")?.into_iter().next();
        let end_point = leaf.and_then(|leaf| end_point(&leaf)).map(Arc::from);
        Ok(ClientTls::Enabled(Terms { acceptor, most_bytes, mode, end_point }))
    }

    pub fn is_required(&self) -> bool {
        self.terms()
            .is_some_and(|it| !matches!(it.mode, ListenTlsMode::Allow | ListenTlsMode::Prefer))
    }

    /// Whether a client must show a certificate.
    pub fn is_verified(&self) -> bool {
        self.mode() == Some(ListenTlsMode::VerifyCa) || self.is_named()
    }

    /// Whether that must have its user's name.
    pub fn is_named(&self) -> bool {
        self.mode() == Some(ListenTlsMode::VerifyFull)
    }

    /// What a client may bind its proof to.
    pub fn end_point(&self) -> Option<&[u8]> {
        self.terms()?.end_point.as_deref()
    }

    fn mode(&self) -> Option<ListenTlsMode> {
        self.terms().map(|it| it.mode)
    }

    pub fn terms(&self) -> Option<&Terms> {
        match self {
            ClientTls::Disabled => None,
            ClientTls::Enabled(terms) => Some(terms),
        }
    }
}

impl Terms {
    /// The handshake of a client that has asked for it.
    ///
    /// # Errors
    /// The handshake fails, takes more bytes than it may, or the client leaves.
    pub async fn accept(&self, socket: Socket) -> io::Result<server::TlsStream<Socket>> {
        let socket = socket.metered(self.most_bytes);
        self.acceptor.accept(socket).await.map(unmetered)
    }

    /// That of a client that has sent its `begun` part already.
    ///
    /// # Errors
    /// As of [`Terms::accept`]; the client is told.
    pub async fn accept_begun(
        &self,
        begun: Vec<u8>,
        socket: Socket,
    ) -> io::Result<server::TlsStream<Socket>> {
        let mut socket = socket.metered(self.most_bytes);
        let mut hello = Acceptor::default();
        let mut fresh = begun;
        loop {
            let mut unread = &fresh[..];
            while !unread.is_empty() {
                hello.read_tls(&mut unread)?;
            }
            match hello.accept() {
                Ok(Some(accepted)) => {
                    let config = Arc::clone(self.acceptor.config());
                    let handshake = StartHandshake::from_parts(accepted, socket);
                    return handshake.into_stream(config).await.map(unmetered);
                }
                Ok(None) => {}
                Err((error, mut alert)) => {
                    let mut told = Vec::new();
                    alert.write_all(&mut told)?;
                    socket.write_all(&told).await?;
                    return Err(io::Error::other(error));
                }
            }
            fresh.clear();
            if socket.read_buf(&mut fresh).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

fn unmetered(mut tls: server::TlsStream<Socket>) -> server::TlsStream<Socket> {
    tls.get_mut().0.stop_metering();
    tls
}

impl ServerTls {
    /// `authorities`: PEM. As in libpq, `require` with authorities checks the chain, and modes below
    /// it check nothing. `own`: certificate chain and key, PEM, for servers that ask.
    ///
    /// # Errors
    /// The PEM does not hold certificates or a key, or a verify mode has none.
    pub fn new(
        mode: ServerTlsMode,
        authorities: Option<&[u8]>,
        own: Option<(&[u8], &[u8])>,
    ) -> Result<Self, TlsError> {
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
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match own {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let (chain, key) = key_pair(certificate, key)?;
                config.with_client_auth_cert(chain, key).map_err(TlsError::KeyPair)?
            }
        };
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

/// Clients may ask by ALPN for what is spoken here, and must if they begin without an SSLRequest.
/// What a session needs to be resumed is with the client, so that any number may.
fn client_acceptor(
    certificate: &[u8],
    key: &[u8],
    clients: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<TlsAcceptor, TlsError> {
    let mut config = server_config(certificate, key, clients)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.ticketer = Ticketer::new().map_err(TlsError::Config)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// A certificate, where one is shown, must lead to one of `authorities`. Who shows none is told so
/// by the login, in words that a handshake does not have.
fn shown(authorities: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let roots = Arc::new(roots(&certificates(authorities, "caFile")?)?);
    WebPkiClientVerifier::builder_with_provider(roots, provider())
        .allow_unauthenticated()
        .build()
        .map_err(TlsError::Verifier)
}

/// `clients`: who is let in; anybody, if there is none.
fn server_config(
    certificate: &[u8],
    key: &[u8],
    clients: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<ServerConfig, TlsError> {
    let (chain, key) = key_pair(certificate, key)?;
    ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Config)?
        .with_client_cert_verifier(clients.unwrap_or_else(|| Arc::new(NoClientAuth)))
        .with_single_cert(chain, key)
        .map_err(TlsError::KeyPair)
}

fn key_pair(
    certificate: &[u8],
    key: &[u8],
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let chain = certificates(certificate, "certFile")?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|source| TlsError::Pem { setting: "keyFile", source })?;
    Ok((chain, key))
}

fn roots(authorities: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone()).map_err(TlsError::Authority)?;
    }
    if roots.is_empty() { Err(TlsError::NoAuthority) } else { Ok(roots) }
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
