//! The certificates of the control channel: one authority for each PoolerCluster, with the
//! operator's own leaf in a Secret that no pod mounts, and the pods' leaf in one that they do.
//! It makes Secrets and writes none.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::core::v1::Secret,
    jiff::{SignedDuration, Timestamp},
};
use kube::ResourceExt;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::OffsetDateTime;

use crate::{build::metadata, live::Live, names, validate::Validated};

pub const CA_CERTIFICATE: &str = "ca.crt";
pub const CERTIFICATE: &str = "tls.crt";
pub const KEY: &str = "tls.key";
const CA_KEY: &str = "ca.key";

/// The operator's name in its own certificate.
const OPERATOR: &str = "operator.poolwright.dev";

const DAY: SignedDuration = SignedDuration::from_hours(24);
/// An authority is valid for ten years, a leaf for 90 days, and renewed a month before its end.
const AUTHORITY_DAYS: i32 = 3650;
const LEAF_DAYS: i32 = 90;
const EARLY_DAYS: i32 = 30;
/// How far the clocks of pods and operator may be apart.
const SKEW: SignedDuration = SignedDuration::from_hours(1);

/// The two Secrets.
#[derive(Clone, Debug)]
pub struct Certificates {
    pub authority: Secret,
    pub control: Secret,
}

/// The Secrets as they shall be: what they hold already, renewed where it is time.
///
/// # Errors
/// If the system gives no random numbers.
pub fn certificates(
    checked: &Validated,
    live: &Live,
    now: Timestamp,
) -> Result<Certificates, rcgen::Error> {
    let kept = live.authority.as_ref().zip(live.control.as_ref());
    if let Some((authority, control)) = kept.filter(|(one, two)| fresh(one, now) && fresh(two, now))
        && complete(authority, &[CA_CERTIFICATE, CA_KEY, CERTIFICATE, KEY])
        && complete(control, &[CA_CERTIFICATE, CERTIFICATE, KEY])
        && pem(authority, CA_CERTIFICATE) == pem(control, CA_CERTIFICATE)
    {
        let data = |secret: &Secret| secret.data.clone().unwrap_or_default();
        let renew = |secret: &Secret| secret.annotations()[names::RENEW_AT].clone();
        return Ok(Certificates {
            authority: secret(checked, names::authority, data(authority), renew(authority)),
            control: secret(checked, names::control, data(control), renew(control)),
        });
    }
    let authority = Authority::of(checked, live.authority.as_ref(), now)?;
    let server = names::server_name(&checked.name, &checked.namespace);
    let mine = authority.leaf(OPERATOR, ExtendedKeyUsagePurpose::ClientAuth, now)?;
    let theirs = authority.leaf(&server, ExtendedKeyUsagePurpose::ServerAuth, now)?;
    let renew = (now + DAY * (LEAF_DAYS - EARLY_DAYS)).to_string();
    let with = |mut data: BTreeMap<String, ByteString>, more: &[(&str, &str)]| {
        data.extend(more.iter().map(|(key, text)| ((*key).to_owned(), bytes(text))));
        data
    };
    let ca = [(CA_CERTIFICATE, authority.certificate.as_str())];
    let ca_key = [(CA_KEY, authority.key.as_str())];
    Ok(Certificates {
        authority: secret(checked, names::authority, with(with(mine, &ca), &ca_key), renew.clone()),
        control: secret(checked, names::control, with(theirs, &ca), renew),
    })
}

/// The text under this key.
pub fn pem<'a>(secret: &'a Secret, key: &str) -> Option<&'a str> {
    let bytes = secret.data.as_ref()?.get(key)?;
    std::str::from_utf8(&bytes.0).ok()
}

fn complete(secret: &Secret, keys: &[&str]) -> bool {
    keys.iter().all(|key| pem(secret, key).is_some_and(|text| text.contains("-----BEGIN ")))
}

fn fresh(secret: &Secret, now: Timestamp) -> bool {
    let renew = secret.annotations().get(names::RENEW_AT);
    renew.and_then(|text| text.parse::<Timestamp>().ok()).is_some_and(|renew| now < renew)
}

fn bytes(text: &str) -> ByteString {
    ByteString(text.as_bytes().to_vec())
}

fn secret(
    checked: &Validated,
    name: fn(&str) -> String,
    data: BTreeMap<String, ByteString>,
    renew: String,
) -> Secret {
    let mut secret = metadata::secret(checked, name(&checked.name), data);
    secret.annotations_mut().insert(names::RENEW_AT.into(), renew);
    secret
}

