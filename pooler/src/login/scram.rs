//! One SCRAM-SHA-256 exchange with a client, bound to its TLS channel if it can be. It checks and
//! never learns a password; a user whom nobody knows goes through the same steps.

use poolwright_wire::scram::{
    Channel, Finished, MECHANISM, MECHANISM_PLUS, ScramError, ServerExchange,
};
use poolwright_wire::{client, read, write};

use super::access::Shown;
use super::keys::verifier;
use super::known::Known;
use super::{LoginContext, LoginError};
use crate::credential::{Credential, ScramKeys};
use crate::stream::Framed;

/// The most bytes of one answer, as generous as Postgres.
const MAX_ANSWER: u32 = 4096;

/// Ends with the server's final message in `framed.output`, not yet sent.
pub(super) async fn authenticate(
    framed: &mut Framed,
    user: &str,
    known: Option<&Known>,
    context: &LoginContext,
) -> Shown {
    let check = context.verifiers.check(user, known, context)?;
    let end_point = context.config.client_tls.end_point().filter(|_| framed.stream.is_tls());
    let mechanisms = [MECHANISM_PLUS, MECHANISM];
    let offered = if end_point.is_some() { &mechanisms[..] } else { &mechanisms[1..] };
    write::authentication_sasl(&mut framed.output, offered);
    framed.flush().await?;
    let body = answer(framed).await?;
    let (channel, first) = first_message(&body, end_point)?;
    let nonce = context.verifiers.nonce()?;
    let exchange = ServerExchange::start(first, channel, &nonce, &check.salt, check.iterations)
        .map_err(LoginError::Scram)?;
    write::authentication_sasl_continue(&mut framed.output, exchange.first());
    framed.flush().await?;
    // The client derives its keys now; so do we, where they are not there yet.
    let (keys, last) = tokio::join!(check.keys.get(&check.salt, check.iterations), answer(framed));
    match exchange.finish(read::sasl_response(&last?), &keys?) {
        Ok(Finished { message, keys }) => {
            write::authentication_sasl_final(&mut framed.output, &message);
            let (salt, iterations) = (check.salt, check.iterations);
            Ok(known.and_then(|known| learn(known, ScramKeys { keys, salt, iterations })))
        }
        Err(ScramError::Proof) => Err(LoginError::Password { user: user.to_owned() }),
        Err(error) => Err(LoginError::Scram(error)),
    }
}

/// With the keys the pooler logs in to a server that has the verifier which they fit; what was made
/// from a password here fits none, and is not needed.
fn learn(known: &Known, keys: ScramKeys) -> Option<crate::credential::Learned> {
    let is_of = |secret: &&poolwright_settings::Secret| {
        verifier(secret).is_ok_and(|verifier| verifier.keys == *keys.keys.server_keys())
    };
    match known.secrets().find(is_of) {
        Some(of) => known.learn(Credential::Keys(Box::new(keys)), of),
        None => known.learn_nothing(),
    }
}

/// What the client makes of the channel, and its first message.
fn first_message<'a>(
    body: &'a [u8],
    end_point: Option<&'a [u8]>,
) -> Result<(Channel<'a>, &'a [u8]), LoginError> {
    let response = read::sasl_initial_response(body)?;
    let is = |mechanism: &str| response.mechanism == mechanism.as_bytes();
    let channel = match end_point {
        Some(hash) if is(MECHANISM_PLUS) => Channel::Bound(hash),
        Some(_) if is(MECHANISM) => Channel::Declined,
        None if is(MECHANISM) => Channel::Unbound,
        _ => {
            let error = ScramError::Unsupported("another SASL mechanism");
            return Err(LoginError::Scram(error));
        }
    };
    let missing =
        ScramError::Malformed { message: "SASLInitialResponse", field: "the initial response" };
    Ok((channel, response.response.ok_or(LoginError::Scram(missing))?))
}

async fn answer(framed: &mut Framed) -> Result<Vec<u8>, LoginError> {
    let message = framed.message(MAX_ANSWER).await?;
    match message.tag {
        client::PASSWORD => Ok(message.body),
        client::TERMINATE => Err(LoginError::Left),
        found => Err(LoginError::Unexpected { expected: "a SASL response", found }),
    }
}
