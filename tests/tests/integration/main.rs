//! The pooler and a real PostgreSQL, seen by a client that can send anything. Each module is a
//! topic. A scenario that holds for Postgres itself is run against it too: what differs is a
//! fault of the pooler, or of the scenario. Nothing here is faked but a network that swallows packets,
//! and nothing sleeps to be right.

/// Runs scenarios (`async fn(&Site)`) straight on Postgres, through a pooler whose only pool has
/// `$size` connections, and through one where neighbours of the same user keep its servers busy.
macro_rules! three_ways {
    ($size:literal: $($name:ident),* $(,)?) => { $(
        mod $name {
            use poolwright_tests::site::Site;

            #[tokio::test]
            async fn direct() {
                super::$name(&Site::direct().await).await;
            }

            #[tokio::test]
            async fn pooled() {
                let size = $size.to_string();
                super::$name(&Site::pooled(&[("pool.size", &size)]).await).await;
            }

            #[tokio::test]
            async fn beside_neighbours() {
                let size = ($size + 1).to_string();
                let site = Site::pooled(&[("pool.size", &size)]).await;
                let neighbours = crate::neighbours::Neighbours::move_in(&site, 3);
                super::$name(&site).await;
                neighbours.move_out().await;
            }
        }
    )* };
}

mod access;
mod admin;
mod ahead;
mod binding;
mod blackhole;
mod by_name;
mod cancel;
mod clients;
mod conversation;
mod copy;
mod drain;
mod extended;
mod features;
mod functions;
mod garbage;
mod grants;
mod isolation;
mod killed;
mod large;
mod load;
mod login;
mod lost;
mod manual;
mod marks;
mod modes;
mod neighbours;
mod npgsql;
mod parameters;
mod peers;
mod pipelines;
mod pools;
mod prepared;
mod protocol;
mod query;
mod reload;
mod replication;
mod restored;
mod silent;
mod simple;
mod state;
mod strict;
mod timeouts;
mod tls;
mod trouble;
mod unnamed;
mod upkeep;
mod vanishing;
