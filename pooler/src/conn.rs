//! One server connection: its socket, the model of its session, and bytes not yet dealt with. It
//! runs the pooler's own statements; what a client sends goes through `relay`.

mod backend;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use poolwright_session::mutation::{self, Mutation};
use poolwright_session::parameters::Wanted;
use poolwright_session::server::Failure;
use poolwright_session::{Confused, Server, Session};
use poolwright_wire::{TransactionStatus, write};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

pub use backend::Backend;

use crate::server::{Connected, ServerTarget};
use crate::stream::Stream;
use crate::treasury::Listed;

/// Bytes read at once.
pub const READ_SIZE: usize = 64 * 1024;

/// How often a server is asked for the state of its session, where it does not get so far.
const SURVEYS: u32 = 5;

// In this order in memory: what every request touches stands together.
#[repr(C)]
pub struct ServerConn {
    pub stream: Stream,
    /// Read from the server, not yet dealt with.
    pub input: Vec<u8>,
    /// To be written to the server.
    pub output: Vec<u8>,
    pub backend: Rc<Backend>,
    /// The serial of the client that had it last; 0: none since it began, or was reset.
    pub last_client: u64,
    /// It has rested for so long that it must be asked whether it still works.
    pub is_stale: bool,
    /// TCP has given the server up, which may not know: its backend may live on.
    is_given_up: bool,
    pub model: Server,
    /// Later logins of this worker have higher ones.
    pub number: u64,
    /// As the settings have it today.
    fitting: Rc<RefCell<Fitting>>,
    /// Until its end is confirmed.
    listed: Listed,
}

/// What a connection runs on its own account.
#[derive(Clone, Debug, Default)]
pub struct Fitting {
    /// Before the first client, and behind each reset.
    pub connect: Option<Rc<str>>,
    /// Behind each reset, before `connect`.
    pub reset: Option<Rc<str>>,
    /// After a long rest.
    pub check: Option<Rc<str>>,
}

/// Why a connection must be closed.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    #[error("the server closed the connection")]
    Closed,
    #[error("the connection to the server broke: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Confused(#[from] Confused),
    #[error("the reset failed: {0}")]
    Reset(Failure),
    #[error("the server's answer about its session state is none")]
    Unclear,
    #[error("the session could not be ended in order")]
    Unfinished,
    #[error("a cancel request was not confirmed, and may still hit")]
    Cancel,
}

impl Lost {
    /// A fixed metric label.
    pub fn label(&self) -> &'static str {
        match self {
            Lost::Closed => "server_closed",
            Lost::Io(_) => "io",
            Lost::Confused(_) => "protocol",
            Lost::Reset(_) => "reset_failed",
            Lost::Unclear => "state_unclear",
            Lost::Unfinished => "client_vanished",
            Lost::Cancel => "cancel_unconfirmed",
        }
    }
}

/// Why a statement of the pooler's own did not go through.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Refused(Failure),
    #[error(transparent)]
    Lost(#[from] Lost),
}

impl ServerConn {
    /// A connection after login, which may hold `statements` prepared statements.
    pub fn new(
        target: Rc<RefCell<ServerTarget>>,
        connected: Connected,
        statements: usize,
        listed: Listed,
        fitting: Rc<RefCell<Fitting>>,
    ) -> ServerConn {
        let backend = Backend::new(target, connected.addr, connected.process_id, connected.secret);
        ServerConn {
            stream: connected.stream,
            model: Server::new(connected.parameters, statements),
            input: connected.leftover,
            output: Vec::new(),
            backend: Rc::new(backend),
            number: 0,
            is_stale: false,
            fitting,
            last_client: 0,
            is_given_up: false,
            listed,
        }
    }

    /// Nothing is owed or half done, in either direction: another client may have it.
    pub fn is_free(&self) -> bool {
        self.model.is_free() && self.output.is_empty() && self.input.is_empty()
    }

    /// Another client than this one had it last.
    pub fn was_anothers(&self, serial: u64) -> bool {
        self.last_client != 0 && self.last_client != serial
    }

    fn has_connect_query(&self) -> bool {
        self.fitting.borrow().connect.is_some()
    }

    /// Another client may have it only after a reset: a client has left state behind, or undone what
    /// the connection began with.
    pub fn is_tainted(&self) -> bool {
        let undone = self.model.was_discarded() && self.has_connect_query();
        (self.model.is_tainted() || undone) && !mutation::is(Mutation::NoReset)
    }

    /// Makes the server's settings the wanted ones.
    ///
    /// # Errors
    /// [`RunError::Refused`]: the settings are as before, and the connection is usable.
    pub async fn apply(&mut self, wanted: &Wanted) -> Result<(), RunError> {
        let Some(sql) = self.model.parameters().difference(wanted) else { return Ok(()) };
        self.run(&sql).await?;
        self.model.set_applied(wanted);
        Ok(())
    }

