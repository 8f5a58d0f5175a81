//! `poolwright-bench-stub LISTEN`: a backend that answers everything at once with the same bytes.
//! Never a PostgreSQL: it is there to show what a pooler can do at most.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use poolwright_benches::stub;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let address = std::env::args().nth(1).context("usage: poolwright-bench-stub HOST:PORT")?;
    let address: SocketAddr = address.parse().context("read the address")?;
    stub::serve(address).await.context("serve")
}