/// An authority, both parts in PEM, and what signs with it.
struct Authority {
    certificate: String,
    key: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// The one that the Secret holds, or a new one.
    fn of(
        checked: &Validated,
        live: Option<&Secret>,
        now: Timestamp,
    ) -> Result<Authority, rcgen::Error> {
        let params = Authority::params(checked, now)?;
        let kept = live.filter(|live| complete(live, &[CA_CERTIFICATE, CA_KEY]));
        let kept = kept.and_then(|live| Some((pem(live, CA_CERTIFICATE)?, pem(live, CA_KEY)?)));
        if let Some((certificate, key)) = kept
            && let Ok(pair) = KeyPair::from_pem(key)
        {
            let (certificate, key) = (certificate.to_owned(), key.to_owned());
            return Ok(Authority { certificate, key, issuer: Issuer::new(params, pair) });
        }
        let pair = KeyPair::generate()?;
        let certificate = params.self_signed(&pair)?.pem();
        let key = pair.serialize_pem();
        Ok(Authority { certificate, key, issuer: Issuer::new(params, pair) })
    }

    /// Its name is the same whenever it signs.
    fn params(checked: &Validated, now: Timestamp) -> Result<CertificateParams, rcgen::Error> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        let name = format!("poolwright {}/{}", checked.namespace, checked.name);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = span(now, AUTHORITY_DAYS);
        Ok(params)
    }

    /// A new key and its certificate for this name and purpose.
    fn leaf(
        &self,
        name: &str,
        purpose: ExtendedKeyUsagePurpose,
        now: Timestamp,
    ) -> Result<BTreeMap<String, ByteString>, rcgen::Error> {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        (params.not_before, params.not_after) = span(now, LEAF_DAYS);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        let pairs = [(CERTIFICATE, certificate), (KEY, key.serialize_pem())];
        Ok(pairs.map(|(key, text)| (key.to_owned(), bytes(&text))).into())
    }
}

fn span(now: Timestamp, days: i32) -> (OffsetDateTime, OffsetDateTime) {
    let at = |time: Timestamp| {
        OffsetDateTime::from_unix_timestamp(time.as_second()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    };
    (at(now - SKEW), at(now + DAY * days))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn made(live: &Live, now: Timestamp) -> Certificates {
        certificates(&testing::validated(), live, now).unwrap()
    }

    fn stored(certificates: &Certificates) -> Live {
        let Certificates { authority, control } = certificates.clone();
        Live { authority: Some(authority), control: Some(control), ..Live::default() }
    }

    #[test]
    fn what_is_there_and_fresh_is_kept() {
        let first = made(&Live::default(), testing::now());
        let later = made(&stored(&first), testing::now() + DAY * 59);
        assert_eq!((&later.authority, &later.control), (&first.authority, &first.control));
    }

    #[test]
    fn leaves_are_renewed_a_month_early_by_the_same_authority() {
        let first = made(&Live::default(), testing::now());
        let later = made(&stored(&first), testing::now() + DAY * 61);
        for key in [CERTIFICATE, KEY] {
            assert_ne!(pem(&later.authority, key), pem(&first.authority, key));
            assert_ne!(pem(&later.control, key), pem(&first.control, key));
        }
        assert_eq!(pem(&later.control, CA_CERTIFICATE), pem(&first.authority, CA_CERTIFICATE));
    }

    #[test]
    fn no_pod_gets_the_authoritys_key_or_the_operators_certificate() {
        let Certificates { authority, control } = made(&Live::default(), testing::now());
        assert_eq!(pem(&control, CA_KEY), None);
        assert_ne!(pem(&control, CERTIFICATE), pem(&authority, CERTIFICATE));
    }

    #[test]
    fn what_somebody_broke_is_made_anew() {
        let first = made(&Live::default(), testing::now());
        for key in [CA_CERTIFICATE, CA_KEY, CERTIFICATE, KEY] {
            let mut live = stored(&first);
            let data = live.authority.as_mut().unwrap().data.as_mut().unwrap();
            data.insert(key.into(), ByteString(b"nonsense".to_vec()));
            let again = made(&live, testing::now());
            assert!(complete(&again.authority, &[CA_CERTIFICATE, CA_KEY, CERTIFICATE, KEY]));
            assert_ne!(pem(&again.control, CERTIFICATE), pem(&first.control, CERTIFICATE), "{key}");
        }
    }
}
