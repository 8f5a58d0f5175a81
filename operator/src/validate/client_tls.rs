//! TLS towards clients, from the Secrets that the spec names. A key is never shown, and nobody asks
//! here how long a certificate holds or whose name it bears: clients do.

use poolwright_crds::{CaSecretRef, SecretRef, TlsMode};
use poolwright_settings::Problem;

use super::users;
use crate::{
    build::credentials,
    certificate::{Flaw, Identity},
    dereference::Dereferenced,
};

const SECRET: &str = "a Secret with tls.crt and tls.key, such as cert-manager makes";
const PAIR: &str = "a certificate chain and its key (RSA, ECDSA or Ed25519), in PEM";
const AUTHORITY: &str = "the Secret with the authority that signs clients' certificates";

/// What clients are shown, and by whom theirs are signed.
#[derive(Clone, Debug)]
pub struct ClientTls {
    /// Never `disable`.
    pub mode: TlsMode,
    /// Without authorities clients are asked for no certificate.
    pub identity: Identity,
}

/// A certificate that is not sound is `stale` where the pods have one to go on with, and else among
/// what is `found` wrong. Authorities always are: rules that are changed with them must not meet those
/// before.
pub fn resolve(
    read: &Dereferenced,
    found: &mut Vec<Problem>,
    stale: &mut Vec<Problem>,
) -> Option<ClientTls> {
    let from = read.cluster.spec.client_tls.as_ref()?;
    if from.mode == TlsMode::Disable {
        return None;
    }
    let own = identity(read, &from.secret_ref).unwrap_or_else(|problem| {
        let last = in_force(read);
        if last.is_some() {
            stale.push(problem)
        } else {
            found.push(problem)
        }
        last.unwrap_or_default()
    });
    let authority = from.client_ca_secret_ref.as_ref();
    let authorities = authority.map(|it| authorities(read, it, found)).unwrap_or_default();
    Some(ClientTls { mode: from.mode, identity: Identity { authorities, ..own } })
}

/// What the pods show now, if that is a certificate and its key.
fn in_force(read: &Dereferenced) -> Option<Identity> {
    let shown = read.live.credentials.as_ref().and_then(credentials::client_pair)?;
    shown.pair().is_ok().then_some(shown)
}

fn identity(read: &Dereferenced, from: &SecretRef) -> Result<Identity, Problem> {
    let path = "spec.clientTls.secretRef";
    let Some(secret) = read.secrets.get(&from.name).and_then(Option::as_ref) else {
        let missing = format!("no Secret {}", from.name);
        let remedy = format!(
            "create it: kubectl create secret tls {} --cert=tls.crt --key=tls.key",
            from.name
        );
        return Err(Problem::new(format!("{path}.name"), missing, SECRET, remedy));
    };
    let identity = Identity::of(secret);
    match identity.pair() {
        Ok(_) => Ok(identity),
        Err(Flaw { key, found }) => {
            let path = format!("{path}: Secret {}, key {key}", from.name);
            let remedy = "put the certificate and its key there; pods keep those that they have";
            Err(Problem::new(path, found, PAIR, remedy))
        }
    }
}

