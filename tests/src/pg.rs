//! A Postgres client that sends any bytes and shows every message: half ones, pipelines, garbage.
//! It never hides, retries or reorders anything; drivers do that, tests must not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

pub mod flight;
mod login;
pub mod message;
mod scram;

pub use flight::Flight;
pub use message::{Fields, Message};

/// How long a test waits for one message before it fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes both ways, plain or through TLS.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Where to log in, and as whom.
#[derive(Clone)]
pub struct Target {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: Option<String>,
    pub database: String,
    /// Further startup parameters, such as `application_name`.
    pub parameters: Vec<(String, String)>,
    /// With TLS, and whom to trust; the server must then speak it.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// TLS begins without an SSLRequest.
    pub tls_at_once: bool,
    /// The version of the protocol that is asked for.
    pub protocol: i32,
}

impl Target {
    pub fn new(host: &str, port: u16, user: &str, database: &str) -> Target {
        Target {
            host: host.to_owned(),
            port,
            user: user.to_owned(),
            password: None,
            database: database.to_owned(),
            parameters: Vec::new(),
            tls: None,
            tls_at_once: false,
            protocol: flight::VERSION_3_0,
        }
    }

    pub fn password(mut self, password: &str) -> Target {
        self.password = Some(password.to_owned());
        self
    }

    pub fn parameter(mut self, name: &str, value: &str) -> Target {
        self.parameters.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn protocol(mut self, version: i32) -> Target {
        self.protocol = version;
        self
    }

    /// A connection that nothing has been sent on.
    pub async fn dial(&self) -> Result<Client> {
        let address = (self.host.as_str(), self.port);
        let dialled = tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await;
        let stream = dialled.context("connect: timed out")?.context("connect")?;
        stream.set_nodelay(true)?;
        Ok(Client::over(Box::new(stream)))
    }

    /// Logs in. An ErrorResponse at login is an `Err` whose root is [`Fields`].
    pub async fn connect(&self) -> Result<Client> {
        login::connect(self).await
    }

    /// Asks for the end of what the client with this key is doing; returns when the other side
    /// has closed.
    pub async fn cancel(&self, key: &CancelKey) -> Result<()> {
        let mut door = self.dial().await?;
        door.send(&flight::cancel_request(key.process_id, &key.secret)).await?;
        door.end_of_stream().await
    }
}

/// What BackendKeyData said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CancelKey {
    pub process_id: i32,
    pub secret: Vec<u8>,
}

/// What came back for one simple query.
#[derive(Debug, Default)]
pub struct Answer {
    pub rows: Vec<Vec<Option<String>>>,
    pub tags: Vec<String>,
    pub error: Option<Fields>,
    /// The transaction status of ReadyForQuery: `I`, `T` or `E`.
    pub status: char,
}

/// One connection.
pub struct Client {
    wire: Box<dyn Wire>,
    unread: Vec<u8>,
    /// The last value of each ParameterStatus.
    pub parameters: BTreeMap<String, String>,
    pub key: CancelKey,
    /// Channel and payload of notifications that came by the way.
    pub notifications: Vec<(String, String)>,
}

impl Client {
    pub fn over(wire: Box<dyn Wire>) -> Client {
        Client {
            wire,
            unread: Vec::new(),
            parameters: BTreeMap::new(),
            key: CancelKey::default(),
            notifications: Vec::new(),
        }
    }

