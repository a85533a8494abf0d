//! Progress on standard error, one line per second. Standard output is for the report.
#![expect(clippy::float_arithmetic, reason = "a rate is a fraction")]

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use super::load::{Load, Stages};
use super::metrics::{Numbers, Scraper};
use super::report::milliseconds;

const PERIOD: Duration = Duration::from_secs(1);

/// Prints the present step on a line of its own.
pub(super) fn say(what: &str) {
    write_line(what, false);
}

/// Prints the progress of the load once per second until the future is dropped.
pub(super) async fn report(load: Arc<Load>, stages: Stages, mut scraper: Scraper, before: Numbers) {
    let in_place = std::io::stderr().is_terminal();
    let mut ticks = tokio::time::interval_at(stages.start + PERIOD, PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut sent_before = 0;
    let mut reported_at = stages.start;
    loop {
        ticks.tick().await;
        let confirmed = match scraper.scrape().await {
            Ok(numbers) => numbers.since(&before).confirmed.to_string(),
            Err(_) => "?".to_owned(),
        };
        let now = Instant::now();
        let line = {
            let tally = load.tally();
            let whole = &tally.whole;
            let receipts = &tally.receipts;
            let rate =
                (whole.sent - sent_before) as f64 / now.duration_since(reported_at).as_secs_f64();
            sent_before = whole.sent;
            let p99 = match receipts.is_empty() {
                true => "warming up".to_owned(),
                false => format!("p99 {:.1} ms", milliseconds(receipts.value_at_quantile(0.99))),
            };
            format!(
                "{:>4.0} s  {rate:>7.0}/s  accepted {}  confirmed {confirmed}  shed {}  errors {}  {p99}",
                now.duration_since(stages.start).as_secs_f64(),
                whole.accepted,
                whole.shed,
                whole.failed(),
            )
        };
        reported_at = now;
        write_line(&line, in_place);
    }
}

/// Prints a line, over the previous one if `in_place`.
fn write_line(line: &str, in_place: bool) {
    let mut out = std::io::stderr();
    // A closed standard error must not stop the run.
    let _ = if in_place {
        write!(out, "\r\x1b[K{line}").and_then(|()| out.flush())
    } else {
        writeln!(out, "{line}")
    };
}

/// Ends the line that was written in place.
pub(super) fn end() {
    if std::io::stderr().is_terminal() {
        let _ = writeln!(std::io::stderr());
    }
}
