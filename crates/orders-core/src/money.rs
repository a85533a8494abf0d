//! Money: whole minor units of a currency (cents for BRL), never floating point.

use std::fmt;
use std::str::FromStr;

/// The largest price and the largest total of an order, in minor units: 2^53 − 1.
///
/// JSON readers that use 64-bit floats keep every whole number up to this one exact (RFC 8259,
/// section 6).
pub const MAX_TOTAL_MINOR: i64 = (1 << 53) - 1;

/// A currency of ISO 4217 that is in use. Parse its code to get one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Currency {
    code: &'static str,
    decimals: u8,
}

/// The text is not the code of a currency in use. A retry fails again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a currency code of ISO 4217, such as BRL")]
pub struct UnknownCurrency;

/// The codes in use, grouped by the number of decimals of an amount.
const CURRENCIES: [(u8, &str); 4] = [
    (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
    (
        2,
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW \
         CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF \
         IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK \
         MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP \
         SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER \
         ZAR ZMW ZWG",
    ),
    (3, "BHD IQD JOD KWD LYD OMR TND"),
    (4, "CLF UYW"),
];

impl Currency {
    /// The Brazilian real.
    pub const BRL: Self = Self { code: "BRL", decimals: 2 };

    /// The three-letter code, such as `BRL`.
    pub fn code(self) -> &'static str {
        self.code
    }

    /// The number of digits after the decimal point of an amount: 0, 2, 3 or 4.
    pub fn decimals(self) -> u8 {
        self.decimals
    }

    /// Writes an amount in decimal notation, with exactly the decimals of the currency: 6997 minor
    /// units of BRL are `69.97`.
    pub fn format(self, amount_minor: i64) -> String {
        let decimals = usize::from(self.decimals);
        let sign = if amount_minor < 0 { "-" } else { "" };
        let digits = format!("{:0>width$}", amount_minor.unsigned_abs(), width = decimals + 1);
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        if fraction.is_empty() {
            format!("{sign}{whole}")
        } else {
            format!("{sign}{whole}.{fraction}")
        }
    }
}

impl FromStr for Currency {
    type Err = UnknownCurrency;

    /// Reads a three-letter code in upper case.
    ///
    /// # Errors
    ///
    /// [`UnknownCurrency`] for any text that is not the code of a currency in use.
    fn from_str(text: &str) -> Result<Self, UnknownCurrency> {
        let known = CURRENCIES.iter().flat_map(|(decimals, codes)| {
            codes.split_ascii_whitespace().map(|code| Self { code, decimals: *decimals })
        });
        known.into_iter().find(|currency| currency.code == text).ok_or(UnknownCurrency)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

/// The total of the order exceeds [`MAX_TOTAL_MINOR`]. A retry fails again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the total must be at most 2^53-1 minor units")]
pub struct TotalTooLarge;

/// Returns the sum of quantity × price over (quantity, price) pairs, in minor units.
///
/// # Errors
///
/// [`TotalTooLarge`] if the total exceeds [`MAX_TOTAL_MINOR`]. It never wraps and is never rounded.
pub fn total(lines: impl IntoIterator<Item = (u32, i64)>) -> Result<i64, TotalTooLarge> {
    let mut sum: i64 = 0;
    for (quantity, price_minor) in lines {
        let line = i64::from(quantity).checked_mul(price_minor).ok_or(TotalTooLarge)?;
        sum = sum.checked_add(line).filter(|sum| *sum <= MAX_TOTAL_MINOR).ok_or(TotalTooLarge)?;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn currency(code: &str) -> Currency {
        code.parse().expect("a currency")
    }

    #[test]
    fn every_currency_has_its_own_decimals() {
        assert_eq!(currency("CLF").format(12345), "1.2345");
        assert_eq!(currency("JPY").format(1500), "1500");
        assert_eq!("brl".parse::<Currency>(), Err(UnknownCurrency));
        assert_eq!("BR".parse::<Currency>(), Err(UnknownCurrency));
        assert_eq!(Currency::BRL, currency("BRL"));
        assert_eq!((currency("EUR").to_string().as_str(), currency("EUR").code()), ("EUR", "EUR"));
        assert_eq!(
            ["JPY", "EUR", "KWD", "UYW"].map(|code| currency(code).decimals()),
            [0, 2, 3, 4]
        );
    }

    #[test]
    fn an_amount_is_written_with_exactly_the_decimals_of_its_currency() {
        for (minor, text) in
            [(0, "0.00"), (5, "0.05"), (6997, "69.97"), (-5, "-0.05"), (100, "1.00")]
        {
            assert_eq!(Currency::BRL.format(minor), text);
        }
    }

    #[test]
    fn a_total_is_exact_or_an_error() {
        assert_eq!(total([(2, 1999), (1, 2999)]), Ok(6997));
        assert_eq!(total([(1, MAX_TOTAL_MINOR)]), Ok(MAX_TOTAL_MINOR));
        assert_eq!(total([(1, MAX_TOTAL_MINOR), (1, 1)]), Err(TotalTooLarge));
        assert_eq!(total([(2, MAX_TOTAL_MINOR)]), Err(TotalTooLarge));
        assert_eq!(total([(1_000_000, i64::MAX)]), Err(TotalTooLarge));
    }

    proptest! {
        #[test]
        fn the_total_is_the_sum_of_the_lines(lines in prop::collection::vec((1u32..=1_000_000, 0i64..=100_000_000), 1..100)) {
            let exact: i128 = lines.iter().map(|(quantity, price)| i128::from(*quantity) * i128::from(*price)).sum();
            let expected = i64::try_from(exact).ok().filter(|sum| *sum <= MAX_TOTAL_MINOR).ok_or(TotalTooLarge);
            prop_assert_eq!(total(lines), expected);
        }
    }
}
