//! What an auditor has done since its process started, for operators who ask.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use super::{Findings, Invariant, Progress, Violation};
use crate::clock::Timestamp;
use crate::failure::Failure;

/// How many offenders are kept.
pub const MAX_OFFENDERS: usize = 100;

/// What an auditor has done. The auditor and those who report it share one.
#[derive(Debug)]
pub struct AuditState(Mutex<AuditReport>);

/// What one auditor or several have done since their process started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditReport {
    /// How many rounds are complete.
    pub rounds: u64,
    /// When the last of them ended.
    pub round_ended_at: Option<Timestamp>,
    /// Whether the auditor runs.
    pub running: bool,
    /// When the last step ended, whatever came out of it.
    pub last_step_at: Option<Timestamp>,
    /// Whether the last step could not read what it was to judge.
    pub failing: bool,
    /// What is checked.
    pub invariants: Vec<InvariantReport>,
    /// What was found last to break an invariant, the newest first.
    pub offenders: VecDeque<Offender>,
}

/// How often an invariant was checked and found broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvariantReport {
    /// The invariant.
    pub invariant: Invariant,
    /// How often it was checked.
    pub checked: u64,
    /// How often it was found broken. A row that stays wrong is found in every round that reads it.
    pub violations: u64,
}

/// What broke an invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offender {
    /// The name of the invariant.
    pub invariant: &'static str,
    /// What breaks it and how.
    pub offender: String,
    /// When it was found last.
    pub found_at: Timestamp,
}

impl AuditState {
    pub(super) fn new(invariants: Vec<Invariant>) -> Self {
        let mut report = AuditReport::default();
        for invariant in invariants {
            report.of(invariant);
        }
        Self(Mutex::new(report))
    }

    /// Returns what the auditor has done until now.
    pub fn report(&self) -> AuditReport {
        self.report_mut().clone()
    }

    /// Notes whether the auditor runs.
    pub(super) fn runs(&self, running: bool) {
        self.report_mut().running = running;
    }

    /// Notes a step, what it found and how it ended.
    pub(super) fn count(
        &self,
        findings: &Findings,
        progress: &Result<Progress, Failure>,
        now: Timestamp,
    ) {
        let mut report = self.report_mut();
        for found in &mut report.invariants {
            found.checked += findings.checked.get(found.invariant.name).copied().unwrap_or(0);
        }
        for violation in &findings.violations {
            report.violated(violation, now);
        }
        report.last_step_at = Some(now);
        report.failing = progress.is_err();
        if let Ok(Progress::RoundOver) = progress {
            report.rounds += 1;
            report.round_ended_at = Some(now);
        }
    }

    fn report_mut(&self) -> MutexGuard<'_, AuditReport> {
        self.0.lock().expect("nothing panics while it counts")
    }
}

impl AuditReport {
    /// Adds what another auditor has done. The rounds stay those of this one.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.running &= other.running;
        self.last_step_at = self.last_step_at.max(other.last_step_at);
        self.failing |= other.failing;
        for added in other.invariants {
            let mine = self.of(added.invariant);
            mine.checked += added.checked;
            mine.violations += added.violations;
        }
        self.offenders.extend(other.offenders);
        self.offenders
            .make_contiguous()
            .sort_by_key(|offender| std::cmp::Reverse(offender.found_at));
        self.offenders.truncate(MAX_OFFENDERS);
        self
    }

    fn of(&mut self, invariant: Invariant) -> &mut InvariantReport {
        let known = self.invariants.iter().position(|its| its.invariant.name == invariant.name);
        let at = known.unwrap_or_else(|| {
            self.invariants.push(InvariantReport { invariant, checked: 0, violations: 0 });
            self.invariants.len() - 1
        });
        &mut self.invariants[at]
    }

    /// An offender that was found before is listed once, with the newest time.
    fn violated(&mut self, violation: &Violation, now: Timestamp) {
        let Violation { invariant, offender } = violation;
        self.of(*invariant).violations += 1;
        let is_same = |its: &Offender| its.invariant == invariant.name && its.offender == *offender;
        if let Some(at) = self.offenders.iter().position(is_same) {
            self.offenders.remove(at);
        }
        self.offenders.push_front(Offender {
            invariant: invariant.name,
            offender: offender.clone(),
            found_at: now,
        });
        self.offenders.truncate(MAX_OFFENDERS);
    }
}
