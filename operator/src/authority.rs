//! The certificates of the control channel. Without other orders each PoolerCluster has an
//! authority of its own, with the operator's leaf in a Secret that no pod mounts, and the pods' leaf
//! in one that they do. It makes Secrets and writes none.
//!
//! An authority changes in two steps, so that the operator and every pod understand each other all
//! the time. First both ends trust the new one and the former, pods show a leaf of the new one, and
//! the operator still shows its own of the former. Once every pod shows its new leaf, and so has read
//! the new authority, the operator gets a new leaf and the former authority leaves.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::core::v1::Secret,
    jiff::{SignedDuration, Timestamp},
};
use kube::ResourceExt;
use poolwright_settings::control::OPERATOR;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::OffsetDateTime;

use crate::{
    build::metadata,
    certificate::{CA_CERTIFICATE, CERTIFICATE, End, Identity, KEY, belong_together, text},
    live::Live,
    names,
    validate::{Named, Validated},
};

const CA_KEY: &str = "ca.key";
/// The authority before, while pods may not have read the new one.
const FORMER: &str = "former-ca.crt";

const DAY: SignedDuration = SignedDuration::from_hours(24);
/// An authority is valid for ten years and changed a year before its end; a leaf for 90 days, and
/// renewed a month before.
const AUTHORITY_DAYS: i32 = 3650;
const AUTHORITY_EARLY_DAYS: i32 = 365;
const LEAF_DAYS: i32 = 90;
const LEAF_EARLY_DAYS: i32 = 30;
/// How far the clocks of pods and operator may be apart.
const SKEW: SignedDuration = SignedDuration::from_hours(1);
/// A pod that has not shown its new leaf by then is not waited for: its kubelet reads a volume
/// every minute or two.
const LONG_ENOUGH: SignedDuration = SignedDuration::from_mins(15);

/// What both ends shall have.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// `None` where the user's own Secrets are used.
    pub authority: Option<Secret>,
    pub control: Secret,
    /// The operator's end.
    pub operator: Identity,
    /// Whether pods are waited for to read a new authority.
    pub is_changing: bool,
}

/// The certificates as they shall be: what is there, renewed where it is time. `shown`: the pods'
/// leaf that every pod was seen to show, if it is the same.
///
/// # Errors
/// If the system gives no random numbers.
pub fn certificates(
    checked: &Validated,
    live: &Live,
    shown: Option<&str>,
    now: Timestamp,
) -> Result<Certificates, rcgen::Error> {
    if let Some(named) = &checked.control {
        return Ok(copied(checked, named));
    }
    let next = match Held::of(checked, live) {
        None => Held::new(checked, now)?,
        Some(held) if held.issuer.is_none() => held.change(checked, now)?,
        Some(held) if held.former.is_some() => {
            if shown == Some(&held.pods.certificate) || held.changes_for_long(now) {
                held.finish(checked, now)?
            } else {
                held.renew(checked, now)?
            }
        }
        Some(held) if held.is_due(checked, now) => held.change(checked, now)?,
        Some(held) => held.renew(checked, now)?,
    };
    Ok(next.secrets(checked))
}

/// The user's certificates where the pods find them, and each end trusts what either Secret trusts.
fn copied(checked: &Validated, named: &Named) -> Certificates {
    let Named { pods, operator } = named;
    let authorities = together(&pods.authorities, &operator.authorities);
    let operator = Identity { authorities: authorities.clone(), ..operator.clone() };
    let data =
        data([(CA_CERTIFICATE, &authorities), (CERTIFICATE, &pods.certificate), (KEY, &pods.key)]);
    let control = metadata::secret(checked, names::control(&checked.name), data);
    Certificates { authority: None, control, operator, is_changing: false }
}

fn together(one: &str, two: &str) -> String {
    if one.trim() == two.trim() || two.is_empty() {
        return one.to_owned();
    }
    format!("{}\n{two}", one.trim_end())
}

fn data<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, ByteString> {
    let pair = |(key, text): (&str, &str)| (key.to_owned(), ByteString(text.as_bytes().to_vec()));
    pairs.map(pair).into()
}

/// A certificate and its key, in PEM.
struct Leaf {
    certificate: String,
    key: String,
}

/// An authority of ours, and the leaves that it has signed.
struct Held {
    authority: Leaf,
    /// `None` if the authority's key is not its own.
    issuer: Option<Issuer<'static, KeyPair>>,
    /// The certificate of the authority before.
    former: Option<String>,
    operator: Leaf,
    pods: Leaf,
    notes: Notes,
}

