//! INV-3 at a stock key where so much was ever promised that no snapshot should have to count it
//! all.

use contract::OrderId;
use inventory_core::stock::{Cause, Movement};
use platform::audit::Findings;
use platform::failure::Failure;

use super::ledger::{read, take};
use crate::store::{AuditStore, HeldAudit, StockKey};

/// Adds up what is held at one stock key, order by order, while the stock key goes on moving.
///
/// Each page is from a snapshot of its own. What the orders of earlier pages have done since is in
/// the ledger, which the same transactions wrote; so it is added from there, and in the end all
/// pages speak of the moment of the last. A stock key that moves faster than that can be followed
/// is left alone until the next round.
#[derive(Debug)]
pub(super) struct Held {
    stock_key: StockKey,
    /// By orders up to `up_to`, as of the movement `as_of`.
    units: i64,
    up_to: Option<OrderId>,
    as_of: i64,
    /// The next page, until the sum speaks of its moment.
    page: Option<HeldAudit>,
    /// How many more movements may be followed. Each order that is counted earns another one.
    patience: u32,
}

/// What has come of it.
#[derive(Debug)]
pub(super) enum Counted {
    NotYet,
    /// What the level says is reserved, and what reservations hold.
    All {
        reserved: i64,
        held: i64,
    },
    /// More has moved meanwhile than was counted.
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
                // A ledger that is not whole is told of as such.
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
