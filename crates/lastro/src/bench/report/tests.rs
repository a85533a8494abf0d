use std::collections::BTreeMap;

use tokio::time::Instant;

use super::*;
use crate::bench::tally::{Exchange, Response};

const OPEN: Loop = Loop::Open { rate: 100.0, connections: 9 };
const CLOSED: Loop = Loop::Closed { clients: 1 };

fn numbers(placed: u64, confirmed: u64, rejected: u64) -> Numbers {
    let processes = vec![Cost {
        process: "lastro".to_owned(),
        cpu: Some(Duration::from_millis(500)),
        resident_bytes: Some(20 << 20),
    }];
    Numbers {
        at: Instant::now(),
        placed,
        confirmed,
        reserved: 0,
        rejected,
        pending: 0,
        batches: BTreeMap::new(),
        processes,
    }
}

/// A run with these responses and their times in milliseconds, measured for two seconds.
fn report(kind: Loop, answers: &[(Response, u64)], whole: Numbers) -> Report {
    let setting = Setting {
        shop: "a shop".to_owned(),
        kind,
        seed: 1,
        warm_up: Duration::from_secs(1),
        products: 10,
        popularity: Popularity::Uniform,
        zipf_exponent: 1.0,
        lines: (1, 5),
        stock: 100,
        settle_sample: 5.0,
        changes: 0.0,
    };
    let mut tally = Tally::new();
    for (reported, took_ms) in answers {
        let watched = matches!(reported, Response::Accepted { settled: true });
        let held = Duration::ZERO;
        let took = Duration::from_millis(*took_ms);
        tally.count(&Exchange {
            reported: reported.clone(),
            watched,
            timed: true,
            done: true,
            held,
            took,
        });
    }
    Report {
        setting,
        tally,
        window: whole.clone(),
        whole,
        between: Duration::from_secs(2),
        lasted: Duration::from_secs(2),
        interrupted: false,
        own: Cost {
            process: "bench".to_owned(),
            cpu: Some(Duration::from_millis(100)),
            resident_bytes: None,
        },
        settled_after: Duration::from_millis(200),
        audit: Some(audit::Report::default()),
    }
}

fn accepted(count: usize) -> Vec<(Response, u64)> {
    vec![(Response::Accepted { settled: false }, 10); count]
}

fn failed(kind: &str, unknown: bool) -> (Response, u64) {
    (Response::Failed { kind: kind.to_owned(), unknown }, 1)
}

#[test]
fn a_run_in_which_everything_adds_up_has_no_problems() {
    let answers =
        [accepted(4), vec![(Response::Accepted { settled: true }, 40), (Response::Shed, 1)]]
            .concat();
    let report = report(OPEN, &answers, numbers(5, 3, 2));
    assert_eq!(report.problems(), [""; 0]);
    assert_eq!(report.json()["ok"], true);
}

#[test]
fn inconsistent_counts_are_problems() {
    let pending = Numbers { pending: 1, ..numbers(5, 3, 2) };
    for (answers, whole, problems) in [
        (
            accepted(5),
            numbers(5, 3, 1),
            &["orders are unaccounted for: 5 accepted, 3 confirmed, 0 reserved, 1 rejected"][..],
        ),
        (
            accepted(5),
            pending,
            &[
                "orders are unaccounted for: 5 accepted, 3 confirmed, 0 reserved, 2 rejected, 1 commands in flight",
            ],
        ),
        (
            accepted(6),
            numbers(5, 3, 2),
            &["clients saw 6 accepted orders, but the service counts 5"],
        ),
        (
            accepted(4),
            numbers(5, 3, 2),
            &["the service counts 5 orders, but this run placed 4: other clients place orders too"],
        ),
        (
            [accepted(4), vec![failed("timeout", true)]].concat(),
            numbers(5, 3, 2),
            &["1 orders failed"],
        ),
        (
            [accepted(4), vec![failed("503 storage_full", false)]].concat(),
            numbers(5, 3, 2),
            &["the service counts 5 orders, but this run placed 4", "1 orders failed"],
        ),
    ] {
        let reported = report(OPEN, &answers, whole).problems();
        assert_eq!(reported.len(), problems.len(), "{reported:?}");
        assert!(
            reported.iter().zip(problems).all(|(reported, start)| reported.starts_with(start)),
            "{reported:?} for {problems:?}"
        );
    }
}

