//! The peak of a shop: the highest rate of an open loop that it holds.
#![expect(clippy::float_arithmetic, reason = "a rate is a fraction")]

use std::time::Duration;

use platform::process::ProgramError;

use super::Suite;
use super::measure::{self, MeasuredShop, Pressure};
use super::shop::{Form, Shop};

/// The longest time until a receipt, at p99, of a rate that counts as held.
const LIMIT: Duration = Duration::from_millis(100);
/// Clients of the closed loop that says where to begin.
const CLIENTS: usize = 64;
/// The factor between two rates of the search while only one bound is known.
const STRIDE: f64 = 1.25;
/// The factor between two rates that shall be held for long.
const STEP_DOWN: f64 = 0.95;
/// How many rates are tried for long.
const ATTEMPTS: u32 = 12;

/// The peak of a shop in this form. It is searched once in a run of the suite.
///
/// # Errors
///
/// The shop holds no rate, or fails.
pub(super) async fn find(suite: &mut Suite, form: Form) -> Result<f64, ProgramError> {
    if let Some((_, peak)) = suite.peaks.iter().find(|(its, _)| *its == form) {
        return Ok(*peak);
    }
    let (data, shop) = Shop::stocked(suite, form, 1).await?;
    let peak = search(suite, &shop).await?;
    shop.close().await?;
    data.discard(suite).await?;
    suite.peaks.push((form, peak));
    Ok(peak)
}

/// Looks for the bounds with short probes, then goes down until a rate is held for long.
async fn search(suite: &Suite, shop: &Shop) -> Result<f64, ProgramError> {
    let probe = suite.scale.probe;
    let pressure = Pressure { duration: probe, ..Pressure::clients(&suite.scale, CLIENTS) };
    let begin = measure::healthy(suite, shop, pressure).await?.seen.accepted_per_s;
    let mut low = 0.0;
    let mut high = f64::INFINITY;
    let mut rate = begin;
    while low == 0.0 || high / low > suite.scale.precision {
        if is_held(suite, shop, rate, probe).await? {
            low = rate;
        } else {
            high = rate;
        }
        rate = match (low > 0.0, high.is_finite()) {
            (true, true) => (low * high).sqrt(),
            (true, false) => low * STRIDE,
            (false, _) => high / STRIDE,
        };
        if rate < 1.0 {
            return Err(ProgramError::failed("the shop holds no rate"));
        }
    }
    for _ in 0..ATTEMPTS {
        if is_held(suite, shop, low, suite.scale.hold).await? {
            return Ok(low);
        }
        low *= STEP_DOWN;
    }
    Err(ProgramError::failed(format!("the shop does not hold {low:.0} orders per second")))
}

async fn is_held(
    suite: &Suite,
    shop: &Shop,
    rate: f64,
    duration: Duration,
) -> Result<bool, ProgramError> {
    let pressure = Pressure::rate(&suite.scale, rate, duration);
    let measured = measure::strained(suite, shop, pressure).await?;
    let held = was_held(&measured, rate);
    let p99 = crate::bench::report::milliseconds(p99_us(&measured));
    let result = if held { "held" } else { "not held" };
    suite.say(&format!("{rate:.0} orders per second: {result}, p99 {p99:.1} ms"));
    Ok(held)
}

fn p99_us(measured: &MeasuredShop) -> u64 {
    measured.seen.tally.receipts.value_at_quantile(0.99)
}

/// Whether every order was sent and accepted, in time at p99, and the outcomes were not more than a
/// second behind.
fn was_held(measured: &MeasuredShop, rate: f64) -> bool {
    let tally = &measured.seen.tally;
    let whole = &tally.whole;
    tally.unsent + whole.shed + whole.failed() == 0
        && u128::from(p99_us(measured)) < LIMIT.as_micros()
        && measured.open as f64 <= rate
}
