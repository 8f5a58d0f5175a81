//! The admin address: /healthz, /readyz and /metrics over HTTP.
//! Never reads a worker's state itself: it asks, so a worker that hangs is unhealthy.

use std::rc::Rc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::clock::timeout;
use crate::crew::Crew;
use crate::metrics::{Metrics, Snapshot};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// How long a worker may take to answer before it counts as hanging.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A request for the counts of this moment.
type Ask = oneshot::Sender<Snapshot>;

/// Serves the admin address until the process ends.
///
/// # Errors
/// The listening socket fails.
pub async fn serve(
    listener: TcpListener,
    metrics: Rc<Metrics>,
    crew: Rc<Crew>,
) -> std::io::Result<()> {
    let (asks, inbox) = mpsc::channel(16);
    tokio::task::spawn_local(answer(inbox, metrics, crew));
    let routes = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .with_state(asks);
    axum::serve(listener, routes).await
}

/// Runs on the front's thread. A worker that does not answer keeps all who ask waiting.
async fn answer(mut inbox: mpsc::Receiver<Ask>, metrics: Rc<Metrics>, crew: Rc<Crew>) {
    while let Some(ask) = inbox.recv().await {
        let Some(mut whole) = crew.snapshot().await else { return };
        whole.add(metrics.snapshot());
        // Whoever asked may have left.
        let _ = ask.send(whole);
    }
}

async fn ask(asks: &mpsc::Sender<Ask>) -> Result<Snapshot, Response> {
    let (ask, reply) = oneshot::channel();
    let answered = timeout(ANSWER_WITHIN, async {
        asks.send(ask).await.ok()?;
        reply.await.ok()
    });
    let silent = || (StatusCode::SERVICE_UNAVAILABLE, "a worker does not answer\n");
    answered.await.ok().flatten().ok_or_else(|| silent().into_response())
}

async fn healthz(State(asks): State<mpsc::Sender<Ask>>) -> Result<&'static str, Response> {
    ask(&asks).await.map(|_| "ok\n")
}

async fn readyz(State(asks): State<mpsc::Sender<Ask>>) -> Result<&'static str, Response> {
    match ask(&asks).await?.accepting {
        true => Ok("ready\n"),
        false => {
            let closed = (StatusCode::SERVICE_UNAVAILABLE, "no new clients are let in\n");
            Err(closed.into_response())
        }
    }
}

async fn scrape(State(asks): State<mpsc::Sender<Ask>>) -> Result<Response, Response> {
    let text = ask(&asks).await?.text();
    Ok(([(CONTENT_TYPE, OPENMETRICS)], text).into_response())
}

#[cfg(test)]
mod tests;
