//! What both engines keep in the same form: the packed columns of an order, which are JSON.
//!
//! An order's lines are `[["789",2,1999],…]`. Its history is a list of objects, one per entry from
//! the second on. An entry names what changed, in absolute numbers.

use contract::{
    Allocation, Allocations, Digest, LocationId, OrderId, ProductId, Quantity, Revision, Shortage,
    ShortageReason, Wanted, WantedLine,
};
use orders_core::decide::OrderState;
use orders_core::history::{Entry, Event, fold, last_allocated};
use orders_core::order::{Order, OrderLine, Terms};
use orders_core::status::Status;
use serde::{Deserialize, Serialize};
use storage::Misfit;

use super::{OrderAudit, OrderSummary, OrderView, PendingCommand};

/// The rows of one order as an engine reads them, packed columns included.
pub(super) struct PackedOrder {
    pub(super) order_id: OrderId,
    pub(super) customer_id: String,
    pub(super) currency: String,
    pub(super) total_minor: i64,
    pub(super) digest: Digest,
    pub(super) lines: String,
    pub(super) actor: Option<String>,
    pub(super) created_at_micros: i64,
    /// `None` until the first answer or change.
    pub(super) state: Option<PackedState>,
}

/// The row of `order_states`.
pub(super) struct PackedState {
    pub(super) status: String,
    pub(super) revision: i64,
    pub(super) settled: i64,
    pub(super) last_seq: i64,
    pub(super) digest: Option<Digest>,
    pub(super) updated_at_micros: i64,
    pub(super) history: String,
}

/// The rows of one order, decoded. Their columns may still contradict each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredOrder {
    pub(super) order_id: OrderId,
    pub(super) terms: Terms,
    pub(super) digest: Digest,
    pub(super) actor: Option<String>,
    pub(super) created_at_micros: i64,
    pub(super) updated_at_micros: i64,
    pub(super) state: Option<OrderState>,
    pub(super) history: Vec<Entry>,
}

impl PackedOrder {
    /// Decodes the columns.
    ///
    /// # Errors
    ///
    /// [`Misfit`] for the first column that the domain does not allow: the database was edited by
    /// hand, or is damaged.
    pub(super) fn decode(self) -> Result<StoredOrder, Misfit> {
        let id = self.order_id;
        let lines = read_lines(id, &self.lines)?;
        let terms = Terms {
            customer_id: parsed("orders", id, "customer_id", &self.customer_id)?,
            currency: parsed("orders", id, "currency", &self.currency)?,
            total_minor: self.total_minor,
            lines,
        };
        let updated_at_micros =
            self.state.as_ref().map_or(self.created_at_micros, |state| state.updated_at_micros);
        let (state, history) = match self.state {
            Some(state) => {
                let history = read_history(id, &state.history)?;
                (Some(state.decode(id)?), history)
            }
            None => (None, Vec::new()),
        };
        Ok(StoredOrder {
            order_id: id,
            terms,
            digest: self.digest,
            actor: self.actor,
            created_at_micros: self.created_at_micros,
            updated_at_micros,
            state,
            history,
        })
    }
}

impl PackedState {
    fn decode(&self, id: OrderId) -> Result<OrderState, Misfit> {
        const TABLE: &str = "order_states";
        let status = Status::parse(&self.status);
        let revision = u32::try_from(self.revision).ok().and_then(|n| Revision::try_from(n).ok());
        let settled = u32::try_from(self.settled);
        let last_seq = u32::try_from(self.last_seq);
        Ok(OrderState {
            status: status.ok_or_else(|| misfit(TABLE, id, "status", &self.status))?,
            revision: revision.ok_or_else(|| misfit(TABLE, id, "revision", self.revision))?,
            settled: settled
                .map(|number| Revision::try_from(number).ok())
                .map_err(|_| misfit(TABLE, id, "settled", self.settled))?,
            last_seq: last_seq.map_err(|_| misfit(TABLE, id, "last_seq", self.last_seq))?,
            digest: self.digest,
        })
    }
}