    /// The bare connection, for who reads it by other means. Nothing may have been read ahead.
    pub fn into_wire(self) -> Box<dyn Wire> {
        debug_assert!(self.unread.is_empty());
        self.wire
    }

    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let written = tokio::time::timeout(PATIENCE, self.wire.write_all(bytes)).await;
        written.context("send: timed out")?.context("send")?;
        self.wire.flush().await.context("flush")
    }

    /// The next message of any kind; an error at the end of the stream.
    pub async fn receive(&mut self) -> Result<Message> {
        self.receive_within(PATIENCE).await
    }

    pub async fn receive_within(&mut self, limit: Duration) -> Result<Message> {
        let read = tokio::time::timeout(limit, self.read_message()).await;
        let message = read.context("receive: timed out")??;
        self.note(&message);
        Ok(message)
    }

    /// One byte that is no message, such as the answer to an SSLRequest.
    pub async fn byte(&mut self) -> Result<u8> {
        tokio::time::timeout(PATIENCE, self.fill(1)).await.context("receive: timed out")??;
        Ok(self.unread.remove(0))
    }

    /// Bytes that are no message, such as a startup packet seen from the other side.
    pub async fn take(&mut self, bytes: &mut [u8]) -> Result<()> {
        tokio::time::timeout(PATIENCE, self.fill(bytes.len())).await.context("receive")??;
        bytes.copy_from_slice(&self.unread[..bytes.len()]);
        self.unread.drain(..bytes.len());
        Ok(())
    }

    /// The next message, read and thrown away piece by piece: for results too big to hold.
    /// Returns its tag and the length of its body.
    pub async fn skim(&mut self) -> Result<(u8, usize)> {
        self.fill(5).await?;
        let (tag, length) = message::header(&self.unread)?;
        let mut left = 1 + length;
        while left > 0 {
            if self.unread.is_empty() {
                self.fill(1).await?;
            }
            let here = left.min(self.unread.len());
            self.unread.drain(..here);
            left -= here;
        }
        Ok((tag, length - 4))
    }

    /// All messages up to and with the next ReadyForQuery.
    pub async fn until_ready(&mut self) -> Result<Vec<Message>> {
        let mut messages = Vec::new();
        loop {
            let message = self.receive().await?;
            let last = message.tag == b'Z';
            messages.push(message);
            if last {
                return Ok(messages);
            }
        }
    }

    /// All messages up to the end of the stream, at which it must end cleanly.
    pub async fn until_closed(&mut self) -> Result<Vec<Message>> {
        let mut messages = Vec::new();
        while !self.at_end().await? {
            messages.push(self.receive().await?);
        }
        Ok(messages)
    }

    /// Sends a flight and reads as many ReadyForQuery as it has to bring.
    pub async fn exchange(&mut self, flight: &Flight) -> Result<Vec<Message>> {
        self.send(flight.bytes()).await?;
        let mut messages = Vec::new();
        for _ in 0..flight.replies() {
            messages.extend(self.until_ready().await?);
        }
        Ok(messages)
    }

    /// Sends a flight and compares what comes back, message by message; see
    /// [`message::transcript`] for the words.
    pub async fn expect(&mut self, flight: Flight, expected: &[&str]) {
        let told = match self.exchange(&flight).await {
            Ok(messages) => message::transcript(&messages),
            Err(error) => panic!("expected {expected:?}, got the error {error:#}"),
        };
        assert_eq!(told, expected, "what came back differs (left: came, right: expected)");
    }

    /// Runs one simple query to its ReadyForQuery.
    pub async fn query(&mut self, sql: &str) -> Result<Answer> {
        self.send(Flight::new().query(sql).bytes()).await?;
        Ok(message::answer(&self.until_ready().await?))
    }

    /// Runs a simple query that has to succeed; the rows as text, NULL as `None`.
    pub async fn rows(&mut self, sql: &str) -> Vec<Vec<Option<String>>> {
        let answer = match self.query(sql).await {
            Ok(answer) => answer,
            Err(error) => panic!("{sql}: {error:#}"),
        };
        if let Some(error) = answer.error {
            panic!("{sql}: {error}");
        }
        answer.rows
    }

    /// Runs a simple query that has to succeed, for its effect.
    pub async fn run(&mut self, sql: &str) {
        self.rows(sql).await;
    }

    /// The first cell of a query that has to succeed; NULL and no row read as an empty text.
    pub async fn cell(&mut self, sql: &str) -> String {
        let rows = self.rows(sql).await;
        rows.into_iter().flatten().next().flatten().unwrap_or_default()
    }

    /// The SQLSTATE of a simple query that has to fail.
    pub async fn fails(&mut self, sql: &str) -> String {
        match self.query(sql).await {
            Ok(Answer { error: Some(error), .. }) => error.code,
            Ok(answer) => panic!("{sql}: expected an error, got {answer:?}"),
            Err(error) => panic!("{sql}: expected an ErrorResponse, got {error:#}"),
        }
    }

    /// Says Terminate and waits for the other side's close.
    pub async fn terminate(mut self) -> Result<()> {
        self.send(Flight::new().terminate().bytes()).await?;
        self.end_of_stream().await
    }

    /// Reads, and throws away, up to the end of the stream. A reset counts as the end.
    pub async fn end_of_stream(&mut self) -> Result<()> {
        while !self.at_end().await? {
            self.unread.clear();
        }
        Ok(())
    }

    async fn at_end(&mut self) -> Result<bool> {
        if !self.unread.is_empty() {
            return Ok(false);
        }
        let read = tokio::time::timeout(PATIENCE, self.wire.read_buf(&mut self.unread)).await;
        match read.context("wait for the close: timed out")? {
            Ok(bytes) => Ok(bytes == 0),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(true),
            Err(error) => Err(error).context("wait for the close"),
        }
    }

    async fn read_message(&mut self) -> Result<Message> {
        self.fill(5).await?;
        let (tag, length) = message::header(&self.unread)?;
        self.fill(1 + length).await?;
        let rest = self.unread.split_off(1 + length);
        let body = std::mem::replace(&mut self.unread, rest).split_off(5);
        Ok(Message { tag, body })
    }

    async fn fill(&mut self, wanted: usize) -> Result<()> {
        while self.unread.len() < wanted {
            let read = self.wire.read_buf(&mut self.unread).await.context("receive")?;
            if read == 0 {
                bail!("receive: the other side closed, {} bytes unread", self.unread.len());
            }
        }
        Ok(())
    }

    fn note(&mut self, message: &Message) {
        match message.tag {
            b'S' => {
                let mut texts = message.texts();
                self.parameters.extend(texts.next().zip(texts.next()));
            }
            b'K' => {
                let process_id = message.number(0).unwrap_or_default();
                let secret = message.body.get(4..).unwrap_or_default().to_vec();
                self.key = CancelKey { process_id, secret };
            }
            b'A' => {
                let mut texts = message.texts_from(4);
                self.notifications.extend(texts.next().zip(texts.next()));
            }
            _ => {}
        }
    }
}
