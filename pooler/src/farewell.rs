//! The end of a client's session: why it is over, and what the client reads last. It never decides
//! that a session ends.

use std::time::Duration;

use poolwright_pool::Refusal;
use poolwright_session::Fatal;
use poolwright_wire::write::{self, ErrorFields};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::clock::timeout;
use crate::roster::Ending;
use crate::stream::Stream;

/// How long a client may take to hear the end, and then to hang up.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a client's session is over.
#[derive(Debug)]
pub enum Over {
    /// It said goodbye, or hung up between requests.
    Left,
    /// It is to be told, and closed.
    Told(Farewell),
    /// It cannot be told any more.
    Lost(String),
}

/// The last error that a client reads.
#[derive(Debug)]
pub struct Farewell {
    pub sqlstate: String,
    pub message: String,
}

pub fn farewell(sqlstate: impl Into<String>, message: impl Into<String>) -> Over {
    Over::Told(Farewell { sqlstate: sqlstate.into(), message: message.into() })
}

pub fn shutdown() -> Over {
    farewell("57P01", "terminating connection due to administrator command")
}

impl From<Ending> for Over {
    fn from(ending: Ending) -> Over {
        match ending {
            Ending::Cut => shutdown(),
            Ending::Expired(expiry) => farewell(expiry.sqlstate(), expiry.message()),
        }
    }
}

impl From<Fatal> for Over {
    fn from(fatal: Fatal) -> Over {
        farewell(fatal.sqlstate, fatal.message)
    }
}

impl From<Refusal> for Over {
    /// PgBouncer's code and, where there is one, its text.
    fn from(refusal: Refusal) -> Over {
        match refusal {
            Refusal::ShuttingDown => shutdown(),
            refusal => farewell("08P01", refusal.to_string()),
        }
    }
}

/// The end of what is sent, behind what is still to be sent, with the reason where there is one to
/// tell.
pub async fn say_farewell(stream: &mut Stream, mut out: Vec<u8>, over: &Over) {
    // Dropping the socket ends it as well, and nobody reads what is left.
    if !stream.is_tls() && !matches!(over, Over::Told(_)) {
        return;
    }
    match over {
        Over::Told(Farewell { sqlstate, message }) => {
            let severity = "FATAL";
            let fields = ErrorFields { severity, sqlstate, message, ..ErrorFields::default() };
            write::error_response(&mut out, &fields);
        }
        Over::Left | Over::Lost(_) => out.clear(),
    }
    // A peer that is gone hears nothing.
    let _ = timeout(FAREWELL_TIMEOUT, async {
        stream.write_all(&out).await?;
        stream.shutdown().await
    })
    .await;
}

/// Lets a client that was told read it: a close with something unread would make the system throw
/// away what the client has not read yet.
pub async fn hang_up(stream: &mut Stream, over: &Over) {
    if !matches!(over, Over::Told(_)) {
        return;
    }
    let _ = timeout(FAREWELL_TIMEOUT, async {
        let mut unread = vec![0; 4096];
        while stream.read(&mut unread).await.is_ok_and(|count| count > 0) {}
    })
    .await;
}
