//! A client's wait for a connection. It owns a place in the queue and, between the hand-over and
//! the client's next turn, the connection; dropping it loses neither.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use poolwright_pool::{ClientId, ConnId, Event, PoolId, Refusal};

use super::{Connector, PoolShell};

/// What a waiting client is woken for.
pub(super) struct Ticket<C> {
    waker: Waker,
    outcome: Option<Result<(ConnId, C), Refusal>>,
}

impl<C> Ticket<C> {
    pub(super) fn settle(&mut self, outcome: Result<(ConnId, C), Refusal>) {
        self.outcome = Some(outcome);
        self.waker.wake_by_ref();
    }
}

/// Ready with a connection and its number, or the refusal.
pub struct Acquire<'a, K: Connector> {
    shell: &'a Rc<PoolShell<K>>,
    pool: PoolId,
    client: ClientId,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    New,
    Waiting,
    Done,
}

impl<'a, K: Connector> Acquire<'a, K> {
    pub(super) fn new(shell: &'a Rc<PoolShell<K>>, pool: PoolId, client: ClientId) -> Self {
        Acquire { shell, pool, client, stage: Stage::New }
    }

    /// Asks for a connection; a resting one that turns out to be dead is closed, and the next asked for.
    fn request(&self) -> Option<Result<(ConnId, K::Conn), Refusal>> {
        loop {
            match self.shell.request(self.client, self.pool)? {
                Ok(id) => {
                    if let Some(conn) = self.shell.take_alive(id) {
                        return Some(Ok((id, conn)));
                    }
                }
                Err(refusal) => return Some(Err(refusal)),
            }
        }
    }

    /// Asks; `None`: the client is in the queue now, and is to be polled.
    pub fn at_once(&mut self) -> Option<Result<(ConnId, K::Conn), Refusal>> {
        debug_assert!(self.stage == Stage::New);
        let done = self.request();
        self.stage = if done.is_some() { Stage::Done } else { Stage::Waiting };
        if done.is_none() {
            let ticket = Ticket { waker: Waker::noop().clone(), outcome: None };
            self.shell.tickets.borrow_mut().insert(self.client.0 as usize, ticket);
        }
        done
    }
}

impl<K: Connector> Future for Acquire<'_, K> {
    type Output = Result<(ConnId, K::Conn), Refusal>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.stage == Stage::New
            && let Some(done) = self.at_once()
        {
            return Poll::Ready(done);
        }
        let shell = self.shell;
        let mut tickets = shell.tickets.borrow_mut();
        let Some(ticket) = tickets.get_mut(self.client.0 as usize) else { return Poll::Pending };
        let Some(outcome) = ticket.outcome.take() else {
            ticket.waker.clone_from(cx.waker());
            return Poll::Pending;
        };
        tickets.remove(self.client.0 as usize);
        self.stage = Stage::Done;
        Poll::Ready(outcome)
    }
}

impl<K: Connector> Drop for Acquire<'_, K> {
    fn drop(&mut self) {
        if self.stage != Stage::Waiting {
            return;
        }
        let ticket = self.shell.tickets.borrow_mut().remove(self.client.0 as usize);
        match ticket.and_then(|ticket| ticket.outcome) {
            Some(Ok((id, conn))) => self.shell.give_back(id, conn),
            Some(Err(_)) => {}
            None => self.shell.tell(Event::Abandon { client: self.client }),
        }
    }
}
