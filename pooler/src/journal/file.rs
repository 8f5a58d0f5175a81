//! The journal's file: slots of one size, each a line of JSON, the first of them the header. A slot
//! never crosses a page, so a write of one is done or not when the process is killed. A slot that is
//! free again is used again: the file is as long as there were ever connections at once.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Serialize};

use super::Note;

/// Bytes of a slot. A note with the longest names and key that servers give fits.
const SLOT: usize = 1024;
/// What is read at most: as many connections as a process can have files.
const LONGEST: u64 = (SLOT as u64) << 20;
/// Which files can be read.
const VERSION: u32 = 1;

/// What the file says about itself.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Header {
    version: u32,
    /// Nothing is missing in it.
    pub(super) is_whole: bool,
}

impl Header {
    pub(super) fn new(is_whole: bool) -> Header {
        Header { version: VERSION, is_whole }
    }
}

/// The file, and which of its slots are free.
pub(super) struct Slots {
    file: File,
    free: Vec<usize>,
    count: usize,
    is_whole: bool,
}

/// All that the file holds.
pub(super) fn read(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// `None`: it is none of ours, or of a version that is not known.
pub(super) fn header(bytes: &[u8]) -> Option<Header> {
    let header: Header = serde_json::from_slice(bytes.get(..SLOT)?).ok()?;
    (header.version == VERSION).then_some(header)
}

/// What each slot holds; `None`: nothing.
pub(super) fn notes(bytes: &[u8]) -> Vec<Option<serde_json::Result<Note>>> {
    let is_blank = |slot: &[u8]| slot.iter().all(|it| it.is_ascii_whitespace() || *it == 0);
    let note = |slot: &[u8]| (!is_blank(slot)).then(|| serde_json::from_slice(slot));
    bytes.chunks(SLOT).skip(1).map(note).collect()
}

impl Slots {
    /// `free`: for each slot of the file, whether it holds nothing.
    pub(super) fn new(file: File, free: impl ExactSizeIterator<Item = bool>) -> Slots {
        let count = free.len();
        let free = free.enumerate().filter(|(_, is_free)| *is_free).map(|(slot, _)| slot);
        Slots { file, free: free.collect(), count, is_whole: true }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.is_whole
    }

    pub(super) fn take(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.count += 1;
            self.count - 1
        })
    }

    pub(super) fn give_back(&mut self, slot: usize) {
        self.free.push(slot);
    }

    /// # Errors
    /// The file cannot be written.
    pub(super) fn write_header(&mut self, header: Header) -> io::Result<()> {
        self.is_whole = header.is_whole;
        self.put(0, &serde_json::to_vec(&header)?)
    }

    /// # Errors
    /// The file cannot be written, or the note does not fit.
    pub(super) fn write(&mut self, slot: usize, note: &Note) -> io::Result<()> {
        self.put(slot + 1, &serde_json::to_vec(note)?)
    }

    /// # Errors
    /// The file cannot be written.
    pub(super) fn blank(&mut self, slot: usize) -> io::Result<()> {
        self.put(slot + 1, b"")
    }

    fn put(&mut self, place: usize, text: &[u8]) -> io::Result<()> {
        let mut bytes = [b' '; SLOT];
        bytes[SLOT - 1] = b'\n';
        let room = bytes[..SLOT - 1].get_mut(..text.len());
        room.ok_or_else(|| io::Error::other("a note that is too long"))?.copy_from_slice(text);
        self.file.write_all_at(&bytes, (place * SLOT) as u64)
    }
}
