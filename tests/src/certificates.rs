//! Certificates for one test run: an authority and a leaf, for 127.0.0.1 and localhost if for no other.
//! Never kept between runs, and never for anything but tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;

const LOCAL: [&str; 2] = ["localhost", "127.0.0.1"];

/// Where the three PEM files of an authority and its leaf lie.
#[derive(Clone, Debug)]
pub struct Certificates {
    pub authority: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Certificates {
    /// Makes an authority and a leaf, and writes them into `folder`.
    pub fn make(folder: &Path) -> Result<Certificates> {
        Certificates::make_named(folder, &LOCAL)
    }

    /// The same with a leaf for these hosts.
    pub fn make_named(folder: &Path, hosts: &[&str]) -> Result<Certificates> {
        Certificates::sign(folder, &authority()?, hosts, None)
    }

    /// Makes an authority and a leaf for each of these users, in folders of their names.
    pub fn make_for(folder: &Path, users: &[&str]) -> Result<Vec<Certificates>> {
        let authority = authority()?;
        let of = |user: &&str| {
            let own = folder.join(user);
            std::fs::create_dir(&own)?;
            Certificates::sign(&own, &authority, &LOCAL, Some(user))
        };
        users.iter().map(of).collect()
    }

    fn sign(
        folder: &Path,
        authority: &CertifiedIssuer<'_, KeyPair>,
        hosts: &[&str],
        user: Option<&str>,
    ) -> Result<Certificates> {
        let key = KeyPair::generate()?;
        let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts)?;
        if let Some(user) = user {
            params.distinguished_name.push(DnType::CommonName, user);
        }
        let leaf = params.signed_by(&key, authority)?;
        let files = Certificates {
            authority: folder.join("ca.crt"),
            certificate: folder.join("tls.crt"),
            key: folder.join("tls.key"),
        };
        std::fs::write(&files.authority, authority.pem())?;
        std::fs::write(&files.certificate, leaf.pem())?;
        std::fs::write(&files.key, key.serialize_pem())?;
        Ok(files)
    }

    /// A TLS client configuration that trusts only this authority, and names the protocol as libpq
    /// does since 17.
    pub fn client(&self) -> Result<Arc<rustls::ClientConfig>> {
        let mut roots = RootCertStore::empty();
        let pem = std::fs::read(&self.authority).context("read the authority")?;
        roots.add(rustls::pki_types::CertificateDer::from_pem_slice(&pem)?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"postgresql".to_vec()];
        Ok(Arc::new(config))
    }
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // OpenSSL takes a leaf of the same name for one that signed itself.
    params.distinguished_name.push(DnType::CommonName, "authority");
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}
