//! `poolwright-pooler query`: one login, one query, its rows as text. An install is tested with it;
//! it never keeps a connection, and is no part of the pooler that runs.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use clap::Args;
use poolwright_settings::{ChannelBinding, CleartextPassword, Secret, ServerTlsMode};
use poolwright_wire::startup::PROTOCOL_3_0;
use poolwright_wire::{read, server, write};
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::Error as NotOneOf;
use tokio::runtime;

use crate::clock::timeout;
use crate::credential::Credential;
use crate::server::{ClientKeyCache, ConnectError, Identity, ServerTarget, connect};
use crate::stream::{Framed, Message};
use crate::tls::ServerTls;

/// Where the password is, as for libpq: an argument could be read by others.
const PASSWORD: &str = "PGPASSWORD";
/// What poolers and PostgreSQL say to who should have shown a certificate.
const NO_CERTIFICATE: &str = "requires a valid client certificate";
const SHOW_ONE: &str = "show one: name its files by PGSSLCERT and PGSSLKEY, or for `helm test` its \
                        Secret by the chart's value test.clientCertificate";
/// The longest message of an answer, in bytes.
const LONGEST: u32 = 1024 * 1024;

/// Log in as a client does, run one query, print its rows, and end.
///
/// Columns are separated by |, an absent value is empty. Works on poolers and on PostgreSQL. The
/// password is taken from PGPASSWORD.
#[derive(Args)]
pub struct Query {
    /// Name or address.
    #[arg(long, env = "PGHOST")]
    host: String,
    #[arg(long, env = "PGPORT", default_value_t = 5432)]
    port: u16,
    #[arg(long, env = "PGUSER")]
    user: String,
    #[arg(long, env = "PGDATABASE")]
    database: String,
    /// disable, allow, prefer, require, verify-ca or verify-full. The first three take TLS or not, as
    /// the server has it; the certificate is checked by the last two, and by require where authorities
    /// are named.
    #[arg(long, env = "PGSSLMODE", default_value = "prefer", value_parser = mode)]
    sslmode: ServerTlsMode,
    /// A file with the certificate to show, PEM.
    #[arg(long, env = "PGSSLCERT", requires = "sslkey")]
    sslcert: Option<PathBuf>,
    /// A file with its key, PEM.
    #[arg(long, env = "PGSSLKEY", requires = "sslcert")]
    sslkey: Option<PathBuf>,
    /// A file with the authorities that are trusted to sign the server's certificate, PEM.
    #[arg(long, env = "PGSSLROOTCERT")]
    sslrootcert: Option<PathBuf>,
    /// Seconds for all of it.
    #[arg(long, default_value_t = 30)]
    timeout: u64,
    /// The query, in SQL.
    sql: String,
}

impl Query {
    /// Runs it; the rows, a line for each.
    ///
    /// # Errors
    /// No login, or the server's own error, in one line.
    pub fn run(&self) -> anyhow::Result<String> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let patience = Duration::from_secs(self.timeout);
        let place = || format!("{}:{}, database {:?}", self.host, self.port, self.database);
        let answer = runtime.block_on(async { timeout(patience, self.ask(patience)).await });
        runtime.shutdown_background();
        answer.unwrap_or_else(|_| bail!("no whole answer within {patience:?}")).with_context(place)
    }

    async fn ask(&self, patience: Duration) -> anyhow::Result<String> {
        let target = ServerTarget {
            host: self.host.clone(),
            port: self.port,
            tls: self.tls()?,
            connect_timeout: patience,
            cancel_timeout: patience,
            protocol: PROTOCOL_3_0,
            cleartext: CleartextPassword::Tls,
            binding: ChannelBinding::Prefer,
        };
        let credential = std::env::var(PASSWORD).ok().map(Secret::new).map(Credential::Password);
        let credential = credential.as_ref();
        let more = &[("application_name", env!("CARGO_PKG_NAME"))];
        let identity = Identity { database: &self.database, user: &self.user, credential, more };
        let connected = connect(&target, identity, &ClientKeyCache::default()).await;
        let connected = connected.map_err(|error| self.advise(error))?;
        let mut framed = Framed::new(connected.stream);
        framed.input = connected.leftover;
        write::query(&mut framed.output, self.sql.as_bytes());
        framed.flush().await.context("send the query")?;
        let rows = rows(&mut framed).await?;
        write::terminate(&mut framed.output);
        // It has answered: whether it hears that we leave is all one.
        let _ = framed.flush().await;
        Ok(rows)
    }

    fn tls(&self) -> anyhow::Result<ServerTls> {
        let authorities = self.sslrootcert.as_deref().map(read_file).transpose()?;
        let own = match (&self.sslcert, &self.sslkey) {
            (Some(certificate), Some(key)) => Some((read_file(certificate)?, read_file(key)?)),
            _ => None,
        };
        let own = own.as_ref().map(|(certificate, key)| (&**certificate, &**key));
        Ok(ServerTls::new(self.sslmode, authorities.as_deref(), own)?)
    }

    fn advise(&self, error: ConnectError) -> anyhow::Error {
        match self.sslcert {
            None if error.message.contains(NO_CERTIFICATE) => anyhow!("{error}; {SHOW_ONE}"),
            _ => error.into(),
        }
    }
}

