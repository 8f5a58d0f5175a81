//! DER, as far as a certificate's outer parts need it. It reads what was verified, and checks
//! nothing.

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OBJECT: u8 = 0x06;
pub(super) const UTF8: u8 = 0x0c;
pub(super) const PRINTABLE: u8 = 0x13;
pub(super) const IA5: u8 = 0x16;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
/// `[0]`, explicit: a certificate's version, the hash of RSASSA-PSS.
pub(super) const ZEROTH: u8 = 0xa0;

/// The content of an element of this tag, and what follows it.
pub(super) fn next(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        // Up to four bytes of length: more than any certificate has.
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    if *found != tag { None } else { rest.split_at_checked(length) }
}
