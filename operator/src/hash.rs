//! A hash that stays the same across releases, architectures and compilers: FNV-1a of the
//! JSON text. It says whether something changed, and never stands for a secret.

use serde::Serialize;
use serde_json::Value;

/// The hash of a value as 16 hexadecimal digits.
pub fn of(value: &impl Serialize) -> String {
    let text = serde_json::to_value(value).unwrap_or(Value::Null).to_string();
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, step))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_hash_of_a_value_never_changes() {
        assert_eq!(super::of(&serde_json::json!({"b": 1, "a": [true]})), "019e8627cb75560f");
    }
}
