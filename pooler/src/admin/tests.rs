//! The admin address over a real socket.

use std::net::SocketAddr;
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

use super::serve;
use crate::metrics::Metrics;
use crate::metrics::tests::samples;

async fn start(metrics: &Rc<Metrics>) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    spawn_local(serve(listener, Rc::clone(metrics), Rc::default()));
    address
}

/// Status line and body.
async fn get(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.expect("the admin address answers");
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer in text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

#[tokio::test]
async fn readiness_follows_the_listening_socket_and_health_does_not() {
    let test = async {
        let metrics = Rc::new(Metrics::default());
        let address = start(&metrics).await;
        for (accepting, status) in [(false, "503 Service Unavailable"), (true, "200 OK")] {
            metrics.accepting.set(accepting);
            assert_eq!(get(address, "/readyz").await.0, format!("HTTP/1.1 {status}"));
            assert_eq!(get(address, "/healthz").await.0, "HTTP/1.1 200 OK");
        }
        assert_eq!(get(address, "/other").await.0, "HTTP/1.1 404 Not Found");
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_scrape_sees_the_counts_of_its_moment() {
    let test = async {
        let metrics = Rc::new(Metrics::default());
        let address = start(&metrics).await;
        for count in 1..=2 {
            metrics.settings_rejected.add(1);
            let (status, text) = get(address, "/metrics").await;
            assert_eq!(status, "HTTP/1.1 200 OK");
            assert_eq!(samples(&text)["poolwright_settings_rejected_total"], f64::from(count));
        }
    };
    LocalSet::new().run_until(test).await;
}
