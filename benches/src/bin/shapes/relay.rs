//! One client and the server connection that it has for a transaction: the same in all shapes, so
//! that only the shape is compared. Bytes go from the one read of a thread's buffer to the one
//! write; messages are followed by header and count. Knows no session rules.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};

use poolwright_wire::write;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// ReadyForQuery, outside of a transaction.
const READY: &[u8] = b"Z\0\0\0\x05I";

/// ParseComplete, and that.
const PREPARED: &[u8] = b"1\0\0\0\x04Z\0\0\0\x05I";

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 * 1024]);
}

/// The server connections of one database, and the clients that wait for one.
pub struct Pool {
    state: Mutex<State>,
    /// What a server said at login, said again to each client.
    pub welcome: Vec<u8>,
    /// Clients have settings of their own.
    settings: bool,
    /// What a client has sent to prepare a statement, whose name and text all have in common.
    statement: OnceLock<Vec<u8>>,
}

#[derive(Default)]
struct State {
    idle: Vec<Conn>,
    waiters: VecDeque<oneshot::Sender<Conn>>,
}

impl Pool {
    pub fn new(connections: Vec<Conn>, welcome: Vec<u8>, settings: bool) -> Pool {
        let state = State { idle: connections, waiters: VecDeque::new() };
        Pool { state: Mutex::new(state), welcome, settings, statement: OnceLock::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Result<Conn, oneshot::Receiver<Conn>> {
        let mut state = self.state();
        state.idle.pop().ok_or_else(|| {
            let (waiter, given) = oneshot::channel();
            state.waiters.push_back(waiter);
            given
        })
    }

    /// Straight to the longest waiter.
    fn give(&self, mut server: Conn) {
        let mut state = self.state();
        while let Some(waiter) = state.waiters.pop_front() {
            match waiter.send(server) {
                Ok(()) => return,
                Err(back) => server = back,
            }
        }
        state.idle.push(server);
    }
}

/// A connection, how far its incoming messages are known, and what could not be written to it yet.
pub struct Conn {
    pub stream: TcpStream,
    scan: Scan,
    unsent: Vec<u8>,
    /// So many replies are not for the client.
    hidden: usize,
    /// It has the statement.
    prepared: bool,
}

impl Conn {
    pub fn new(stream: TcpStream) -> Conn {
        Conn { stream, scan: Scan::default(), unsent: Vec::new(), hidden: 0, prepared: false }
    }

    /// What is to be sent there ahead of a request.
    fn lacks<'a>(&self, pool: &'a Pool) -> Option<&'a [u8]> {
        pool.statement.get().map(Vec::as_slice).filter(|_| !self.prepared)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.unsent))?;
            self.unsent.drain(..sent);
        }
        Poll::Ready(Ok(()))
    }

    fn send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<()> {
        let sent = match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            Poll::Ready(sent) => sent?,
            Poll::Pending => 0,
        };
        self.unsent.extend_from_slice(&bytes[sent..]);
        Ok(())
    }

    /// Reads once; `then` gets the bytes, and what the messages up to their end say.
    fn poll_read<T>(
        &mut self,
        cx: &mut Context<'_>,
        then: impl FnOnce(&Scan, &mut Context<'_>, &[u8]) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.scan.feed(buffer.filled());
            Poll::Ready(then(&self.scan, cx, buffer.filled()))
        })
    }
}

/// Follows messages across reads, whichever side they are from.
#[derive(Default)]
struct Scan {
    /// Tag, length and, if there is one, the first byte of the body.
    head: [u8; 6],
    have: usize,
    left: usize,
    /// Client messages of this transaction that bring a ReadyForQuery.
    asked: usize,
    terminated: bool,
    /// ReadyForQuery of this transaction, and whether the last one said idle.
    ready: usize,
    idle: bool,
}

impl Scan {
    fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let skipped = self.left.min(bytes.len());
            self.left -= skipped;
            bytes = &bytes[skipped..];
            let Some((first, rest)) = bytes.split_first() else { return };
            self.head[self.have] = *first;
            self.have += 1;
            bytes = rest;
            self.look();
        }
    }

    fn look(&mut self) {
        let [tag, a, b, c, d, status] = self.head;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if self.have < 5 || self.have == 5 && length > 4 {
            return;
        }
        self.left = length.saturating_sub(self.have - 1);
        self.have = 0;
        match tag {
            b'Q' | b'S' | b'F' => self.asked += 1,
            b'X' => self.terminated = true,
            b'Z' => (self.ready, self.idle) = (self.ready + 1, status == b'I'),
            _ => {}
        }
    }

    fn is_between_messages(&self) -> bool {
        self.have == 0 && self.left == 0
    }
}

