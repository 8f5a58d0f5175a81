//! Tag, length and body around what a closure appends. It never writes a length that does not fit:
//! bodies that are made here are far below the limit.

pub(crate) fn frame(out: &mut Vec<u8>, tag: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    let length = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// A string and its NUL; NULs inside it are left out.
pub(crate) fn cstr(out: &mut Vec<u8>, text: &[u8]) {
    match text.contains(&0) {
        true => out.extend(text.iter().filter(|&&byte| byte != 0)),
        false => out.extend_from_slice(text),
    }
    out.push(0);
}

/// Bytes that [`cstr`] writes for `text`.
pub(crate) fn cstr_length(text: &[u8]) -> u32 {
    let kept = text.iter().filter(|&&byte| byte != 0).count() + 1;
    u32::try_from(kept).unwrap_or(u32::MAX)
}
