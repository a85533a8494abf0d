//! What is left of a shop at 20 times its peak, and how soon it recovers.
#![expect(clippy::float_arithmetic, reason = "rates are fractions")]

use std::time::Duration;

use platform::process::ProgramError;
use tokio::time::Instant;

use super::Row;
use super::cost::MIB;
use super::throughput::PER_S;
use crate::bench::metrics::Scraper;
use crate::bench::suite::Suite;
use crate::bench::suite::flood::Flood;
use crate::bench::suite::measure;
use crate::bench::suite::peak;
use crate::bench::suite::resources::most_resident_bytes;
use crate::bench::suite::shop::{Form, Shop};
use crate::bench::suite::table::{Line, Quantity, Target};
use crate::bench::wire::Line as Connection;

const TIMES: f64 = 20.0;
const CONNECTIONS: usize = 512;
/// Different orders of the flood.
const BODIES: usize = 2_000;
/// A shop is normal when so many orders in a row have their outcome within this time.
const NORMAL: (u32, Duration) = (5, Duration::from_millis(100));
/// The longest wait until it is.
const PATIENCE: Duration = Duration::from_secs(120);

struct Survived {
    confirmed_per_s: f64,
    offered_per_s: f64,
    normal_after_s: f64,
    memory_mib: f64,
}

/// Goodput, time until all is normal, and memory, for both forms.
pub(super) async fn overload(suite: &mut Suite) -> Result<Vec<Line>, ProgramError> {
    let mut lines = Vec::new();
    for form in Form::BOTH {
        let peak = peak::find(suite, form).await?;
        let mut goodput = Quantity::new("confirmed", PER_S);
        let mut peaks = Quantity::new("peak", PER_S);
        let mut offered = Quantity::new("sent", PER_S);
        let mut normal = Quantity::new("after the flood", "s");
        let mut memory = Quantity::new("at most", "MiB");
        for _ in 0..suite.scale.runs {
            let survived = flood(suite, form, peak).await?;
            goodput.values.push(survived.confirmed_per_s);
            peaks.values.push(peak);
            offered.values.push(survived.offered_per_s);
            normal.values.push(survived.normal_after_s);
            memory.values.push(survived.memory_mib);
        }
        let line = |measure: &str, numerator, denominator, target| Line {
            row: Row::Overload.name(),
            form: form.name(),
            measure: measure.to_owned(),
            numerator,
            denominator,
            target,
            at: None,
        };
        let goodput_at_least = Some(Target::AtLeast(0.8));
        let of_peak = Some(peaks.clone());
        lines.push(line("goodput at 20 × the peak ÷ peak", goodput, of_peak, goodput_at_least));
        lines.push(line("requests really sent ÷ peak", offered, Some(peaks), None));
        lines.push(line("until all is normal", normal, None, Some(Target::AtMost(10.0))));
        lines.push(line("memory of a process", memory, None, Some(Target::Below(300.0))));
    }
    Ok(lines)
}

async fn flood(suite: &mut Suite, form: Form, peak: f64) -> Result<Survived, ProgramError> {
    let (data, shop) = Shop::stocked(suite, form, 1).await?;
    suite.say(&format!("{TIMES} times {peak:.0} orders per second"));
    let mut scraper = Scraper::new(&shop.processes());
    let before = scraper.scrape().await?;
    let flood = Flood {
        endpoint: shop.orders[0].endpoint(),
        bodies: measure::bodies(&suite.scale, BODIES),
        rate: TIMES * peak,
        connections: CONNECTIONS,
        duration: suite.scale.flood,
    };
    let sent = flood.run().await;
    let over = Instant::now();
    let after = scraper.scrape().await?;
    let during = after.since(&before);
    let seconds = after.at.duration_since(before.at).as_secs_f64();
    until_normal(suite, &shop).await?;
    let normal_after_s = over.elapsed().as_secs_f64();
    let mut memory = 0;
    for program in shop.orders.iter().chain(&shop.inventory) {
        memory = memory.max(most_resident_bytes(program.pid())?);
    }
    shop.close().await?;
    data.discard(suite).await?;
    Ok(Survived {
        confirmed_per_s: during.confirmed as f64 / seconds,
        offered_per_s: sent as f64 / seconds,
        normal_after_s,
        memory_mib: memory as f64 / MIB,
    })
}

/// Waits until orders have their outcome at once again.
async fn until_normal(suite: &Suite, shop: &Shop) -> Result<(), ProgramError> {
    let patience = Instant::now() + PATIENCE;
    let (enough, quick) = NORMAL;
    let mut connection = Connection::to(&shop.orders[0].endpoint());
    let mut in_a_row = 0;
    for body in measure::bodies(&suite.scale, BODIES) {
        if in_a_row == enough {
            return Ok(());
        }
        if Instant::now() > patience {
            break;
        }
        let begun = Instant::now();
        let answer = connection.place_and_wait(&body, PATIENCE).await;
        let settled = answer.is_ok_and(|answer| crate::bench::load::is_outcome(&answer.body));
        in_a_row = if settled && begun.elapsed() <= quick { in_a_row + 1 } else { 0 };
    }
    Err(ProgramError::failed(format!("orders did not take {quick:?} again within {PATIENCE:?}")))
}
