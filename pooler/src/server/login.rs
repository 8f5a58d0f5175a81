//! The login over an open stream: startup message, authentication, the server's report until
//! ReadyForQuery. It never sends a password in clear but where the settings allow it, and shows nothing
//! that is not bound to the server's certificate where they ask for that.

use std::io;

use poolwright_settings::{ChannelBinding, CleartextPassword};
use poolwright_wire::read::{self, Authentication};
use poolwright_wire::scram::{
    Channel, ClientChallenge, ClientExchange, ClientKeys, MECHANISM, MECHANISM_PLUS, ScramError,
    ServerProof,
};
use poolwright_wire::startup::PROTOCOL_3_0;
use poolwright_wire::{TransactionStatus, md5, server, write};
use ring::rand::{SecureRandom, SystemRandom};

use super::keys::Of;
use super::{Asked, ClientKeyCache, ConnectError, Identity, Kind};
use crate::credential::Credential;
use crate::stream::{Framed, Message};
use crate::tls::end_point;

/// More than any message of a login.
const MAX_MESSAGE: u32 = 64 * 1024;

/// What the server said before ReadyForQuery.
#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) parameters: Vec<(String, String)>,
    pub(super) process_id: i32,
    pub(super) secret: Vec<u8>,
}

/// Speaks at most the version of the protocol that is asked for.
pub(super) async fn log_in(
    framed: &mut Framed,
    asked: &Asked<'_>,
    keys: &ClientKeyCache,
) -> Result<Session, ConnectError> {
    let Identity { database, user, more, .. } = asked.identity;
    let who = [("user", user), ("database", database)];
    // Of two the server would take the last.
    debug_assert!(more.iter().all(|(name, _)| who.iter().all(|(own, _)| own != name)));
    let parameters =
        who.iter().chain(more).map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    write::startup(&mut framed.output, asked.protocol, &parameters.collect::<Vec<_>>());
    flush(framed).await?;
    authenticate(framed, asked, keys).await?;
    session(framed).await
}

async fn authenticate(
    framed: &mut Framed,
    asked: &Asked<'_>,
    keys: &ClientKeyCache,
) -> Result<(), ConnectError> {
    let identity = asked.identity;
    let body = first_step(framed, asked.protocol).await?;
    let request = read::authentication(&body).map_err(malformed)?;
    if asked.binding == ChannelBinding::Require {
        can_be_bound(&request, framed.stream.is_tls())?;
    }
    match request {
        Authentication::Ok => return Ok(()),
        Authentication::CleartextPassword => {
            let password = in_clear(identity, asked.cleartext, framed.stream.is_tls())?;
            write::password(&mut framed.output, password.as_bytes());
            flush(framed).await?;
        }
        Authentication::Md5Password(salt) => {
            let answer = md5::answer(&md5_secret(identity)?, salt);
            write::password(&mut framed.output, answer.as_bytes());
            flush(framed).await?;
        }
        Authentication::Sasl(mechanisms) => scram(framed, asked, &mechanisms, keys).await?,
        other => return Err(unsupported(&other)),
    }
    match read::authentication(&step(framed).await?).map_err(malformed)? {
        Authentication::Ok => Ok(()),
        _ => Err(ConnectError::new(Kind::Protocol, "login: expected AuthenticationOk")),
    }
}

/// Only SCRAM over TLS can. Over a connection in clear another attempt may have TLS.
fn can_be_bound(request: &Authentication<'_>, is_tls: bool) -> Result<(), ConnectError> {
    if !is_tls {
        let message =
            "the server was reached without TLS, and servers[].channelBinding requires it";
        return Err(ConnectError::new(Kind::Tls, message));
    }
    match request {
        Authentication::Ok | Authentication::CleartextPassword | Authentication::Md5Password(_) => {
            Err(ConnectError::new(
                Kind::Unsupported,
                "the server lets the pooler in without channel binding, which servers[].channelBinding \
             requires: use scram-sha-256 in its pg_hba.conf",
            ))
        }
        _ => Ok(()),
    }
}

async fn scram(
    framed: &mut Framed,
    asked: &Asked<'_>,
    offered: &[&[u8]],
    keys: &ClientKeyCache,
) -> Result<(), ConnectError> {
    let identity = asked.identity;
    let hash = framed.stream.certificate().and_then(end_point);
    let channel = channel(offered, hash.as_deref(), framed.stream.is_tls(), asked.binding)?;
    let mechanism = if matches!(channel, Channel::Bound(_)) { MECHANISM_PLUS } else { MECHANISM };
    credential(identity)?;
    let exchange = ClientExchange::new("", &nonce()?, channel);
    write::sasl_initial_response(&mut framed.output, mechanism, &exchange.first());
    flush(framed).await?;
    let body = step(framed).await?;
    let challenge = match read::authentication(&body).map_err(malformed)? {
        Authentication::SaslContinue(data) => exchange.challenge(data).map_err(scram_error)?,
        _ => return Err(out_of_order()),
    };
    let keys = client_keys(identity, &challenge, keys).await?;
    let (answer, proof) = challenge.prove(&keys);
    write::sasl_response(&mut framed.output, &answer);
    flush(framed).await?;
    check(&step(framed).await?, proof)
}

