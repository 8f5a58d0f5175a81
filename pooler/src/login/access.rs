//! Who may come in, and how they must show it: the first rule that fits decides. It checks each kind
//! of proof in a room of its own.

use std::net::IpAddr;
use std::time::Duration;

use poolwright_settings::rules::{Demand, Visitor};
use poolwright_settings::{ANY, ListenAuth, Proof, Settings};
use tokio::time::Instant;

use super::known::{Known, are_passwords_known};
use super::request::Request;
use super::{LoginContext, LoginError, password, scram};
use crate::credential::Learned;
use crate::replication::{Kind, place};
use crate::stream::{Framed, Stream};
use crate::tls::common_name;

/// The most bytes of a role's name: NAMEDATALEN - 1.
const MAX_NAME: usize = 63;

/// A client before its proof.
pub(super) struct Claim<'a> {
    pub(super) request: &'a Request,
    pub(super) address: IpAddr,
}

/// What the client has shown beside who it is.
pub(super) type Shown = Result<Option<Learned>, LoginError>;

pub(super) async fn prove(framed: &mut Framed, claim: &Claim<'_>, context: &LoginContext) -> Shown {
    let config = &context.config;
    let visitor = claim.visitor(&framed.stream);
    let demand = config.listen.demand(&visitor);
    let demand = demand.ok_or_else(|| LoginError::NoRule { who: whom(&visitor) })?;
    if demand.method == ListenAuth::Reject {
        return Err(LoginError::Rejected { who: whom(&visitor) });
    }
    let user = claim.request.user.as_str();
    let asked = config.auth_query.as_ref().zip(server(claim, context));
    let began = Instant::now();
    let known = match (config.users.get(user), asked) {
        (Some(listed), _) => Some(Known::listed(listed)),
        (None, Some((query, server))) => find(server, user, query.cache_time, context).await?,
        (None, None) => None,
    };
    if let Some((_, server)) = asked {
        context.inquiries.wait_as_if_asked(server, began).await;
    }
    let shown = judge(framed, claim, known.as_ref(), demand, context).await;
    if let (Err(LoginError::Password { .. }), Some((_, server))) = (&shown, asked) {
        context.inquiries.doubt(server, user);
    }
    shown
}

/// Who is not listed, as the server that the client wants to reach knows them. A name that is too long
/// is nobody's, and takes no memory.
async fn find(
    server: &str,
    user: &str,
    age: Duration,
    context: &LoginContext,
) -> Result<Option<Known>, LoginError> {
    if user.len() > MAX_NAME {
        return Ok(None);
    }
    let found = context.inquiries.find(server, user, age).await?;
    Ok(found.map(Known::found))
}

fn server<'a>(claim: &Claim<'_>, context: &'a LoginContext) -> Option<&'a str> {
    let config = &context.config;
    let Request { database, replication, .. } = claim.request;
    let asked = match replication {
        Some(kind) => place(config, *kind, database).map(|place| place.index),
        None => config.database(database).map(|database| database.server),
    };
    Some(&config.servers[asked.or_else(|| usual(config))?].name)
}

/// The server that knows those who ask for a database which is nowhere: they are told so only once
/// they have shown who they are, as by PostgreSQL.
fn usual(settings: &Settings) -> Option<usize> {
    let any = settings.databases.get(ANY).map(|any| any.server);
    any.or_else(|| settings.databases.values().map(|it| it.server).min())
}

async fn judge(
    framed: &mut Framed,
    claim: &Claim<'_>,
    known: Option<&Known>,
    demand: Demand<'_>,
    context: &LoginContext,
) -> Shown {
    let user = claim.request.user.as_str();
    match demand.method {
        ListenAuth::Trust | ListenAuth::Reject => believe(user, known),
        ListenAuth::Cert => {
            check_certificate(&framed.stream, user, demand, context)?;
            believe(user, known)
        }
        ListenAuth::Password if !framed.stream.is_tls() && !demand.in_clear => {
            Err(LoginError::PasswordInClear)
        }
        ListenAuth::Password => password::authenticate(framed, user, known, context).await,
        ListenAuth::Md5 if by_md5(known, context) => {
            password::authenticate_md5(framed, user, known, context).await
        }
        ListenAuth::Md5 | ListenAuth::ScramSha256 => {
            scram::authenticate(framed, user, known, context).await
        }
    }
}

/// As PostgreSQL, the method md5 goes over to SCRAM for those of whom there is only a verifier.
fn by_md5(known: Option<&Known>, context: &LoginContext) -> bool {
    match known {
        Some(known) => !matches!(known.proof, Proof::ScramVerifier(_)),
        None => are_passwords_known(&context.config),
    }
}

fn believe(user: &str, known: Option<&Known>) -> Shown {
    let known = known.ok_or_else(|| LoginError::Role { name: user.to_owned() })?;
    Ok(known.learn_nothing())
}

fn check_certificate(
    stream: &Stream,
    user: &str,
    demand: Demand<'_>,
    context: &LoginContext,
) -> Result<(), LoginError> {
    let certificate = stream.certificate().ok_or(LoginError::NoCertificate)?;
    let allows = |name: &str| context.config.listen.allows(demand.map, name, user);
    match common_name(certificate) {
        Some(name) if allows(name) => Ok(()),
        _ => Err(LoginError::Certificate { user: user.to_owned() }),
    }
}

impl Claim<'_> {
    fn visitor(&self, stream: &Stream) -> Visitor<'_> {
        Visitor {
            database: &self.request.database,
            user: &self.request.user,
            address: self.address.to_canonical(),
            is_tls: stream.is_tls(),
            is_replication: self.request.replication == Some(Kind::Physical),
        }
    }
}

/// As PostgreSQL names a connection that it turns away.
fn whom(visitor: &Visitor<'_>) -> String {
    let Visitor { database, user, address, is_tls, is_replication } = visitor;
    let encryption = if *is_tls { "SSL encryption" } else { "no encryption" };
    match is_replication {
        true => {
            format!("replication connection from host \"{address}\", user \"{user}\", {encryption}")
        }
        false => {
            format!("host \"{address}\", user \"{user}\", database \"{database}\", {encryption}")
        }
    }
}