/// Serves a client until it leaves; an error is an end like any other. `proof` goes ahead of the welcome.
pub async fn serve(stream: TcpStream, proof: &[u8], pool: &Pool) -> io::Result<()> {
    let own = pool.settings.then(|| stream.peer_addr()).transpose()?;
    let settings = own.map_or_else(Vec::new, |client| settings_of(client.port()));
    let mut client = Conn::new(stream);
    client.stream.write_all(&[proof, &pool.welcome].concat()).await?;
    loop {
        let mut server = ask(&mut client, &settings, pool).await?;
        poll_fn(|cx| poll_transaction(&mut client, &mut server, cx)).await?;
        (client.scan.asked, server.scan.ready) = (0, 0);
        pool.give(server);
    }
}

/// Messages that set what no other client has, and a commit of it.
fn settings_of(client: u16) -> Vec<u8> {
    let mut messages = Vec::new();
    let calls = format!(
        "SELECT pg_catalog.set_config('application_name',E'client_{client}',false),\
         pg_catalog.set_config('search_path',E'public, s{client}',false),\
         pg_catalog.set_config('exit_on_error','on',true)"
    );
    write::run(&mut messages, calls.as_bytes());
    write::query(&mut messages, b"BEGIN; COMMIT");
    messages
}

/// What a client's bytes came to.
enum Asked {
    Served(Conn),
    Waits(oneshot::Receiver<Conn>),
    /// It has prepared its statement, which servers hear of when they need it.
    Prepared,
}

/// Waits for the client's first bytes, finds them a server and sends them there, behind its settings.
async fn ask(client: &mut Conn, settings: &[u8], pool: &Pool) -> io::Result<Conn> {
    let mut held = settings.to_vec();
    let mut server = loop {
        match poll_fn(|cx| poll_ask(client, pool, &mut held, cx)).await? {
            Asked::Served(server) => break server,
            Asked::Waits(given) => break given.await.map_err(io::Error::other)?,
            Asked::Prepared => client.stream.write_all(PREPARED).await?,
        }
    };
    if held.is_empty() {
        return Ok(server);
    }
    let statement = server.lacks(pool).unwrap_or_default();
    server.prepared |= !statement.is_empty();
    server.hidden = usize::from(!settings.is_empty()) + usize::from(!statement.is_empty());
    client.scan.asked += server.hidden;
    let request = [statement, &held].concat();
    poll_fn(|cx| Poll::Ready(server.send(cx, &request))).await?;
    Ok(server)
}

fn poll_ask(
    client: &mut Conn,
    pool: &Pool,
    held: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Asked>> {
    if let Poll::Ready(flushed) = client.poll_flush(cx) {
        flushed?;
    }
    let asked = ready!(client.poll_read(cx, |scan, cx, bytes| {
        if scan.terminated {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if prepares(bytes) {
            pool.statement.get_or_init(|| bytes.to_vec());
            return Ok(Asked::Prepared);
        }
        match pool.take() {
            Ok(mut server) if held.is_empty() && server.lacks(pool).is_none() => {
                server.send(cx, bytes)?;
                Ok(Asked::Served(server))
            }
            taken => {
                held.extend_from_slice(bytes);
                Ok(taken.map_or_else(Asked::Waits, Asked::Served))
            }
        }
    }))?;
    if let Asked::Prepared = asked {
        client.scan.asked = 0;
    }
    Poll::Ready(Ok(asked))
}

/// Whether it begins with the Parse of a statement that has a name.
fn prepares(bytes: &[u8]) -> bool {
    matches!(bytes, [b'P', _, _, _, _, name, ..] if *name != 0)
}

/// Moves bytes both ways until the server owes nothing and is idle.
fn poll_transaction(
    client: &mut Conn,
    server: &mut Conn,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    loop {
        let answered = poll_move(server, client, cx)?;
        if answered.is_ready() && is_over(&client.scan, &server.scan) {
            return Poll::Ready(Ok(()));
        }
        if poll_move(client, server, cx)?.is_pending() && answered.is_pending() {
            return Poll::Pending;
        }
    }
}

fn poll_move(from: &mut Conn, to: &mut Conn, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    ready!(to.poll_flush(cx))?;
    let mut hidden = from.hidden;
    let moved = from.poll_read(cx, |_, cx, bytes| match past(&mut hidden, bytes) {
        [] => Ok(()),
        bytes => to.send(cx, bytes),
    });
    from.hidden = hidden;
    moved
}

/// What follows the hidden replies, each of which comes in one piece.
fn past<'a>(hidden: &mut usize, mut bytes: &'a [u8]) -> &'a [u8] {
    while *hidden > 0 {
        let Some(at) = bytes.windows(READY.len()).position(|part| part == READY) else {
            return &[];
        };
        bytes = &bytes[at + READY.len()..];
        *hidden -= 1;
    }
    bytes
}

fn is_over(client: &Scan, server: &Scan) -> bool {
    let whole = client.is_between_messages() && server.is_between_messages();
    whole && server.idle && server.ready >= client.asked
}
