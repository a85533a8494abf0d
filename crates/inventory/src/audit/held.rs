//! INV-3 at a stock key with too many allocations to count in one snapshot.

use contract::OrderId;
use inventory_core::stock::{Cause, Movement};
use platform::audit::Findings;
use platform::failure::Failure;

use super::ledger::{read, take};
use crate::store::{AuditStore, HeldAudit, StockKey};

/// Adds up the units that orders hold at one stock key, page by page, while its stock moves.
///
/// Each page comes from its own snapshot. What the orders of earlier pages did after that is in the
/// ledger, which the same transactions wrote. Adding those movements makes the sum valid for the
/// snapshot of the last page. A stock key that moves too fast for this is skipped in this round.
#[derive(Debug)]
pub(super) struct Held {
    stock_key: StockKey,
    /// The units held by orders up to `up_to`, as of the movement `as_of`.
    units: i64,
    up_to: Option<OrderId>,
    as_of: i64,
    /// The next page, until the sum is valid for its snapshot.
    page: Option<HeldAudit>,
    /// How many more movements may be read. Each counted order adds one.
    patience: u32,
}

/// The result of a step.
#[derive(Debug)]
pub(super) enum Counted {
    /// The budget is used up; continue in the next step.
    NotYet,
    /// What the level says is reserved, and what reservations hold.
    All { reserved: i64, held: i64 },
    /// Stock moved faster than it could be counted.
    InVain,
}

impl Held {
    pub(super) fn at(stock_key: StockKey, patience: u32) -> Self {
        Self { stock_key, units: 0, up_to: None, as_of: 0, page: None, patience }
    }

    /// Reads no more than `left` rows.
    pub(super) async fn read(
        &mut self,
        store: &dyn AuditStore,
        left: &mut u32,
        findings: &mut Findings,
    ) -> Result<Counted, Failure> {
        loop {
            if self.page.is_none() {
                if *left == 0 {
                    return Ok(Counted::NotYet);
                }
                let page = store.held_at(self.stock_key.clone(), self.up_to, *left).await?;
                take(left, findings, page.allocations);
                self.patience = self
                    .patience
                    .saturating_add(u32::try_from(page.allocations).unwrap_or(u32::MAX));
                if self.up_to.is_none() {
                    self.as_of = page.level.last_seq;
                }
                self.page = Some(page);
            }
            let Some(page) = self.page else { return Ok(Counted::NotYet) };
            while self.as_of < page.level.last_seq {
                if i64::from(self.patience) < page.level.last_seq - self.as_of {
                    return Ok(Counted::InVain);
                }
                if *left == 0 {
                    return Ok(Counted::NotYet);
                }
                let movements =
                    read(store, &self.stock_key, self.as_of, page.level.last_seq, *left).await?;
                take(left, findings, movements.len());
                self.patience = self
                    .patience
                    .saturating_sub(u32::try_from(movements.len()).unwrap_or(u32::MAX));
                // An incomplete ledger is reported by the check of INV-2.
                let Some(last) = movements.last() else { break };
                self.units += movements
                    .iter()
                    .map(|movement| self.since_it_was_counted(movement))
                    .sum::<i64>();
                self.as_of = last.seq();
            }
            self.page = None;
            self.units += page.units;
            self.as_of = page.level.last_seq;
            match page.more_after {
                None => {
                    return Ok(Counted::All { reserved: page.level.reserved, held: self.units });
                }
                more => self.up_to = more,
            }
        }
    }

    fn since_it_was_counted(&self, movement: &Movement) -> i64 {
        match movement.cause {
            Cause::Order(order_id) if Some(order_id) <= self.up_to => movement.deltas.reserved,
            Cause::Order(_) | Cause::Request(_) => 0,
        }
    }
}
