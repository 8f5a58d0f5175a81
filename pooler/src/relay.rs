//! Moves bytes between a client and the server connection it has, both ways at once, until the
//! connection is free again. What may pass is for `poolwright_session` to say.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use poolwright_session::{Fatal, Output, Pace, Pause, Session};
use poolwright_wire::server;
use tokio::io::{AsyncRead, ReadBuf};

use crate::conn::{Lost, READ_SIZE, ServerConn, digest, poll_drain, poll_write_all};
use crate::patience::Phase;
use crate::roster::Ending;
use crate::spares::Spares;
use crate::stream::Stream;

/// One client: its socket, its session, and bytes not yet dealt with.
// In this order in memory: what every request touches stands together.
#[repr(C)]
pub struct ClientConn {
    pub stream: Stream,
    /// To be written to the client.
    pub output: Vec<u8>,
    /// Read from the client, not yet dealt with.
    pub input: Vec<u8>,
    pub session: Session,
}

/// Why the relay ended.
#[derive(Debug)]
pub enum End {
    /// The server connection is free; the client may have sent more.
    Free,
    /// The client said goodbye.
    Terminated,
    ClientLost(io::Error),
    /// The client broke the protocol.
    Fatal(Fatal),
    ServerLost(Lost),
    /// It is to end at once.
    Ended(Ending),
}

/// Whether the connection stays with the client between transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    No,
    /// Until the server is to be asked whether it must.
    UntilDoubt,
    Always,
}

/// Buffers that one poll uses and leaves empty; one for each thread.
struct Scratch {
    read: Box<[u8]>,
    out: Output,
}

thread_local! {
    /// Taken while in use: a poll that panics takes what it has written along.
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    let new = || Box::new(Scratch { read: vec![0; READ_SIZE].into(), out: Output::default() });
    let mut scratch = SCRATCH.take().unwrap_or_else(new);
    let done = work(&mut scratch);
    scratch.out.to_client.clear();
    scratch.out.to_server.clear();
    SCRATCH.set(Some(scratch));
    done
}

/// What one attempt to move bytes came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Moved,
    Stuck,
}

/// A client with a server connection.
pub struct Pair<'a, F> {
    client: &'a mut ClientConn,
    server: &'a mut ServerConn,
    stay: Stay,
    /// The client's next message waits for the server's replies.
    held: bool,
    /// Reads from the server that ended with a request's last message, behind which it flushes.
    answered: u64,
    /// Whether others wait for such a connection.
    crowded: F,
}

impl<'a, F: Fn() -> bool> Pair<'a, F> {
    pub fn new(
        client: &'a mut ClientConn,
        server: &'a mut ServerConn,
        stay: Stay,
        crowded: F,
    ) -> Self {
        Pair { client, server, stay, held: false, answered: 0, crowded }
    }

    /// Moves bytes until the pair parts. `begin` at the first call: what the client has sent
    /// already goes first.
    pub fn poll(&mut self, begin: bool, cx: &mut Context<'_>) -> Poll<End> {
        with_scratch(|scratch| match self.run(begin, scratch, cx) {
            Ok(Step::Moved) => Poll::Ready(End::Free),
            Ok(Step::Stuck) => Poll::Pending,
            Err(end) => Poll::Ready(end),
        })
    }

    /// Between transactions, with nothing of a message read.
    pub fn is_idle(&self) -> bool {
        self.server.is_free() && self.client.input.is_empty()
    }

    /// What the client is doing.
    pub fn phase(&self) -> Phase {
        match self.server.is_free() {
            true => Phase::Idle,
            false if self.server.model.is_quiet() => Phase::Resting,
            false => Phase::Busy,
        }
    }

    /// Requests that were answered, as far as it shows, and transactions.
    pub fn done(&self) -> (u64, u64) {
        (self.answered, self.client.session.counts.transactions)
    }

    pub fn client(&mut self) -> &mut ClientConn {
        self.client
    }

