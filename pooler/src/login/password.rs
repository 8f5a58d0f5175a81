//! Proof by a password that is sent as it is, or as an md5 hash of it and a salt. A user whom nobody
//! knows goes through the same steps.

use poolwright_settings::{Proof, Secret};
use poolwright_wire::{client, md5, read, write};
use ring::digest::{SHA256, digest};

use super::access::Shown;
use super::keys::verifier;
use super::known::{Known, are_passwords_known};
use super::{LoginContext, LoginError, nobody};
use crate::credential::Credential;
use crate::stream::Framed;

/// The most bytes of a password, as PostgreSQL.
const MAX_PASSWORD: u32 = 1024 + 1;

/// Asks for the password itself.
pub(super) async fn authenticate(
    framed: &mut Framed,
    user: &str,
    known: Option<&Known>,
    context: &LoginContext,
) -> Shown {
    write::authentication_cleartext_password(&mut framed.output);
    let given = answer(framed).await?;
    let fitting = match known {
        Some(known) => fitting(user, known, &given, context).await?,
        None => {
            if !are_passwords_known(&context.config) {
                let mock = nobody::verifier(user, context);
                context.verifiers.accepts(vec![mock], given.clone()).await?;
            }
            None
        }
    };
    let (known, of) = known.zip(fitting).ok_or_else(|| wrong(user))?;
    Ok(known.learn(Credential::Password(given), of))
}

/// The secret that a password fits.
async fn fitting<'a>(
    user: &str,
    known: &'a Known,
    given: &Secret,
    context: &LoginContext,
) -> Result<Option<&'a Secret>, LoginError> {
    let fits = |known: &str, given: &str| is_same(known.as_bytes(), given.as_bytes());
    match known.proof {
        Proof::Password(_) => {
            Ok(known.secrets().find(|secret| fits(secret.expose(), given.expose())))
        }
        Proof::Md5(_) => {
            let hash = md5::secret(user, given.expose());
            Ok(known.secrets().find(|secret| fits(&secret.expose().to_ascii_lowercase(), &hash)))
        }
        Proof::ScramVerifier(_) => {
            let verifiers = known.secrets().map(verifier).collect::<Result<Vec<_>, _>>()?;
            let at = context.verifiers.accepts(verifiers, given.clone()).await?;
            Ok(at.and_then(|at| known.secrets().nth(at)))
        }
    }
}

/// Asks for a hash of the password and a salt.
pub(super) async fn authenticate_md5(
    framed: &mut Framed,
    user: &str,
    known: Option<&Known>,
    context: &LoginContext,
) -> Shown {
    let salt = context.verifiers.short_salt()?;
    write::authentication_md5_password(&mut framed.output, salt);
    let given = answer(framed).await?;
    let stored = |secret: &Secret| match known.map(|known| &known.proof) {
        Some(Proof::Password(_)) => md5::secret(user, secret.expose()),
        _ => secret.expose().to_ascii_lowercase(),
    };
    let fits = |secret: &&Secret| {
        let expected = md5::answer(&stored(secret), salt);
        is_same(expected.as_bytes(), given.expose().as_bytes())
    };
    // Nobody's secret, for as much work.
    let nobody = Secret::new(md5::secret(user, ""));
    let Some(known) = known else {
        let _ = fits(&&nobody);
        return Err(wrong(user));
    };
    known.secrets().find(fits).ok_or_else(|| wrong(user))?;
    Ok(known.learn_nothing())
}

async fn answer(framed: &mut Framed) -> Result<Secret, LoginError> {
    framed.flush().await?;
    let message = framed.message(MAX_PASSWORD).await?;
    match message.tag {
        client::PASSWORD => {
            let text = String::from_utf8(read::password(&message.body)?.to_vec());
            let text = text.map_err(|_| LoginError::Encoding("password".to_owned()))?;
            if text.is_empty() { Err(LoginError::EmptyPassword) } else { Ok(Secret::new(text)) }
        }
        client::TERMINATE => Err(LoginError::Left),
        found => Err(LoginError::Unexpected { expected: "a password", found }),
    }
}

/// In a time that says nothing of where the two differ: their hashes are compared.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    digest(&SHA256, one).as_ref() == digest(&SHA256, other).as_ref()
}

fn wrong(user: &str) -> LoginError {
    LoginError::Password { user: user.to_owned() }
}
