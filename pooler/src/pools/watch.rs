//! Notices that a server has ended or broken a connection that no client has. One task is woken by
//! all of them; it looks through the resting ones only then.

use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use poolwright_pool::{ConnId, Event};
use tokio::task::spawn_local;

use super::{Connector, PoolShell, Resting};

/// Ends when the shell is gone.
pub(super) async fn watch<K: Connector>(shell: Weak<PoolShell<K>>) {
    poll_fn(|cx| {
        let Some(shell) = shell.upgrade() else { return Poll::Ready(()) };
        shell.alarm.reset(cx.waker());
        for (id, label) in shell.find_dead(&mut Context::from_waker(&shell.alarm_waker)) {
            shell.bury(id, label);
        }
        Poll::Pending
    })
    .await;
}

impl<K: Connector> PoolShell<K> {
    fn find_dead(&self, cx: &mut Context<'_>) -> Vec<(ConnId, &'static str)> {
        let mut resting = self.resting.borrow_mut();
        let look = |resting: &mut Resting<K::Conn>| match self
            .connector
            .poll_idle(&mut resting.conn, cx)
        {
            Poll::Ready(label) => Some((resting.id, label)),
            Poll::Pending => None,
        };
        resting.values_mut().filter_map(look).collect()
    }

    /// Has the watcher woken when something happens to this connection, if it rests.
    pub(super) fn attend(self: &Rc<Self>, id: ConnId) {
        if let Some(label) = self.look_at(id) {
            self.bury(id, label);
        }
    }

    /// Takes a connection that the rules have just given to a client; `None` if it is dead, which
    /// the rules are told. What the runtime already knows is seen here before the watcher's turn.
    pub(super) fn take_alive(self: &Rc<Self>, id: ConnId) -> Option<K::Conn> {
        let found = if self.alarm.is_silent() { None } else { self.look_at(id) };
        match found {
            None => self.take(id),
            Some(label) => {
                self.bury(id, label);
                None
            }
        }
    }

    /// The reason to close a resting connection, if there is one.
    fn look_at(&self, id: ConnId) -> Option<&'static str> {
        let mut resting = self.resting.borrow_mut();
        let resting = resting.get_mut(id.index()).filter(|resting| resting.id == id)?;
        let mut cx = Context::from_waker(&self.alarm_waker);
        match self.connector.poll_idle(&mut resting.conn, &mut cx) {
            Poll::Ready(label) => Some(label),
            Poll::Pending => None,
        }
    }

    /// Closes a connection that the server has ended; its slot is free when that is confirmed.
    fn bury(self: &Rc<Self>, id: ConnId, label: &'static str) {
        if let Some(conn) = self.take(id) {
            self.connector.disconnected(label);
            self.tell(Event::Returned { conn: id, reuse: false });
            spawn_local(Rc::clone(self).close(id, conn));
        }
    }
}
