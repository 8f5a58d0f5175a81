//! Bodies of the messages that only a server writes.

use poolwright_wire::server as tag;
use poolwright_wire::write::{self, ErrorFields};

use super::FakePostgres;

fn message(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    out.push(tag);
    out.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    out.extend_from_slice(body);
}

impl FakePostgres {
    pub(super) fn say(&mut self, tag: u8, body: &[u8]) {
        message(&mut self.pending, tag, body);
    }

    pub(super) fn row_description(&mut self, column: &str) {
        let mut body = vec![0, 1];
        body.extend_from_slice(column.as_bytes());
        body.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 25]);
        body.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]);
        self.say(tag::ROW_DESCRIPTION, &body);
    }

    pub(super) fn data_row(&mut self, value: &str) {
        let mut body = vec![0, 1];
        body.extend_from_slice(&(value.len() as u32).to_be_bytes());
        body.extend_from_slice(value.as_bytes());
        self.say(tag::DATA_ROW, &body);
    }

    pub(super) fn command_complete(&mut self, name: &str) {
        write::command_complete(&mut self.pending, name.as_bytes());
    }

    /// A warning is flushed at once, and all before it.
    pub(super) fn warn(&mut self, sqlstate: &str, message: &str) {
        let fields =
            ErrorFields { severity: "WARNING", sqlstate, message, ..ErrorFields::default() };
        write::notice_response(&mut self.pending, &fields);
        self.visible.append(&mut self.pending);
    }

    /// The answer to COPY FROM is flushed, so that the client sends its data.
    pub(super) fn begin_copy_in(&mut self) {
        self.say(tag::COPY_IN_RESPONSE, &[0, 0, 1, 0, 0]);
        self.visible.append(&mut self.pending);
    }

    pub(super) fn copy_out(&mut self) {
        self.say(tag::COPY_OUT_RESPONSE, &[0, 0, 1, 0, 0]);
        for row in ["a\n", "b\n", "c\n"] {
            self.say(tag::COPY_DATA, row.as_bytes());
        }
        self.say(tag::COPY_DONE, b"");
    }
}
