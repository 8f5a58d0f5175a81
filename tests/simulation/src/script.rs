//! What a client sends: units of messages that are legal on any server, by the texts that the fake
//! one knows.

use poolwright_random::Random;
use poolwright_wire::{TargetKind, write};

const NAMES: [&[u8]; 4] = [b"", b"a", b"b", b"c"];

/// One unit's bytes.
pub fn unit(mark: usize, random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    match random.below(8) {
        0..=2 => write::query(&mut out, text(mark, random).as_bytes()),
        3..=5 => flight(mark, random, &mut out),
        6 => {
            for _ in 0..2 {
                flight(mark, random, &mut out);
            }
        }
        _ => copy(random, &mut out),
    }
    out
}

/// What every client ends with.
pub fn ending() -> Vec<u8> {
    let mut out = Vec::new();
    write::query(&mut out, b"ROLLBACK");
    out
}

fn text(mark: usize, random: &mut Random) -> String {
    let texts = [
        "TABLE three",
        "SELECT 1/i FROM zero",
        "SELECT x FROM missing",
        "INSERT INTO sink VALUES ('a')",
        "SELEC",
        "",
        "COPY three TO STDOUT",
        "SHOW TimeZone",
        "BEGIN",
        "BEGIN",
        "COMMIT",
        "COMMIT",
        "ROLLBACK",
        "SET TimeZone = 'Asia/Tokyo'",
        "SET LOCAL TimeZone = 'Europe/Rome'",
        "SET search_path = 'b'",
        "DEALLOCATE ALL",
        "DISCARD ALL",
    ];
    match random.below(2) {
        0 => format!("SELECT 'mark {mark}.'"),
        _ => random.pick(&texts).to_owned(),
    }
}

fn flight(mark: usize, random: &mut Random, out: &mut Vec<u8>) {
    for _ in 0..random.below(6) {
        let name = random.pick(&NAMES);
        match random.below(8) {
            0..=2 => write::parse(out, name, text(mark, random).as_bytes(), &[]),
            3..=4 => {
                write::bind_head(out, b"", name, 6);
                out.extend_from_slice(&[0; 6]);
                write::execute(out, b"", random.pick(&[0, 0, 1]));
            }
            5 => write::describe(out, TargetKind::Statement, name),
            6 => write::close(out, TargetKind::Statement, name),
            _ => write::flush(out),
        }
    }
    write::sync(out);
}

/// COPY FROM with its data, good or bad, ended or failed.
fn copy(random: &mut Random, out: &mut Vec<u8>) {
    write::query(out, random.pick(&["COPY sink FROM STDIN", "COPY number FROM STDIN"]).as_bytes());
    for _ in 0..random.below(3) {
        let line: &[u8] = random.pick(&[b"1\n", b"x\n"]);
        out.push(b'd');
        out.extend_from_slice(&(line.len() as u32 + 4).to_be_bytes());
        out.extend_from_slice(line);
    }
    match random.one_in(3) {
        true => write::copy_fail(out, b"enough"),
        false => out.extend_from_slice(b"c\0\0\0\x04"),
    }
}
