//! Packets in, what they ask for or the refusal out.

use super::{PROTOCOL_3_0, Start, Startup, length, parse};
use crate::{CancelKey, WireError, write};

fn packet(body: &[u8]) -> Vec<u8> {
    let mut out = (u32::try_from(body.len()).unwrap() + 4).to_be_bytes().to_vec();
    out.extend_from_slice(body);
    out
}

#[test]
fn what_is_written_is_read_back() {
    let mut out = Vec::new();
    write::ssl_request(&mut out);
    assert_eq!(parse(&out), Ok(Startup::Ssl));

    let key = CancelKey { process_id: -7, secret: &[1, 2, 3, 4] };
    let mut out = Vec::new();
    write::cancel_request(&mut out, &key);
    assert_eq!(parse(&out), Ok(Startup::Cancel(key)));

    let mut out = Vec::new();
    write::startup(&mut out, PROTOCOL_3_0, &[(b"user", b"ann"), (b"database", b"")]);
    let parameters = vec![(&b"user"[..], &b"ann"[..]), (&b"database"[..], &b""[..])];
    assert_eq!(parse(&out), Ok(Startup::Start(Start { protocol: PROTOCOL_3_0, parameters })));
    assert_eq!(length(&out), Ok(Some(out.len())));
}

#[test]
fn a_length_outside_the_range_is_refused_before_the_packet_is_there() {
    for bad in [0, 1, 7, 10_005, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff_u32] {
        let found = length(&bad.to_be_bytes());
        assert!(matches!(found, Err(WireError::Length { .. })), "{bad}: {found:?}");
    }
    assert_eq!(length(&8_u32.to_be_bytes()), Ok(Some(8)));
    assert_eq!(length(&10_004_u32.to_be_bytes()), Ok(Some(10_004)));
    assert_eq!(length(&[0, 0, 0]), Ok(None));
}

#[test]
fn a_packet_that_is_not_all_there_or_has_more_is_refused() {
    let bodies: [&[u8]; 9] = [
        b"\0\x03\0\0",
        b"\0\x03\0\0user\0",
        b"\0\x03\0\0user\0ann",
        b"\0\x03\0\0user\0ann\0",
        b"\0\x03\0\0user\0ann\0\0x",
        b"\x04\xd2\x16\x2fx",
        b"\x04\xd2\x16\x30x",
        b"\x04\xd2\x16\x2e\0\0\0\x01abc",
        b"\x04\xd2\x16\x2e\0\0",
    ];
    for body in bodies {
        assert!(parse(&packet(body)).is_err(), "{body:?}");
    }
    let whole = packet(b"\0\x03\0\0user\0ann\0\0");
    for end in 0..whole.len() {
        assert!(parse(&whole[..end]).is_err(), "{end}");
    }
}

#[test]
fn another_major_version_is_told_apart_from_garbage() {
    assert_eq!(
        parse(&packet(b"\0\x02\0\0anything")),
        Ok(Startup::Unsupported { protocol: 2 << 16 })
    );
}
