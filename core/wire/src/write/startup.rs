//! Writers of the packets that have no tag, as a client sends them.

use super::frame::cstr;
use crate::CancelKey;
use crate::startup::{CANCEL_REQUEST, FORWARDED_CANCEL, GSSENC_REQUEST, SSL_REQUEST};

/// A startup message of this version, see [`PROTOCOL_3_0`](crate::startup::PROTOCOL_3_0). A
/// parameter with an empty name is left out: it would end the message.
pub fn startup(out: &mut Vec<u8>, protocol: i32, parameters: &[(&[u8], &[u8])]) {
    packet(out, protocol, |out| {
        for (name, value) in parameters.iter().filter(|(name, _)| !name.is_empty()) {
            cstr(out, name);
            cstr(out, value);
        }
        out.push(0);
    });
}

pub fn ssl_request(out: &mut Vec<u8>) {
    packet(out, SSL_REQUEST, |_| {});
}

pub fn gssenc_request(out: &mut Vec<u8>) {
    packet(out, GSSENC_REQUEST, |_| {});
}

pub fn cancel_request(out: &mut Vec<u8>, key: &CancelKey<'_>) {
    packet(out, CANCEL_REQUEST, |out| cancel_key(out, key));
}

/// A cancel request that one pooler sends on to another, which no server knows.
pub fn forwarded_cancel(out: &mut Vec<u8>, key: &CancelKey<'_>) {
    packet(out, FORWARDED_CANCEL, |out| cancel_key(out, key));
}

fn cancel_key(out: &mut Vec<u8>, key: &CancelKey<'_>) {
    out.extend_from_slice(&key.process_id.to_be_bytes());
    out.extend_from_slice(key.secret);
}

fn packet(out: &mut Vec<u8>, code: i32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&code.to_be_bytes());
    body(out);
    let length = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}