/// What stands beside the certificates, as annotations.
#[derive(Clone, Default)]
struct Notes {
    /// When the leaves are renewed.
    renew_at: Option<Timestamp>,
    /// When the authority is changed.
    change_at: Option<Timestamp>,
    /// When its change began.
    changed_at: Option<Timestamp>,
    /// The user's request that the authority has answered.
    request: Option<String>,
}

impl Notes {
    fn of(secret: &Secret) -> Notes {
        let note = |key: &str| secret.annotations().get(key);
        let time = |key: &str| note(key).and_then(|text| text.parse().ok());
        Notes {
            renew_at: time(names::RENEW_AT),
            change_at: time(names::CHANGE_AT),
            changed_at: time(names::CHANGED_AT),
            request: note(names::CHANGE_AUTHORITY).cloned(),
        }
    }

    fn annotations(self) -> impl Iterator<Item = (String, String)> {
        let Notes { renew_at, change_at, changed_at, request } = self;
        let texts = [
            (names::RENEW_AT, renew_at.map(|time| time.to_string())),
            (names::CHANGE_AT, change_at.map(|time| time.to_string())),
            (names::CHANGED_AT, changed_at.map(|time| time.to_string())),
            (names::CHANGE_AUTHORITY, request),
        ];
        texts.into_iter().filter_map(|(key, text)| Some((key.to_owned(), text?)))
    }
}

impl Held {
    /// What the Secrets hold, however broken; `None` if there is no authority at all.
    fn of(checked: &Validated, live: &Live) -> Option<Held> {
        let secret = live.authority.as_ref()?;
        let read = |key| text(secret, key).unwrap_or_default().to_owned();
        let authority =
            Leaf { certificate: text(secret, CA_CERTIFICATE)?.into(), key: read(CA_KEY) };
        let pods = live.control.as_ref().map(Identity::of).unwrap_or_default();
        Some(Held {
            issuer: issuer(checked, &authority),
            former: text(secret, FORMER).map(str::to_owned),
            operator: Leaf { certificate: read(CERTIFICATE), key: read(KEY) },
            pods: Leaf { certificate: pods.certificate, key: pods.key },
            notes: Notes::of(secret),
            authority,
        })
    }

    /// A new authority with new leaves.
    fn new(checked: &Validated, now: Timestamp) -> Result<Held, rcgen::Error> {
        let params = authority_params(checked, now)?;
        let pair = KeyPair::generate()?;
        let authority =
            Leaf { certificate: params.self_signed(&pair)?.pem(), key: pair.serialize_pem() };
        let issuer = Issuer::new(params, pair);
        Ok(Held {
            operator: operator_leaf(&issuer, now)?,
            pods: pods_leaf(&issuer, checked, now)?,
            authority,
            issuer: Some(issuer),
            former: None,
            notes: Notes {
                renew_at: Some(now + DAY * (LEAF_DAYS - LEAF_EARLY_DAYS)),
                change_at: Some(now + DAY * (AUTHORITY_DAYS - AUTHORITY_EARLY_DAYS)),
                changed_at: None,
                request: checked.change_authority.clone(),
            },
        })
    }

    fn is_due(&self, checked: &Validated, now: Timestamp) -> bool {
        let asked = checked.change_authority.as_ref();
        let is_asked = asked.is_some() && asked != self.notes.request.as_ref();
        is_asked || self.notes.change_at.is_none_or(|time| time <= now)
    }

    fn changes_for_long(&self, now: Timestamp) -> bool {
        let is_over = |end| end <= now;
        self.notes.changed_at.is_none_or(|time| time.checked_add(LONG_ENOUGH).is_ok_and(is_over))
    }

    /// First step: a new authority beside this one. The operator's leaf stays, if it is of use.
    fn change(self, checked: &Validated, now: Timestamp) -> Result<Held, rcgen::Error> {
        tracing::info!(name = checked.name, namespace = checked.namespace, "the authority changes");
        let new = Held::new(checked, now)?;
        let former = self.former.unwrap_or(self.authority.certificate);
        let old = identity(&self.operator, &former);
        if old.check(End::Operator, now).is_err() {
            return Ok(new);
        }
        let notes = Notes { changed_at: Some(now), ..new.notes };
        Ok(Held { former: Some(former), operator: self.operator, notes, ..new })
    }

    /// Second step: the former authority leaves.
    fn finish(self, checked: &Validated, now: Timestamp) -> Result<Held, rcgen::Error> {
        tracing::info!(
            name = checked.name,
            namespace = checked.namespace,
            "the authority has changed"
        );
        let notes = Notes { changed_at: None, ..self.notes };
        Held { former: None, notes, ..self }.renew(checked, now)
    }

