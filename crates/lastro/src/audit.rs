//! The audit of both databases: the audit of each service, and the checks that need both.
//!
//! Two databases have no common snapshot. The audit reads each page in a short transaction and
//! judges a row that changed between two reads by its history. Only a state that no interleaving
//! explains is a violation.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use inventory::audit::{INV_1, INV_2, INV_3, INV_8, INV_10, INV_11, InventoryAudit};
use inventory::store::StockAuditStore;
use orders::audit::{INV_4, INV_7, INV_9, OrdersAudit};
use orders::store::{Backlog, OrderAuditStore};
use platform::audit::{
    Audit, AuditSequence, Findings, INV_13, Invariant, JournalAudit, MAX_NAMED, Progress,
    ReadBudget, Unchecked,
};
use platform::failure::Failure;

mod agreement;

pub(crate) use agreement::{Agreement, INV_5};

/// The invariants that can be checked in the databases alone. Both services check INV-10 of what they
/// know of an order.
const ALL: [Invariant; 11] =
    [INV_1, INV_2, INV_3, INV_4, INV_5, INV_7, INV_8, INV_9, INV_10, INV_11, INV_13];

/// All audits, one after the other.
pub(crate) fn audits(
    orders: Arc<dyn OrderAuditStore>,
    inventory: Arc<dyn StockAuditStore>,
    budget: ReadBudget,
) -> AuditSequence {
    AuditSequence::new(vec![
        Box::new(InventoryAudit::new(inventory.clone(), budget)),
        Box::new(JournalAudit::new(inventory.clone(), budget)),
        Box::new(OrdersAudit::new(orders.clone(), budget)),
        Box::new(JournalAudit::new(orders.clone(), budget)),
        Box::new(Agreement::new(orders, inventory, budget)),
    ])
}

/// The findings of one round of the audit.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) rows: u64,
    tallies: BTreeMap<&'static str, Tally>,
    pub(crate) backlog: Backlog,
}

#[derive(Clone, Debug, Default)]
struct Tally {
    checked: u64,
    violations: u64,
    named: Vec<String>,
    unchecked: Vec<String>,
}

impl Report {
    /// Adds the findings of a step. Returns the offenders that are named in the report.
    pub(crate) fn absorb(&mut self, findings: Findings) -> Vec<(&'static str, String)> {
        self.rows += findings.rows;
        for (name, count) in findings.checked {
            self.tallies.entry(name).or_default().checked += count;
        }
        for Unchecked { invariant, why } in findings.unchecked {
            self.tallies.entry(invariant.name).or_default().unchecked.push(why);
        }
        let mut named = Vec::new();
        for violation in findings.violations {
            let tally = self.tallies.entry(violation.invariant.name).or_default();
            tally.violations += 1;
            if tally.named.len() < MAX_NAMED {
                tally.named.push(violation.offender.clone());
                named.push((violation.invariant.name, violation.offender));
            }
        }
        named
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.has_no_violation() && self.tallies.values().all(|tally| tally.unchecked.is_empty())
    }

    pub(crate) fn has_no_violation(&self) -> bool {
        self.findings().all(|(_, _, violations)| violations == 0)
    }

    /// Each invariant: its name, how many items were checked, and how many violated it.
    pub(crate) fn findings(&self) -> impl Iterator<Item = (&'static str, u64, u64)> {
        ALL.into_iter().map(|invariant| {
            let tally = self.tally(invariant);
            (invariant.name, tally.checked, tally.violations)
        })
    }

    /// How many items were checked for an invariant.
    pub(crate) fn checked(&self, invariant: Invariant) -> u64 {
        self.tally(invariant).checked
    }

    fn tally(&self, invariant: Invariant) -> Tally {
        self.tallies.get(invariant.name).cloned().unwrap_or_default()
    }
}

impl fmt::Display for Report {
    /// One line per invariant with its count, and the first offenders below it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for invariant in ALL {
            let Invariant { name, says, counted } = invariant;
            let tally = self.tally(invariant);
            let verdict = match tally.violations {
                0 if tally.unchecked.is_empty() => "ok",
                0 => "PARTLY",
                _ => "VIOLATED",
            };
            write!(f, "{name:<6} {verdict:<8}  {says} ({} {counted}", tally.checked)?;
            match tally.violations {
                0 => writeln!(f, ")")?,
                many => writeln!(f, ", {many} violations)")?,
            }
            for line in tally.named.iter().chain(&tally.unchecked) {
                writeln!(f, "         {line}")?;
            }
        }
        let Backlog { commands, oldest_age } = self.backlog;
        writeln!(f, "pending commands: {commands}, oldest {:.1} s", oldest_age.as_secs_f64())
    }
}

/// Audits both databases, once and without pauses.
///
/// # Errors
///
/// A database could not be read. The findings so far are dropped. The caller may retry.
pub(crate) async fn audit_once(
    orders: Arc<dyn OrderAuditStore>,
    inventory: Arc<dyn StockAuditStore>,
) -> Result<Report, Failure> {
    let mut audits = audits(orders.clone(), inventory, ReadBudget::LONG);
    let mut report = round(&mut audits).await?;
    report.backlog = orders.backlog().await?;
    Ok(report)
}

/// Runs one round of an audit.
async fn round(audit: &mut dyn Audit) -> Result<Report, Failure> {
    let mut report = Report::default();
    loop {
        let mut findings = Findings::default();
        let progress = audit.step(&mut findings).await?;
        report.absorb(findings);
        if progress == Progress::RoundOver {
            return Ok(report);
        }
    }
}

#[cfg(test)]
mod tests;
