//! What the clients saw: counts, and histograms of times.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

/// The upper bound of the histograms; longer times count as this one.
const LONGEST_US: u64 = 600_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;

/// Times of requests in µs, to three significant digits.
pub(super) type Times = Histogram<u64>;

pub(super) fn times() -> Times {
    Times::new_with_bounds(1, LONGEST_US, SIGNIFICANT_DIGITS)
        .expect("the bounds are those of a histogram")
}

/// The response to one order, as its client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Response {
    /// The order was accepted. `settled`: the response has the outcome.
    Accepted { settled: bool },
    /// 503 `overloaded`: an overloaded service refused the order, as it should.
    Shed,
    /// The request failed. `unknown`: the order may have been accepted all the same.
    Failed { kind: String, unknown: bool },
}

/// Counts of orders by response. `errors` are by kind, such as `timeout` and `503 storage_full`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) sent: u64,
    pub(super) accepted: u64,
    pub(super) shed: u64,
    /// Failed orders that may have been accepted.
    pub(super) unknown: u64,
    /// Watched orders without an outcome in the time that the API grants.
    pub(super) unsettled: u64,
    pub(super) errors: BTreeMap<String, u64>,
}

impl Counts {
    pub(super) fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    fn count(&mut self, reported: &Response, watched: bool) {
        self.sent += 1;
        match reported {
            Response::Accepted { settled } => {
                self.accepted += 1;
                self.unsettled += u64::from(watched && !settled);
            }
            Response::Shed => self.shed += 1,
            Response::Failed { kind, unknown } => {
                self.unknown += u64::from(*unknown);
                *self.errors.entry(kind.clone()).or_default() += 1;
            }
        }
    }
}

/// One order and its response.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub(super) reported: Response,
    /// Whether the client waited for the outcome.
    pub(super) watched: bool,
    /// Whether the order was scheduled in the measured time, so that its latency counts.
    pub(super) timed: bool,
    /// Whether the response came in the measured time, so that it counts as throughput.
    pub(super) done: bool,
    /// The time from the schedule until the order was sent.
    pub(super) held: Duration,
    /// The time from the schedule until the response.
    pub(super) took: Duration,
}

/// All that the clients saw.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    pub(super) whole: Counts,
    pub(super) measured: Counts,
    /// The times until the receipt, of accepted orders.
    pub(super) receipts: Times,
    /// The times until the outcome, of watched orders.
    pub(super) outcomes: Times,
    /// How late orders were sent.
    pub(super) held: Times,
    /// Orders that were due but never sent.
    pub(super) unsent: u64,
    /// What clients did to orders after they were reserved.
    pub(super) changes: Changes,
}

/// Payments, shipments and returns, until Inventory has answered them.
#[derive(Clone, Debug)]
pub(super) struct Changes {
    pub(super) done: u64,
    /// Those in the measured time.
    pub(super) measured: u64,
    /// By kind, such as `timeout` and `409 order_busy`.
    pub(super) errors: BTreeMap<String, u64>,
    pub(super) times: Times,
}

impl Changes {
    fn new() -> Self {
        Self { done: 0, measured: 0, errors: BTreeMap::new(), times: times() }
    }

    /// Counts a change, or its failure.
    pub(super) fn count(&mut self, failure: Option<String>, measured: bool, took: Duration) {
        match failure {
            Some(kind) => *self.errors.entry(kind).or_default() += 1,
            None => {
                self.done += 1;
                if measured {
                    self.measured += 1;
                    record(&mut self.times, took);
                }
            }
        }
    }
}

impl Tally {
    pub(super) fn new() -> Self {
        let whole = Counts::default();
        let measured = Counts::default();
        Self {
            whole,
            measured,
            receipts: times(),
            outcomes: times(),
            held: times(),
            unsent: 0,
            changes: Changes::new(),
        }
    }

