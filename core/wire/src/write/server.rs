//! Writers of the messages that the pooler sends in a server's place. Rows are never made here.

use super::frame::{cstr, frame};
use crate::{CancelKey, TransactionStatus, server};

/// What an error or notice says to the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorFields<'a> {
    /// `ERROR` (the session goes on), `FATAL` (it ends), `WARNING`, `NOTICE`, …
    pub severity: &'a str,
    /// Five characters, Postgres's appendix A.
    pub sqlstate: &'a str,
    pub message: &'a str,
    pub detail: Option<&'a str>,
    pub hint: Option<&'a str>,
    /// The function of the server's source that would raise it, where clients ask for that.
    pub routine: Option<&'a str>,
}

pub fn error_response(out: &mut Vec<u8>, fields: &ErrorFields<'_>) {
    report(out, server::ERROR_RESPONSE, fields);
}

pub fn notice_response(out: &mut Vec<u8>, fields: &ErrorFields<'_>) {
    report(out, server::NOTICE_RESPONSE, fields);
}

pub fn parameter_status(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    frame(out, server::PARAMETER_STATUS, |out| {
        cstr(out, name);
        cstr(out, value);
    });
}

pub fn ready_for_query(out: &mut Vec<u8>, status: TransactionStatus) {
    frame(out, server::READY_FOR_QUERY, |out| {
        out.push(match status {
            TransactionStatus::Idle => b'I',
            TransactionStatus::Open => b'T',
            TransactionStatus::Failed => b'E',
        });
    });
}

pub fn backend_key_data(out: &mut Vec<u8>, key: &CancelKey<'_>) {
    frame(out, server::BACKEND_KEY_DATA, |out| {
        out.extend_from_slice(&key.process_id.to_be_bytes());
        out.extend_from_slice(key.secret);
    });
}

pub fn command_complete(out: &mut Vec<u8>, tag: &[u8]) {
    frame(out, server::COMMAND_COMPLETE, |out| cstr(out, tag));
}

pub fn parse_complete(out: &mut Vec<u8>) {
    frame(out, server::PARSE_COMPLETE, |_| {});
}

pub fn bind_complete(out: &mut Vec<u8>) {
    frame(out, server::BIND_COMPLETE, |_| {});
}

pub fn close_complete(out: &mut Vec<u8>) {
    frame(out, server::CLOSE_COMPLETE, |_| {});
}

/// Tells a client that asked for more which minor version of protocol 3 is spoken, and which of its
/// `_pq_.` options are not known.
pub fn negotiate_protocol_version(out: &mut Vec<u8>, version: i32, unknown: &[&[u8]]) {
    frame(out, server::NEGOTIATE_PROTOCOL_VERSION, |out| {
        out.extend_from_slice(&version.to_be_bytes());
        let count = i32::try_from(unknown.len()).unwrap_or(i32::MAX);
        out.extend_from_slice(&count.to_be_bytes());
        for name in unknown {
            cstr(out, name);
        }
    });
}

fn report(out: &mut Vec<u8>, tag: u8, fields: &ErrorFields<'_>) {
    frame(out, tag, |out| {
        let all = [
            (b'S', Some(fields.severity)),
            (b'V', Some(fields.severity)),
            (b'C', Some(fields.sqlstate)),
            (b'M', Some(fields.message)),
            (b'D', fields.detail),
            (b'H', fields.hint),
            (b'R', fields.routine),
        ];
        for (kind, text) in all {
            if let Some(text) = text {
                out.push(kind);
                cstr(out, text.as_bytes());
            }
        }
        out.push(0);
    });
}
