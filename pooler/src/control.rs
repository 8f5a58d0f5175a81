//! The control port: the operator pushes settings and grants here and asks for reports, over mutual
//! TLS. It hands them on and answers; it never judges them.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::serve::Listener;
use axum::{Json, Router};
use poolwright_settings::control::{
    Answer, GRANTS, Grants, LONGEST, LOOK, Push, REPORT, Report, SETTINGS, Verdict,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_rustls::server::TlsStream;
use tracing::{debug, info, warn};

use crate::clock::{sleep, timeout};
use crate::config::Config;
use crate::keeper::Order;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(2);
/// Handshakes at once: only the operator has a reason to come.
const HANDSHAKES: usize = 64;
/// And of one address, so that nobody who holds theirs open keeps the operator out.
const HANDSHAKES_OF_ONE: usize = 4;
/// After a failure to accept, which may last.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Settings that were pushed, and who waits to hear what became of them.
pub type Pushes = mpsc::Sender<(Push, oneshot::Sender<Answer>)>;

/// Where what was received goes.
#[derive(Clone)]
pub struct Ways {
    pub pushes: Pushes,
    pub orders: mpsc::Sender<Order>,
}

/// Serves the control port until the process ends; without one it waits for ever.
///
/// # Errors
/// The port cannot be listened on.
pub async fn serve(config: watch::Receiver<Arc<Config>>, ways: Ways) -> io::Result<()> {
    let address = config.borrow().control.as_ref().map(|it| SocketAddr::new(it.address, it.port));
    let Some(address) = address else { return std::future::pending().await };
    let tcp = TcpListener::bind(address).await?;
    info!(%address, "control port is open");
    serve_on(tcp, config, ways).await
}

async fn serve_on(
    tcp: TcpListener,
    config: watch::Receiver<Arc<Config>>,
    ways: Ways,
) -> io::Result<()> {
    let routes = Router::new()
        .route(SETTINGS, put(take))
        .route(GRANTS, put(grant))
        .route(REPORT, get(report))
        .route(LOOK, get(look))
        .layer(DefaultBodyLimit::max(LONGEST))
        .with_state(ways);
    let (handshakes, peers) = (JoinSet::new(), HashMap::new());
    axum::serve(Gate { tcp, config, handshakes, peers }, routes).await
}

async fn take(
    State(Ways { pushes, .. }): State<Ways>,
    Json(push): Json<Push>,
) -> Result<(StatusCode, Json<Answer>), StatusCode> {
    let (reply, answer) = oneshot::channel();
    pushes.send((push, reply)).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let answer = answer.await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let status = match answer.verdict {
        Verdict::Applied => StatusCode::OK,
        Verdict::Rejected => StatusCode::UNPROCESSABLE_ENTITY,
        Verdict::Outdated => StatusCode::CONFLICT,
    };
    Ok((status, Json(answer)))
}

async fn grant(
    State(Ways { orders, .. }): State<Ways>,
    Json(grants): Json<Grants>,
) -> Result<(StatusCode, Json<Report>), StatusCode> {
    let (taken, report) = order(&orders, |reply| Order::Grant(grants, reply)).await?;
    let status = if taken { StatusCode::OK } else { StatusCode::CONFLICT };
    Ok((status, Json(report)))
}

async fn report(State(ways): State<Ways>) -> Result<Json<Report>, StatusCode> {
    order(&ways.orders, Order::Report).await.map(Json)
}

async fn look(State(ways): State<Ways>) -> Result<Json<Report>, StatusCode> {
    order(&ways.orders, Order::Look).await.map(Json)
}

async fn order<T>(
    orders: &mpsc::Sender<Order>,
    order: impl FnOnce(oneshot::Sender<T>) -> Order,
) -> Result<T, StatusCode> {
    let (reply, answer) = oneshot::channel();
    orders.send(order(reply)).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    answer.await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}

type Handshake = (SocketAddr, io::Result<TlsStream<TcpStream>>);

/// Lets in who shows the operator's certificate. Slow handshakes keep nobody else waiting.
struct Gate {
    tcp: TcpListener,
    config: watch::Receiver<Arc<Config>>,
    handshakes: JoinSet<Handshake>,
    /// Handshakes of each address, while it has any.
    peers: HashMap<IpAddr, usize>,
}

impl Gate {
    /// With the certificates of this moment; one too many of an address is closed at once.
    fn greet(&mut self, tcp: TcpStream, peer: SocketAddr) {
        let Some(tls) = self.config.borrow().control_tls.clone() else { return };
        let count = self.peers.entry(peer.ip()).or_default();
        if *count == HANDSHAKES_OF_ONE {
            return debug!(%peer, "control connection closed: its address has too many under way");
        }
        *count += 1;
        self.handshakes.spawn(async move {
            let shaken = timeout(HANDSHAKE, tls.acceptor().accept(tcp)).await;
            (peer, shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())))
        });
    }

    fn forget(&mut self, peer: IpAddr) {
        if let Some(count) = self.peers.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                self.peers.remove(&peer);
            }
        }
    }
}

impl Listener for Gate {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                accepted = self.tcp.accept(), if self.handshakes.len() < HANDSHAKES => {
                    match accepted {
                        Ok((tcp, peer)) => self.greet(tcp, peer),
                        Err(error) => {
                            warn!(%error, "control connection not accepted");
                            sleep(ACCEPT_PAUSE).await;
                        }
                    }
                }
                Some(shaken) = self.handshakes.join_next() => match shaken {
                    Ok((peer, shaken)) => {
                        self.forget(peer.ip());
                        match shaken {
                            Ok(stream) => return (stream, peer),
                            Err(error) => warn!(%peer, %error, "control connection refused"),
                        }
                    }
                    Err(panic) => warn!(%panic, "control connection lost: a defect"),
                },
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

#[cfg(test)]
mod tests;