#[test]
fn a_closed_loop_is_corrected_for_coordinated_omission() {
    // One client: nine quick answers, then one after 900 ms, in which it would have sent 90 orders.
    let answers = [accepted(9), vec![(Response::Accepted { settled: false }, 900)]].concat();
    let closed = report(CLOSED, &answers, numbers(10, 10, 0));
    let (receipts, usual) = closed.receipts();
    assert!((9_990..10_010).contains(&usual.expect("an interval")), "{usual:?}");
    assert!((98..=100).contains(&receipts.len()), "{}", receipts.len());
    assert!(receipts.value_at_quantile(0.5) > 400_000, "half of them would have waited for long");
    let json = closed.json();
    assert_eq!(json["latency_ms"]["correction"], "expected_interval");
    assert_eq!(json["latency_ms"]["receipt_as_measured"]["samples"], 10);
    let (receipts, usual) = report(OPEN, &answers, numbers(10, 10, 0)).receipts();
    assert_eq!((receipts.len(), usual), (10, None));
}

#[test]
fn the_table_shows_every_measurement() {
    let answers = [
        accepted(9),
        vec![
            (Response::Accepted { settled: true }, 40),
            (Response::Shed, 1),
            failed("timeout", true),
        ],
    ]
    .concat();
    let table = report(OPEN, &answers, numbers(10, 7, 3)).to_string();
    let expected = "\
a shop
open loop, Poisson arrivals at 100/s on up to 9 connections; 2.0 s measured after 1.0 s of warm-up
10 products of 100 units, chosen evenly; 1 to 5 lines per order; seed 1

orders                      measured  per second   whole run
  accepted                        10         5.0          10
  confirmed                        7         3.5           7
  rejected                         3         1.5           3
  shed (overloaded)                1         0.5           1
  failed                           1         0.5           1
    timeout                        1                       1

milliseconds                   p50       p90       p99     p99.9       max   samples
  until the receipt          10.01     10.01     10.01     10.01     10.01         9
  until the outcome          40.03     40.03     40.03     40.03     40.03         1
  sent late by                0.00      0.00      0.00      0.00      0.00        12
  measured from the scheduled time of each order, so that no wait is omitted;
  the outcome of 5 % of the orders

commands per commit           mean       p50       p99   commits

processes                    CPU s     cores  µs per order  memory MiB
  lastro                      0.50      0.25         50000        20.0
  bench                       0.10      0.05         10000           -

10 accepted = 7 confirmed + 3 rejected + 0 without an outcome, 0.2 s after the load
";
    let (mine, audit) = table.split_at(table.find("INV-1").expect("the audit"));
    assert_eq!(mine, expected);
    assert!(audit.ends_with("\nFAILED: 1 orders failed\n"), "{audit}");
}

#[test]
fn a_run_without_an_audit_and_without_samples_says_so() {
    let mut nothing = report(CLOSED, &[], numbers(0, 0, 0));
    nothing.audit = None;
    nothing.interrupted = true;
    let table = nothing.to_string();
    for line in [
        "closed loop of 1 clients; 2.0 s measured after 1.0 s of warm-up, interrupted",
        "  until the receipt              -         -         -         -         -         0",
        "The databases were NOT audited: name them, for example with --data-dir.",
    ] {
        assert!(table.lines().any(|its| its == line), "{line} is not in\n{table}");
    }
    let json = nothing.json();
    assert!(json["audit"].is_null() && json["latency_ms"]["receipt"]["p50"].is_null(), "{json:#}");
    assert!(json["processes"][0]["cpu_us_per_order"].is_null(), "{json:#}");
    assert_eq!((&json["interrupted"], &json["ok"]), (&true.into(), &true.into()));
}
