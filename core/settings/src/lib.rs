//! The pooler's settings: text to checked values and back, every problem reported with its path.
//! Never opens a file, a socket or a clock: the caller brings the text of the files.
//!
//! Reading order: [`table`] lists every setting once; `shape` walks the YAML by that table and
//! `kind` judges each value; [`raw`] is the file as written; `check` resolves it into `checked`;
//! `render` writes checked settings back; [`control`] is how they are pushed, and `fingerprint`
//! tells one push from another; [`rules`] says what is demanded of a connection; [`fn@diff`] says what a change touches; [`mod@reference`] is the
//! manual page.

mod check;
mod checked;
pub mod control;
pub mod defaults;
mod diff;
mod fingerprint;
mod hints;
mod kind;
pub mod language;
mod network;
mod problem;
pub mod raw;
pub mod reference;
mod render;
pub mod rules;
mod secret;
mod shape;
mod span;
pub mod table;

pub use check::{generation, parse, server_caps, users_file};
pub use checked::{
    ANY, Admin, AuthQuery, Channel, ChannelBinding, CleartextPassword, Control, Database, Forced,
    Isolation, Limits, Listen, ListenAuth, ListenTls, ListenTlsMode, MapLine, Patience, Peer,
    Pinning, PoolMode, PoolSettings, Proof, Rule, Sequences, Server, ServerTls, ServerTlsMode,
    Settings, Upkeep, User,
};
pub use diff::{Changes, diff};
pub use fingerprint::Fingerprint;
pub use network::Network;
pub use problem::{Problem, Problems};
pub use secret::Secret;
pub use span::{Lifetime, Span};
