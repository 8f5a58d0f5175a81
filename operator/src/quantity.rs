//! Amounts of resources as users and the API server write them: `0.5` and `500m` are the same. It
//! compares them and writes none.

/// Whether both texts are the same amount, to the thousandth to which the API server rounds up.
/// Amounts beyond what fits into 128 bits are the same only if their texts are.
pub fn same(one: &str, other: &str) -> bool {
    one == other || thousandths(one).is_some_and(|it| thousandths(other) == Some(it))
}

/// The amount in thousandths. `None`: the text is no amount, or too large a one.
fn thousandths(text: &str) -> Option<i128> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = text.find(|it: char| !it.is_ascii_digit() && it != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: i128 = [whole, fraction].concat().parse().ok()?;
    let Scale { tens, twos } = scale(suffix)?;
    let scaled = digits.checked_mul(1_i128.checked_shl(twos)?)?;
    let tens = 3 + tens - i32::try_from(fraction.len()).ok()?;
    let power = 10_i128.checked_pow(tens.unsigned_abs())?;
    let amount = if tens < 0 { rounded_up(scaled, power) } else { scaled.checked_mul(power)? };
    Some(sign * amount)
}

/// Away from zero, as the API server does.
fn rounded_up(amount: i128, divisor: i128) -> i128 {
    amount / divisor + i128::from(amount % divisor > 0)
}

/// What a suffix multiplies by: powers of ten and of two.
struct Scale {
    tens: i32,
    twos: u32,
}

fn scale(suffix: &str) -> Option<Scale> {
    let tens = |tens| Some(Scale { tens, twos: 0 });
    let twos = |twos| Some(Scale { tens: 0, twos });
    match suffix {
        "n" => tens(-9),
        "u" => tens(-6),
        "m" => tens(-3),
        "" => tens(0),
        "k" => tens(3),
        "M" => tens(6),
        "G" => tens(9),
        "T" => tens(12),
        "P" => tens(15),
        "E" => tens(18),
        "Ki" => twos(10),
        "Mi" => twos(20),
        "Gi" => twos(30),
        "Ti" => twos(40),
        "Pi" => twos(50),
        "Ei" => twos(60),
        _ => tens(suffix.strip_prefix(['e', 'E'])?.parse().ok()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the API server of Kubernetes 1.34 made of each.
    #[test]
    fn amounts_are_the_same_as_what_the_api_server_stores_for_them() {
        for (written, stored) in [
            ("0.5", "500m"),
            ("00.50", "500m"),
            (".5", "500m"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("1024Mi", "1Gi"),
            ("1048576Ki", "1Gi"),
            ("0.5Gi", "512Mi"),
            ("1.5Gi", "1536Mi"),
            ("1000k", "1M"),
            ("1000M", "1G"),
            ("1000", "1k"),
            ("1e3", "1k"),
            ("12E6", "12M"),
            ("0.1Ki", "102400m"),
            ("0.3Gi", "322122547200m"),
            ("0.0001", "1m"),
            ("100u", "1m"),
            ("1n", "1m"),
            ("1000000n", "1m"),
            ("+1", "1"),
            ("5.", "5"),
            ("0", "0"),
        ] {
            assert!(same(written, stored), "{written} and {stored}");
        }
    }

    #[test]
    fn others_are_not_and_neither_is_what_is_no_amount() {
        for (one, other) in [
            ("1", "1m"),
            ("1Gi", "1G"),
            ("500m", "501m"),
            ("-1", "1"),
            ("1E", "1e1"),
            ("", "0"),
            (".", "0"),
            ("1x", "1"),
            ("1.2.3", "1"),
            ("99999999999999999999999999999999E", "1"),
            ("1e99999999999", "1"),
        ] {
            assert!(!same(one, other), "{one} and {other}");
        }
        assert!(same("any", "any"));
    }
}
