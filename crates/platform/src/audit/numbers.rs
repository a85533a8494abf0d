//! The metrics of the auditors.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::{Findings, Invariant, Progress};
use crate::clock::Timestamp;
use crate::failure::Failure;

/// The metrics of the auditors of a process. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct AuditNumbers {
    violations: Family<InvariantLabels, Counter>,
    rows: Family<ServiceLabel, Counter>,
    rounds: Family<ServiceLabel, Counter>,
    failures: Family<ServiceLabel, Counter>,
    last_round: Family<ServiceLabel, Gauge<f64, AtomicU64>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServiceLabel {
    service: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InvariantLabels {
    service: &'static str,
    invariant: &'static str,
}

impl AuditNumbers {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let numbers = Self::default();
        let help = "Violations of invariants found by the audit, counted each time it reads the row; \
                    investigate any increase";
        registry.register("audit_violations", help, numbers.violations.clone());
        registry.register("audit_rows", "Rows read by the audit", numbers.rows.clone());
        registry.register(
            "audit_rounds",
            "Completed rounds of the audit; each reads the new rows and some older ones",
            numbers.rounds.clone(),
        );
        registry.register(
            "audit_failures",
            "Audit steps that failed to read and were retried",
            numbers.failures.clone(),
        );
        let help =
            "Time when the audit last completed a round, since the epoch; 0 before the first";
        registry.register_with_unit(
            "audit_last_round_timestamp",
            help,
            Unit::Seconds,
            numbers.last_round.clone(),
        );
        numbers
    }

    /// Creates all series of a service at zero, one per invariant.
    pub fn start_at_zero(&self, service: &'static str, invariants: &[Invariant]) {
        let label = ServiceLabel { service };
        drop(self.rows.get_or_create(&label));
        drop(self.rounds.get_or_create(&label));
        drop(self.failures.get_or_create(&label));
        drop(self.last_round.get_or_create(&label));
        for invariant in invariants {
            drop(
                self.violations
                    .get_or_create(&InvariantLabels { service, invariant: invariant.name }),
            );
        }
    }

    /// Counts a step of the audit, its findings and its result.
    pub fn count(
        &self,
        service: &'static str,
        findings: &Findings,
        progress: &Result<Progress, Failure>,
        now: Timestamp,
    ) {
        let label = ServiceLabel { service };
        self.rows.get_or_create(&label).inc_by(findings.rows);
        for violation in &findings.violations {
            let invariant = violation.invariant.name;
            self.violations.get_or_create(&InvariantLabels { service, invariant }).inc();
        }
        match progress {
            Ok(Progress::UnderWay) => {}
            Ok(Progress::RoundOver) => {
                self.rounds.get_or_create(&label).inc();
                self.last_round.get_or_create(&label).set(now.since(Timestamp(0)).as_secs_f64());
            }
            Err(_) => {
                self.failures.get_or_create(&label).inc();
            }
        }
    }
}