    /// While others wait, no request is read before the reply to the one before it.
    fn is_paced(&mut self) -> bool {
        if self.server.model.pace() == Pace::Unasked {
            self.set_pace();
        }
        self.server.model.pace() == Pace::OneByOne
    }

    fn set_pace(&mut self) {
        let others_wait = self.stay == Stay::No && (self.crowded)();
        self.server.model.set_pace(others_wait);
    }

    fn run(
        &mut self,
        begin: bool,
        scratch: &mut Scratch,
        cx: &mut Context<'_>,
    ) -> Result<Step, End> {
        if begin {
            self.server.model.forget_pace();
            self.take_client_bytes(&[], &mut scratch.out, cx)?;
        }
        loop {
            let server = self.pump_server(scratch, cx)?;
            if self.may_part() {
                return Ok(Step::Moved);
            }
            let client = self.pump_client(scratch, cx)?;
            if server == Step::Stuck && client == Step::Stuck {
                return Ok(Step::Stuck);
            }
        }
    }

    /// The connection is free, and the client's stay ends with that.
    fn may_part(&self) -> bool {
        let ends = match self.stay {
            Stay::No => true,
            Stay::UntilDoubt => self.server.model.in_doubt(),
            Stay::Always => self.server.model.is_unset() || self.server.model.is_undone(),
        };
        ends && self.server.is_free()
    }

    /// From the server to the client, unless the client is slow to take what it has.
    fn pump_server(&mut self, scratch: &mut Scratch, cx: &mut Context<'_>) -> Result<Step, End> {
        match poll_drain(&mut self.client.stream, &mut self.client.output, cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Err(End::ClientLost(error)),
            Poll::Pending => return Ok(Step::Stuck),
        }
        let Scratch { read, out } = scratch;
        let mut buf = ReadBuf::new(read);
        match self.server.poll_read(&mut buf, cx) {
            Poll::Pending => return Ok(Step::Stuck),
            Poll::Ready(Err(error)) => return Err(End::ServerLost(error.into())),
            Poll::Ready(Ok(())) if buf.filled().is_empty() => {
                return Err(End::ServerLost(Lost::Closed));
            }
            Poll::Ready(Ok(())) => {}
        }
        let waits = self.held && self.server.model.owes_settings_only();
        self.take_server_bytes(buf.filled(), &mut out.to_client, cx)?;
        if let Some(resent) = self.server.model.take_resent() {
            self.server.output.extend_from_slice(&resent);
        }
        if self.server.model.left_block() {
            return Err(End::Fatal(Fatal::block()));
        }
        if self.held {
            let model = &self.server.model;
            let ends = model.is_unset() || model.is_undone() || !waits && self.is_paced();
            if !(ends && self.may_part()) {
                self.held = false;
                self.take_client_bytes(&[], out, cx)?;
            }
        }
        Ok(Step::Moved)
    }

    fn take_server_bytes(
        &mut self,
        fresh: &[u8],
        to_client: &mut Vec<u8>,
        cx: &mut Context<'_>,
    ) -> Result<(), End> {
        let ServerConn { model, input, .. } = &mut *self.server;
        let session = Some(&mut self.client.session);
        let whole = input.is_empty();
        if !whole {
            input.extend_from_slice(fresh);
        }
        let bytes = if whole { fresh } else { &input[..] };
        self.answered += u64::from(matches!(bytes, [.., server::READY_FOR_QUERY, 0, 0, 0, 5, _]));
        let received = match model.receive_in_place(session, bytes, to_client) {
            Ok(received) => received,
            Err(confused) => {
                self.client.send(to_client, &[], cx)?;
                return Err(End::ServerLost(confused.into()));
            }
        };
        let sent = self.client.send(to_client, &bytes[received.run], cx);
        if whole {
            input.extend_from_slice(&fresh[received.used..]);
        } else {
            input.drain(..received.used);
        }
        sent
    }