    pub(super) fn count(&mut self, exchange: &Exchange) {
        let Exchange { reported, watched, timed, done, held, took } = exchange;
        self.whole.count(reported, *watched);
        if *done {
            self.measured.count(reported, *watched);
        }
        if !timed {
            return;
        }
        record(&mut self.held, *held);
        match reported {
            Response::Accepted { .. } if !watched => record(&mut self.receipts, *took),
            Response::Accepted { settled: true } => record(&mut self.outcomes, *took),
            _ => {}
        }
    }

    /// Counts an order that waited for a connection until the end. Without it an overloaded service
    /// would look fast, so it counts with the time that it waited.
    pub(super) fn never_sent(&mut self, timed: bool, waited: Duration) {
        self.unsent += 1;
        if timed {
            record(&mut self.held, waited);
            record(&mut self.receipts, waited);
        }
    }
}

fn record(times: &mut Times, time: Duration) {
    times.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(reported: Response, watched: bool, measured: bool, took_ms: u64) -> Exchange {
        let timed = measured;
        let done = measured;
        let took = Duration::from_millis(took_ms);
        Exchange { reported, watched, timed, done, held: Duration::ZERO, took }
    }

    #[test]
    fn receipts_and_outcomes_are_timed_apart_and_the_warm_up_is_not() {
        let mut tally = Tally::new();
        let accepted = |settled| Response::Accepted { settled };
        tally.count(&exchange(accepted(false), false, false, 900));
        tally.count(&exchange(accepted(false), false, true, 5));
        tally.count(&exchange(accepted(true), true, true, 20));
        tally.count(&exchange(accepted(false), true, true, 30_000));
        tally.count(&exchange(Response::Shed, false, true, 1));
        assert_eq!((tally.whole.sent, tally.whole.accepted, tally.measured.accepted), (5, 4, 3));
        assert_eq!((tally.measured.shed, tally.measured.unsettled), (1, 1));
        assert_eq!((tally.receipts.len(), tally.outcomes.len(), tally.held.len()), (1, 1, 4));
        assert!(
            (5_000..5_010).contains(&tally.receipts.max())
                && (20_000..20_020).contains(&tally.outcomes.max())
        );
    }

    #[test]
    fn an_order_of_the_warm_up_that_is_answered_later_is_work_of_the_measured_time() {
        let mut tally = Tally::new();
        let late = exchange(Response::Accepted { settled: false }, false, true, 5);
        tally.count(&Exchange { timed: false, ..late.clone() });
        assert_eq!((tally.measured.accepted, tally.receipts.len()), (1, 0));
        tally.count(&Exchange { done: false, ..late });
        assert_eq!(
            (tally.measured.accepted, tally.receipts.len(), tally.whole.accepted),
            (1, 1, 2)
        );
    }

    #[test]
    fn errors_are_counted_by_kind() {
        let mut tally = Tally::new();
        for (kind, unknown) in [("timeout", true), ("503 storage_full", false), ("timeout", true)] {
            let reported = Response::Failed { kind: kind.to_owned(), unknown };
            tally.count(&exchange(reported, false, true, 1));
        }
        let expected =
            BTreeMap::from([("503 storage_full".to_owned(), 1), ("timeout".to_owned(), 2)]);
        assert_eq!((tally.whole.failed(), tally.whole.unknown), (3, 2));
        assert_eq!(tally.measured.errors, expected);
        assert!(tally.receipts.is_empty());
    }

    #[test]
    fn what_was_never_sent_is_not_left_out_of_the_times() {
        let mut tally = Tally::new();
        tally.never_sent(true, Duration::from_secs(2));
        tally.never_sent(false, Duration::from_secs(9));
        assert_eq!((tally.unsent, tally.receipts.len(), tally.whole.sent), (2, 1, 0));
    }

    #[test]
    fn a_time_beyond_all_bounds_counts_as_the_longest() {
        let mut tally = Tally::new();
        tally.never_sent(true, Duration::MAX);
        assert!(tally.receipts.max() >= LONGEST_US);
    }
}
