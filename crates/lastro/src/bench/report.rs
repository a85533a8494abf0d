//! What a run came to, and whether it was as it should be.
#![expect(clippy::float_arithmetic, reason = "rates and times per order are fractions")]

use std::time::Duration;

use super::load::Loop;
use super::metrics::{Cost, Numbers};
use super::tally::{Counts, Tally, Times};
use super::workload::Popularity;
use crate::verify;

mod json;
mod table;

/// What was asked for.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// What the load was put on.
    pub(super) shop: String,
    pub(super) kind: Loop,
    pub(super) seed: u64,
    pub(super) warm_up: Duration,
    pub(super) products: u32,
    pub(super) popularity: Popularity,
    pub(super) zipf_exponent: f64,
    /// The least and the most of an order.
    pub(super) lines: (u32, u32),
    pub(super) stock: u64,
    pub(super) settle_sample: f64,
}

/// Everything that was measured, before anything is said about it.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) setting: Setting,
    /// What clients saw.
    pub(super) tally: Tally,
    /// What the services counted from before the warm-up until everything was settled.
    pub(super) whole: Numbers,
    /// What they counted in the measured time, and how long it was between the two looks.
    pub(super) window: Numbers,
    pub(super) between: Duration,
    /// How long was measured.
    pub(super) lasted: Duration,
    pub(super) interrupted: bool,
    /// What the bench itself cost in the measured time.
    pub(super) own: Cost,
    /// From the end of the load until the last order was settled, as far as anybody looked.
    pub(super) settled_after: Duration,
    /// None: nobody said where the databases are.
    pub(super) audit: Option<verify::Report>,
}

impl Report {
    /// Why the run failed; empty if it did not.
    pub(super) fn problems(&self) -> Vec<String> {
        let (reported, whole) = (&self.tally.whole, &self.whole);
        let mut problems = Vec::new();
        if whole.settled() != whole.placed || whole.pending > 0 {
            problems.push(format!(
                "orders are unaccounted for: {} accepted, {} confirmed, {} rejected, {} commands in flight",
                whole.placed, whole.confirmed, whole.rejected, whole.pending
            ));
        }
        if let Some(problem) = disagreement(reported, whole.placed) {
            problems.push(problem);
        }
        if reported.failed() > 0 {
            problems.push(format!("{} orders failed", reported.failed()));
        }
        if reported.unsettled > 0 {
            problems.push(format!("{} watched orders had no outcome after 30 s", reported.unsettled));
        }
        if self.audit.as_ref().is_some_and(|audit| !audit.is_clean()) {
            problems.push("an invariant is violated".to_owned());
        }
        problems
    }

    /// So many, per second of the measured time.
    fn rate(&self, count: u64) -> f64 {
        per(count as f64, self.lasted.as_secs_f64())
    }

    /// The same for what the services counted, whose window is a little off.
    fn rate_of_services(&self, count: u64) -> f64 {
        per(count as f64, self.between.as_secs_f64())
    }

    /// Times until the receipt, with what a closed loop did not see put back; and the interval by which that was done.
    ///
    /// **Source:** Gil Tene's correction for coordinated omission: a client that waited longer than usual would have
    /// sent more orders meanwhile, and they would have waited as well. What is usual is the median.
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

    /// CPU time per order that was accepted in the measured time.
    ///
    /// **Units:** microseconds.
    fn cpu_us_per_order(&self, cost: &Cost) -> Option<f64> {
        let orders = self.tally.measured.accepted;
        cost.cpu.filter(|_| orders > 0).map(|cpu| 1e6 * cpu.as_secs_f64() / orders as f64)
    }

    /// The shop's processes, and the bench.
    fn costs(&self) -> impl Iterator<Item = &Cost> {
        self.window.processes.iter().chain([&self.own])
    }
}

/// What the service counted against what its clients were told.
fn disagreement(reported: &Counts, placed: u64) -> Option<String> {
    let (least, most) = (reported.accepted, reported.accepted.saturating_add(reported.unknown));
    if placed < least {
        return Some(format!(
            "clients saw {least} accepted orders, but the service counts {placed}: a process restarted, \
             or --metrics-url does not name every process"
        ));
    }
    (placed > most)
        .then(|| format!("the service counts {placed} orders, but this run placed {most}: other clients place orders too"))
}

fn per(count: f64, seconds: f64) -> f64 {
    if seconds > 0.0 { count / seconds } else { 0.0 }
}

pub(super) fn milliseconds(us: u64) -> f64 {
    us as f64 / 1000.0
}

#[cfg(test)]
mod tests;
