//! Poolwright on a real Kubernetes: the shipped image, the chart, clients through Services.
//! Each module is a topic. Nothing here is faked, and nothing sleeps to be right.
//!
//! `scripts/cluster-tests.sh [NAME…]` brings up a cluster and runs them inside it, one at a time.

/// A test that plays on a stage of its own, with a PostgreSQL of this budget (0: with none).
macro_rules! on_stage {
    ($($name:ident $budget:literal: $test:expr;)*) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        #[ignore = "needs the cluster that scripts/cluster-tests.sh brings up"]
        async fn $name() {
            let name = stringify!($name).replace('_', "-");
            poolwright_tests::kube::stage::Stage::play(&name, $budget, $test).await;
        }
    )* };
}

mod access;
mod budget;
mod certificates;
mod clients;
mod conditions;
mod confined;
mod deletion;
mod helm;
mod installs;
mod moves;
mod outages;
mod rest;
mod schema;
mod settings;
mod shape;
mod tenants;
mod trouble;
mod upgrades;
