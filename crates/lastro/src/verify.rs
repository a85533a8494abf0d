//! The audit: reads both databases page by page, beside live services, and holds them against the invariants.
//!
//! There is no common snapshot of two databases. Each page is a short transaction, and what moves between two reads is
//! judged by the history that it then has: only what no interleaving explains is a violation.

use std::fmt;

use inventory::store::Store as InventoryStore;
use orders::store::{Backlog, Store as OrdersStore};
use platform::batcher::Failure;

mod agreement;
mod books;
mod rejections;

/// Rows of one page. Memory does not grow with the databases.
const PAGE: u32 = 500;
/// Offenders that are named per invariant; the rest is counted.
const MAX_NAMED: usize = 10;

/// The invariants that the databases themselves can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Invariant {
    Inv1,
    Inv2,
    Inv3,
    Inv4,
    Inv5,
    Inv7,
    Inv8,
}

impl Invariant {
    const ALL: [Self; 7] = [Self::Inv1, Self::Inv2, Self::Inv3, Self::Inv4, Self::Inv5, Self::Inv7, Self::Inv8];

    /// Its number, what it says, and what is counted for it.
    fn text(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Inv1 => ("INV-1", "0 ≤ reserved ≤ on_hand after every movement", "movements"),
            Self::Inv2 => ("INV-2", "stock is the sum of its movements, without gaps", "stock rows"),
            Self::Inv3 => ("INV-3", "what is reserved is held by reservations", "stock rows"),
            Self::Inv4 => ("INV-4", "every order's history is a legal path", "orders"),
            Self::Inv5 => ("INV-5", "both services agree about every order", "orders and reservations"),
            Self::Inv7 => ("INV-7", "a command is pending exactly while one is in flight", "orders"),
            Self::Inv8 => ("INV-8", "every rejection was true", "rejections"),
        }
    }
}

/// What the audit found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    tallies: [Tally; 7],
    pub(crate) backlog: Backlog,
}

#[derive(Debug, Default)]
struct Tally {
    checked: u64,
    violations: u64,
    named: Vec<String>,
}

impl Report {
    fn tally(&mut self, invariant: Invariant) -> &mut Tally {
        &mut self.tallies[invariant as usize]
    }

    fn checked(&mut self, invariant: Invariant, count: usize) {
        self.tally(invariant).checked += count as u64;
    }

    fn violated(&mut self, invariant: Invariant, offender: impl fmt::Display) {
        let tally = self.tally(invariant);
        tally.violations += 1;
        if tally.named.len() < MAX_NAMED {
            tally.named.push(offender.to_string());
        }
    }

    /// Notes an offender unless `holds`.
    fn demand(&mut self, invariant: Invariant, holds: bool, offender: impl FnOnce() -> String) {
        if !holds {
            self.violated(invariant, offender());
        }
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.tallies.iter().all(|tally| tally.violations == 0)
    }

    /// Each invariant: its name, what was checked for it, and how often it was violated.
    pub(crate) fn findings(&self) -> impl Iterator<Item = (&'static str, u64, u64)> {
        let named = Invariant::ALL.into_iter().map(|invariant| invariant.text().0);
        named.zip(&self.tallies).map(|(name, tally)| (name, tally.checked, tally.violations))
    }

    /// How often an invariant was found violated.
    #[cfg(test)]
    pub(crate) fn violations(&self, invariant: Invariant) -> u64 {
        self.tallies[invariant as usize].violations
    }
}

impl fmt::Display for Report {
    /// One line per invariant with what was counted, the first offenders below it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for invariant in Invariant::ALL {
            let (name, says, counted) = invariant.text();
            let tally = &self.tallies[invariant as usize];
            let verdict = if tally.violations == 0 { "ok" } else { "VIOLATED" };
            write!(f, "{name}  {verdict:<8}  {says} ({} {counted}", tally.checked)?;
            match tally.violations {
                0 => writeln!(f, ")")?,
                many => writeln!(f, ", {many} violations)")?,
            }
            for offender in &tally.named {
                writeln!(f, "         {offender}")?;
            }
        }
        let Backlog { commands, oldest_age } = self.backlog;
        writeln!(f, "pending commands: {commands}, oldest {:.1} s", oldest_age.as_secs_f64())
    }
}

/// Audits both databases.
///
/// **Errors:** a database could not be read; whatever was found until then is dropped. May be repeated.
pub(crate) async fn verify(orders: &dyn OrdersStore, inventory: &dyn InventoryStore) -> Result<Report, Failure> {
    let mut report = Report::default();
    books::check(inventory, &mut report).await?;
    agreement::check_orders(orders, inventory, &mut report).await?;
    agreement::check_reservations(orders, inventory, &mut report).await?;
    report.backlog = orders.backlog().await?;
    Ok(report)
}

#[cfg(test)]
mod tests;
