//! What SCRAM binds to: the hash of the server's certificate, by the hash of its signature
//! (`tls-server-end-point`, RFC 5929). It verifies nothing.

use ring::digest::{self, Algorithm, SHA256, SHA384, SHA512};

use super::der::{OBJECT, SEQUENCE, ZEROTH, next};

/// 1.2.840.113549.1.1: RSA's algorithms, but for their last number.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
/// 1.2.840.10045.4: ECDSA's.
const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
/// 2.16.840.1.101.3.4.2: SHA-2's.
const SHA_2: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];
/// RSASSA-PSS, which names its hash in its parameters.
const PSS: u8 = 10;

/// The hash; `None` where the signature names none that is known, such as Ed25519's, for which the
/// RFC defines no binding.
pub fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let algorithm = hash(certificate)?;
    Some(digest::digest(algorithm, certificate).as_ref().to_vec())
}

fn hash(certificate: &[u8]) -> Option<&'static Algorithm> {
    let (_, after) = next(next(certificate, SEQUENCE)?.0, SEQUENCE)?;
    let (signature, _) = next(after, SEQUENCE)?;
    let (id, parameters) = next(signature, OBJECT)?;
    if let Some(last) = id.strip_prefix(RSA) {
        return match last {
            [PSS] => pss_hash(parameters),
            // MD5 and SHA-1 are too weak: SHA-256 stands in for them.
            [4 | 5 | 11] => Some(&SHA256),
            [12] => Some(&SHA384),
            [13] => Some(&SHA512),
            _ => None,
        };
    }
    match id.strip_prefix(ECDSA)? {
        [1] | [3, 2] => Some(&SHA256),
        [3, 3] => Some(&SHA384),
        [3, 4] => Some(&SHA512),
        _ => None,
    }
}

/// Without a name it is SHA-1, for which SHA-256 stands in.
fn pss_hash(parameters: &[u8]) -> Option<&'static Algorithm> {
    let (parameters, _) = next(parameters, SEQUENCE)?;
    let Some((hash, _)) = next(parameters, ZEROTH) else { return Some(&SHA256) };
    let (id, _) = next(next(hash, SEQUENCE)?.0, OBJECT)?;
    match id.strip_prefix(SHA_2)? {
        [1] => Some(&SHA256),
        [2] => Some(&SHA384),
        [3] => Some(&SHA512),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{
        CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
        SignatureAlgorithm,
    };

    use super::end_point;

    fn certificate(algorithm: &'static SignatureAlgorithm) -> Vec<u8> {
        let parameters = CertificateParams::new(vec!["host.example".to_owned()]).unwrap();
        let key = KeyPair::generate_for(algorithm).unwrap();
        parameters.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_hash_is_that_of_the_signature() {
        for (algorithm, bytes) in [
            (&PKCS_ECDSA_P256_SHA256, Some(32)),
            (&PKCS_ECDSA_P384_SHA384, Some(48)),
            (&PKCS_ED25519, None),
        ] {
            let found = end_point(&certificate(algorithm)).map(|hash| hash.len());
            assert_eq!(found, bytes, "{algorithm:?}");
        }
    }

    /// An element of this tag, shorter than 128 bytes.
    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut element = vec![tag, content.len() as u8];
        element.extend_from_slice(content);
        element
    }

    /// What stands where a certificate does, with this algorithm of its signature.
    fn signed_by(algorithm: &[u8]) -> Vec<u8> {
        element(0x30, &[element(0x30, b""), element(0x30, algorithm)].concat())
    }

    #[test]
    fn rsa_names_its_hash_in_its_number_or_in_its_parameters() {
        let rsa = |last: u8| element(0x06, &[super::RSA, &[last]].concat());
        let sha = |last: u8| element(0x30, &element(0x06, &[super::SHA_2, &[last]].concat()));
        let pss = |hash: &[u8]| [rsa(10), element(0x30, hash)].concat();
        for (algorithm, bytes) in [
            (rsa(5), Some(32)),
            (rsa(11), Some(32)),
            (rsa(12), Some(48)),
            (rsa(13), Some(64)),
            (rsa(14), None),
            (pss(b""), Some(32)),
            (pss(&element(0xa0, &sha(1))), Some(32)),
            (pss(&element(0xa0, &sha(2))), Some(48)),
            (pss(&element(0xa0, &sha(3))), Some(64)),
            (rsa(10), None),
            (element(0x06, &[0x2b, 0x65, 0x70]), None),
        ] {
            let found = end_point(&signed_by(&algorithm)).map(|hash| hash.len());
            assert_eq!(found, bytes, "{algorithm:02x?}");
        }
    }
}
