//! The audit of a service's books while it runs: a few rows per step, round after round, for as
//! long as the process lives.
//!
//! What must hold is known by whoever owns the books ([`Audit`]). How much is read at once and how
//! long the pauses are is known here, and is the same wherever books are walked beside a running
//! service.

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

mod numbers;
mod table;
mod walk;

pub use numbers::AuditNumbers;
pub use table::{Table, look_up, read_page};
pub use walk::{Page, Walk};

/// Of the time, one part in so many is spent on steps.
const SHARE: u32 = 50;
/// Between two steps, however quick they are.
const MIN_PAUSE: Duration = Duration::from_millis(20);
/// However slow they are: a step that takes this long waits for something, and reads no more than
/// any other.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// Between two rounds: small books need not be read all the time.
const BETWEEN_ROUNDS: Duration = Duration::from_secs(2);
/// Before a step that failed is tried again.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Offenders that are named per invariant and round; the rest is counted.
pub const MAX_NAMED: usize = 10;

/// Something that must hold at every moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invariant {
    /// Its number, the same everywhere: `INV-1`.
    pub name: &'static str,
    pub says: &'static str,
    /// What is counted for it, in the plural.
    pub counted: &'static str,
}

/// How much may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBudget {
    /// In one step: rows of one page.
    pub page: u32,
    /// In one step: rows of what lies below them, of ledgers and of what is held.
    pub below: u32,
    /// In one round, of a table or a ledger: rows that are new, and as many that are older.
    pub round: u32,
}

impl ReadBudget {
    /// Beside requests.
    pub const SHORT: Self = Self { page: 100, below: 1_000, round: 5_000 };
    /// For somebody who waits for the result, and wants all of it.
    pub const LONG: Self = Self { page: 500, below: 5_000, round: u32::MAX };
}

/// What a step found.
#[derive(Debug, Default)]
pub struct Findings {
    pub rows: u64,
    pub checked: BTreeMap<&'static str, u64>,
    pub violations: Vec<Violation>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub invariant: Invariant,
    /// Who broke it and how, in one line.
    pub offender: String,
}

impl Findings {
    /// So many rows were read.
    pub fn read(&mut self, rows: usize) {
        self.rows += rows as u64;
    }

    pub fn checked(&mut self, invariant: Invariant, count: usize) {
        *self.checked.entry(invariant.name).or_default() += count as u64;
    }

    pub fn violated(&mut self, invariant: Invariant, offender: impl fmt::Display) {
        self.violations.push(Violation { invariant, offender: offender.to_string() });
    }

    /// Notes an offender unless `holds`.
    pub fn demand(&mut self, invariant: Invariant, holds: bool, offender: impl FnOnce() -> String) {
        if !holds {
            self.violated(invariant, offender());
        }
    }

    /// What was read, if it can be: a row that makes no sense is an offender, and no reason to stop
    /// in front of it.
    ///
    /// # Errors
    ///
    /// Anything but [`Failure::Suspect`].
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

/// Where a walk stands after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    UnderWay,
    /// What a round reads has been judged; the next step begins anew.
    RoundOver,
}

/// Audit that can be walked.
///
/// A step reads a bounded number of rows and judges only what it read from one snapshot, or what
/// never changes; so nothing that is in flux is ever called a violation. A round ends, however fast
/// the books grow. What a step found counts, also if it then failed: the next step goes on from
/// where it came to.
#[async_trait]
pub trait Audit: Send + fmt::Debug {
    /// What is judged here.
    fn invariants(&self) -> Vec<Invariant>;

    /// Reads and judges the next few rows.
    ///
    /// # Errors
    ///
    /// Something could not be read. May be repeated.
    async fn step(&mut self, findings: &mut Findings) -> Result<Progress, Failure>;
}

/// One after the other.
#[derive(Debug)]
pub struct AuditSequence {
    books: Vec<Box<dyn Audit>>,
    open: usize,
}

