//! Bytes on their way to the client: what passes as it came is left where it lies, as one run of the
//! input, as long as nothing of the pooler's own comes between. It never copies such a run twice.

use std::ops::Range;

pub(crate) struct Sink<'a> {
    input: &'a [u8],
    /// Of the input; it comes behind what is written.
    run: Range<usize>,
    written: &'a mut Vec<u8>,
}

impl<'a> Sink<'a> {
    pub(crate) fn new(input: &'a [u8], written: &'a mut Vec<u8>) -> Sink<'a> {
        Sink { input, run: 0..0, written }
    }

    /// These bytes of the input go on as they are.
    pub(crate) fn pass(&mut self, bytes: Range<usize>) {
        if self.run.end == bytes.start {
            self.run.end = bytes.end;
        } else {
            self.write_run();
            self.run = bytes;
        }
    }

    /// Where bytes of the pooler's own are written, behind all that came before.
    pub(crate) fn own(&mut self) -> &mut Vec<u8> {
        self.write_run();
        self.written
    }

    /// The run at the end, which is not written.
    pub(crate) fn into_run(self) -> Range<usize> {
        self.run
    }

    fn write_run(&mut self) {
        let run = std::mem::take(&mut self.run);
        self.written.extend_from_slice(&self.input[run]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_written_bytes_keep_their_order() {
        let mut written = b"before ".to_vec();
        let mut sink = Sink::new(b"0123456789", &mut written);
        sink.pass(0..2);
        sink.pass(2..4);
        sink.own().extend_from_slice(b" own ");
        sink.pass(5..6);
        sink.pass(8..10);
        assert_eq!(sink.into_run(), 8..10);
        assert_eq!(written, b"before 0123 own 5");
    }
}
