//! A number is read as what its digits say, in every currency, or it is refused; and amounts are
//! written so that they read back.

use orders_core::money::Currency;
use web::body::{NotExact, scaled};

const CURRENCIES: [&str; 4] = ["JPY", "BRL", "KWD", "CLF"];

/// The first byte selects the currency. The other bytes are the text of a price, and the first
/// eight of them are an amount.
pub fn check(bytes: &[u8]) {
    let Some((first, text)) = bytes.split_first() else { return };
    let currency: Currency =
        CURRENCIES[usize::from(*first) % CURRENCIES.len()].parse().expect("a currency");
    if let Some(amount) = text.first_chunk() {
        check_amount(currency, i64::from_le_bytes(*amount));
    }
    let Ok(text) = std::str::from_utf8(text) else { return };
    check_price(currency, text);
    if let Ok(named) = text.parse::<Currency>() {
        assert_eq!((named.code(), named.to_string().as_str()), (text, text));
    }
}

fn check_amount(currency: Currency, amount_minor: i64) {
    let written = currency.format(amount_minor);
    let decimals = written.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    assert_eq!(decimals, usize::from(currency.decimals()), "{written}");
    let digits: String = written.chars().filter(|c| *c != '.').collect();
    assert_eq!(digits.parse(), Ok(amount_minor), "{written}");
    let read = scaled(&written, currency.decimals());
    assert_eq!(read, Ok(amount_minor), "{written}");
}

fn check_price(currency: Currency, text: &str) {
    let decimals = currency.decimals();
    let read = scaled(text, decimals);
    let Ok(minor) = read else { return check_refused(text, decimals, read) };
    // Another zero after the point, or one power of ten more, changes nothing or ten times.
    assert_eq!(scaled(&currency.format(minor), decimals), read, "{text}");
    if let Some(ten_times) = minor.checked_mul(10) {
        assert_eq!(scaled(text, decimals + 1), Ok(ten_times), "{text}");
    }
}

/// What is refused is no JSON number, or has a digit that would be lost, or does not fit.
fn check_refused(text: &str, decimals: u8, read: Result<i64, NotExact>) {
    let is_json = serde_json::from_str::<&serde_json::value::RawValue>(text)
        .is_ok_and(|raw| raw.get().starts_with(|c: char| c == '-' || c.is_ascii_digit()));
    match read {
        Err(NotExact::NotANumber) => assert!(!is_json || text.trim() != text, "{text}"),
        Err(NotExact::Decimals) => {
            assert_eq!(scaled(text, decimals.saturating_sub(1)), read, "{text}");
        }
        Err(NotExact::Range) => assert_eq!(scaled(text, decimals + 1), read, "{text}"),
        Ok(_) => unreachable!("it is refused"),
    }
}
