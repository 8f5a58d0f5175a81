//! What a replication connection is doing, by the headers of its messages. Such a connection passes
//! through as it is: nothing in it is answered, renamed or held back here.

use poolwright_wire::{WireError, client, header, server as tag};

/// Walks over the messages of one direction, however they are cut.
#[derive(Debug, Default)]
pub struct Walk {
    /// The start of a header that is not whole yet.
    head: Vec<u8>,
    /// Bytes of a message that are still to come.
    rest: usize,
}

impl Walk {
    /// Between two messages.
    pub fn at_boundary(&self) -> bool {
        self.head.is_empty() && self.rest == 0
    }

    /// Takes in what came, and calls `begun` with the tag of each message that begins. Answers how
    /// many of the bytes lie before the last boundary; `None`: no message ended.
    ///
    /// # Errors
    /// A length that no message can have.
    pub fn take(
        &mut self,
        bytes: &[u8],
        mut begun: impl FnMut(u8),
    ) -> Result<Option<usize>, WireError> {
        let (mut at, mut boundary) = (0, None);
        while at < bytes.len() {
            if self.rest == 0 {
                self.head.push(bytes[at]);
                at += 1;
                let Some(head) = header(&self.head)? else { continue };
                begun(head.tag);
                self.head.clear();
                self.rest = head.length as usize;
            }
            let count = self.rest.min(bytes.len() - at);
            at += count;
            self.rest -= count;
            if self.rest == 0 {
                boundary = Some(at);
            }
        }
        Ok(boundary)
    }
}

/// What is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Doing {
    /// Nothing: the next command may come.
    #[default]
    Nothing,
    /// A command, such as a base backup: it is lost if it is cut.
    Command,
    /// A stream of changes, which both ends can take up again elsewhere.
    Stream,
}

/// What a replication connection is doing.
#[derive(Debug, Default)]
pub struct Progress {
    from_client: Walk,
    from_server: Walk,
    doing: Doing,
}

impl Progress {
    pub fn doing(&self) -> Doing {
        self.doing
    }

    /// The client has sent this.
    ///
    /// # Errors
    /// A length that no message can have.
    pub fn sent(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        let doing = &mut self.doing;
        let begun = |message| {
            if *doing == Doing::Nothing && message != client::TERMINATE {
                *doing = Doing::Command;
            }
        };
        self.from_client.take(bytes, begun).map(|_| ())
    }

    /// The server has sent this; answers as [`Walk::take`].
    ///
    /// # Errors
    /// A length that no message can have.
    pub fn received(&mut self, bytes: &[u8]) -> Result<Option<usize>, WireError> {
        let doing = &mut self.doing;
        self.from_server.take(bytes, |message| match message {
            tag::COPY_BOTH_RESPONSE => *doing = Doing::Stream,
            tag::READY_FOR_QUERY => *doing = Doing::Nothing,
            _ => {}
        })
    }

    /// Whether the client can be told that this is the end: between messages, and nothing is lost.
    pub fn may_end(&self) -> bool {
        self.client_listens() && self.doing != Doing::Command
    }

    /// Whether the client reads what is written to it now as a message.
    pub fn client_listens(&self) -> bool {
        self.from_server.at_boundary()
    }

    /// Whether the server reads what is written to it now as a message.
    pub fn server_listens(&self) -> bool {
        self.from_client.at_boundary()
    }
}

#[cfg(test)]
mod tests {
    use super::{Doing, Progress};

    const BOTH: &[u8] = b"W\0\0\0\x07\0\0\0";
    const DATA: &[u8] = b"d\0\0\0\x08abcd";
    const QUERY: &[u8] = b"Q\0\0\0\x08abc\0";
    const READY: &[u8] = b"Z\0\0\0\x05I";

    #[test]
    fn a_command_is_under_way_until_the_server_is_ready_or_streams() {
        let mut progress = Progress::default();
        assert!(progress.may_end());
        progress.sent(QUERY).unwrap();
        assert_eq!((progress.doing(), progress.may_end()), (Doing::Command, false));
        progress.received(DATA).unwrap();
        assert_eq!(progress.doing(), Doing::Command);
        progress.received(READY).unwrap();
        assert!(progress.may_end());
        progress.sent(QUERY).unwrap();
        progress.received(BOTH).unwrap();
        progress.sent(DATA).unwrap();
        assert_eq!((progress.doing(), progress.may_end()), (Doing::Stream, true));
        progress.received(&[DATA, READY].concat()).unwrap();
        assert_eq!(progress.doing(), Doing::Nothing);
        progress.sent(b"X\0\0\0\x04").unwrap();
        assert_eq!((progress.doing(), progress.server_listens()), (Doing::Nothing, true));
        progress.sent(b"Q").unwrap();
        assert!(!progress.server_listens());
    }

    #[test]
    fn boundaries_are_found_however_the_bytes_are_cut() {
        let all = [BOTH, DATA, DATA, b"c\0\0\0\x04", READY].concat();
        let ends = [8, 17, 26, 31, 37];
        for size in 1..=all.len() {
            let mut progress = Progress::default();
            for (index, part) in all.chunks(size).enumerate() {
                let begin = index * size;
                let inside = begin + 1..=begin + part.len();
                let last = ends.iter().rfind(|end| inside.contains(end));
                let found = progress.received(part).unwrap();
                assert_eq!(found, last.map(|end| end - begin), "{size}, from {begin}");
                assert_eq!(progress.client_listens(), ends.contains(inside.end()), "{size}");
            }
            assert_eq!(progress.doing(), Doing::Nothing);
        }
    }

    #[test]
    fn a_length_that_cannot_be_is_an_error() {
        for bytes in [b"d\0\0\0\x03", b"d\xff\xff\xff\xff"] {
            assert!(Progress::default().received(bytes).is_err());
            assert!(Progress::default().sent(bytes).is_err());
        }
    }
}