    /// Forgets what clients may have left in the session.
    ///
    /// # Errors
    /// The connection must be closed.
    pub async fn reset(&mut self) -> Result<(), Lost> {
        self.undo().await.map_err(|error| match error {
            RunError::Refused(failure) => Lost::Reset(failure),
            RunError::Lost(lost) => lost,
        })
    }

    async fn undo(&mut self) -> Result<(), RunError> {
        self.run("DISCARD ALL").await?;
        self.model.set_reset();
        self.last_client = 0;
        let sql = self.fitting.borrow().reset.clone();
        if let Some(sql) = sql {
            self.run(&sql).await?;
        }
        self.fit_out().await
    }

    /// Runs what must have run before a client has the connection.
    ///
    /// # Errors
    /// The connection must be closed.
    pub async fn fit_out(&mut self) -> Result<(), RunError> {
        let sql = self.fitting.borrow().connect.clone();
        if let Some(sql) = sql {
            self.run(&sql).await?;
            let answer = self.ask(&Server::first_question()).await?;
            if !self.model.begin(&answer) {
                return Err(Lost::Unclear.into());
            }
        } else {
            self.model.begin_plainly();
        }
        if self.is_free() { Ok(()) } else { Err(RunError::Lost(Lost::Unfinished)) }
    }

    /// Asks the server whether the connection still works, and waits for the answer.
    ///
    /// # Errors
    /// The connection must be closed.
    pub async fn check(&mut self) -> Result<(), RunError> {
        let sql = self.fitting.borrow().check.clone();
        if let Some(sql) = sql {
            self.run(&sql).await?;
        }
        self.is_stale = false;
        if self.is_free() { Ok(()) } else { Err(RunError::Lost(Lost::Unfinished)) }
    }

    /// Asks the server what the client has left in the session, and makes the models agree.
    ///
    /// # Errors
    /// What the session holds is not known: nobody may go on with it.
    pub async fn survey(&mut self, session: &mut Session) -> Result<(), RunError> {
        self.recall(session).await?;
        let own = self.has_connect_query() && self.model.pins().is_none();
        if own {
            // What the connection began with must not pass for what the client has set.
            self.undo().await?;
        } else if self.model.owes_reset() {
            self.run("RESET ALL").await?;
            self.model.set_settings_reset();
        }
        Ok(())
    }

    /// As [`ServerConn::survey`], but leaves the session as it is, for a client that keeps it.
    ///
    /// # Errors
    /// As there.
    pub async fn recall(&mut self, session: &mut Session) -> Result<(), RunError> {
        let answer = self.state_of_session(session).await?;
        match self.model.learn(&answer, session) {
            true => Ok(()),
            false => Err(Lost::Unclear.into()),
        }
    }

    /// A client's own statement_timeout may be too short for it now and then; no cancel is under way.
    async fn state_of_session(&mut self, session: &Session) -> Result<Vec<u8>, RunError> {
        let question = self.model.question(session);
        for _ in 1..SURVEYS {
            match self.ask(&question).await {
                Err(RunError::Refused(failure)) if failure.sqlstate == "57014" => {}
                answered => return answered,
            }
        }
        self.ask(&question).await
    }

    /// Ends what a client left behind that is gone: its flight, its transaction.
    ///
    /// # Errors
    /// The connection must be closed.
    pub async fn finish(&mut self) -> Result<(), Lost> {
        if !self.model.finish_flight(&mut self.output) {
            return Err(Lost::Unfinished);
        }
        self.settle().await?;
        if self.model.status() != TransactionStatus::Idle {
            match self.run("ROLLBACK").await {
                Ok(()) => {}
                Err(RunError::Refused(_)) => return Err(Lost::Unfinished),
                Err(RunError::Lost(lost)) => return Err(lost),
            }
        }
        if self.is_free() { Ok(()) } else { Err(Lost::Unfinished) }
    }

    async fn run(&mut self, sql: &str) -> Result<(), RunError> {
        self.model.inject(sql, &mut self.output);
        self.settle().await?;
        self.model.injected().map_err(RunError::Refused)
    }

    /// Asks the server for one value; empty: NULL, or more than a MiB.
    ///
    /// # Errors
    /// [`RunError::Refused`]: the connection is usable.
    pub async fn ask(&mut self, sql: &str) -> Result<Vec<u8>, RunError> {
        self.model.ask(sql, &mut self.output);
        self.settle().await?;
        self.model.answered().map_err(RunError::Refused)
    }

    /// As [`ServerConn::ask`], for a query with one parameter, `$1`.
    ///
    /// # Errors
    /// [`RunError::Refused`]: the connection is usable.
    pub async fn ask_about(&mut self, sql: &str, parameter: &str) -> Result<Vec<u8>, RunError> {
        self.model.ask_about(sql, parameter, &mut self.output);
        self.settle().await?;
        self.model.answered().map_err(RunError::Refused)
    }

    /// Writes what is to be written and reads until nothing is owed.
    async fn settle(&mut self) -> Result<(), Lost> {
        poll_fn(|cx| self.poll_settle(cx)).await
    }

