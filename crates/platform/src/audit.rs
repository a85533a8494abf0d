//! The audit of a service's database while the service runs: a few rows per step, round after
//! round.
//!
//! The services implement [`Audit`] and so define what must hold. This module decides how much is
//! read at once and how long the pauses are.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::clock::Clock;
use crate::failure::{Chain, Failure};

mod journal;
mod numbers;
mod state;
mod table;
mod walk;

pub use journal::{INV_13, JournalAudit, JournalAuditStore, JournalKey, Span};
pub use numbers::AuditNumbers;
pub use state::{AuditReport, AuditState, InvariantReport, MAX_OFFENDERS, Offender};
pub use table::{Table, look_up, read_page};
pub use walk::{Page, Walk};

/// The audit spends one part in this many of the time on its steps.
const SHARE: u32 = 50;
/// The shortest pause between two steps.
const MIN_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause between two steps. A step that takes long waits for something; it does not
/// read more than others.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// The shortest pause between two rounds, so that a small database is not read all the time.
const BETWEEN_ROUNDS: Duration = Duration::from_secs(2);
/// The shortest pause after a step that failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// How many violations the log names per invariant and round. All are counted.
pub const MAX_NAMED: usize = 10;

/// A statement about the stored data that must hold at every moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invariant {
    /// Its number, such as `INV-1`.
    pub name: &'static str,
    /// The statement.
    pub says: &'static str,
    /// What it is checked on, in the plural: `orders`.
    pub counted: &'static str,
}

/// How many rows an audit may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBudget {
    /// Rows of one page, which is the most of one step.
    pub page: u32,
    /// Rows in one step that belong to the rows of a page, such as those of a ledger.
    pub below: u32,
    /// New rows of a table or ledger in one round, and as many older ones.
    pub round: u32,
}

impl ReadBudget {
    /// For an audit that runs beside requests.
    pub const SHORT: Self = Self { page: 100, below: 1_000, round: 5_000 };
    /// For an audit whose caller waits for the complete result.
    pub const LONG: Self = Self { page: 500, below: 5_000, round: u32::MAX };
}

/// What a step read and found.
#[derive(Debug, Default)]
pub struct Findings {
    /// How many rows were read.
    pub rows: u64,
    /// How often each invariant was checked, by its name.
    pub checked: BTreeMap<&'static str, u64>,
    /// The violations, in the order in which they were found.
    pub violations: Vec<Violation>,
    /// What a round that should check everything did not check.
    pub unchecked: Vec<Unchecked>,
}

/// A part of an invariant that a round did not check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unchecked {
    /// The invariant.
    pub invariant: Invariant,
    /// What was not checked and why, in one line for an operator.
    pub why: String,
}

/// Data that breaks an invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The invariant.
    pub invariant: Invariant,
    /// What breaks it and how, in one line for an operator.
    pub offender: String,
}

impl Findings {
    /// Counts rows that were read.
    pub fn read(&mut self, rows: usize) {
        self.rows += rows as u64;
    }

    /// Counts checks of an invariant.
    pub fn checked(&mut self, invariant: Invariant, count: usize) {
        *self.checked.entry(invariant.name).or_default() += count as u64;
    }

    /// Notes a violation.
    pub fn violated(&mut self, invariant: Invariant, offender: impl fmt::Display) {
        self.violations.push(Violation { invariant, offender: offender.to_string() });
    }

    /// Notes that a part of an invariant was not checked in this round.
    pub fn left_unchecked(&mut self, invariant: Invariant, why: impl fmt::Display) {
        self.unchecked.push(Unchecked { invariant, why: why.to_string() });
    }

    /// Notes a violation unless `holds`.
    pub fn demand(&mut self, invariant: Invariant, holds: bool, offender: impl FnOnce() -> String) {
        if !holds {
            self.violated(invariant, offender());
        }
    }

    /// Turns a row that cannot be decoded into a violation, so that the audit can go on behind it.
    ///
    /// # Errors
    ///
    /// Returns any failure but [`Failure::Suspect`].
    pub fn readable<T>(
        &mut self,
        invariant: Invariant,
        name: impl fmt::Display,
        read: Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        match read {
            Err(Failure::Suspect(cause)) => {
                let why = Chain(&*cause);
                self.violated(invariant, format!("{name} cannot be read: {why}"));
                Ok(None)
            }
            read => read.map(Some),
        }
    }
}

/// Whether a step has ended the round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The round goes on with the next step.
    UnderWay,
    /// The round is over; the next step begins a new one.
    RoundOver,
}

/// An audit that proceeds in steps.
///
/// A step reads a bounded number of rows. It judges only rows of one snapshot, or rows that never
/// change, so that it never takes a change under way for a violation. A round ends however fast the
/// tables grow. The findings of a step count even if it then fails; the next step goes on from
/// there.
#[async_trait]
pub trait Audit: Send + fmt::Debug {
    /// Returns the invariants that this audit checks.
    fn invariants(&self) -> Vec<Invariant>;

    /// Reads and judges the next few rows.
    ///
    /// # Errors
    ///
    /// Rows could not be read. Call it again after a pause, unless the failure is
    /// [`Failure::Fatal`].
    async fn step(&mut self, findings: &mut Findings) -> Result<Progress, Failure>;
}