impl StoredOrder {
    /// The order as a decision sees it: the fold of its history.
    ///
    /// # Errors
    ///
    /// [`Misfit`] if the history breaks INV-4, or if another column says something else than the
    /// history.
    pub(super) fn order(&self) -> Result<Order, Misfit> {
        let id = self.order_id;
        let registers = fold(&self.terms, &self.history)
            .map_err(|broken| misfit("order_states", id, "history", broken))?;
        let digest = self.state.and_then(|state| state.digest).unwrap_or(self.digest);
        let entries = u32::try_from(self.history.len()).unwrap_or(u32::MAX);
        let order = Order {
            order_id: id,
            terms: self.terms.clone(),
            registers,
            digest,
            last_seq: entries.saturating_add(1),
        };
        match self.state {
            Some(state) if state != order.state() => {
                let reason = "not what its history says";
                Err(misfit("order_states", id, "status, revision, settled or last_seq", reason))
            }
            _ => Ok(order),
        }
    }
}

impl StoredOrder {
    /// The order as the API shows it.
    ///
    /// # Errors
    ///
    /// As [`order`](Self::order).
    pub(super) fn view(self) -> Result<OrderView, Misfit> {
        let order = self.order()?;
        let receipt = order.receipt();
        Ok(OrderView {
            order_id: self.order_id,
            status: receipt.status,
            terms: self.terms,
            allocated: last_allocated(&self.history),
            shortages: receipt.shortages,
            actor: self.actor,
            history: self.history,
            created_at_micros: self.created_at_micros,
            updated_at_micros: self.updated_at_micros,
        })
    }

    /// The order as the audit reads it, with the revision of its pending command and since when
    /// that is pending.
    pub(super) fn audit(self, pending: Option<(i64, i64)>) -> OrderAudit {
        OrderAudit {
            order_id: self.order_id,
            terms: self.terms,
            digest: self.digest,
            state: self.state,
            history: self.history,
            created_at_micros: self.created_at_micros,
            updated_at_micros: self.updated_at_micros,
            pending: pending
                .map(|(revision, since_micros)| PendingCommand { revision, since_micros }),
        }
    }
}

/// The columns of an order in a list.
pub(super) struct PackedSummary {
    pub(super) order_id: OrderId,
    pub(super) customer_id: String,
    pub(super) currency: String,
    pub(super) total_minor: i64,
    /// `None` until the first answer or change.
    pub(super) status: Option<String>,
    pub(super) created_at_micros: i64,
    pub(super) updated_at_micros: i64,
}

impl PackedSummary {
    /// Decodes the columns.
    ///
    /// # Errors
    ///
    /// As [`PackedOrder::decode`].
    pub(super) fn decode(self) -> Result<OrderSummary, Misfit> {
        let id = self.order_id;
        let status = self.status.as_deref().unwrap_or(Status::Received.as_str());
        Ok(OrderSummary {
            order_id: id,
            status: Status::parse(status)
                .ok_or_else(|| misfit("order_states", id, "status", status))?,
            customer_id: parsed("orders", id, "customer_id", &self.customer_id)?,
            currency: parsed("orders", id, "currency", &self.currency)?,
            total_minor: self.total_minor,
            created_at_micros: self.created_at_micros,
            updated_at_micros: self.updated_at_micros,
        })
    }
}

/// What a column of an order cannot mean.
pub(super) fn misfit(
    table: &'static str,
    order_id: OrderId,
    column: &'static str,
    value: impl std::fmt::Display,
) -> Misfit {
    Misfit::new(table, format_args!("of order {order_id}"), column, value)
}

fn parsed<T: std::str::FromStr>(
    table: &'static str,
    id: OrderId,
    column: &'static str,
    text: &str,
) -> Result<T, Misfit> {
    text.parse().map_err(|_| misfit(table, id, column, text))
}

/// The lines of an order as a column.
pub(super) fn write_lines(lines: &[OrderLine]) -> String {
    let packed: Vec<_> = lines
        .iter()
        .map(|line| (line.product_id.as_str(), line.quantity, line.price_minor))
        .collect();
    text(&packed)
}

fn read_lines(id: OrderId, text: &str) -> Result<Vec<OrderLine>, Misfit> {
    let packed: Vec<(ProductId, Quantity, i64)> =
        serde_json::from_str(text).map_err(|error| misfit("orders", id, "lines", error))?;
    let lines = packed.into_iter().map(|(product_id, quantity, price_minor)| OrderLine {
        product_id,
        quantity,
        price_minor,
    });
    let lines: Vec<_> = lines.collect();
    let summed = Wanted::sum(lines.iter().map(|line| (line.product_id.clone(), line.quantity)));
    match summed {
        Ok(_) => Ok(lines),
        Err(error) => Err(misfit("orders", id, "lines", error)),
    }
}

