//! Durations as the file writes them: `500ms`, `5s`, `10m`, `1h`, and ranges `5m..10m`.
//! Never accepts a number without a unit.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// A duration in the file. Whole milliseconds; at most [`Span::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// The longest duration a file may hold: 365 days.
    pub const MAX: Duration = Duration::from_secs(365 * 24 * 3600);

    /// Reads `500ms`, `5s`, `10m` or `1h`; none for anything else and beyond [`Span::MAX`].
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let millis_per_unit: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        let millis = number.parse::<u64>().ok()?.checked_mul(millis_per_unit)?;
        Some(Duration::from_millis(millis)).filter(|span| *span <= Self::MAX).map(Self)
    }

    /// The text with the largest unit that keeps the number whole; parses back to itself.
    pub fn text(self) -> String {
        let millis = self.0.as_millis();
        let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")];
        let fits = units.iter().find(|(size, _)| millis != 0 && millis.is_multiple_of(*size));
        match fits {
            Some((size, unit)) => format!("{}{unit}", millis / size),
            None if millis == 0 => "0s".to_owned(),
            None => format!("{millis}ms"),
        }
    }
}

/// A range from which each connection draws its lifetime: `5m..10m`, or `10m` for exactly that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    pub from: Span,
    pub to: Span,
}

impl Lifetime {
    /// Reads a range or a single duration; the order of the ends is not judged here.
    pub fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once("..").unwrap_or((text, text));
        Some(Self { from: Span::parse(from.trim())?, to: Span::parse(to.trim())? })
    }

    pub fn text(self) -> String {
        match self.from == self.to {
            true => self.from.text(),
            false => format!("{}..{}", self.from.text(), self.to.text()),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("expected a duration such as 5s"))
    }
}

impl Serialize for Lifetime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for Lifetime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("expected a range such as 5m..10m"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Lifetime, Span};

    fn check(text: &str, millis: Option<u64>) {
        let read = Span::parse(text).map(|span| span.0.as_millis() as u64);
        assert_eq!(read, millis, "{text}");
    }

    #[test]
    fn a_duration_needs_a_number_and_a_unit() {
        check("500ms", Some(500));
        check("5s", Some(5_000));
        check("10m", Some(600_000));
        check("1h", Some(3_600_000));
        check("0s", Some(0));
        for wrong in
            ["", "5", "s", "5 s", "-5s", "1.5s", "5d", "5S", "99999999999999999999h", "9999h"]
        {
            check(wrong, None);
        }
    }

    #[test]
    fn a_duration_is_written_with_the_largest_whole_unit() {
        for text in ["0s", "1ms", "1500ms", "90s", "5m", "1h", "8760h"] {
            assert_eq!(Span::parse(text).map(Span::text).as_deref(), Some(text));
        }
        assert_eq!(Span::parse("3600s").map(Span::text).as_deref(), Some("1h"));
    }

    #[test]
    fn a_lifetime_is_a_range_or_one_duration() {
        for text in ["5m..10m", "10m"] {
            assert_eq!(Lifetime::parse(text).map(Lifetime::text).as_deref(), Some(text));
        }
        for wrong in ["5m..", "..5m", "5..10m", "5m...10m", "5m-10m"] {
            assert_eq!(Lifetime::parse(wrong), None, "{wrong}");
        }
    }
}
