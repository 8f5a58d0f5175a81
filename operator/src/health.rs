//! /healthz, /readyz and /metrics of the operator. It reads [`Metrics`] and nothing else.

use std::{io, net::SocketAddr, sync::Arc};

use axum::{Router, http::StatusCode, routing::get};
use tokio::net::TcpListener;

use crate::metrics::Metrics;

/// Listens at once; the returned future serves until it fails.
///
/// # Errors
/// If the address cannot be listened on.
pub async fn serve(
    address: SocketAddr,
    metrics: Arc<Metrics>,
) -> io::Result<impl Future<Output = io::Result<()>>> {
    let listener = TcpListener::bind(address).await?;
    Ok(async move { axum::serve(listener, routes(metrics)).await })
}

fn routes(metrics: Arc<Metrics>) -> Router {
    let ready = Arc::clone(&metrics);
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(async move || readiness(&ready)))
        .route("/metrics", get(async move || metrics.text()))
}

fn readiness(metrics: &Metrics) -> (StatusCode, &'static str) {
    if metrics.is_ready() {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the PoolerClusters have not been listed yet")
    }
}