/// One entry, as the history column has it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PackedEntry {
    status: String,
    at: i64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    decided_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    actor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    revision: Option<Revision>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    wanted: Option<Vec<(ProductId, u32)>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    shipped: Option<Vec<PackedAllocation>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    allocated: Option<Vec<PackedAllocation>>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    shortages: Vec<(ProductId, Quantity, i64, ShortageReason)>,
}

type PackedAllocation = (ProductId, LocationId, Quantity);

/// Entries as they follow on a history: `{…},{…}`.
pub(super) fn write_entries(entries: &[Entry]) -> String {
    let packed: Vec<String> = entries.iter().map(|entry| text(&pack(entry))).collect();
    packed.join(",")
}

fn pack(entry: &Entry) -> PackedEntry {
    let empty = PackedEntry {
        status: entry.status.as_str().to_owned(),
        at: entry.at_micros,
        decided_at: None,
        actor: None,
        reason: None,
        revision: None,
        wanted: None,
        shipped: None,
        allocated: None,
        shortages: Vec::new(),
    };
    match &entry.event {
        Event::Intended { revision, actor, reason, wanted, shipped } => PackedEntry {
            actor: actor.clone(),
            reason: reason.clone(),
            revision: Some(*revision),
            wanted: wanted.as_ref().map(pack_wanted),
            shipped: shipped.as_ref().map(pack_allocations),
            ..empty
        },
        Event::Settled { decided_at_micros, allocated, shortages } => PackedEntry {
            decided_at: Some(*decided_at_micros),
            allocated: allocated.as_ref().map(pack_allocations),
            shortages: shortages
                .iter()
                .map(|short| {
                    (short.product_id.clone(), short.requested, short.available, short.reason)
                })
                .collect(),
            ..empty
        },
    }
}

fn pack_wanted(wanted: &Wanted) -> Vec<(ProductId, u32)> {
    wanted.iter().map(|line| (line.product_id.clone(), line.quantity)).collect()
}

fn pack_allocations(allocations: &Allocations) -> Vec<PackedAllocation> {
    let pack = |one: &Allocation| (one.product_id.clone(), one.location_id.clone(), one.quantity);
    allocations.iter().map(pack).collect()
}

fn read_history(id: OrderId, text: &str) -> Result<Vec<Entry>, Misfit> {
    let bad = |reason: String| misfit("order_states", id, "history", reason);
    let packed: Vec<PackedEntry> =
        serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
    (2..).zip(packed).map(|(seq, entry)| unpack(seq, entry).map_err(bad)).collect()
}

fn unpack(seq: u32, packed: PackedEntry) -> Result<Entry, String> {
    let status = Status::parse(&packed.status)
        .ok_or_else(|| format!("entry {seq} with the status {}", packed.status))?;
    let wanted = packed.wanted.map(unpack_wanted).transpose()?;
    let shipped = packed.shipped.map(unpack_allocations).transpose()?;
    let allocated = packed.allocated.map(unpack_allocations).transpose()?;
    let event =
        match (packed.revision, packed.decided_at) {
            (Some(revision), None) if allocated.is_none() && packed.shortages.is_empty() => {
                Event::Intended {
                    revision,
                    actor: packed.actor,
                    reason: packed.reason,
                    wanted,
                    shipped,
                }
            }
            (None, Some(decided_at_micros)) if wanted.is_none() && shipped.is_none() => {
                let shortages = packed.shortages.into_iter();
                let shortages = shortages.map(|(product_id, requested, available, reason)| {
                    Shortage { product_id, requested, available, reason }
                });
                Event::Settled { decided_at_micros, allocated, shortages: shortages.collect() }
            }
            _ => return Err(format!("entry {seq}, which is neither an intent nor an answer")),
        };
    Ok(Entry { seq, status, at_micros: packed.at, event })
}

fn unpack_wanted(packed: Vec<(ProductId, u32)>) -> Result<Wanted, String> {
    let lines =
        packed.into_iter().map(|(product_id, quantity)| WantedLine { product_id, quantity });
    Wanted::try_from(lines.collect::<Vec<_>>()).map_err(|error| error.to_string())
}

fn unpack_allocations(packed: Vec<PackedAllocation>) -> Result<Allocations, String> {
    let allocations = packed.into_iter().map(|(product_id, location_id, quantity)| Allocation {
        product_id,
        location_id,
        quantity,
    });
    Allocations::try_from(allocations.collect::<Vec<_>>()).map_err(|error| error.to_string())
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("packed columns have string keys")
}

#[cfg(test)]
mod tests;
