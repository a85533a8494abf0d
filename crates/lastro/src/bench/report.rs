//! The report of a run: its measurements, and the problems that make it fail.
#![expect(clippy::float_arithmetic, reason = "rates and times per order are fractions")]

use std::time::Duration;

use super::load::Loop;
use super::metrics::{Cost, Numbers};
use super::tally::{Counts, Tally, Times};
use super::workload::Popularity;
use crate::audit;

mod json;
mod table;

/// The settings of a run.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// The services under load.
    pub(super) shop: String,
    pub(super) kind: Loop,
    pub(super) seed: u64,
    pub(super) warm_up: Duration,
    pub(super) products: u32,
    pub(super) popularity: Popularity,
    pub(super) zipf_exponent: f64,
    /// The fewest and the most lines of an order.
    pub(super) lines: (u32, u32),
    pub(super) stock: u64,
    pub(super) settle_sample: f64,
    pub(super) changes: f64,
}

/// The measurements of a run.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) setting: Setting,
    /// What the clients saw.
    pub(super) tally: Tally,
    /// What the services counted from before the warm-up until all orders were settled.
    pub(super) whole: Numbers,
    /// What the services counted in the measured time.
    pub(super) window: Numbers,
    /// The time between the two scrapes of `window`.
    pub(super) between: Duration,
    /// The measured time.
    pub(super) lasted: Duration,
    pub(super) interrupted: bool,
    /// The cost of the bench itself in the measured time.
    pub(super) own: Cost,
    /// The time from the end of the load until the last order settled, as the scrapes saw it.
    pub(super) settled_after: Duration,
    /// The audit of the databases; none if they were not named.
    pub(super) audit: Option<audit::Report>,
}

impl Report {
    /// Why the run failed; empty if it succeeded.
    pub(super) fn problems(&self) -> Vec<String> {
        let reported = &self.tally.whole;
        let whole = &self.whole;
        let mut problems = Vec::new();
        if whole.settled() != whole.placed || whole.pending > 0 {
            problems.push(format!(
                "orders are unaccounted for: {} accepted, {} confirmed, {} reserved, {} rejected, {} commands in flight",
                whole.placed, whole.confirmed, whole.reserved, whole.rejected, whole.pending
            ));
        }
        if let Some(problem) = disagreement(reported, whole.placed) {
            problems.push(problem);
        }
        if reported.failed() > 0 {
            problems.push(format!("{} orders failed", reported.failed()));
        }
        let changes_failed: u64 = self.tally.changes.errors.values().sum();
        if changes_failed > 0 {
            problems.push(format!("{changes_failed} changes of orders failed"));
        }
        if reported.unsettled > 0 {
            problems
                .push(format!("{} watched orders had no outcome after 30 s", reported.unsettled));
        }
        if self.audit.as_ref().is_some_and(|audit| !audit.is_clean()) {
            problems.push("an invariant is violated".to_owned());
        }
        problems
    }

    /// A count of the clients per second of the measured time.
    fn rate(&self, count: u64) -> f64 {
        per(count as f64, self.lasted.as_secs_f64())
    }

    /// A count of the services per second of their window, which differs a little from the measured
    /// time.
    fn rate_of_services(&self, count: u64) -> f64 {
        per(count as f64, self.between.as_secs_f64())
    }

    /// The times until the receipt, corrected for coordinated omission in a closed loop, and the
    /// expected interval in µs of that correction.
    ///
    /// The correction is Gil Tene's: a client that waits longer than usual would have sent more
    /// orders meanwhile, which would have waited too. The usual time is the median.
    fn receipts(&self) -> (Times, Option<u64>) {
        let seen = &self.tally.receipts;
        match self.setting.kind {
            Loop::Closed { .. } if !seen.is_empty() => {
                let usual_us = seen.value_at_quantile(0.5).max(1);
                (seen.clone_correct(usual_us), Some(usual_us))
            }
            _ => (seen.clone(), None),
        }
    }

    /// The CPU time in µs per order that was accepted in the measured time.
    fn cpu_us_per_order(&self, cost: &Cost) -> Option<f64> {
        let orders = self.tally.measured.accepted;
        cost.cpu.filter(|_| orders > 0).map(|cpu| 1e6 * cpu.as_secs_f64() / orders as f64)
    }

    /// The costs of the services' processes and of the bench.
    fn costs(&self) -> impl Iterator<Item = &Cost> {
        self.window.processes.iter().chain([&self.own])
    }
}

/// Compares the number of orders that the service counted with the number that the clients saw.
fn disagreement(reported: &Counts, placed: u64) -> Option<String> {
    let least = reported.accepted;
    let most = reported.accepted.saturating_add(reported.unknown);
    if placed < least {
        return Some(format!(
            "clients saw {least} accepted orders, but the service counts {placed}: a process restarted, \
             or --metrics-url does not name every process"
        ));
    }
    (placed > most).then(|| {
        format!("the service counts {placed} orders, but this run placed {most}: other clients place orders too")
    })
}

fn per(count: f64, seconds: f64) -> f64 {
    if seconds > 0.0 { count / seconds } else { 0.0 }
}

pub(super) fn milliseconds(us: u64) -> f64 {
    us as f64 / 1000.0
}

#[cfg(test)]
mod tests;
