//! One SCRAM-SHA-256 exchange with a client. It checks and never learns a password; a user who does
//! not exist goes through the same steps.

use poolwright_wire::scram::{MECHANISM, ScramError, ServerExchange};
use poolwright_wire::{client, read, write};

use super::{LoginContext, LoginError};
use crate::stream::Framed;

/// The most bytes of one answer, as generous as Postgres.
const MAX_ANSWER: u32 = 4096;

/// Ends with the server's final message in `framed.output`, not yet sent.
pub(super) async fn authenticate(
    framed: &mut Framed,
    user: &str,
    context: &LoginContext,
) -> Result<(), LoginError> {
    let check = context.verifiers.check(user, &context.config)?;
    write::authentication_sasl(&mut framed.output, &[MECHANISM]);
    framed.flush().await?;
    let body = answer(framed).await?;
    let first = first_message(&body)?;
    let nonce = context.verifiers.nonce()?;
    let exchange = ServerExchange::start(first, &nonce, &check.salt, check.iterations)
        .map_err(LoginError::Scram)?;
    write::authentication_sasl_continue(&mut framed.output, exchange.first());
    framed.flush().await?;
    // The client derives its keys now; so do we, where they are not there yet.
    let (keys, last) = tokio::join!(check.keys.get(&check.salt, check.iterations), answer(framed));
    match exchange.finish(read::sasl_response(&last?), &keys?) {
        Ok(server_final) => {
            write::authentication_sasl_final(&mut framed.output, &server_final);
            Ok(())
        }
        Err(ScramError::Proof) => Err(LoginError::Password { user: user.to_owned() }),
        Err(error) => Err(LoginError::Scram(error)),
    }
}

fn first_message(body: &[u8]) -> Result<&[u8], LoginError> {
    let response = read::sasl_initial_response(body)?;
    if response.mechanism != MECHANISM.as_bytes() {
        return Err(LoginError::Scram(ScramError::Unsupported("another SASL mechanism")));
    }
    let missing =
        ScramError::Malformed { message: "SASLInitialResponse", field: "the initial response" };
    response.response.ok_or(LoginError::Scram(missing))
}

async fn answer(framed: &mut Framed) -> Result<Vec<u8>, LoginError> {
    let message = framed.message(MAX_ANSWER).await?;
    match message.tag {
        client::PASSWORD => Ok(message.body),
        client::TERMINATE => Err(LoginError::Left),
        found => Err(LoginError::Unexpected { expected: "a SASL response", found }),
    }
}
