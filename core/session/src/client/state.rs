//! Names for what a client may send, and for where its session stands when it does: what the rules
//! tell apart. Tests draw their table of cases from them, so that no case is forgotten.

use poolwright_wire::{TransactionStatus, client as tag};

use super::{Refused, Session};
use crate::server::Server;

/// A message that may follow a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Query,
    FunctionCall,
    Parse,
    Bind,
    Describe,
    Execute,
    Close,
    Flush,
    Sync,
    CopyData,
    CopyDone,
    CopyFail,
    Terminate,
}

impl Kind {
    pub const ALL: [Kind; 13] = [
        Kind::Query,
        Kind::FunctionCall,
        Kind::Parse,
        Kind::Bind,
        Kind::Describe,
        Kind::Execute,
        Kind::Close,
        Kind::Flush,
        Kind::Sync,
        Kind::CopyData,
        Kind::CopyDone,
        Kind::CopyFail,
        Kind::Terminate,
    ];

    pub const fn tag(self) -> u8 {
        match self {
            Kind::Query => tag::QUERY,
            Kind::FunctionCall => tag::FUNCTION_CALL,
            Kind::Parse => tag::PARSE,
            Kind::Bind => tag::BIND,
            Kind::Describe => tag::DESCRIBE,
            Kind::Execute => tag::EXECUTE,
            Kind::Close => tag::CLOSE,
            Kind::Flush => tag::FLUSH,
            Kind::Sync => tag::SYNC,
            Kind::CopyData => tag::COPY_DATA,
            Kind::CopyDone => tag::COPY_DONE,
            Kind::CopyFail => tag::COPY_FAIL,
            Kind::Terminate => tag::TERMINATE,
        }
    }

    /// `None`: no client may send that.
    pub fn of(tag: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.tag() == tag)
    }
}

/// Where a session stands before its next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It has no server connection and needs none.
    Detached,
    /// Its request was refused while it waited for one; what belongs to it falls too.
    Refused,
    /// It has a server connection that is free.
    Attached,
    /// A transaction is open; nothing is owed.
    Open,
    /// A transaction has failed; nothing is owed.
    Failed,
    /// Replies are owed to requests that are complete.
    Owed,
    /// Extended messages were sent that no Sync has ended.
    Flight,
    /// A flight has failed before its Sync was sent.
    Skipping,
    /// The server waits for CopyData.
    CopyIn,
    /// CopyData was sent before the server asked for it.
    EarlyData,
}

impl State {
    pub const ALL: [State; 10] = [
        State::Detached,
        State::Refused,
        State::Attached,
        State::Open,
        State::Failed,
        State::Owed,
        State::Flight,
        State::Skipping,
        State::CopyIn,
        State::EarlyData,
    ];
}

impl Session {
    /// Where the session stands, with this server connection or none.
    pub fn state(&self, server: Option<&Server>) -> State {
        let Some(server) = server else {
            return if self.refused == Refused::Nothing { State::Detached } else { State::Refused };
        };
        if server.copy_in {
            return State::CopyIn;
        }
        if server.skipping {
            return State::Skipping;
        }
        if server.early_data {
            return State::EarlyData;
        }
        if server.open_flight {
            return State::Flight;
        }
        if !server.replies.is_empty() {
            return State::Owed;
        }
        match server.status() {
            TransactionStatus::Idle => State::Attached,
            TransactionStatus::Open => State::Open,
            TransactionStatus::Failed => State::Failed,
        }
    }
}
