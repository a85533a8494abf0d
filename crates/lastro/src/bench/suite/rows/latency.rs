//! How long orders take at half of the peak, beside how long the disk takes.
#![expect(clippy::float_arithmetic, reason = "half of a rate")]

use platform::process::ProgramError;

use super::Row;
use crate::bench::report::milliseconds;
use crate::bench::suite::Suite;
use crate::bench::suite::measure::{self, Pressure};
use crate::bench::suite::peak;
use crate::bench::suite::resources::sync_ms;
use crate::bench::suite::shop::{Form, Shop};
use crate::bench::suite::table::{Line, Quantity, Target};

/// The fraction of orders whose client waits for the outcome.
const WATCHED: f64 = 0.05;
const MS: &str = "ms";

/// The time until the receipt and until the outcome, at p99.
pub(super) async fn latency(suite: &mut Suite) -> Result<Vec<Line>, ProgramError> {
    let mut lines = Vec::new();
    for form in Form::BOTH {
        let peak = peak::find(suite, form).await?;
        let mut receipts = Quantity::new(format!("at {:.0}/s", peak / 2.0), MS);
        let mut outcomes = receipts.clone();
        for _ in 0..suite.scale.runs {
            let (data, shop) = Shop::stocked(suite, form, 1).await?;
            suite.say(&format!("half of {peak:.0} orders per second"));
            let rate = Pressure::rate(&suite.scale, peak / 2.0, suite.scale.hold);
            let pressure = Pressure { watched: WATCHED, ..rate };
            let measured = measure::healthy(suite, &shop, pressure).await?;
            let p99 =
                |times: &crate::bench::tally::Times| milliseconds(times.value_at_quantile(0.99));
            receipts.values.push(p99(&measured.seen.tally.receipts));
            outcomes.values.push(p99(&measured.seen.tally.outcomes));
            shop.close().await?;
            data.discard(suite).await?;
        }
        let line = |measure: &str, numerator, target| Line {
            row: Row::Latency.name(),
            form: form.name(),
            measure: measure.to_owned(),
            numerator,
            denominator: None,
            target: Some(Target::Below(target)),
            at: None,
        };
        let outcome_within = match form {
            Form::Embedded => 50.0,
            Form::Production => 100.0,
        };
        lines.push(line("receipt p99 at half of the peak", receipts, 15.0));
        lines.push(line("outcome p99 at half of the peak", outcomes, outcome_within));
    }
    lines.push(disk(suite).await?);
    Ok(lines)
}

async fn disk(suite: &Suite) -> Result<Line, ProgramError> {
    let mut sync = Quantity::new("of 200", MS);
    for _ in 0..suite.scale.runs {
        sync.values.push(sync_ms(suite.folder()).await?);
    }
    Ok(Line {
        row: Row::Latency.name(),
        form: "disk",
        measure: "4 KiB and fdatasync".to_owned(),
        numerator: sync,
        denominator: None,
        target: None,
        at: None,
    })
}
