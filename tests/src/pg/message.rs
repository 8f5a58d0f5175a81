//! Server messages and how a test writes them down in one word each.
//! Reading only; never sends.

use std::fmt;

use anyhow::{Result, bail};

use super::Answer;

/// One server message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub tag: u8,
    pub body: Vec<u8>,
}

impl Message {
    /// The zero-ended texts of the body.
    pub fn texts(&self) -> impl Iterator<Item = String> + '_ {
        self.texts_from(0)
    }

    pub fn texts_from(&self, start: usize) -> impl Iterator<Item = String> + '_ {
        let body = self.body.get(start..).unwrap_or_default();
        body.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned())
    }

    /// The 32-bit number at a place in the body.
    pub fn number(&self, at: usize) -> Option<i32> {
        let bytes = self.body.get(at..at + 4)?;
        Some(i32::from_be_bytes(bytes.try_into().ok()?))
    }

    /// The cells of a DataRow.
    pub fn cells(&self) -> Vec<Option<String>> {
        let mut cells = Vec::new();
        let mut at = 2;
        while let Some(length) = self.number(at) {
            at += 4;
            let end = at + usize::try_from(length).unwrap_or(0);
            let bytes = self.body.get(at..end).unwrap_or_default();
            cells.push((length >= 0).then(|| String::from_utf8_lossy(bytes).into_owned()));
            at = end;
        }
        cells
    }

    /// The fields of an ErrorResponse or NoticeResponse.
    pub fn fields(&self) -> Fields {
        let mut fields = Fields::default();
        for part in self.texts() {
            let Some(kind) = part.chars().next() else { break };
            let value = part[kind.len_utf8()..].to_owned();
            match kind {
                'S' => fields.severity = value,
                'C' => fields.code = value,
                'M' => fields.message = value,
                'D' => fields.detail = value,
                'H' => fields.hint = value,
                _ => {}
            }
        }
        fields
    }

    fn column_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut rest = self.body.get(2..).unwrap_or_default();
        while let Some(end) = rest.iter().position(|byte| *byte == 0) {
            names.push(String::from_utf8_lossy(&rest[..end]).into_owned());
            rest = rest.get(end + 19..).unwrap_or_default();
        }
        names
    }

    fn parameter_types(&self) -> Vec<String> {
        let count = self.body.len().saturating_sub(2) / 4;
        (0..count).filter_map(|index| self.number(2 + index * 4)).map(|n| n.to_string()).collect()
    }
}

/// What an ErrorResponse says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    pub severity: String,
    pub code: String,
    pub message: String,
    pub detail: String,
    pub hint: String,
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.severity, self.code, self.message)
    }
}

impl std::error::Error for Fields {}

/// The tag, and the length of the message without the tag, from its first five bytes.
pub(super) fn header(bytes: &[u8]) -> Result<(u8, usize)> {
    let length = i32::from_be_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
    if length < 4 {
        bail!("a message {:?} of length {length}", char::from(bytes[0]));
    }
    Ok((bytes[0], length as usize))
}

pub(super) fn answer(messages: &[Message]) -> Answer {
    let mut answer = Answer::default();
    for message in messages {
        match message.tag {
            b'D' => answer.rows.push(message.cells()),
            b'C' => answer.tags.extend(message.texts().next()),
            b'E' => answer.error = Some(message.fields()),
            b'Z' => answer.status = char::from(message.body[0]),
            _ => {}
        }
    }
    answer
}

/// A word for each message. ParameterStatus is left out: it may come at any time.
pub fn transcript(messages: &[Message]) -> Vec<String> {
    messages.iter().filter(|message| message.tag != b'S').map(word).collect()
}

fn word(message: &Message) -> String {
    let first = |message: &Message| message.texts().next().unwrap_or_default();
    match message.tag {
        b'1' => "Parsed".to_owned(),
        b'2' => "Bound".to_owned(),
        b'3' => "Closed".to_owned(),
        b'A' => format!("Notification({})", message.texts_from(4).next().unwrap_or_default()),
        b'C' => format!("Done({})", first(message)),
        b'D' => format!("Row({})", cells(message)),
        b'E' => format!("Error({})", message.fields().code),
        b'G' => "CopyIn".to_owned(),
        b'H' => "CopyOut".to_owned(),
        b'I' => "Empty".to_owned(),
        b'N' => format!("Notice({})", message.fields().code),
        b'T' => format!("Columns({})", message.column_names().join(",")),
        b'V' => {
            format!("Value({})", String::from_utf8_lossy(message.body.get(4..).unwrap_or_default()))
        }
        b'Z' => format!("Ready({})", char::from(message.body[0])),
        b'c' => "CopyDone".to_owned(),
        b'd' => format!("Data({})", String::from_utf8_lossy(&message.body).trim_end()),
        b'n' => "NoData".to_owned(),
        b's' => "Suspended".to_owned(),
        b't' => format!("Takes({})", message.parameter_types().join(",")),
        tag => format!("{:?}?", char::from(tag)),
    }
}

fn cells(message: &Message) -> String {
    let cells = message.cells().into_iter().map(|cell| cell.unwrap_or_else(|| "null".to_owned()));
    cells.collect::<Vec<_>>().join("|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_and_an_error_read_as_one_word_each() {
        let row = Message { tag: b'D', body: b"\0\x02\0\0\0\x01a\xff\xff\xff\xff".to_vec() };
        let error = Message { tag: b'E', body: b"SERROR\0C42601\0Mno\0\0".to_vec() };
        assert_eq!(transcript(&[row, error]), ["Row(a|null)", "Error(42601)"]);
    }
}
