//! A price is what its digits say, in every currency, or it is refused; and amounts are written so
//! that they read back.

use orders_core::money::{BadPrice, Currency, MAX_TOTAL_MINOR};

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
    let expected = if (0..=MAX_TOTAL_MINOR).contains(&amount_minor) {
        Ok(amount_minor)
    } else {
        Err(BadPrice::Range)
    };
    assert_eq!(currency.parse_price(&written), expected, "{written}");
}

fn check_price(currency: Currency, text: &str) {
    let read = currency.parse_price(text);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let plain = [whole, fraction]
        .iter()
        .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    if !plain {
        let refused = if text.starts_with('-') { BadPrice::Range } else { BadPrice::Notation };
        return assert_eq!(read, Err(refused), "{text}");
    }
    let decimals = usize::from(currency.decimals());
    let sent = text.split_once('.').map_or("", |(_, fraction)| fraction);
    if sent.len() > decimals {
        return assert_eq!(read, Err(BadPrice::TooManyDecimals(currency)), "{text}");
    }
    let minor = format!("{whole}{sent}{}", "0".repeat(decimals - sent.len()));
    let minor = minor.trim_start_matches('0');
    let limit = MAX_TOTAL_MINOR.to_string();
    // Without leading zeros, digits compare by length and then as text.
    if (minor.len(), minor) <= (limit.len(), limit.as_str()) {
        let exact = read.map(|minor| minor.to_string());
        assert_eq!(exact.as_deref(), Ok(if minor.is_empty() { "0" } else { minor }), "{text}");
    } else {
        assert_eq!(read, Err(BadPrice::Range), "{text}");
    }
}
