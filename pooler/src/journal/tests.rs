//! What the next process finds of what this one had, whatever became of the file.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::*;

/// A folder that is thrown away.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("poolwright-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join(NAME)
    }

    fn open(&self) -> (Arc<Journal>, Vec<Entry>) {
        Journal::open(&self.0).unwrap()
    }

    /// What a process finds that is started now, and whether that is all; by process id.
    fn found(&self) -> (Vec<Option<i32>>, bool) {
        let (journal, entries) = self.open();
        let process_id = |it: &Entry| it.note.backend.as_ref().map(|it| it.process_id);
        (entries.iter().map(process_id).collect(), journal.is_whole())
    }

    fn length(&self) -> u64 {
        fs::metadata(self.file()).unwrap().len()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn key(process_id: i32) -> Key {
    let addr = "127.0.0.1:5432".parse().unwrap();
    Key { process_id, secret: vec![0, 171, 255], addr, is_watched: true }
}

fn connection(journal: &Arc<Journal>, process_id: i32) -> Entry {
    let mut entry = journal.begin("main", "shop", "ann");
    entry.opened(key(process_id));
    entry
}

#[test]
fn what_has_no_end_is_found_by_the_next_process_and_the_one_after_it() {
    let folder = Folder::new("found");
    let (journal, none) = folder.open();
    assert!(none.is_empty() && journal.is_whole());
    let mut ended = connection(&journal, 1);
    drop((connection(&journal, 2), journal.begin("main", "shop", "bob")));
    ended.end();
    drop((journal, ended));

    let (journal, left) = folder.open();
    let notes: Vec<_> = left.iter().map(|it| &it.note).collect();
    assert!(notes[0].backend == Some(key(2)) && notes[0].user == "ann");
    assert!(notes[1].backend.is_none() && notes[1].user == "bob");
    drop(connection(&journal, 3));
    drop((journal, left));
    assert_eq!(folder.found(), (vec![Some(3), Some(2), None], true));
}

#[test]
fn what_was_seen_to_be_gone_is_found_no_more() {
    let folder = Folder::new("gone");
    let (journal, _) = folder.open();
    drop((connection(&journal, 1), connection(&journal, 2)));
    drop(journal);
    let (journal, mut left) = folder.open();
    left[0].end();
    drop((journal, left));
    assert_eq!(folder.found(), (vec![Some(2)], true));
}

#[test]
fn the_file_is_as_long_as_there_were_connections_at_once() {
    let folder = Folder::new("length");
    let (journal, _) = folder.open();
    for round in 0..50 {
        let mut three = [0, 1, 2].map(|number| connection(&journal, 3 * round + number));
        three.iter_mut().for_each(Entry::end);
    }
    assert_eq!(folder.length(), 4 * 1024);
    drop(journal);
    let (journal, _) = folder.open();
    let _entries = [1, 2, 3].map(|number| connection(&journal, number));
    assert_eq!(folder.length(), 4 * 1024);
}

#[test]
fn only_the_owner_may_read_it() {
    let folder = Folder::new("mode");
    fs::write(folder.file(), "").unwrap();
    fs::set_permissions(folder.file(), PermissionsExt::from_mode(0o644)).unwrap();
    let _journal = folder.open();
    assert_eq!(fs::metadata(folder.file()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_file_of_others_or_of_another_version_says_nothing_and_that_is_remembered() {
    let whole = "{\"version\":1,\"is_whole\":true}";
    for (name, text) in [
        ("foreign", "# not a journal".to_owned()),
        ("version", format!("{:1023}\n", whole.replace("1,", "2,"))),
        ("short", whole.to_owned()),
        ("bytes", "\u{fffd}\0".repeat(4000)),
    ] {
        let folder = Folder::new(name);
        fs::write(folder.file(), text).unwrap();
        let (journal, left) = folder.open();
        assert!(left.is_empty() && !journal.is_whole(), "{name}");
        drop(connection(&journal, 1));
        drop(journal);
        assert_eq!(folder.found(), (vec![Some(1)], false), "{name}");
    }
}

#[test]
fn a_torn_entry_leaves_the_others_readable() {
    let folder = Folder::new("torn");
    let (journal, _) = folder.open();
    drop([1, 2, 3].map(|number| connection(&journal, number)));
    drop(journal);
    let file = OpenOptions::new().write(true).open(folder.file()).unwrap();
    file.write_all_at(b"{\"server\":\"ma\0\0", 2 * 1024).unwrap();
    drop(file);
    assert_eq!(folder.found(), (vec![Some(1), Some(3)], false));
    assert_eq!(folder.found(), (vec![Some(1), Some(3)], false), "its slot is blank now");
}

#[test]
fn a_file_that_was_cut_is_read_as_far_as_it_goes() {
    let folder = Folder::new("cut");
    let (journal, _) = folder.open();
    drop([1, 2].map(|number| connection(&journal, number)));
    drop(journal);
    let file = OpenOptions::new().write(true).open(folder.file()).unwrap();
    file.set_len(2 * 1024 + 20).unwrap();
    drop(file);
    assert_eq!(folder.found(), (vec![Some(1)], false));
}

#[test]
fn a_note_that_does_not_fit_is_not_hidden_from_successors() {
    let folder = Folder::new("long");
    let (journal, _) = folder.open();
    drop(journal.begin("main", &"x".repeat(2000), "ann"));
    assert!(!journal.is_whole());
    drop(journal);
    assert_eq!(folder.found(), (vec![], false));
}

#[test]
fn two_processes_do_not_share_a_journal() {
    let folder = Folder::new("shared");
    let _first = folder.open();
    let second = Journal::open(&folder.0).err().expect("it is in use").to_string();
    assert_eq!(second, "another process keeps its journal there");
}

#[test]
fn without_a_folder_nothing_is_kept() {
    let journal = Journal::none();
    connection(&journal, 1).end();
    assert!(!journal.is_whole());
}
