//! Which server connections this process has, in a file that outlives it: whoever is started after
//! it in the same pod reads there what it left open, should it be killed. Written when a connection
//! is opened or closed, never for a transaction, and not synced: it has to survive the process, not
//! the machine. It never knows whether what it holds is still there.

mod file;
mod hex;

use std::fs::{File, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tracing::{error, warn};

use crate::server::Connected;
use file::{Header, Slots};

/// The file's name in its folder.
const NAME: &str = "connections.journal";

/// One for the process.
pub struct Journal(Option<Mutex<Slots>>);

/// What is noted of a connection. Holds the key with which it can be cancelled: never print it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The server's name in the settings.
    pub server: String,
    /// The database and the user as the server knows them.
    pub database: String,
    pub user: String,
    /// `None`: a login that has not come so far, from before its connect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<Key>,
}

/// Who serves a connection.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    pub process_id: i32,
    /// Empty: it cannot be cancelled.
    #[serde(with = "hex")]
    pub secret: Vec<u8>,
    pub addr: SocketAddr,
    /// The server looks by itself whether its client is there, also while a query runs.
    pub is_watched: bool,
}

/// A connection's place in the journal. It stays there until [`Entry::end`], also when this is
/// dropped: nobody has seen that connection closed.
pub struct Entry {
    journal: Arc<Journal>,
    slot: Option<usize>,
    pub note: Note,
}

impl Key {
    pub fn of<S>(connected: &Connected<S>) -> Key {
        let Connected { process_id, ref secret, addr, is_watched, .. } = *connected;
        Key { process_id, secret: secret.clone(), addr, is_watched }
    }
}

impl Journal {
    /// Keeps nothing.
    pub fn none() -> Arc<Journal> {
        Arc::new(Journal(None))
    }

    /// Opens the journal in this folder, and gives what earlier processes left in it.
    ///
    /// # Errors
    /// The file cannot be opened, written or read, or another process has it.
    pub fn open(folder: &Path) -> io::Result<(Arc<Journal>, Vec<Entry>)> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(folder.join(NAME))?;
        file.try_lock().map_err(|_| io::Error::other("another process keeps its journal there"))?;
        file.set_permissions(PermissionsExt::from_mode(0o600))?;
        let (slots, found) = Journal::take_over(file)?;
        let journal = Arc::new(Journal(Some(Mutex::new(slots))));
        let entry = |(slot, note)| Entry { journal: Arc::clone(&journal), slot: Some(slot), note };
        let left = found.into_iter().map(entry).collect();
        Ok((journal, left))
    }

    fn take_over(file: File) -> io::Result<(Slots, Vec<(usize, Note)>)> {
        let bytes = file::read(&file)?;
        let header = file::header(&bytes);
        let is_new = bytes.is_empty();
        if header.is_none() && !is_new {
            warn!("the journal of connections is none that can be read: nothing is known of them");
            file.set_len(0)?;
        }
        let (notes, mut is_whole) = match header {
            Some(header) => (file::notes(&bytes), header.is_whole),
            None => (Vec::new(), is_new),
        };
        let torn = notes.iter().filter(|it| matches!(it, Some(Err(_)))).count();
        if torn > 0 {
            warn!(torn, "the journal of connections has entries that cannot be read");
            is_whole = false;
        }
        let mut slots = Slots::new(file, notes.iter().map(Option::is_none));
        slots.write_header(Header::new(is_whole))?;
        let mut found = Vec::new();
        for (slot, note) in notes.into_iter().enumerate() {
            match note {
                Some(Ok(note)) => found.push((slot, note)),
                Some(Err(_)) => slots.blank(slot)?,
                None => {}
            }
        }
        Ok((slots, found))
    }

    /// All that earlier processes of the pod left stands in it, and all that this one has.
    pub fn is_whole(&self) -> bool {
        self.slots().is_some_and(|slots| slots.is_whole())
    }

    /// Something is gone from it that may still be there.
    pub fn doubt(&self) {
        if let Some(mut slots) = self.slots() {
            let _ = slots.write_header(Header::new(false));
        }
    }

    /// Notes a login before it begins.
    pub fn begin(self: &Arc<Journal>, server: &str, database: &str, user: &str) -> Entry {
        let (server, database, user) = (server.into(), database.into(), user.into());
        let note = Note { server, database, user, backend: None };
        let slot = self.slots().map(|mut slots| {
            let slot = slots.take();
            slots.keep(slot, &note);
            slot
        });
        Entry { journal: Arc::clone(self), slot, note }
    }

    fn slots(&self) -> Option<MutexGuard<'_, Slots>> {
        self.0.as_ref().map(|slots| slots.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Entry {
    /// The login has come so far that its backend is known.
    pub fn opened(&mut self, backend: Key) {
        self.note.backend = Some(backend);
        if let (Some(slot), Some(mut slots)) = (self.slot, self.journal.slots()) {
            slots.keep(slot, &self.note);
        }
    }

    /// The server has ended the connection, or there never was one.
    pub fn end(&mut self) {
        if let (Some(slot), Some(mut slots)) = (self.slot.take(), self.journal.slots()) {
            slots.free(slot);
        }
    }
}

/// A journal that cannot be written says so to whoever reads it later, and holds up nobody.
impl Slots {
    fn keep(&mut self, slot: usize, note: &Note) {
        if let Err(error) = self.write(slot, note) {
            if self.is_whole() {
                error!(%error, "the journal of connections cannot be written");
            }
            let _ = self.write_header(Header::new(false));
        }
    }

    fn free(&mut self, slot: usize) {
        // What cannot be blanked counts until it is seen to be gone.
        if self.blank(slot).is_ok() {
            self.give_back(slot);
        }
    }
}

#[cfg(test)]
mod tests;
