//! What users are asked whom nobody knows: as much as somebody who is known, always the same for one
//! name, so that the two cannot be told apart. No proof fits it.

use std::hash::{DefaultHasher, Hash, Hasher};

use poolwright_settings::{Proof, Secret, Settings, User};
use poolwright_wire::md5;
use poolwright_wire::scram::{DEFAULT_ITERATIONS, Verifier, mock_keys, salt_for};
use ring::digest::{SHA256, digest};

use super::LoginContext;

/// What a verifier shows of itself.
struct Cost {
    iterations: u32,
    salt_length: usize,
}

/// Of verifiers that are made here, and of PostgreSQL's where nothing else is set.
const USUAL: Cost = Cost { iterations: DEFAULT_ITERATIONS, salt_length: 16 };

/// So many of those who are known are looked at, since anybody may ask for names that nobody has.
pub(super) const SAMPLE: usize = 64;

/// A verifier that no password fits, whose check costs as much as another's.
pub(super) fn verifier(user: &str, context: &LoginContext) -> Verifier {
    let secret = shared_secret(&context.config).unwrap_or(context.verifiers.secret);
    let Cost { iterations, salt_length } = cost(user, &secret, context);
    Verifier { salt: salt(user, &secret, salt_length), iterations, keys: mock_keys(user, &secret) }
}

/// That of a user who is known, always the same one as long as nobody else comes to be known whose turn
/// is earlier.
fn cost(user: &str, secret: &[u8; 32], context: &LoginContext) -> Cost {
    let turn = |known: &str, theirs: &Secret| {
        let hash = || {
            let mut hasher = DefaultHasher::new();
            (secret, user, known).hash(&mut hasher);
            hasher.finish()
        };
        // SCRAM asks nobody with an md5 hash otherwise than nobody.
        (!md5::is_secret(theirs.expose())).then(hash)
    };
    let listed = context.config.users.values().take(SAMPLE).filter_map(|it| {
        let (Proof::Password(theirs) | Proof::Md5(theirs) | Proof::ScramVerifier(theirs)) =
            &it.proof;
        Some((turn(&it.name, theirs)?, theirs))
    });
    let listed = listed.min_by_key(|(turn, _)| *turn).map(|(turn, theirs)| (turn, theirs.clone()));
    let known = listed.into_iter().chain(context.inquiries.first(turn));
    known.min_by_key(|(turn, _)| *turn).map_or(USUAL, |(_, theirs)| cost_of(&theirs))
}

fn cost_of(secret: &Secret) -> Cost {
    let read = Verifier::parse(secret.expose()).ok();
    read.map_or(USUAL, |it| Cost { iterations: it.iterations, salt_length: it.salt.len() })
}

fn salt(user: &str, secret: &[u8; 32], length: usize) -> Vec<u8> {
    let mut salt = salt_for(user, secret).to_vec();
    while salt.len() < length {
        // No name has a zero byte.
        salt.extend(salt_for(&format!("{user}\0{}", salt.len()), secret));
    }
    salt.truncate(length);
    salt
}

/// What the salts are made of where those of others are the same in all processes, since their
/// verifiers are: two poolers with the same settings make the same.
fn shared_secret(settings: &Settings) -> Option<[u8; 32]> {
    let verifier = |user: &User| match &user.proof {
        Proof::ScramVerifier(verifier) => Some(verifier.clone()),
        _ => None,
    };
    let asker = settings.auth_query.as_ref().and_then(|query| query.password.clone());
    let secret = asker.or_else(|| settings.users.values().find_map(verifier))?;
    let digest = digest(&SHA256, &[b"salts\0", secret.expose().as_bytes()].concat());
    digest.as_ref().try_into().ok()
}
