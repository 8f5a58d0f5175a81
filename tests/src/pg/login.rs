//! From a fresh connection to the first ReadyForQuery.
//! Never falls back from TLS to plain text.

use anyhow::{Context, Result, bail};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::scram::Exchange;
use super::{Client, Flight, Message, PATIENCE, Target, flight};

pub(super) async fn connect(target: &Target) -> Result<Client> {
    let mut client = match &target.tls {
        None => target.dial().await?,
        Some(config) => dial_tls(target, TlsConnector::from(config.clone())).await?,
    };
    client.send(&startup(target)).await?;
    authenticate(&mut client, target.password.as_deref()).await?;
    loop {
        let message = client.receive().await.context("after authentication")?;
        match message.tag {
            b'Z' => return Ok(client),
            b'E' => return Err(message.fields().into()),
            _ => {}
        }
    }
}

async fn dial_tls(target: &Target, connector: TlsConnector) -> Result<Client> {
    let mut stream = TcpStream::connect((target.host.as_str(), target.port)).await?;
    stream.set_nodelay(true)?;
    if !target.tls_at_once {
        stream.write_all(&flight::ssl_request()).await?;
        let answer = tokio::time::timeout(PATIENCE, stream.read_u8()).await??;
        if answer != b'S' {
            bail!("the other side answered the SSLRequest with {:?}", char::from(answer));
        }
    }
    let name = ServerName::try_from(target.host.clone())?;
    let stream = connector.connect(name, stream).await.context("TLS handshake")?;
    Ok(Client::over(Box::new(stream)))
}

fn startup(target: &Target) -> Vec<u8> {
    let own = [("user", target.user.as_str()), ("database", target.database.as_str())];
    let more = target.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let parameters: Vec<_> = own.into_iter().chain(more).collect();
    flight::startup(target.protocol, &parameters)
}

async fn authenticate(client: &mut Client, password: Option<&str>) -> Result<()> {
    let mut exchange = Exchange::new()?;
    loop {
        let message = client.receive().await.context("authentication")?;
        match (message.tag, message.number(0)) {
            (b'R', Some(0)) => return Ok(()),
            (b'R', Some(kind)) => answer(client, kind, &message, &mut exchange, password).await?,
            (b'E', _) => return Err(message.fields().into()),
            (b'N', _) => {}
            (tag, _) => bail!("a message {:?} during authentication", char::from(tag)),
        }
    }
}

async fn answer(
    client: &mut Client,
    kind: i32,
    message: &Message,
    exchange: &mut Exchange,
    password: Option<&str>,
) -> Result<()> {
    let password = password.context("a password is asked for, the target has none")?;
    let text = String::from_utf8_lossy(message.body.get(4..).unwrap_or_default()).into_owned();
    let body = match kind {
        3 => [password.as_bytes(), b"\0"].concat(),
        10 => initial_response(&exchange.first()),
        11 => exchange.last(&text, password)?.into_bytes(),
        12 => return exchange.check(&text),
        _ => bail!("authentication of kind {kind} is not known here"),
    };
    client.send(Flight::new().message(b'p', &body).bytes()).await
}

fn initial_response(first: &str) -> Vec<u8> {
    let length = (first.len() as i32).to_be_bytes();
    [b"SCRAM-SHA-256\0", &length[..], first.as_bytes()].concat()
}
