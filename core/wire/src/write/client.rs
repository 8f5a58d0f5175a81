//! Writers of the messages that a client sends in a session. The heads leave the rest of a large
//! body to the caller, who streams it.

use super::frame::{cstr, cstr_length, frame};
use crate::{TargetKind, client};

pub fn query(out: &mut Vec<u8>, text: &[u8]) {
    frame(out, client::QUERY, |out| cstr(out, text));
}

/// `types`: four bytes (OID, big-endian) each, as [`crate::read::ParseMessage::types`] gives them;
/// at most 65,535 of them, further ones are left out.
pub fn parse(out: &mut Vec<u8>, name: &[u8], query: &[u8], types: &[u8]) {
    let count = u16::try_from(types.len() / 4).unwrap_or(u16::MAX);
    frame(out, client::PARSE, |out| {
        cstr(out, name);
        cstr(out, query);
        out.extend_from_slice(&count.to_be_bytes());
        out.extend_from_slice(&types[..usize::from(count) * 4]);
    });
}

/// The start of a Parse: tag, length, name. `rest`: bytes of the body after the name, which the
/// caller sends next (for a renamed Parse: header length − [`crate::read::ParseName::consumed`]).
pub fn parse_head(out: &mut Vec<u8>, name: &[u8], rest: u32) {
    head(out, client::PARSE, &[name], rest);
}

/// The start of a Bind: tag, length, names. `rest`: bytes of the body after the names, which the
/// caller sends next (for a renamed Bind: header length − [`crate::read::BindNames::consumed`]).
pub fn bind_head(out: &mut Vec<u8>, portal: &[u8], statement: &[u8], rest: u32) {
    head(out, client::BIND, &[portal, statement], rest);
}

/// Runs a text through the unnamed statement and portal: Parse, Bind, Execute.
pub fn run(out: &mut Vec<u8>, text: &[u8]) {
    parse(out, b"", text, &[]);
    // Both names, no formats, no parameters.
    frame(out, client::BIND, |out| out.extend_from_slice(&[0; 8]));
    execute(out, b"", 0);
}

/// A Bind of the unnamed portal and statement with one parameter, all in text.
pub fn bind_one(out: &mut Vec<u8>, parameter: &[u8]) {
    frame(out, client::BIND, |out| {
        // Both names, no formats, one parameter.
        out.extend_from_slice(&[0, 0, 0, 0, 0, 1]);
        let length = i32::try_from(parameter.len()).unwrap_or(i32::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(parameter);
        out.extend_from_slice(&[0, 0]);
    });
}

pub fn describe(out: &mut Vec<u8>, kind: TargetKind, name: &[u8]) {
    target(out, client::DESCRIBE, kind, name);
}

pub fn close(out: &mut Vec<u8>, kind: TargetKind, name: &[u8]) {
    target(out, client::CLOSE, kind, name);
}

/// `max_rows`: 0 for no limit.
pub fn execute(out: &mut Vec<u8>, portal: &[u8], max_rows: i32) {
    frame(out, client::EXECUTE, |out| {
        cstr(out, portal);
        out.extend_from_slice(&max_rows.to_be_bytes());
    });
}

pub fn copy_fail(out: &mut Vec<u8>, reason: &[u8]) {
    frame(out, client::COPY_FAIL, |out| cstr(out, reason));
}

pub fn sync(out: &mut Vec<u8>) {
    frame(out, client::SYNC, |_| {});
}

pub fn flush(out: &mut Vec<u8>) {
    frame(out, client::FLUSH, |_| {});
}

pub fn terminate(out: &mut Vec<u8>) {
    frame(out, client::TERMINATE, |_| {});
}

fn head(out: &mut Vec<u8>, tag: u8, names: &[&[u8]], rest: u32) {
    let names_length: u32 = names.iter().map(|name| cstr_length(name)).sum();
    out.push(tag);
    out.extend_from_slice(&(4 + names_length).saturating_add(rest).to_be_bytes());
    for name in names {
        cstr(out, name);
    }
}

fn target(out: &mut Vec<u8>, tag: u8, kind: TargetKind, name: &[u8]) {
    frame(out, tag, |out| {
        out.push(match kind {
            TargetKind::Statement => b'S',
            TargetKind::Portal => b'P',
        });
        cstr(out, name);
    });
}