    /// New leaves in the place of those that are old or of no use.
    fn renew(mut self, checked: &Validated, now: Timestamp) -> Result<Held, rcgen::Error> {
        let Some(issuer) = &self.issuer else { return self.change(checked, now) };
        let is_time = self.notes.renew_at.is_none_or(|time| time <= now);
        let name = names::server_name(&checked.name, &checked.namespace);
        let trusted = self.trusted();
        if is_time || identity(&self.operator, &trusted).check(End::Operator, now).is_err() {
            self.operator = operator_leaf(issuer, now)?;
        }
        if is_time || identity(&self.pods, &trusted).check(End::Pods(&name), now).is_err() {
            self.pods = pods_leaf(issuer, checked, now)?;
        }
        if is_time {
            self.notes.renew_at = Some(now + DAY * (LEAF_DAYS - LEAF_EARLY_DAYS));
        }
        Ok(self)
    }

    fn trusted(&self) -> String {
        together(&self.authority.certificate, self.former.as_deref().unwrap_or_default())
    }

    fn secrets(self, checked: &Validated) -> Certificates {
        let trusted = self.trusted();
        let Held { authority, issuer: _, former, operator, pods, notes } = self;
        let mut own = data([
            (CA_CERTIFICATE, &authority.certificate),
            (CA_KEY, &authority.key),
            (CERTIFICATE, &operator.certificate),
            (KEY, &operator.key),
        ]);
        own.extend(former.iter().flat_map(|former| data([(FORMER, former)])));
        let mut secret = metadata::secret(checked, names::authority(&checked.name), own);
        secret.annotations_mut().extend(notes.annotations());
        let theirs =
            data([(CA_CERTIFICATE, &trusted), (CERTIFICATE, &pods.certificate), (KEY, &pods.key)]);
        Certificates {
            authority: Some(secret),
            control: metadata::secret(checked, names::control(&checked.name), theirs),
            operator: identity(&operator, &trusted),
            is_changing: former.is_some(),
        }
    }
}

fn identity(leaf: &Leaf, authorities: &str) -> Identity {
    let Leaf { certificate, key } = leaf;
    let (certificate, key) = (certificate.clone(), key.clone());
    Identity { certificate, key, authorities: authorities.to_owned() }
}

/// What signs with this authority, unless somebody has exchanged its key.
fn issuer(checked: &Validated, authority: &Leaf) -> Option<Issuer<'static, KeyPair>> {
    let ours = belong_together(&authority.certificate, &authority.key);
    let pair = KeyPair::from_pem(&authority.key).ok().filter(|_| ours)?;
    // Only the name is of use to an issuer.
    let params = authority_params(checked, Timestamp::UNIX_EPOCH).ok()?;
    Some(Issuer::new(params, pair))
}

/// Its name is the same whenever it signs.
fn authority_params(
    checked: &Validated,
    now: Timestamp,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    let name = format!("poolwright {}/{}", checked.namespace, checked.name);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = span(now, AUTHORITY_DAYS);
    Ok(params)
}

fn operator_leaf(issuer: &Issuer<'_, KeyPair>, now: Timestamp) -> Result<Leaf, rcgen::Error> {
    leaf(issuer, OPERATOR, ExtendedKeyUsagePurpose::ClientAuth, now)
}

fn pods_leaf(
    issuer: &Issuer<'_, KeyPair>,
    checked: &Validated,
    now: Timestamp,
) -> Result<Leaf, rcgen::Error> {
    let name = names::server_name(&checked.name, &checked.namespace);
    leaf(issuer, &name, ExtendedKeyUsagePurpose::ServerAuth, now)
}

/// A new key and its certificate for this name and purpose.
fn leaf(
    issuer: &Issuer<'_, KeyPair>,
    name: &str,
    purpose: ExtendedKeyUsagePurpose,
    now: Timestamp,
) -> Result<Leaf, rcgen::Error> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    (params.not_before, params.not_after) = span(now, LEAF_DAYS);
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?.pem();
    Ok(Leaf { certificate, key: key.serialize_pem() })
}

fn span(now: Timestamp, days: i32) -> (OffsetDateTime, OffsetDateTime) {
    let at = |time: Timestamp| {
        OffsetDateTime::from_unix_timestamp(time.as_second()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    };
    (at(now - SKEW), at(now + DAY * days))
}

#[cfg(test)]
mod tests;
