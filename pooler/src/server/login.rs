//! The login over an open stream: startup message, authentication, the server's report until
//! ReadyForQuery. It never sends a password to a server that asks for MD5.

use std::io;

use poolwright_settings::Secret;
use poolwright_wire::read::{self, Authentication};
use poolwright_wire::scram::{ClientExchange, MECHANISM, ScramError, ServerProof};
use poolwright_wire::startup::PROTOCOL_3_0;
use poolwright_wire::{TransactionStatus, server, write};
use ring::rand::{SecureRandom, SystemRandom};

use super::keys::Of;
use super::{ClientKeyCache, ConnectError, Identity, Kind};
use crate::stream::{Framed, Message};

/// More than any message of a login.
const MAX_MESSAGE: u32 = 64 * 1024;

/// What the server said before ReadyForQuery.
#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) parameters: Vec<(String, String)>,
    pub(super) process_id: i32,
    pub(super) secret: Vec<u8>,
}

/// Speaks at most this version of the protocol.
pub(super) async fn log_in(
    framed: &mut Framed,
    protocol: i32,
    identity: Identity<'_>,
    keys: &ClientKeyCache,
) -> Result<Session, ConnectError> {
    let Identity { database, user, more, .. } = identity;
    let who = [("user", user), ("database", database)];
    let parameters =
        who.iter().chain(more).map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    write::startup(&mut framed.output, protocol, &parameters.collect::<Vec<_>>());
    flush(framed).await?;
    authenticate(framed, protocol, identity, keys).await?;
    session(framed).await
}

async fn authenticate(
    framed: &mut Framed,
    protocol: i32,
    identity: Identity<'_>,
    keys: &ClientKeyCache,
) -> Result<(), ConnectError> {
    let body = first_step(framed, protocol).await?;
    match read::authentication(&body).map_err(malformed)? {
        Authentication::Ok => return Ok(()),
        Authentication::CleartextPassword => {
            let password = password(identity)?.expose().as_bytes();
            write::password(&mut framed.output, password);
            flush(framed).await?;
        }
        Authentication::Sasl(mechanisms) if mechanisms.contains(&MECHANISM.as_bytes()) => {
            scram(framed, identity, keys).await?;
        }
        other => return Err(unsupported(&other)),
    }
    match read::authentication(&step(framed).await?).map_err(malformed)? {
        Authentication::Ok => Ok(()),
        _ => Err(ConnectError::new(Kind::Protocol, "login: expected AuthenticationOk")),
    }
}

async fn scram(
    framed: &mut Framed,
    identity: Identity<'_>,
    keys: &ClientKeyCache,
) -> Result<(), ConnectError> {
    let password = password(identity)?;
    let exchange = ClientExchange::new("", &nonce()?);
    write::sasl_initial_response(&mut framed.output, MECHANISM, &exchange.first());
    flush(framed).await?;
    let body = step(framed).await?;
    let challenge = match read::authentication(&body).map_err(malformed)? {
        Authentication::SaslContinue(data) => exchange.challenge(data).map_err(scram_error)?,
        _ => return Err(out_of_order()),
    };
    let user = identity.user.to_owned();
    let of = Of { user, salt: challenge.salt.clone(), iterations: challenge.iterations };
    let keys = keys.get(of, password).await?;
    let (answer, proof) = challenge.prove(&keys);
    write::sasl_response(&mut framed.output, &answer);
    flush(framed).await?;
    check(&step(framed).await?, proof)
}

fn check(body: &[u8], proof: ServerProof) -> Result<(), ConnectError> {
    match read::authentication(body).map_err(malformed)? {
        Authentication::SaslFinal(data) => proof.check(data).map_err(scram_error),
        _ => Err(out_of_order()),
    }
}

/// As [`step`]; a server may first settle on an earlier version than it was asked for.
async fn first_step(framed: &mut Framed, asked: i32) -> Result<Vec<u8>, ConnectError> {
    let Message { tag, body } = framed.message(MAX_MESSAGE).await?;
    match tag {
        server::AUTHENTICATION => return Ok(body),
        server::NEGOTIATE_PROTOCOL_VERSION => settle(&body, asked)?,
        server::NOTICE_RESPONSE => {}
        _ => return Err(refusal(tag, &body)),
    }
    step(framed).await
}

