//! One client's connection: dialled, logged in, asked, left.
//! Never falls back to plain text when TLS was wanted.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use poolwright_wire::read::{self, Authentication};
use poolwright_wire::startup::PROTOCOL_3_0;
use poolwright_wire::{header, write};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use super::replies::Replies;
use super::scram::{Exchange, Keys};
use super::stream::Stream;
use crate::job::{Job, Tls};

/// What is kept from one login to the next.
pub struct Door {
    tls: Option<TlsConnector>,
    keys: Keys,
}

impl Door {
    pub fn new(job: &Job) -> Result<Door> {
        let tls = match job.tls {
            Tls::No => None,
            Tls::Full => Some(super::trusting::config(Resumption::disabled())?),
            Tls::Resumed => Some(super::trusting::config(Resumption::default())?),
        };
        Ok(Door { tls: tls.map(|config| Arc::new(config).into()), keys: Keys::default() })
    }

    /// Dials and logs in as client `number` of the pool.
    pub async fn connect(&self, job: &Job, number: usize, pool: usize) -> Result<Connection> {
        let socket = dial(job, number).await.context("dial")?;
        let stream = match &self.tls {
            None => Stream::Plain(socket),
            Some(connector) => Stream::Tls(Box::new(secure(connector, socket).await?)),
        };
        let mut login = Login { stream, unread: Vec::new(), exchange: Exchange::default() };
        login.stream.send(&startup(job, number, pool)).await?;
        while !login.step(&job.password, &self.keys, number).await? {}
        Ok(Connection { stream: login.stream, replies: Replies::default() })
    }
}

async fn dial(job: &Job, number: usize) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if job.sources > 1 {
        let host = 1 + (number % usize::from(job.sources)) as u8;
        socket.bind((Ipv4Addr::new(127, 0, 0, host), 0).into())?;
    }
    let stream = socket.connect((Ipv4Addr::LOCALHOST, job.port).into()).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn secure(
    connector: &TlsConnector,
    mut socket: TcpStream,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut request = Vec::new();
    write::ssl_request(&mut request);
    socket.write_all(&request).await?;
    match socket.read_u8().await? {
        b'S' => {}
        other => bail!("SSLRequest was answered with {:?}", char::from(other)),
    }
    let name = ServerName::try_from("localhost")?;
    connector.connect(name, socket).await.context("TLS handshake")
}

fn startup(job: &Job, number: usize, pool: usize) -> Vec<u8> {
    let (database, user) = job.pool(pool);
    let (name, path) = (format!("client {number}"), format!("public, schema_{number}"));
    let mut parameters: Vec<(&[u8], &[u8])> =
        vec![(b"user", user.as_bytes()), (b"database", database.as_bytes())];
    if job.parameters {
        parameters.push((b"application_name", name.as_bytes()));
        parameters.push((b"search_path", path.as_bytes()));
    }
    let mut bytes = Vec::new();
    write::startup(&mut bytes, PROTOCOL_3_0, &parameters);
    bytes
}

/// A login under way.
struct Login {
    stream: Stream,
    unread: Vec<u8>,
    exchange: Exchange,
}

impl Login {
    /// Takes one message in; whether it was ReadyForQuery.
    async fn step(&mut self, password: &str, keys: &Keys, number: usize) -> Result<bool> {
        let (tag, body) = self.message().await?;
        let answer = match tag {
            b'Z' => return Ok(true),
            b'R' => self.authenticate(&body, password, keys, number)?,
            b'E' => bail!("refused: {}", String::from_utf8_lossy(&body).replace('\0', " ")),
            _ => None,
        };
        if let Some(answer) = answer {
            self.stream.send(&answer).await?;
        }
        Ok(false)
    }

    fn authenticate(
        &mut self,
        body: &[u8],
        password: &str,
        keys: &Keys,
        number: usize,
    ) -> Result<Option<Vec<u8>>> {
        match read::authentication(body)? {
            Authentication::Ok => Ok(None),
            Authentication::Sasl(_) => Ok(Some(self.exchange.first(&format!("client-{number}")))),
            Authentication::SaslContinue(text) => {
                Ok(Some(self.exchange.last(text, password, keys)?))
            }
            Authentication::SaslFinal(text) => self.exchange.check(text).map(|()| None),
            other => bail!("authentication {other:?} is not known here"),
        }
    }

    async fn message(&mut self) -> Result<(u8, Vec<u8>)> {
        loop {
            if let Some(header) = header(&self.unread)?
                && self.unread.len() >= header.total()
            {
                let rest = self.unread.split_off(header.total());
                let message = std::mem::replace(&mut self.unread, rest);
                return Ok((header.tag, message[5..].to_vec()));
            }
            let unread = &mut self.unread;
            self.stream.receive(|bytes| unread.extend_from_slice(bytes)).await?;
        }
    }
}

/// A client that is logged in.
pub struct Connection {
    stream: Stream,
    replies: Replies,
}

impl Connection {
    /// Sends a request and reads up to its ReadyForQuery.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<()> {
        self.stream.send(request).await.context("send")?;
        let replies = &mut self.replies;
        while !self.stream.receive(|bytes| replies.take(bytes)).await.context("receive")?? {}
        Ok(())
    }

    /// Says Terminate and goes.
    pub async fn leave(&mut self) -> Result<()> {
        let mut bytes = Vec::new();
        write::terminate(&mut bytes);
        self.stream.send(&bytes).await.context("leave")?;
        self.stream.close().await;
        Ok(())
    }

    /// Fails if something came that nobody asked for, or the other side has gone.
    pub fn must_be_silent(&mut self) -> Result<()> {
        if !self.stream.is_silent() {
            bail!("the other side closed it, or sent what nobody asked for");
        }
        Ok(())
    }
}
