//! A decimal number as thousandths: what `connectionsPerTenant: "2.5"` means, exactly.
//! It never rounds what a person wrote: more than three decimals are refused.

use std::{fmt, str::FromStr};

/// Connections per tenant, in thousandths; between 0.001 and 9999.999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ratio(u32);

/// Why a text is not a [`Ratio`]. The message names what was found, expected and to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "found {found:?}, expected a decimal number from 0.001 to 9999.999 with a point and at most \
     three decimals: write it like \"2.5\" ({why})"
)]
pub struct RatioError {
    pub found: String,
    pub why: &'static str,
}

impl Ratio {
    /// The largest ratio: 9999.999.
    pub const MAX: Ratio = Ratio(9_999_999);

    /// A ratio of `thousandths`, `None` outside 1 ..= 9,999,999.
    pub fn from_thousandths(thousandths: u32) -> Option<Ratio> {
        (1..=Self::MAX.0).contains(&thousandths).then_some(Ratio(thousandths))
    }

    pub fn thousandths(self) -> u32 {
        self.0
    }

    /// `tenants × ratio` in thousandths of a connection, exact.
    pub fn times(self, tenants: u32) -> u64 {
        u64::from(self.0) * u64::from(tenants)
    }
}

impl FromStr for Ratio {
    type Err = RatioError;

    fn from_str(text: &str) -> Result<Ratio, RatioError> {
        parse(text).map_err(|why| RatioError { found: text.chars().take(40).collect(), why })
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&decimal(u64::from(self.0)))
    }
}

/// Thousandths as the shortest decimal: 2500 → `2.5`, 2000 → `2`, 5 → `0.005`.
pub fn decimal(thousandths: u64) -> String {
    let text = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn parse(text: &str) -> Result<Ratio, &'static str> {
    let (whole, fraction) = match text.split_once('.') {
        Some((_, "")) => return Err("nothing follows the point"),
        Some(parts) => parts,
        None => (text, ""),
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return Err("only digits and one point are allowed");
    }
    if fraction.len() > 3 {
        return Err("it has more than three decimals");
    }
    if whole.len() > 4 {
        return Err("it has more than four digits before the point");
    }
    let number = |part: &str| part.bytes().fold(0, |sum, byte| sum * 10 + u32::from(byte - b'0'));
    let thousandths = number(whole) * 1000 + number(&format!("{fraction:0<3}"));
    Ratio::from_thousandths(thousandths).ok_or("it must be more than 0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Result<u32, &str>) {
        let found = text.parse::<Ratio>();
        match expect {
            Ok(thousandths) => assert_eq!(found.unwrap().thousandths(), thousandths, "{text}"),
            Err(why) => {
                let message = found.unwrap_err().to_string();
                assert!(message.contains(why), "{text}: {message}");
                assert!(message.contains("like \"2.5\""), "{message}");
            }
        }
    }

    #[test]
    fn decimals_are_read_exactly() {
        check("2.5", Ok(2500));
        check("20", Ok(20_000));
        check("0.001", Ok(1));
        check("0.125", Ok(125));
        check("9999.999", Ok(9_999_999));
        check("007.50", Ok(7500));
    }

    #[test]
    fn what_is_no_decimal_is_refused_with_the_reason() {
        check("", Err("only digits"));
        check("2,5", Err("only digits"));
        check("-1", Err("only digits"));
        check("2.5.1", Err("only digits"));
        check("1e3", Err("only digits"));
        check("½", Err("only digits"));
        check("2.", Err("nothing follows"));
        check("0", Err("more than 0"));
        check("0.000", Err("more than 0"));
        check("2.5001", Err("more than three"));
        check("10000", Err("more than four"));
        check("99999999999999999999", Err("more than four"));
    }

    #[test]
    fn a_ratio_prints_as_it_was_meant() {
        for (thousandths, text) in
            [(2500, "2.5"), (2000, "2"), (5, "0.005"), (9_999_999, "9999.999")]
        {
            assert_eq!(Ratio::from_thousandths(thousandths).unwrap().to_string(), text);
        }
    }
}