impl AuditSequence {
    pub fn new(books: Vec<Box<dyn Audit>>) -> Self {
        Self { books, open: 0 }
    }
}

#[async_trait]
impl Audit for AuditSequence {
    fn invariants(&self) -> Vec<Invariant> {
        self.books.iter().flat_map(|books| books.invariants()).collect()
    }

    async fn step(&mut self, findings: &mut Findings) -> Result<Progress, Failure> {
        if let Some(books) = self.books.get_mut(self.open)
            && books.step(findings).await? == Progress::UnderWay
        {
            return Ok(Progress::UnderWay);
        }
        self.open = (self.open + 1) % self.books.len().max(1);
        Ok(if self.open == 0 { Progress::RoundOver } else { Progress::UnderWay })
    }
}

/// How long to leave the database alone after a step that took so long.
pub fn pause(progress: &Result<Progress, Failure>, took: Duration) -> Duration {
    let fair = (took * (faults::audit_share(SHARE) - 1)).clamp(MIN_PAUSE, MAX_PAUSE);
    match progress {
        Ok(Progress::UnderWay) => fair,
        Ok(Progress::RoundOver) => fair.max(BETWEEN_ROUNDS),
        Err(_) => fair.max(AFTER_FAILURE),
    }
}

/// A worker that walks books, counts what it finds, and names it in the log.
#[derive(Debug)]
pub struct Auditor {
    /// Whose books they are.
    service: &'static str,
    books: Box<dyn Audit>,
    numbers: AuditNumbers,
    clock: Arc<dyn Clock>,
    /// How many offenders were named in this round.
    named: BTreeMap<&'static str, usize>,
    failing: bool,
}

impl Auditor {
    /// The numbers stand at zero from now on.
    pub fn new(
        service: &'static str,
        books: Box<dyn Audit>,
        numbers: AuditNumbers,
        clock: Arc<dyn Clock>,
    ) -> Self {
        numbers.start_at_zero(service, &books.invariants());
        Self { service, books, numbers, clock, named: BTreeMap::new(), failing: false }
    }

    /// Walks until `shutdown`.
    ///
    /// # Errors
    ///
    /// [`Failure::Fatal`] only; the process must end (R18).
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), Failure> {
        while !shutdown.is_cancelled() {
            let begun = Instant::now();
            let progress = tokio::select! {
                biased;
                // A read that is given up changes nothing.
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

    /// One step, and word of what it found.
    pub async fn tick(&mut self) -> Result<Progress, Failure> {
        let mut findings = Findings::default();
        let progress = self.books.step(&mut findings).await;
        self.numbers.count(self.service, &findings, &progress, self.clock.now());
        self.tell(findings.violations);
        // One line when it begins and one when it is over, however long it lasts.
        match (&progress, self.failing) {
            (Err(failure), false) => self.complain(failure),
            (Ok(_), true) => warn!(service = self.service, "the audit reads again"),
            _ => {}
        }
        self.failing = progress.is_err();
        if let Ok(Progress::RoundOver) = progress {
            debug!(service = self.service, "a round of the audit is over");
            self.named.clear();
        }
        progress
    }

    fn complain(&self, failure: &Failure) {
        let (service, error) = (self.service, Chain(failure));
        if let Failure::Suspect(_) = failure {
            // A row that makes no sense; nobody but an operator will change that.
            error!(service, %error, "the audit cannot read this; it goes on trying");
        } else {
            warn!(service, %error, "the audit cannot read; it goes on trying");
        }
    }

    fn tell(&mut self, violations: Vec<Violation>) {
        for Violation { invariant, offender } in violations {
            let named = self.named.entry(invariant.name).or_default();
            *named += 1;
            if *named <= MAX_NAMED {
                error!(service = self.service, invariant = invariant.name, %offender, "an invariant does not hold: {}", invariant.says);
            }
        }
    }
}

#[cfg(test)]
mod tests;
