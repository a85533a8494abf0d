//! JSON numbers, read exactly and in any notation.

/// Why a text is not a whole number of units that fits an `i64`. A retry fails again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotExact {
    /// The text is not a JSON number.
    NotANumber,
    /// The number has more decimals than a unit.
    Decimals,
    /// The number is too large or too small.
    Range,
}

/// Reads a JSON number as a multiple of 10^-`decimals`: `19.99` with two decimals is 1999.
///
/// Its value counts, and not its notation: serialisers write 1500 as `1500`, `1500.0` or `1.5E3`.
/// It is never rounded.
///
/// # Errors
///
/// [`NotExact`].
pub fn scaled(text: &str, decimals: u8) -> Result<i64, NotExact> {
    let (sign, unsigned) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let power = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if ![whole, fraction, power].into_iter().all(is_digits) {
        return Err(NotExact::NotANumber);
    }
    let digits = [whole, fraction].concat();
    let digits = digits.trim_end_matches('0');
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() {
        return Ok(0);
    }
    let limit = if exponent.starts_with('-') { i64::MIN } else { i64::MAX };
    // How many zeros follow the significant digits in the result.
    let zeros = exponent
        .parse()
        .unwrap_or(limit)
        .saturating_add(i64::from(decimals))
        .saturating_add_unsigned(whole.len() as u64)
        .saturating_sub_unsigned(digits.len() as u64);
    if zeros < 0 {
        return Err(NotExact::Decimals);
    }
    let exact = || {
        let unit = 10_i128.checked_pow(u32::try_from(zeros).ok()?)?;
        i64::try_from(significant.parse::<i128>().ok()?.checked_mul(sign * unit)?).ok()
    };
    exact().ok_or(NotExact::Range)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_is_its_value_in_any_notation() {
        for (text, decimals, expected) in [
            ("19.99", 2, Ok(1999)),
            ("19.9", 2, Ok(1990)),
            ("19.990", 2, Ok(1999)),
            ("1500.0", 0, Ok(1500)),
            ("1.0E7", 0, Ok(10_000_000)),
            ("1e2", 2, Ok(10_000)),
            ("15e-1", 2, Ok(150)),
            ("100000000000000000000000e-20", 0, Ok(1000)),
            ("0.00000000000000000000001e+23", 0, Ok(1)),
            ("0", 2, Ok(0)),
            ("-0.0", 2, Ok(0)),
            ("0e999999999999999999999", 2, Ok(0)),
            ("-1.50", 2, Ok(-150)),
            ("9223372036854775807", 0, Ok(i64::MAX)),
            ("-9223372036854775808", 0, Ok(i64::MIN)),
            ("9223372036854775808", 0, Err(NotExact::Range)),
            ("-9223372036854775809", 0, Err(NotExact::Range)),
            ("1e400", 0, Err(NotExact::Range)),
            ("1e999999999999999999999", 0, Err(NotExact::Range)),
            ("1234567890123456789012345678901234567890", 0, Err(NotExact::Range)),
            ("29.949999999999999", 2, Err(NotExact::Decimals)),
            ("0.5", 0, Err(NotExact::Decimals)),
            ("1e-999999999999999999999", 4, Err(NotExact::Decimals)),
            ("", 0, Err(NotExact::NotANumber)),
            ("-", 0, Err(NotExact::NotANumber)),
            ("\"5\"", 0, Err(NotExact::NotANumber)),
            (".5", 0, Err(NotExact::NotANumber)),
            ("5.", 0, Err(NotExact::NotANumber)),
            ("5e", 0, Err(NotExact::NotANumber)),
            ("+5", 0, Err(NotExact::NotANumber)),
            ("1e1.5", 0, Err(NotExact::NotANumber)),
            ("true", 0, Err(NotExact::NotANumber)),
        ] {
            assert_eq!(scaled(text, decimals), expected, "{text}");
        }
    }

    proptest! {
        /// The point anywhere in the digits, the exponent that undoes it, and zeros around both.
        #[test]
        fn every_notation_of_a_number_is_the_same(
            value in any::<i64>(), point in 0..30_usize, before in 0..5_usize, after in 0..5_usize,
        ) {
            let digits = format!("{:0>31}", value.unsigned_abs());
            let (whole, fraction) = digits.split_at(digits.len() - point);
            let sign = if value < 0 { "-" } else { "" };
            let [before, after] = [before, after].map(|zeros| "0".repeat(zeros));
            let text = format!("{sign}{before}{whole}.{fraction}0{after}e{point}");
            prop_assert_eq!(scaled(&text, 0), Ok(value), "{}", text);
        }
    }
}