    /// From the client to the server, unless the server is slow to take what it has, or the client
    /// leaves the pooler's own answers unread.
    fn pump_client(&mut self, scratch: &mut Scratch, cx: &mut Context<'_>) -> Result<Step, End> {
        match self.server.poll_output(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Err(End::ServerLost(error.into())),
            Poll::Pending => return Ok(Step::Stuck),
        }
        if self.held || self.client.output.len() > READ_SIZE {
            return Ok(Step::Stuck);
        }
        let Scratch { read, out } = scratch;
        let mut buf = ReadBuf::new(read);
        match Pin::new(&mut self.client.stream).poll_read(cx, &mut buf) {
            Poll::Pending => return Ok(Step::Stuck),
            Poll::Ready(Err(error)) => return Err(End::ClientLost(error)),
            Poll::Ready(Ok(())) if buf.filled().is_empty() => {
                return Err(End::ClientLost(io::ErrorKind::UnexpectedEof.into()));
            }
            Poll::Ready(Ok(())) => {}
        }
        self.server.model.forget_pace();
        self.take_client_bytes(buf.filled(), out, cx).map(|()| Step::Moved)
    }

    fn take_client_bytes(
        &mut self,
        fresh: &[u8],
        out: &mut Output,
        cx: &mut Context<'_>,
    ) -> Result<(), End> {
        let mut pause = self.digest_client_bytes(fresh, out);
        if let Pause::Crowd = pause {
            self.set_pace();
            pause = self.digest_client_bytes(&[], out);
        }
        let sent = self.server.poll_send(&mut out.to_server, cx);
        self.client.send(&mut out.to_client, &[], cx)?;
        if let Poll::Ready(Err(error)) = sent {
            return Err(End::ServerLost(error.into()));
        }
        match pause {
            Pause::More(_) | Pause::NeedServer => Ok(()),
            Pause::Hold | Pause::Crowd => {
                self.held = true;
                Ok(())
            }
            Pause::Terminate => Err(End::Terminated),
            Pause::Fatal(fatal) => Err(End::Fatal(fatal)),
        }
    }

    fn digest_client_bytes(&mut self, fresh: &[u8], out: &mut Output) -> Pause {
        let ClientConn { session, input, .. } = &mut *self.client;
        let model = &mut self.server.model;
        let mut pause = Pause::More(0);
        let Ok(()) = digest(input, fresh, |bytes| {
            let taken = session.send(Some(model), bytes, out);
            pause = taken.pause;
            Ok::<_, std::convert::Infallible>(taken.consumed)
        });
        pause
    }
}

impl ClientConn {
    /// Gives an empty buffer to the next client that needs one.
    pub fn free_input(&mut self, spares: &Spares) {
        if self.input.is_empty() {
            spares.give(std::mem::take(&mut self.input));
        }
    }

    /// Sends `written`, which is left empty, and `run` behind it; what the client does not take at
    /// once is kept.
    fn send(&mut self, written: &mut Vec<u8>, run: &[u8], cx: &mut Context<'_>) -> Result<(), End> {
        if self.output.is_empty() && written.is_empty() {
            let (count, sent) = poll_write_all(&mut self.stream, run, cx);
            self.output.extend_from_slice(&run[count..]);
            return client_lost(sent);
        }
        written.extend_from_slice(run);
        let first = self.output.is_empty();
        let sent = if first { poll_drain(&mut self.stream, written, cx) } else { Poll::Pending };
        self.output.append(written);
        client_lost(sent)
    }
}

fn client_lost(sent: Poll<io::Result<()>>) -> Result<(), End> {
    match sent {
        Poll::Ready(Err(error)) => Err(End::ClientLost(error)),
        _ => Ok(()),
    }
}

/// Reads from a client that has no server connection; answers how many bytes came, 0 at its end.
pub fn poll_client(
    client: &mut ClientConn,
    spares: &Spares,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    with_scratch(|scratch| {
        let mut buf = ReadBuf::new(&mut scratch.read);
        match Pin::new(&mut client.stream).poll_read(cx, &mut buf) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => {
                if client.input.capacity() == 0 {
                    client.input = spares.take();
                }
                client.input.extend_from_slice(buf.filled());
                Poll::Ready(Ok(buf.filled().len()))
            }
        }
    })
}
