//! Who gets which server connection, and when one is opened or closed.
//!
//! [`Pools`] is a value: it takes an [`Event`] and the time, and answers with
//! [`Effect`]s. It never reads a clock, owns a socket, starts a task or speaks
//! the wire protocol, and the same events give the same effects.
//!
//! In reading order: `ids` and `limits` name things, `event` is what goes
//! in and out, `conn`, `conns`, `queue`, `ranking` and `pool` hold the state,
//! `pools` changes it; `lending` lets several workers share caps. `deadlines` and `random` are small helpers.
//!
//! What each transaction asks of it, a request and a return, looks at one pool,
//! its database and its server, whatever there is beside them, and allocates nothing.

mod conn;
mod conns;
mod deadlines;
mod event;
mod ids;
mod lending;
mod limits;
mod pool;
mod pools;
mod queue;
mod random;
mod ranking;

pub use conn::Tally;
pub use event::{CloseReason, Effect, Event, Limit, Refusal};
pub use ids::{ClientId, ConnId, DatabaseId, PoolId, ServerId, UserId};
pub use lending::{Bank, Cap, Lender, News, Statement, Want, Word};
pub use limits::{DatabaseLimits, PoolLimits, ServerLimits, Tuning};
pub use pools::{PoolCounts, Pools};
