//! The report for scripts: one JSON document.

use serde_json::{Map, Value, json};

use super::{Report, milliseconds};
use crate::bench::load::Loop;
use crate::bench::tally::{Counts, Times};
use crate::bench::workload::Popularity;

impl Report {
    /// The report as JSON. Values that do not apply are null. `measured` counts the measured time;
    /// `whole_run` counts from the warm-up until all orders are settled.
    pub(in crate::bench) fn json(&self) -> Value {
        let problems = self.problems();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "ok": problems.is_empty(),
            "problems": problems,
            "setting": self.setting_json(),
            "interrupted": self.interrupted,
            "measured_seconds": self.lasted.as_secs_f64(),
            "measured": self.measured_json(),
            "whole_run": self.whole_json(),
            "changes": self.changes_json(),
            "latency_ms": self.latency_json(),
            "commands_per_commit": self.batches_json(),
            "processes": self.processes_json(),
            "audit": self.audit_json(),
        })
    }

    fn setting_json(&self) -> Value {
        let its = &self.setting;
        let kind = match its.kind {
            Loop::Closed { clients } => json!({"kind": "closed", "clients": clients}),
            Loop::Open { rate, connections } => {
                json!({"kind": "open", "rate": rate, "connections": connections})
            }
        };
        let zipf = matches!(its.popularity, Popularity::Zipf).then_some(its.zipf_exponent);
        json!({
            "shop": its.shop,
            "loop": kind,
            "seed": its.seed,
            "warm_up_seconds": its.warm_up.as_secs_f64(),
            "products": its.products,
            "popularity": format!("{:?}", its.popularity).to_lowercase(),
            "zipf_exponent": zipf,
            "lines": [its.lines.0, its.lines.1],
            "stock": its.stock,
            "settle_sample_percent": its.settle_sample,
            "changes_percent": its.changes,
        })
    }

    fn measured_json(&self) -> Value {
        let seen = &self.tally.measured;
        let window = &self.window;
        let mut object = counts(seen);
        object.insert("accepted_per_second".to_owned(), json!(self.rate(seen.accepted)));
        object.insert("confirmed".to_owned(), json!(window.confirmed));
        object.insert(
            "confirmed_per_second".to_owned(),
            json!(self.rate_of_services(window.confirmed)),
        );
        object.insert("rejected".to_owned(), json!(window.rejected));
        object.insert(
            "rejected_per_second".to_owned(),
            json!(self.rate_of_services(window.rejected)),
        );
        object.into()
    }

    fn whole_json(&self) -> Value {
        let mut object = counts(&self.tally.whole);
        object.insert("unsent".to_owned(), json!(self.tally.unsent));
        object.insert("placed".to_owned(), json!(self.whole.placed));
        object.insert("confirmed".to_owned(), json!(self.whole.confirmed));
        object.insert("reserved".to_owned(), json!(self.whole.reserved));
        object.insert("rejected".to_owned(), json!(self.whole.rejected));
        object.insert("commands_pending".to_owned(), json!(self.whole.pending));
        object.insert("settled_after_seconds".to_owned(), json!(self.settled_after.as_secs_f64()));
        object.into()
    }

    fn changes_json(&self) -> Value {
        let changes = &self.tally.changes;
        json!({
            "done": changes.done,
            "measured_per_second": self.rate(changes.measured),
            "errors": changes.errors,
            "latency_ms": times(&changes.times),
        })
    }

    fn latency_json(&self) -> Value {
        let (receipts, usual) = self.receipts();
        let correction = if usual.is_some() { "expected_interval" } else { "intended_arrival" };
        json!({
            "correction": correction,
            "expected_interval": usual.map(milliseconds),
            "receipt": times(&receipts),
            "receipt_as_measured": usual.map(|_| times(&self.tally.receipts)),
            "outcome": times(&self.tally.outcomes),
            "sent_too_late_by": usual.is_none().then(|| times(&self.tally.held)),
        })
    }

    fn batches_json(&self) -> Value {
        let object = self.window.batches.iter().map(|(service, sizes)| {
            let object = json!({
                "mean": sizes.mean(),
                "p50_at_most": sizes.at_most(0.5),
                "p99_at_most": sizes.at_most(0.99),
                "commits": sizes.count(),
            });
            (service.clone(), object)
        });
        object.collect::<Map<_, _>>().into()
    }

    fn processes_json(&self) -> Value {
        let object = self.costs().map(|cost| {
            json!({
                "name": cost.process,
                "cpu_seconds": cost.cpu.map(|cpu| cpu.as_secs_f64()),
                "cpu_us_per_order": self.cpu_us_per_order(cost),
                "resident_bytes": cost.resident_bytes,
            })
        });
        object.collect()
    }

    fn audit_json(&self) -> Value {
        let Some(audit) = &self.audit else { return Value::Null };
        let findings = audit.findings().map(
            |(name, checked, violations)| json!({"invariant": name, "checked": checked, "violations": violations}),
        );
        json!({"clean": audit.is_clean(), "invariants": findings.collect::<Vec<_>>()})
    }
}

fn counts(its: &Counts) -> Map<String, Value> {
    let object = [
        ("sent", json!(its.sent)),
        ("accepted", json!(its.accepted)),
        ("shed", json!(its.shed)),
        ("failed", json!(its.failed())),
        ("errors", json!(its.errors)),
        ("unsettled", json!(its.unsettled)),
    ];
    object.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn times(its: &Times) -> Value {
    let at = |quantile| (!its.is_empty()).then(|| milliseconds(its.value_at_quantile(quantile)));
    json!({
        "p50": at(0.5),
        "p90": at(0.9),
        "p99": at(0.99),
        "p99_9": at(0.999),
        "max": at(1.0),
        "samples": its.len(),
    })
}
