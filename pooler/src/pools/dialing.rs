//! Real server connections for the shell: the dialer opens them, the connection itself knows how to
//! end. It decides nothing.

use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use poolwright_pool::PoolId;
use tracing::{info, warn};

use super::{Connector, OpenError};
use crate::clock::timeout;
use crate::conn::ServerConn;
use crate::dialer::Dialer;

/// How long a server may take to end a connection after our goodbye before somebody is told. Longer
/// than the system takes to give up a peer that acknowledges nothing.
const GOODBYE_PATIENCE: Duration = Duration::from_secs(60);

impl Connector for Dialer {
    type Conn = Box<ServerConn>;

    async fn open(&self, pool: PoolId) -> Result<Box<ServerConn>, OpenError> {
        let refused = |error: crate::server::ConnectError| OpenError {
            retry: error.retry(),
            reason: error.to_string(),
        };
        self.dial(pool).await.map(Box::new).map_err(refused)
    }

    async fn close(&self, conn: Box<ServerConn>) {
        let (addr, process_id) = (conn.backend.addr, conn.backend.process_id);
        let mut closing = pin!(conn.close());
        if timeout(GOODBYE_PATIENCE, &mut closing).await.is_err() {
            warn!(%addr, process_id, "the server has not ended a connection: its slot stays taken");
            closing.await;
        }
    }

    fn poll_idle(&self, conn: &mut Box<ServerConn>, cx: &mut Context<'_>) -> Poll<&'static str> {
        conn.poll_idle(cx).map(|lost| {
            let backend = &conn.backend;
            info!(addr = %backend.addr, process_id = backend.process_id, %lost, "idle connection lost");
            lost.label()
        })
    }

    fn grows_stale(&self, conn: &mut Box<ServerConn>) {
        conn.is_stale = true;
    }

    fn disconnected(&self, reason: &'static str) {
        self.metrics.server_disconnected(reason);
    }
}