/// No option was asked for, so none can be unknown.
fn settle(body: &[u8], asked: i32) -> Result<(), ConnectError> {
    match read::negotiate_protocol_version(body).map_err(malformed)? {
        (spoken, 0) if (PROTOCOL_3_0..=asked).contains(&spoken) => Ok(()),
        (spoken, options) => {
            let message = format!(
                "login: the server settles on protocol {}.{} and {options} unknown options, \
                 expected 3.0 to {}.{} and none",
                spoken >> 16,
                spoken & 0xffff,
                asked >> 16,
                asked & 0xffff,
            );
            Err(ConnectError::new(Kind::Protocol, message))
        }
    }
}

/// The body of the server's next Authentication message.
async fn step(framed: &mut Framed) -> Result<Vec<u8>, ConnectError> {
    loop {
        let Message { tag, body } = framed.message(MAX_MESSAGE).await?;
        match tag {
            server::AUTHENTICATION => return Ok(body),
            server::NOTICE_RESPONSE => {}
            _ => return Err(refusal(tag, &body)),
        }
    }
}

/// What the server reports between AuthenticationOk and ReadyForQuery.
async fn session(framed: &mut Framed) -> Result<Session, ConnectError> {
    let mut session = Session::default();
    loop {
        let Message { tag, body } = framed.message(MAX_MESSAGE).await?;
        match tag {
            server::PARAMETER_STATUS => {
                let (name, value) = read::parameter_status(&body).map_err(malformed)?;
                session.parameters.push((text(name), text(value)));
            }
            server::BACKEND_KEY_DATA => {
                let key = read::backend_key_data(&body).map_err(malformed)?;
                session.process_id = key.process_id;
                session.secret = key.secret.to_vec();
            }
            server::READY_FOR_QUERY => {
                return match read::ready_for_query(&body).map_err(malformed)? {
                    TransactionStatus::Idle => Ok(session),
                    _ => Err(ConnectError::new(Kind::Protocol, "login: ended in a transaction")),
                };
            }
            server::NOTICE_RESPONSE => {}
            _ => return Err(refusal(tag, &body)),
        }
    }
}

fn refusal(tag: u8, body: &[u8]) -> ConnectError {
    if tag == server::ERROR_RESPONSE {
        return ConnectError::reported(body);
    }
    let message = format!("login: the server sent message type 0x{tag:02x} out of order");
    ConnectError::new(Kind::Protocol, message)
}

fn password<'a>(identity: Identity<'a>) -> Result<&'a Secret, ConnectError> {
    let user = identity.user;
    identity.password.ok_or_else(|| {
        let message = format!(
            "the server asks for the password of user \"{user}\" and the settings hold none; \
             a user with scramVerifier needs serverPassword"
        );
        ConnectError::new(Kind::Refused, message)
    })
}

fn unsupported(asked: &Authentication<'_>) -> ConnectError {
    let method = match asked {
        Authentication::Md5Password => "md5".to_owned(),
        Authentication::Sasl(_) => "a SASL mechanism other than SCRAM-SHA-256".to_owned(),
        Authentication::Other(7..=9) => "GSSAPI or SSPI".to_owned(),
        Authentication::Other(code) => format!("authentication method {code}"),
        _ => return out_of_order(),
    };
    let message = format!(
        "the server asks for {method}, which is not supported: use scram-sha-256 in its pg_hba.conf, \
         and set the password again with password_encryption = scram-sha-256 if it is stored as md5"
    );
    ConnectError::new(Kind::Unsupported, message)
}

fn out_of_order() -> ConnectError {
    ConnectError::new(Kind::Protocol, "login: the server's authentication is out of order")
}

fn malformed(error: poolwright_wire::WireError) -> ConnectError {
    ConnectError::new(Kind::Protocol, format!("login: {error}"))
}

fn scram_error(error: ScramError) -> ConnectError {
    ConnectError::new(Kind::Protocol, format!("login: {error}"))
}

async fn flush(framed: &mut Framed) -> Result<(), ConnectError> {
    framed.flush().await.map_err(|error: io::Error| ConnectError::io("login", &error))
}

fn nonce() -> Result<String, ConnectError> {
    let mut bytes = [0; 18];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| ConnectError::new(Kind::LocalLimit, "the system gives no random bytes"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
