//! INV-13: the journals, checked on the rows themselves after each commit: a second opinion that
//! shares no code with the audit.

use std::collections::BTreeMap;

use contract::OrderId;
use uuid::Uuid;

use crate::databases::{Databases, MovementRow, OrderRow, StockKey};
use crate::node::Service;
use crate::states::{Violation, broken};

/// What the journal of orders has so far: it is read once.
#[derive(Debug, Default)]
pub(crate) struct OrderJournal {
    last: i64,
    recorded: BTreeMap<OrderId, Vec<u8>>,
}

/// What entries are, in the order of their codes, from 1 on.
const KINDS: [&str; 19] = [
    "received",
    "confirmed",
    "rejected",
    "cancelling",
    "cancelled",
    "fulfilling",
    "fulfilled",
    "reserved",
    "expiring",
    "expired",
    "reviving",
    "paid",
    "refunded",
    "cancellation.created",
    "shipment.created",
    "shipment.tracked",
    "shipment.cancelled",
    "return.created",
    "amended",
];

fn code(kind: &str) -> u8 {
    let at = KINDS.iter().position(|one| *one == kind).expect("it is one of all");
    u8::try_from(at + 1).expect("a few")
}

impl OrderJournal {
    /// Reads what is new: every number is there, and the entries of an order follow one another.
    pub(crate) fn read_on(&mut self, databases: &Databases) -> Result<(), Violation> {
        for (number, entries) in databases.journal(Service::Orders, self.last) {
            if number != self.last + 1 {
                return broken("INV-13", format!("row {number} follows row {}", self.last));
            }
            self.last = number;
            if entries.is_empty() || entries.len() % 21 != 0 {
                return broken("INV-13", format!("row {number} of orders is {entries:?}"));
            }
            for entry in entries.chunks(21) {
                let order_id = OrderId(Uuid::from_slice(&entry[..16]).expect("16 bytes"));
                let seq = u32::from_be_bytes(entry[16..20].try_into().expect("4 bytes"));
                let recorded = self.recorded.entry(order_id).or_default();
                recorded.push(entry[20]);
                if recorded.len() != seq as usize {
                    let what =
                        format!("entry {seq} of order {order_id} is its {}. one", recorded.len());
                    return broken("INV-13", what);
                }
            }
        }
        Ok(())
    }

    /// The journal has the whole history of the order, and nothing else.
    pub(crate) fn check(
        &self,
        order_id: OrderId,
        order: Option<&OrderRow>,
    ) -> Result<(), Violation> {
        let recorded = self.recorded.get(&order_id).map(Vec::as_slice).unwrap_or_default();
        let registers = order.map(OrderRow::registers).transpose()?;
        let kinds = registers.map(|registers| registers.kinds).unwrap_or_default();
        if kinds.into_iter().map(code).eq(recorded.iter().copied()) {
            Ok(())
        } else {
            broken("INV-13", format!("the journal tells {recorded:?} of {order_id}: {order:?}"))
        }
    }
}

/// The journal of stock covers every movement once, in the order of its ledger.
pub(crate) fn check_stock(
    databases: &Databases,
    movements: &BTreeMap<i64, MovementRow>,
) -> Result<(), Violation> {
    let mut covered: BTreeMap<&StockKey, i64> = BTreeMap::new();
    for ((number, entries), expected) in databases.journal(Service::Inventory, 0).iter().zip(1..) {
        if *number != expected || entries.is_empty() || entries.len() % 12 != 0 {
            return broken("INV-13", format!("row {expected} of stock is {number}: {entries:?}"));
        }
        for entry in entries.chunks(12) {
            let last = i64::from_be_bytes(entry[..8].try_into().expect("8 bytes"));
            let count = i64::from(u32::from_be_bytes(entry[8..].try_into().expect("4 bytes")));
            let Some(movement) = movements.get(&last) else {
                return broken("INV-13", format!("row {number} names movement {last}"));
            };
            let before = covered.insert(&movement.key, movement.after.seq).unwrap_or(0);
            if before + count != movement.after.seq || count == 0 {
                let what = format!("{count} movements follow {before}, up to {movement:?}");
                return broken("INV-13", what);
            }
        }
    }
    let mut ends: BTreeMap<&StockKey, i64> = BTreeMap::new();
    for movement in movements.values() {
        ends.insert(&movement.key, movement.after.seq);
    }
    if covered == ends {
        Ok(())
    } else {
        broken("INV-13", format!("the journal covers {covered:?}, the ledgers end at {ends:?}"))
    }
}