/// What the proof is bound to. A server that offers to bind over a connection in clear is none, or
/// there is somebody in between.
fn channel<'a>(
    offered: &[&[u8]],
    hash: Option<&'a [u8]>,
    is_tls: bool,
    binding: ChannelBinding,
) -> Result<Channel<'a>, ConnectError> {
    let is_required = binding == ChannelBinding::Require;
    let hash = hash.filter(|_| binding != ChannelBinding::Disable);
    let offers = |mechanism: &str| offered.contains(&mechanism.as_bytes());
    match (offers(MECHANISM_PLUS), hash) {
        (true, _) if !is_tls => {
            let message = "login: the server offers SCRAM-SHA-256-PLUS without TLS";
            Err(ConnectError::new(Kind::Protocol, message))
        }
        (true, Some(hash)) => Ok(Channel::Bound(hash)),
        (true, None) if is_required => Err(unbound(
            "shows a certificate for which no channel binding is defined, and \
             servers[].channelBinding requires one: use a certificate signed with RSA or ECDSA",
        )),
        (false, _) if is_required => Err(unbound(
            "offers no SCRAM-SHA-256-PLUS, which servers[].channelBinding requires: who answers may \
             not be PostgreSQL itself",
        )),
        _ if !offers(MECHANISM) => Err(unsupported(&Authentication::Sasl(Vec::new()))),
        (false, Some(_)) => Ok(Channel::Declined),
        (_, None) => Ok(Channel::Unbound),
    }
}

fn unbound(what: &str) -> ConnectError {
    ConnectError::new(Kind::Unsupported, format!("the server {what}"))
}

async fn client_keys(
    identity: Identity<'_>,
    challenge: &ClientChallenge,
    cache: &ClientKeyCache,
) -> Result<ClientKeys, ConnectError> {
    let user = identity.user;
    let ClientChallenge { salt, iterations, .. } = challenge;
    match credential(identity)? {
        Credential::Password(password) => {
            let of = Of { user: user.to_owned(), salt: salt.clone(), iterations: *iterations };
            cache.get(of, password).await
        }
        Credential::Keys(known) if (&known.salt, known.iterations) == (salt, *iterations) => {
            Ok(known.keys.clone())
        }
        Credential::Keys(_) => Err(refused(format!(
            "the server's SCRAM verifier of user \"{user}\" has another salt or number of iterations \
             than the one that its clients are checked against, so that their proof is of no use \
             there: copy rolpassword from pg_authid again, or give serverPassword"
        ))),
        Credential::Md5(_) => Err(refused(format!(
            "the server asks for SCRAM, and of the password of user \"{user}\" only the md5 hash is \
             known: give the password or its SCRAM verifier"
        ))),
    }
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

fn credential<'a>(identity: Identity<'a>) -> Result<&'a Credential, ConnectError> {
    let user = identity.user;
    identity.credential.ok_or_else(|| {
        refused(format!(
            "the server asks for the password of user \"{user}\", and none is known: the settings \
             hold a verifier and no serverPassword, and no client has logged in by SCRAM since the \
             pooler has known it"
        ))
    })
}

fn in_clear<'a>(
    identity: Identity<'a>,
    allowed: CleartextPassword,
    is_tls: bool,
) -> Result<&'a str, ConnectError> {
    let user = identity.user;
    let consent = match allowed {
        CleartextPassword::Always => true,
        CleartextPassword::Tls => is_tls,
        CleartextPassword::Never => false,
    };
    if !consent {
        return Err(ConnectError::new(
            Kind::Unsupported,
            format!(
                "the server asks for the password of user \"{user}\" in clear, which \
                 servers[].cleartextPassword does not allow {}: use scram-sha-256 in its \
                 pg_hba.conf, or TLS",
                if is_tls { "at all" } else { "without TLS" }
            ),
        ));
    }
    match credential(identity)? {
        Credential::Password(password) => Ok(password.expose()),
        Credential::Md5(_) | Credential::Keys(_) => Err(refused(format!(
            "the server asks for the password of user \"{user}\" in clear, and only a hash of it is \
             known: give serverPassword"
        ))),
    }
}

fn md5_secret(identity: Identity<'_>) -> Result<String, ConnectError> {
    let user = identity.user;
    match credential(identity)? {
        Credential::Password(password) => Ok(md5::secret(user, password.expose())),
        Credential::Md5(secret) => Ok(secret.expose().to_owned()),
        Credential::Keys(_) => Err(refused(format!(
            "the server asks for md5, and of the password of user \"{user}\" only the SCRAM \
             verifier is known: give serverPassword, or use scram-sha-256 in its pg_hba.conf"
        ))),
    }
}

fn refused(message: String) -> ConnectError {
    ConnectError::new(Kind::Refused, message)
}

fn unsupported(asked: &Authentication<'_>) -> ConnectError {
    let method = match asked {
        Authentication::Sasl(_) => "a SASL mechanism other than SCRAM-SHA-256".to_owned(),
        Authentication::Other(7..=9) => "GSSAPI or SSPI".to_owned(),
        Authentication::Other(code) => format!("authentication method {code}"),
        _ => return out_of_order(),
    };
    let message = format!(
        "the server asks for {method}, which is not supported: use scram-sha-256 in its pg_hba.conf"
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
