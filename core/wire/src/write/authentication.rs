//! Writers of the messages of a login, both sides. They never make a proof: SCRAM does.

use super::frame::{cstr, frame};
use crate::{client, server};

pub fn authentication_ok(out: &mut Vec<u8>) {
    step(out, 0, b"");
}

pub fn authentication_cleartext_password(out: &mut Vec<u8>) {
    step(out, 3, b"");
}

pub fn authentication_md5_password(out: &mut Vec<u8>, salt: [u8; 4]) {
    step(out, 5, &salt);
}

pub fn authentication_sasl(out: &mut Vec<u8>, mechanisms: &[&str]) {
    frame(out, server::AUTHENTICATION, |out| {
        out.extend_from_slice(&10_i32.to_be_bytes());
        for mechanism in mechanisms {
            cstr(out, mechanism.as_bytes());
        }
        out.push(0);
    });
}

pub fn authentication_sasl_continue(out: &mut Vec<u8>, data: &[u8]) {
    step(out, 11, data);
}

pub fn authentication_sasl_final(out: &mut Vec<u8>, data: &[u8]) {
    step(out, 12, data);
}

pub fn password(out: &mut Vec<u8>, password: &[u8]) {
    frame(out, client::PASSWORD, |out| cstr(out, password));
}

pub fn sasl_initial_response(out: &mut Vec<u8>, mechanism: &str, response: &[u8]) {
    let length = i32::try_from(response.len()).unwrap_or(i32::MAX);
    frame(out, client::PASSWORD, |out| {
        cstr(out, mechanism.as_bytes());
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(response);
    });
}

pub fn sasl_response(out: &mut Vec<u8>, response: &[u8]) {
    frame(out, client::PASSWORD, |out| out.extend_from_slice(response));
}

fn step(out: &mut Vec<u8>, code: i32, data: &[u8]) {
    frame(out, server::AUTHENTICATION, |out| {
        out.extend_from_slice(&code.to_be_bytes());
        out.extend_from_slice(data);
    });
}
