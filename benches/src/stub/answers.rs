//! What the stub says, made once: the replies of PostgreSQL to the query of `pgbench -S`.
//! Never looks further into a question than its kind needs.

use poolwright_wire::write;
use poolwright_wire::{CancelKey, TransactionStatus, header};

/// What PostgreSQL reports at a login.
const PARAMETERS: [(&str, &str); 14] = [
    ("application_name", ""),
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, MDY"),
    ("default_transaction_read_only", "off"),
    ("in_hot_standby", "off"),
    ("integer_datetimes", "on"),
    ("IntervalStyle", "postgres"),
    ("is_superuser", "off"),
    ("scram_iterations", "4096"),
    ("search_path", "\"$user\", public"),
    ("server_encoding", "UTF8"),
    ("server_version", "18.0"),
    ("standard_conforming_strings", "on"),
    ("TimeZone", "Etc/UTC"),
];

/// One column, `abalance`, an int4.
const COLUMNS: &[u8] =
    b"T\0\0\0\x21\0\x01abalance\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0";
const ROW: &[u8] = b"D\0\0\0\x0b\0\x01\0\0\0\x010";
/// One parameter, an int4.
const TYPES: &[u8] = b"t\0\0\0\x0a\0\x01\0\0\0\x17";

/// Bytes that are sent again and again.
pub struct Answers {
    pub welcome: Vec<u8>,
    query: Vec<u8>,
    other: Vec<u8>,
    executed: Vec<u8>,
    ready: Vec<u8>,
}

/// How far a buffer was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Read {
    pub bytes: usize,
    /// Whether the client said Terminate, or something that is no message.
    pub end: bool,
}

impl Answers {
    pub fn new() -> Answers {
        let mut ready = Vec::new();
        write::ready_for_query(&mut ready, TransactionStatus::Idle);
        let complete = |tag: &[u8]| {
            let mut bytes = Vec::new();
            write::command_complete(&mut bytes, tag);
            bytes
        };
        let executed = [ROW, &complete(b"SELECT 1")].concat();
        Answers {
            welcome: [welcome(), ready.clone()].concat(),
            query: [COLUMNS, &executed, &ready].concat(),
            other: [complete(b"SET"), ready.clone()].concat(),
            executed,
            ready,
        }
    }

    /// Answers all whole messages of `unread`.
    pub fn to(&self, unread: &[u8], out: &mut Vec<u8>) -> Read {
        let mut bytes = 0;
        loop {
            let rest = &unread[bytes..];
            match header(rest) {
                Ok(Some(header)) if rest.len() >= header.total() && header.tag != b'X' => {
                    self.answer(header.tag, &rest[5..header.total()], out);
                    bytes += header.total();
                }
                Ok(Some(header)) if header.tag == b'X' => return Read { bytes, end: true },
                Ok(_) => return Read { bytes, end: false },
                Err(_) => return Read { bytes, end: true },
            }
        }
    }

    fn answer(&self, tag: u8, body: &[u8], out: &mut Vec<u8>) {
        match tag {
            b'Q' if body.starts_with(b"SELECT") => out.extend_from_slice(&self.query),
            b'Q' => out.extend_from_slice(&self.other),
            b'P' => write::parse_complete(out),
            b'B' => write::bind_complete(out),
            b'C' => write::close_complete(out),
            b'D' if body.first() == Some(&b'S') => {
                out.extend_from_slice(TYPES);
                out.extend_from_slice(COLUMNS);
            }
            b'D' => out.extend_from_slice(COLUMNS),
            b'E' => out.extend_from_slice(&self.executed),
            b'S' => out.extend_from_slice(&self.ready),
            _ => {}
        }
    }
}

fn welcome() -> Vec<u8> {
    let mut bytes = Vec::new();
    write::authentication_ok(&mut bytes);
    for (name, value) in PARAMETERS {
        write::parameter_status(&mut bytes, name.as_bytes(), value.as_bytes());
    }
    write::backend_key_data(&mut bytes, &CancelKey { process_id: 1, secret: b"stub" });
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(question: &[u8], tags: &str) {
        let mut out = Vec::new();
        let read = Answers::new().to(question, &mut out);
        assert_eq!(read, Read { bytes: question.len(), end: false });
        let mut told = String::new();
        let mut rest = &out[..];
        while let Some(header) = header(rest).unwrap() {
            told.push(char::from(header.tag));
            rest = &rest[header.total()..];
        }
        assert!(rest.is_empty(), "half a message after {told}");
        assert_eq!(told, tags);
    }

    #[test]
    fn a_query_brings_columns_a_row_and_an_end() {
        check(b"Q\0\0\0\x0dSELECT 1\0", "TDCZ");
        check(b"Q\0\0\0\x10DISCARD ALL\0", "CZ");
    }

    #[test]
    fn each_extended_message_brings_its_own_reply() {
        let flight = [
            b"P\0\0\0\x08\0\0\0\0".as_slice(),
            b"B\0\0\0\x0c\0\0\0\0\0\0\0\0",
            b"D\0\0\0\x06P\0",
            b"E\0\0\0\x09\0\0\0\0\0",
            b"S\0\0\0\x04",
        ];
        check(&flight.concat(), "12TDCZ");
    }

    #[test]
    fn half_a_message_waits_and_terminate_ends() {
        let answers = Answers::new();
        let read = answers.to(b"S\0\0\0\x04Q\0\0\0\x0aSEL", &mut Vec::new());
        assert_eq!(read, Read { bytes: 5, end: false });
        assert!(answers.to(b"X\0\0\0\x04", &mut Vec::new()).end);
    }
}
