//! The harness: real parts started on demand, and a client that may send anything.
//! It never fakes Postgres or the pooler (a broken network is faked, in `blackhole`), and ends only processes that it started itself.
//!
//! In reading order: how a child process is kept and ended (`process`), a PostgreSQL of our own
//! (`postgres`), a network that it may have to itself (`network`), a pooler of our own (`pooler`), both together with a database (`site`), the raw
//! client (`pg`), the operator's side of a control port (`control`), marks that show who sees whose rows (`marks`), the count of server connections
//! (`sampler`), clients compared with a server of their own (`differential`), and Kubernetes (`kube`).

pub mod blackhole;
pub mod certificates;
pub mod control;
pub mod differential;
pub mod kube;
pub mod load;
pub mod marks;
pub mod network;
pub mod pg;
pub mod pooler;
pub mod postgres;
pub mod process;
pub mod sampler;
pub mod site;

pub use poolwright_random as random;
