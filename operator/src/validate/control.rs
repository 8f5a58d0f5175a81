//! The certificates of the control channel that the spec names. A key is never shown.

use kube::ResourceExt;
use poolwright_crds::SecretRef;
use poolwright_settings::{Problem, control::OPERATOR};

use crate::{
    certificate::{End, Identity},
    dereference::Dereferenced,
    names,
};

const SECRET: &str = "a Secret with tls.crt, tls.key and ca.crt, such as cert-manager makes";

/// Both ends' certificates.
#[derive(Clone, Debug)]
pub struct Named {
    pub pods: Identity,
    pub operator: Identity,
}

pub fn resolve(read: &Dereferenced, found: &mut Vec<Problem>) -> Option<Named> {
    let from = read.cluster.spec.control.certificates.as_ref()?;
    let namespace = read.cluster.namespace().unwrap_or_default();
    let name = names::server_name(&read.cluster.name_any(), &namespace);
    let pods = identity(read, "podsSecretRef", &from.pods_secret_ref, End::Pods(&name), found);
    let end = End::Operator;
    let operator = identity(read, "operatorSecretRef", &from.operator_secret_ref, end, found);
    let (pods, operator) = (pods?, operator?);
    if pods.check(End::Operator, read.read_at).is_ok() {
        let path = path("podsSecretRef", &from.pods_secret_ref, "tls.crt");
        let what = format!("a certificate for client auth with the name {OPERATOR}");
        let remedy =
            "let it have the usage \"server auth\" only, so that no pod opens another's port";
        found.push(Problem::new(path, what, "a certificate of the pods", remedy));
    }
    Some(Named { pods, operator })
}

fn identity(
    read: &Dereferenced,
    field: &str,
    from: &SecretRef,
    end: End<'_>,
    found: &mut Vec<Problem>,
) -> Option<Identity> {
    let Some(secret) = read.secrets.get(&from.name).and_then(Option::as_ref) else {
        let path = format!("spec.control.certificates.{field}.name");
        let missing = format!("no Secret {}", from.name);
        found.push(Problem::new(path, missing, SECRET, "create it"));
        return None;
    };
    let identity = Identity::of(secret);
    let flaw = identity.check(end, read.read_at).err();
    if let Some(flaw) = flaw {
        let expected = match end {
            End::Pods(name) => format!("a certificate for server auth with the DNS name {name}"),
            End::Operator => format!("a certificate for client auth with the DNS name {OPERATOR}"),
        };
        let remedy =
            "put into the Secret: the certificate, its key, and the authority that signed it";
        found.push(Problem::new(path(field, from, flaw.key), flaw.found, expected, remedy));
        return None;
    }
    Some(identity)
}

fn path(field: &str, from: &SecretRef, key: &str) -> String {
    format!("spec.control.certificates.{field}: Secret {}, key {key}", from.name)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use poolwright_crds::ControlCertificates;

    use super::*;
    use crate::{
        authority::{Certificates, certificates},
        certificate::{CA_CERTIFICATE, CERTIFICATE, KEY},
        live::Live,
        testing,
    };

    fn secret(identity: &Identity) -> Secret {
        let Identity { certificate, key, authorities } = identity;
        let pairs = [(CERTIFICATE, certificate), (KEY, key), (CA_CERTIFICATE, authorities)];
        testing::secret(&pairs.map(|(key, text)| (key, text.as_bytes())))
    }

    /// A PoolerCluster with certificates of its own, changed by `change`: all that is wrong.
    fn problems(change: impl FnOnce(&mut Identity, &mut Identity)) -> Vec<String> {
        let mut read = testing::dereferenced();
        let made = certificates(&testing::validated(), &Live::default(), None, testing::now());
        let Certificates { control, mut operator, .. } = made.unwrap();
        let mut pods = Identity::of(&control);
        change(&mut pods, &mut operator);
        let name = |name: &str| SecretRef { name: name.into() };
        read.cluster.spec.control.certificates = Some(ControlCertificates {
            pods_secret_ref: name("pods-tls"),
            operator_secret_ref: name("operator-tls"),
        });
        for (name, identity) in [("pods-tls", pods), ("operator-tls", operator)] {
            read.secrets.insert(name.into(), Some(secret(&identity)));
        }
        let mut found = Vec::new();
        resolve(&read, &mut found);
        found.iter().map(ToString::to_string).collect()
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Identity, &mut Identity), expect: &str) {
        let found = problems(change);
        assert!(found.iter().any(|problem| problem.contains(expect)), "{found:?}");
    }

    #[test]
    fn what_cert_manager_makes_is_taken() {
        assert_eq!(problems(|_, _| ()), [""; 0]);
    }

    #[test]
    fn a_secret_that_is_not_there_is_named() {
        let mut read = testing::dereferenced();
        read.cluster.spec.control.certificates = Some(ControlCertificates {
            pods_secret_ref: SecretRef { name: "one".into() },
            operator_secret_ref: SecretRef { name: "two".into() },
        });
        let mut found = Vec::new();
        assert!(resolve(&read, &mut found).is_none());
        let text = found.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(
            text[0]
                .starts_with("spec.control.certificates.podsSecretRef.name: found no Secret one")
        );
        assert!(text[1].contains("operatorSecretRef.name: found no Secret two"), "{text:?}");
    }

    #[test]
    fn each_flaw_names_the_secret_and_its_key() {
        check(|pods, _| pods.key.clear(), "Secret pods-tls, key tls.key: found no private key");
        check(
            |pods, operator| pods.key = operator.key.clone(),
            "Secret pods-tls, key tls.key: found a key that is not that of tls.crt",
        );
        check(|_, it| it.certificate.clear(), "Secret operator-tls, key tls.crt: found no cert");
        check(|_, it| it.authorities.clear(), "Secret operator-tls, key ca.crt: found no cert");
        check(std::mem::swap, "without the usage \"server auth\"");
        check(std::mem::swap, "without the usage \"client auth\"");
    }

    #[test]
    fn a_certificate_of_another_name_time_or_authority_is_refused() {
        let mut other = testing::validated();
        other.name = "another".into();
        let other = certificates(&other, &Live::default(), None, testing::now()).unwrap();
        let other = Identity::of(&other.control);
        check(
            |pods, _| *pods = other,
            "does not bear the DNS name workspaces.apps.pooler.poolwright.dev",
        );
        let early = testing::now() - k8s_openapi::jiff::SignedDuration::from_hours(24 * 91);
        let old = certificates(&testing::validated(), &Live::default(), None, early).unwrap();
        let (pods, operator) = (Identity::of(&old.control), old.operator.clone());
        check(|it, _| *it = pods, "Secret pods-tls, key tls.crt: found a certificate that has exp");
        check(
            |_, it| *it = operator,
            "Secret operator-tls, key tls.crt: found a certificate that h",
        );
        check(
            |it, _| it.authorities = old.operator.authorities,
            "no authority in ca.crt has signed",
        );
    }
}