fn authorities(read: &Dereferenced, from: &CaSecretRef, found: &mut Vec<Problem>) -> String {
    let path = "spec.clientTls.clientCaSecretRef";
    let Some(pem) = users::pem(read, from, path, AUTHORITY, found) else { return String::new() };
    let authorities = String::from_utf8_lossy(&pem).into_owned();
    let identity = Identity { authorities, ..Identity::default() };
    if let Err(flaw) = identity.roots() {
        let path = format!("{path}: Secret {}, key {}", from.name, from.key);
        let remedy = "put the authority's certificates there in PEM";
        found.push(Problem::new(path, flaw.found, AUTHORITY, remedy));
    }
    identity.authorities
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        authority::certificates,
        certificate::{CA_CERTIFICATE, CERTIFICATE, KEY},
        live::Live,
        testing,
        validate::Validated,
    };

    /// A PoolerCluster with TLS towards clients, changed by `change`: what it comes to, and all that is
    /// wrong.
    fn resolved(change: impl FnOnce(&mut Dereferenced)) -> (Option<ClientTls>, Vec<String>) {
        let (tls, found, stale) = resolved_apart(change);
        assert_eq!(stale, [""; 0], "no pod has a certificate");
        (tls, found)
    }

    type Said = Vec<String>;

    /// The same, and apart what is wrong while the pods go on with what they have.
    fn resolved_apart(change: impl FnOnce(&mut Dereferenced)) -> (Option<ClientTls>, Said, Said) {
        let mut read = testing::dereferenced();
        let made = certificates(&testing::validated(), &Live::default(), None, testing::now());
        let Identity { certificate, key, authorities } = Identity::of(&made.unwrap().control);
        let of = |pairs: &[(&str, &String)]| {
            let pairs: Vec<_> = pairs.iter().map(|(key, text)| (*key, text.as_bytes())).collect();
            Some(testing::secret(&pairs))
        };
        let all = [(CERTIFICATE, &certificate), (KEY, &key), (CA_CERTIFICATE, &authorities)];
        read.secrets.insert("app-tls".into(), of(&all));
        read.secrets.insert("clients-ca".into(), of(&all[2..]));
        read.cluster.spec.client_tls = Some(testing::client_tls());
        change(&mut read);
        let (mut found, mut stale) = (Vec::new(), Vec::new());
        let tls = resolve(&read, &mut found, &mut stale);
        let said = |all: Vec<Problem>| all.iter().map(ToString::to_string).collect();
        (tls, said(found), said(stale))
    }

    /// The pods have the certificate and the authority that the Secrets hold.
    fn apply(read: &mut Dereferenced) {
        let tls = resolve(read, &mut Vec::new(), &mut Vec::new());
        let checked = Validated { client_tls: tls, ..testing::validated() };
        read.live.credentials = Some(credentials::secret(&checked, String::new()));
    }

    fn set(read: &mut Dereferenced, secret: &str, key: &str, value: &[u8]) {
        let secret = read.secrets.get_mut(secret).and_then(Option::as_mut).unwrap();
        let data = secret.data.get_or_insert_default();
        data.insert(key.into(), k8s_openapi::ByteString(value.into()));
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Dereferenced), expect: &str) {
        let (_, found) = resolved(change);
        assert!(found.len() == 1 && found[0].starts_with(expect), "{found:?}");
    }

    #[test]
    fn what_cert_manager_makes_is_taken() {
        let (tls, found) = resolved(|_| ());
        assert_eq!(found, [""; 0]);
        assert!(tls.unwrap().identity.authorities.contains("BEGIN CERTIFICATE"));
    }

    #[test]
    fn clients_are_asked_for_a_certificate_only_where_an_authority_is_named() {
        let (tls, found) = resolved(|read| {
            read.cluster.spec.client_tls.as_mut().unwrap().client_ca_secret_ref = None;
        });
        assert_eq!(found, [""; 0]);
        assert_eq!(tls.unwrap().identity.authorities, "", "ca.crt is who signed for the pods");
    }

    #[test]
    fn pods_go_on_with_their_certificate_while_the_secret_is_not_sound() {
        let broken: [fn(&mut Dereferenced); 3] = [
            |read| drop(read.secrets.insert("app-tls".into(), None)),
            |read| set(read, "app-tls", KEY, b"rubbish"),
            |read| set(read, "app-tls", CERTIFICATE, b""),
        ];
        for break_it in broken {
            let mut before = String::new();
            let (tls, found, stale) = resolved_apart(|read| {
                apply(read);
                before = Identity::of(read.secrets["app-tls"].as_ref().unwrap()).key;
                break_it(read);
            });
            assert_eq!(found, [""; 0]);
            assert!(stale.len() == 1 && stale[0].contains("app-tls"), "{stale:?}");
            let Identity { key, authorities, .. } = tls.unwrap().identity;
            assert!(key == before && !authorities.is_empty());
        }
    }

    #[test]
    fn authorities_that_are_not_sound_let_nothing_through() {
        let (_, found, stale) = resolved_apart(|read| {
            apply(read);
            read.secrets.insert("clients-ca".into(), None);
        });
        assert_eq!((found.len(), stale.len()), (1, 0));
    }

    #[test]
    fn nothing_is_looked_at_where_it_is_off() {
        let (tls, found) = resolved(|read| {
            read.cluster.spec.client_tls.as_mut().unwrap().mode = TlsMode::Disable;
            read.secrets.clear();
        });
        assert!(tls.is_none() && found.is_empty(), "{found:?}");
    }

    #[test]
    fn each_flaw_names_the_secret_and_its_key() {
        let gone = |name: &'static str| {
            move |read: &mut Dereferenced| drop(read.secrets.insert(name.into(), None))
        };
        check(
            gone("app-tls"),
            "spec.clientTls.secretRef.name: found no Secret app-tls, expected a S",
        );
        let path = "spec.clientTls.clientCaSecretRef.name: found no Secret clients-ca";
        check(gone("clients-ca"), path);
        let at = |key| format!("spec.clientTls.secretRef: Secret app-tls, key {key}: found ");
        for text in ["", "rubbish"] {
            let set =
                |key| move |read: &mut Dereferenced| set(read, "app-tls", key, text.as_bytes());
            check(set(CERTIFICATE), &format!("{}no certificate", at(CERTIFICATE)));
            check(set(KEY), &format!("{}no private key in PEM", at(KEY)));
        }
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let of_another = |read: &mut Dereferenced| set(read, "app-tls", KEY, other.as_bytes());
        check(of_another, &format!("{}a key that is not that of tls.crt", at(KEY)));
        let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let path = "spec.clientTls.clientCaSecretRef: Secret clients-ca, key ca.crt: found ";
        check(|read| set(read, "clients-ca", CA_CERTIFICATE, cut.as_bytes()), path);
        let path = "spec.clientTls.clientCaSecretRef.key: found no certificate at key ca.crt";
        check(|read| set(read, "clients-ca", CA_CERTIFICATE, b"rubbish"), path);
    }
}