/// Several audits that run one after the other as one.
#[derive(Debug)]
pub struct AuditSequence {
    audits: Vec<Box<dyn Audit>>,
    current: usize,
}

impl AuditSequence {
    /// Makes an audit whose round is one round of each of `audits`.
    pub fn new(audits: Vec<Box<dyn Audit>>) -> Self {
        Self { audits, current: 0 }
    }
}

#[async_trait]
impl Audit for AuditSequence {
    fn invariants(&self) -> Vec<Invariant> {
        self.audits.iter().flat_map(|audit| audit.invariants()).collect()
    }

    async fn step(&mut self, findings: &mut Findings) -> Result<Progress, Failure> {
        if let Some(audit) = self.audits.get_mut(self.current)
            && audit.step(findings).await? == Progress::UnderWay
        {
            return Ok(Progress::UnderWay);
        }
        self.current = (self.current + 1) % self.audits.len().max(1);
        Ok(if self.current == 0 { Progress::RoundOver } else { Progress::UnderWay })
    }
}

/// Returns how long to pause after a step with this result that took this long.
pub fn pause(progress: &Result<Progress, Failure>, took: Duration) -> Duration {
    let fair = (took * (faults::audit_share(SHARE) - 1)).clamp(MIN_PAUSE, MAX_PAUSE);
    match progress {
        Ok(Progress::UnderWay) => fair,
        Ok(Progress::RoundOver) => fair.max(BETWEEN_ROUNDS),
        Err(_) => fair.max(AFTER_FAILURE),
    }
}

/// A worker that runs an audit, counts what it finds, and logs violations.
#[derive(Debug)]
pub struct Auditor {
    /// The service's name in metrics and logs.
    service: &'static str,
    audit: Box<dyn Audit>,
    numbers: AuditNumbers,
    state: Arc<AuditState>,
    clock: Arc<dyn Clock>,
    /// How many violations the log has named in this round, by invariant.
    named: BTreeMap<&'static str, usize>,
    failing: bool,
}

impl Auditor {
    /// Makes a worker for `audit` and starts its metrics at zero.
    pub fn new(
        service: &'static str,
        audit: Box<dyn Audit>,
        numbers: AuditNumbers,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let invariants = audit.invariants();
        numbers.start_at_zero(service, &invariants);
        let state = Arc::new(AuditState::new(invariants));
        Self { service, audit, numbers, state, clock, named: BTreeMap::new(), failing: false }
    }

    /// What it has done, for those who report it.
    pub fn state(&self) -> Arc<AuditState> {
        self.state.clone()
    }

    /// Audits until `shutdown`.
    ///
    /// # Errors
    ///
    /// [`Failure::Fatal`] only; the process must end (R18).
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), Failure> {
        let _running = Running::since_now(self.state.clone());
        while !shutdown.is_cancelled() {
            let begun = Instant::now();
            let progress = tokio::select! {
                biased;
                // Abandoning a read changes nothing.
                () = shutdown.cancelled() => break,
                progress = self.tick() => progress,
            };
            if let Err(failure @ Failure::Fatal(_)) = progress {
                return Err(failure);
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(pause(&progress, begun.elapsed())) => {}
            }
        }
        Ok(())
    }

    /// Runs one step of the audit, counts it and logs its violations.
    ///
    /// # Errors
    ///
    /// Those of the step. Call it again after a pause, unless the failure is [`Failure::Fatal`].
    pub async fn tick(&mut self) -> Result<Progress, Failure> {
        let mut findings = Findings::default();
        let progress = self.audit.step(&mut findings).await;
        let now = self.clock.now();
        self.numbers.count(self.service, &findings, &progress, now);
        self.state.count(&findings, &progress, now);
        for Unchecked { invariant, why } in &findings.unchecked {
            warn!(service = self.service, invariant = invariant.name, %why, "audit is not complete");
        }
        self.log_violations(findings.violations);
        // Log only the first failure and the recovery.
        match (&progress, self.failing) {
            (Err(failure), false) => self.log_failure(failure),
            (Ok(_), true) => warn!(service = self.service, "audit step succeeded again"),
            _ => {}
        }
        self.failing = progress.is_err();
        if let Ok(Progress::RoundOver) = progress {
            debug!(service = self.service, "audit round complete");
            self.named.clear();
        }
        progress
    }

    fn log_failure(&self, failure: &Failure) {
        let service = self.service;
        let error = Chain(failure);
        if let Failure::Suspect(_) = failure {
            // A row that cannot be decoded, which only an operator can repair.
            error!(service, %error, "audit cannot read a row, repair it; retrying");
        } else {
            warn!(service, %error, "audit step failed, retrying");
        }
    }

    fn log_violations(&mut self, violations: Vec<Violation>) {
        for Violation { invariant, offender } in violations {
            let named = self.named.entry(invariant.name).or_default();
            *named += 1;
            if *named <= MAX_NAMED {
                error!(
                    service = self.service,
                    invariant = invariant.name,
                    %offender,
                    "audit found a violation of: {}",
                    invariant.says
                );
            }
        }
    }
}

/// Notes that an auditor runs, until it is dropped.
struct Running(Arc<AuditState>);

impl Running {
    fn since_now(state: Arc<AuditState>) -> Self {
        state.runs(true);
        Self(state)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.runs(false);
    }
}

#[cfg(test)]
mod tests;
