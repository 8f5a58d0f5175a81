//! The operator's side of a pooler's control port: an authority, a certificate for each end, and
//! requests over mutual TLS. It judges no answer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use poolwright_settings::control::{GRANTS, Grants, LOOK, OPERATOR, REPORT, Report};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::RootCertStore;
use rustls::pki_types::{PrivateKeyDer, ServerName, pem::PemObject};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::pooler::Settings;
use crate::postgres::free_port;
use crate::process;

/// What the pooler is called in its certificate.
const NAME: &str = "pooler.test";

/// A way to a pooler's control port.
pub struct Control {
    folder: PathBuf,
    port: u16,
    client: Arc<rustls::ClientConfig>,
}

impl Control {
    /// Makes the certificates, in a folder that is thrown away.
    pub fn prepare() -> Result<Control> {
        let folder = process::scratch("control")?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let leaf = |name: &str, purpose| -> Result<_> {
            let mut params = CertificateParams::new(vec![name.to_owned()])?;
            params.extended_key_usages = vec![purpose];
            let key = KeyPair::generate()?;
            Ok((params.signed_by(&key, &authority)?, key))
        };
        let (certificate, key) = leaf(NAME, ExtendedKeyUsagePurpose::ServerAuth)?;
        std::fs::write(folder.join("ca.crt"), authority.pem())?;
        std::fs::write(folder.join("tls.crt"), certificate.pem())?;
        std::fs::write(folder.join("tls.key"), key.serialize_pem())?;

        let (certificate, key) = leaf(OPERATOR, ExtendedKeyUsagePurpose::ClientAuth)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone())?;
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate.der().clone()], key)?;
        Ok(Control { folder, port: free_port()?, client: Arc::new(client) })
    }

    /// The settings of a pooler that opens the port.
    pub fn open_in(&self, settings: Settings) -> Settings {
        let file = |name| self.folder.join(name).display().to_string();
        settings
            .with("control.address", "127.0.0.1")
            .with("control.port", &self.port.to_string())
            .with("control.certFile", &file("tls.crt"))
            .with("control.keyFile", &file("tls.key"))
            .with("control.caFile", &file("ca.crt"))
    }

    pub async fn report(&self) -> Result<Report> {
        Ok(self.ask("GET", REPORT, "").await?.1)
    }

    pub async fn look(&self) -> Result<Report> {
        Ok(self.ask("GET", LOOK, "").await?.1)
    }

    /// The HTTP status, and the report behind it.
    pub async fn grant(&self, grants: &Grants) -> Result<(u16, Report)> {
        self.ask("PUT", GRANTS, &serde_json::to_string(grants)?).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<(u16, T)> {
        let tcp = TcpStream::connect(("127.0.0.1", self.port)).await?;
        let connector = TlsConnector::from(Arc::clone(&self.client));
        let mut tls = connector.connect(ServerName::try_from(NAME)?, tcp).await?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: pooler\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        tls.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        tls.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("an answer without a body")?;
        let status = head.split(' ').nth(1).context("an answer without a status")?.parse()?;
        Ok((status, serde_json::from_str(body).with_context(|| format!("read {body:?}"))?))
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(Path::new(&self.folder));
    }
}
