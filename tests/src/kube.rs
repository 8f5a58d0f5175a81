//! Kubernetes as its users meet it: kubectl, helm, Services, pods, and a PostgreSQL beside them.
//! Runs inside the cluster's network (`tests/cluster/cluster.sh exec`), never finds a cluster by
//! itself, and touches only namespaces that it made.
//!
//! In reading order: kubectl (`command`), waiting with a bound (`wait`), how long the longest tests
//! take (`length`), what is applied
//! (`manifest`), a PostgreSQL that pods reach (`server`), the operator (`operator`), all of it
//! for one test (`stage`), load with everything that judges it (`traffic`), counters of pods that
//! come and go (`counters`), pgbench (`pgbench`), who wrote what (`audit`), processes that are
//! stopped or ended (`processes`).

pub mod audit;
pub mod command;
pub mod counters;
pub mod length;
pub mod manifest;
pub mod operator;
pub mod pgbench;
pub mod processes;
pub mod server;
pub mod stage;
pub mod traffic;
pub mod wait;