/// As libpq names them.
fn mode(text: &str) -> Result<ServerTlsMode, NotOneOf> {
    ServerTlsMode::deserialize(text.into_deserializer())
}

fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

/// All rows up to ReadyForQuery, or the error before it.
async fn rows(framed: &mut Framed) -> anyhow::Result<String> {
    let mut rows = String::new();
    let mut failure = None;
    loop {
        let Message { tag, body } = framed.message(LONGEST).await.context("read the answer")?;
        match tag {
            server::DATA_ROW => writeln!(rows, "{}", row(&body).context("a malformed row")?)?,
            server::ERROR_RESPONSE => failure = Some(reported(&body)?),
            server::READY_FOR_QUERY => break,
            server::COPY_IN_RESPONSE | server::COPY_OUT_RESPONSE | server::COPY_BOTH_RESPONSE => {
                bail!("the query is a COPY, expected one that gives rows")
            }
            _ => {}
        }
    }
    failure.map_or(Ok(rows), |failure| bail!("the server answered: {failure}"))
}

/// The columns of a DataRow.
fn row(body: &[u8]) -> Option<String> {
    let (count, mut rest) =
        body.split_first_chunk().map(|(n, rest)| (i16::from_be_bytes(*n), rest))?;
    let mut columns = Vec::new();
    for _ in 0..count {
        let (length, after) = rest.split_first_chunk()?;
        // -1 is an absent value.
        let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
        let (value, after) = after.split_at_checked(length)?;
        columns.push(String::from_utf8_lossy(value));
        rest = after;
    }
    rest.is_empty().then(|| columns.join("|"))
}

fn reported(body: &[u8]) -> anyhow::Result<String> {
    let report = read::report(body).context("a malformed error")?;
    ensure!(!report.message.is_empty(), "an error without a message");
    let text = |bytes| String::from_utf8_lossy(bytes);
    Ok(format!("{} ({})", text(report.message), text(report.sqlstate)))
}

#[cfg(test)]
mod tests {
    use super::row;

    #[test]
    fn a_row_is_its_columns() {
        let body = |columns: &[Option<&str>]| {
            let mut body = (columns.len() as i16).to_be_bytes().to_vec();
            for column in columns {
                let length = column.map_or(-1, |text| text.len() as i32);
                body.extend(length.to_be_bytes());
                body.extend(column.unwrap_or_default().bytes());
            }
            body
        };
        let whole = body(&[Some("a"), None, Some(""), Some("größe")]);
        assert_eq!(row(&whole).as_deref(), Some("a|||größe"));
        assert_eq!(row(&body(&[])).as_deref(), Some(""));
        for end in 0..whole.len() {
            assert_eq!(row(&whole[..end]), None, "{end} bytes");
        }
        assert_eq!(row(&[whole, vec![0]].concat()), None);
    }
}
