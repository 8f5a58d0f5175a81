//! The common name in a certificate's subject, by which PostgreSQL knows a client. It reads a
//! certificate that was verified, and checks nothing.

use super::der::{IA5, INTEGER, OBJECT, PRINTABLE, SEQUENCE, SET, UTF8, ZEROTH, next};

/// `commonName`, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// The first common name of the subject; `None`: there is none, or none that is text without NUL.
pub fn common_name(certificate: &[u8]) -> Option<&str> {
    let (mut signed, _) = next(next(certificate, SEQUENCE)?.0, SEQUENCE)?;
    if let Some((_, rest)) = next(signed, ZEROTH) {
        signed = rest;
    }
    // Serial number, algorithm, issuer, validity.
    for tag in [INTEGER, SEQUENCE, SEQUENCE, SEQUENCE] {
        signed = next(signed, tag)?.1;
    }
    let (mut subject, _) = next(signed, SEQUENCE)?;
    while let Some((mut parts, rest)) = next(subject, SET) {
        while let Some((part, others)) = next(parts, SEQUENCE) {
            let (kind, value) = next(part, OBJECT)?;
            if kind == COMMON_NAME {
                return text(value);
            }
            parts = others;
        }
        subject = rest;
    }
    None
}

fn text(value: &[u8]) -> Option<&str> {
    let (bytes, _) = [UTF8, PRINTABLE, IA5].into_iter().find_map(|tag| next(value, tag))?;
    str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::common_name;

    fn certificate(names: &[(DnType, &str)]) -> Vec<u8> {
        let mut parameters = CertificateParams::new(vec!["host.example".to_owned()]).unwrap();
        parameters.distinguished_name = DistinguishedName::new();
        for (kind, name) in names {
            parameters.distinguished_name.push(kind.clone(), *name);
        }
        parameters.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_common_name_of_the_subject_is_found() {
        let long = "x".repeat(200);
        for (names, expect) in [
            (vec![(DnType::CommonName, "ann")], Some("ann")),
            (vec![(DnType::OrganizationName, "shop"), (DnType::CommonName, "bob")], Some("bob")),
            (vec![(DnType::CommonName, "größe")], Some("größe")),
            (vec![(DnType::CommonName, &long)], Some(&*long)),
            (vec![(DnType::CommonName, "ann\0bob")], None),
            (vec![(DnType::OrganizationName, "ann")], None),
            (vec![], None),
        ] {
            assert_eq!(common_name(&certificate(&names)), expect, "{names:?}");
        }
    }

    #[test]
    fn a_certificate_cut_or_changed_anywhere_is_no_reason_to_panic() {
        let whole = certificate(&[(DnType::CommonName, "ann")]);
        for end in 0..whole.len() {
            assert_eq!(common_name(&whole[..end]), None, "{end}");
            for byte in [0x00, 0x80, 0x84, 0xff] {
                let mut changed = whole.clone();
                changed[end] = byte;
                let _ = common_name(&changed);
            }
        }
    }
}
