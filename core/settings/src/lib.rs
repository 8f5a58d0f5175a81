//! The pooler's settings: text to checked values and back, every problem reported with its path.
//! Never opens a file, a socket or a clock: the caller brings the text of the files.

mod checked;
pub mod defaults;
mod problem;
pub mod raw;
mod secret;
mod span;

pub use checked::{
    Admin, Database, Listen, ListenTls, ListenTlsMode, PoolMode, PoolSettings, Proof, Server,
    ServerTls, ServerTlsMode, Settings, User,
};
pub use problem::{Problem, Problems};
pub use secret::Secret;
pub use span::{Lifetime, Span};
