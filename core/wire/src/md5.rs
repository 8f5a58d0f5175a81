//! MD5 (RFC 1321) and what Postgres makes of it: `md5` and the digest of password and user name as a
//! stored secret, hashed again with a salt as an answer. Kept for servers and clients that have
//! nothing better: who reads the stored secret can log in with it.

use std::fmt::Write;

/// What a stored secret begins with.
const PREFIX: &str = "md5";

/// The secret of a user as Postgres stores it: `md5` and 32 hexadecimal digits.
pub fn secret(user: &str, password: &str) -> String {
    digest_text(&[password.as_bytes(), user.as_bytes()])
}

/// What a client answers to a server that has this secret and asks with this salt.
pub fn answer(secret: &str, salt: [u8; 4]) -> String {
    let digits = secret.strip_prefix(PREFIX).unwrap_or(secret);
    digest_text(&[digits.as_bytes(), &salt])
}

/// Whether a text has the form of a stored secret.
pub fn is_secret(text: &str) -> bool {
    let digits = text.strip_prefix(PREFIX);
    digits.is_some_and(|it| it.len() == 32 && it.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn digest_text(parts: &[&[u8]]) -> String {
    let mut text = PREFIX.to_owned();
    for byte in digest(&parts.concat()) {
        write!(text, "{byte:02x}").expect("a String takes all that is written to it");
    }
    text
}

/// Left rotations of the four rounds, each used four times.
const TURNS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

fn digest(message: &[u8]) -> [u8; 16] {
    let mut padded = message.to_vec();
    padded.push(0x80);
    padded.resize((padded.len() + 8).next_multiple_of(64) - 8, 0);
    padded.extend_from_slice(&(message.len() as u64 * 8).to_le_bytes());
    let sines = sines();
    let mut state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    for block in padded.as_chunks::<64>().0 {
        mix(&mut state, block, &sines);
    }
    let mut digest = [0; 16];
    for (bytes, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *bytes = word.to_le_bytes();
    }
    digest
}

fn mix(state: &mut [u32; 4], block: &[u8; 64], sines: &[u32; 64]) {
    let mut words = [0; 16];
    for (word, bytes) in words.iter_mut().zip(block.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    let [mut a, mut b, mut c, mut d] = *state;
    for step in 0..64 {
        let (mixed, index) = match step / 16 {
            0 => ((b & c) | (!b & d), step),
            1 => ((d & b) | (!d & c), 5 * step + 1),
            2 => (b ^ c ^ d, 3 * step + 5),
            _ => (c ^ (b | !d), 7 * step),
        };
        let sum = a.wrapping_add(mixed).wrapping_add(sines[step]).wrapping_add(words[index % 16]);
        let turned = b.wrapping_add(sum.rotate_left(TURNS[step / 16][step % 4]));
        (a, d, c, b) = (d, c, b, turned);
    }
    for (kept, new) in state.iter_mut().zip([a, b, c, d]) {
        *kept = kept.wrapping_add(new);
    }
}

/// The RFC's table: the whole part of 2³² |sin i|, i from 1.
fn sines() -> [u32; 64] {
    std::array::from_fn(|i| (((i + 1) as f64).sin().abs() * 4_294_967_296.0) as u32)
}

#[cfg(test)]
mod tests {
    use super::{answer, digest_text, is_secret, secret};

    #[test]
    fn the_digests_of_rfc_1321_come_out() {
        let digits = "12345678901234567890";
        for (text, expect) in [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("a", "0cc175b9c0f1b6a831c399e269772661"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
            ("abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"),
            (&digits.repeat(4), "57edf4a22be3c955ac49da2e2107b67a"),
        ] {
            assert_eq!(digest_text(&[text.as_bytes()]), format!("md5{expect}"), "{text:?}");
        }
    }

    /// Around the lengths at which another block begins; the digests are those of md5sum.
    #[test]
    fn lengths_around_a_block_come_out() {
        for (length, expect) in [
            (55, "ef1772b6dff9a122358552954ad0df65"),
            (56, "3b0c8ac703f828b04c6c197006d17218"),
            (63, "b06521f39153d618550606be297466d5"),
            (64, "014842d480b571495a4a0363793f7367"),
            (119, "8a7bd0732ed6a28ce75f6dabc90e1613"),
        ] {
            let text = "a".repeat(length);
            assert_eq!(digest_text(&[text.as_bytes()]), format!("md5{expect}"), "{length}");
        }
    }

    #[test]
    fn secrets_and_answers_are_those_of_postgres() {
        let stored = secret("ann", "pencil");
        assert!(is_secret(&stored));
        assert_eq!(stored, digest_text(&[b"pencilann"]));
        let expect = digest_text(&[&stored.as_bytes()[3..], &[1, 2, 3, 4]]);
        assert_eq!(answer(&stored, [1, 2, 3, 4]), expect);
        for text in ["", "md5", "md5g1234567890123456789012345678901", &stored[..34]] {
            assert!(!is_secret(text), "{text}");
        }
    }
}