    fn poll_settle(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        loop {
            if self.model.awaits_sync() && !self.model.finish_flight(&mut self.output) {
                return Poll::Ready(Err(Lost::Unfinished));
            }
            let wrote = self.poll_output(cx)?;
            if wrote.is_ready() && self.model.is_quiet() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_input(cx))?;
        }
    }

    /// Writes what is to be written.
    pub fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = poll_drain(&mut self.stream, &mut self.output, cx);
        self.mind(sent)
    }

    /// Writes `bytes`, which is left empty, behind what is to be written already.
    pub fn poll_send(&mut self, bytes: &mut Vec<u8>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.output.is_empty() {
            let sent = poll_drain(&mut self.stream, bytes, cx);
            self.output.append(bytes);
            return self.mind(sent);
        }
        self.output.append(bytes);
        self.poll_output(cx)
    }

    /// Reads once.
    #[inline]
    pub fn poll_read(
        &mut self,
        buf: &mut ReadBuf<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.mind(read)
    }

    #[inline]
    fn mind(&mut self, done: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        if let Poll::Ready(Err(error)) = &done {
            self.is_given_up |= gives_up(error);
        }
        done
    }

    /// Reads once, with no client to hear it.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        let mut fresh = [MaybeUninit::uninit(); 4096];
        let mut buf = ReadBuf::uninit(&mut fresh);
        ready!(self.poll_read(&mut buf, cx))?;
        if buf.filled().is_empty() {
            return Poll::Ready(Err(Lost::Closed));
        }
        let mut nobody = Vec::new();
        let model = &mut self.model;
        digest(&mut self.input, buf.filled(), |bytes| model.receive(None, bytes, &mut nobody))?;
        Poll::Ready(Ok(()))
    }

    /// Watches an idle connection: ready when it must be closed.
    pub fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Lost> {
        loop {
            if let Err(lost) = ready!(self.poll_input(cx)) {
                return Poll::Ready(lost);
            }
        }
    }

    /// Says goodbye and waits for the server's end of the connection: then the slot is free (B). Where
    /// TCP gives the server up, it is free when the backend is seen to be gone.
    pub async fn close(mut self: Box<Self>) {
        if let Err(error) = self.say_goodbye().await {
            self.is_given_up |= gives_up(&error);
        }
        match self.is_given_up {
            true => self.listed.lose(),
            false => self.listed.end(),
        }
    }

    async fn say_goodbye(&mut self) -> io::Result<()> {
        let mut goodbye = std::mem::take(&mut self.output);
        goodbye.clear();
        write::terminate(&mut goodbye);
        self.stream.write_all(&goodbye).await?;
        self.stream.shutdown().await?;
        let mut rest = [0; 4096];
        while self.stream.read(&mut rest).await? > 0 {}
        Ok(())
    }
}

/// Whether nobody has answered for too long. Any other error is the word of the server, or of its
/// machine, that there is no such connection.
fn gives_up(error: &io::Error) -> bool {
    use io::ErrorKind::{HostUnreachable, NetworkDown, NetworkUnreachable, TimedOut};
    matches!(error.kind(), TimedOut | HostUnreachable | NetworkUnreachable | NetworkDown)
}

/// Writes `output` and empties it.
#[inline]
pub fn poll_drain(
    stream: &mut Stream,
    output: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    if output.is_empty() && !stream.is_tls() {
        return Poll::Ready(Ok(()));
    }
    poll_drain_some(stream, output, cx)
}

fn poll_drain_some(
    stream: &mut Stream,
    output: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    let (written, done) = poll_write_all(stream, output, cx);
    if written == output.len() {
        output.clear();
    } else {
        output.drain(..written);
    }
    done
}

/// Writes what the stream takes of `bytes`; answers how many those are. Ready: they all are.
pub fn poll_write_all(
    stream: &mut Stream,
    bytes: &[u8],
    cx: &mut Context<'_>,
) -> (usize, Poll<io::Result<()>>) {
    let mut written = 0;
    while written < bytes.len() {
        match Pin::new(&mut *stream).poll_write(cx, &bytes[written..]) {
            Poll::Ready(Ok(0)) => {
                return (written, Poll::Ready(Err(io::ErrorKind::WriteZero.into())));
            }
            Poll::Ready(Ok(count)) => written += count,
            Poll::Ready(Err(error)) => return (written, Poll::Ready(Err(error))),
            Poll::Pending => return (written, Poll::Pending),
        }
    }
    let done = if stream.is_tls() { Pin::new(stream).poll_flush(cx) } else { Poll::Ready(Ok(())) };
    (written, done)
}

/// Gives `process` what is left of earlier input and what came anew, and keeps what it leaves.
pub fn digest<E>(
    input: &mut Vec<u8>,
    fresh: &[u8],
    process: impl FnOnce(&[u8]) -> Result<usize, E>,
) -> Result<(), E> {
    if input.is_empty() {
        let used = process(fresh)?;
        input.extend_from_slice(&fresh[used..]);
        return Ok(());
    }
    input.extend_from_slice(fresh);
    let used = process(input)?;
    input.drain(..used);
    Ok(())
}
