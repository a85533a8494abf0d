//! What both engines keep in the same form: the packed columns of an order, which are JSON.
//!
//! An order's lines are `[["789",2,1999],…]`, its options `{"payment":{"within_s":900}}` with the
//! trace of the request that placed it, if it is exported, and its history a list of
//! [entries](entry).

use contract::{Digest, OrderId, ProductId, Quantity, Revision, Wanted};
use orders_core::decide::{Deadline, OrderState};
use orders_core::history::{Entry, fold};
use orders_core::order::{Order, OrderLine, PaymentTerms, Terms};
use orders_core::status::Status;
use orders_core::trace::TraceId;
use serde::{Deserialize, Serialize};
use storage::Misfit;

use super::view::FoldedOrder;
use super::{OrderAudit, OrderHeader, OrderSummary, OrderView, PendingCommand};

use entry::read_history;
pub(super) use entry::write_entries;

mod entry;

/// The rows of one order as an engine reads them, packed columns included.
pub(super) struct PackedOrder {
    pub(super) order_id: OrderId,
    pub(super) customer_id: String,
    pub(super) currency: String,
    pub(super) total_minor: i64,
    pub(super) digest: Digest,
    pub(super) lines: String,
    pub(super) options: Option<String>,
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
    pub(super) refund_due_minor: Option<i64>,
    pub(super) history: String,
}

/// The rows of one order, decoded. Their columns may still contradict each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredOrder {
    pub(super) order_id: OrderId,
    pub(super) terms: Terms,
    pub(super) digest: Digest,
    pub(super) actor: Option<String>,
    pub(super) trace_id: Option<TraceId>,
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
        let PackedOptions { payment, trace } = read_options(id, self.options.as_deref())?;
        let terms = Terms {
            customer_id: parsed("orders", id, "customer_id", &self.customer_id)?,
            currency: parsed("orders", id, "currency", &self.currency)?,
            total_minor: self.total_minor,
            lines,
            payment: payment.map(|payment| read_payment(id, &payment)).transpose()?,
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
            trace_id: trace.map(|trace| parsed("orders", id, "options", &trace)).transpose()?,
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
            refund_due_minor: self.refund_due_minor.unwrap_or(0),
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
                let columns = "status, revision, settled, last_seq, digest or refund_due_minor";
                Err(misfit("order_states", id, columns, reason))
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
        let updated_at_micros = self.updated_at_micros;
        let order = OrderView::from(self.folded()?);
        Ok(OrderView { updated_at_micros, ..order })
    }

    /// The order with what its history adds up to.
    ///
    /// # Errors
    ///
    /// As [`order`](Self::order).
    pub(super) fn folded(self) -> Result<FoldedOrder, Misfit> {
        let order = self.order()?;
        Ok(FoldedOrder {
            order_id: self.order_id,
            terms: order.terms,
            registers: order.registers,
            history: self.history,
            actor: self.actor,
            trace_id: self.trace_id,
            created_at_micros: self.created_at_micros,
        })
    }

    /// The order as the audit reads it, with the revision of its pending command and since when
    /// that is pending, and with its deadline.
    pub(super) fn audit(
        self,
        pending: Option<(i64, i64)>,
        deadline: Option<Deadline>,
    ) -> OrderAudit {
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
            deadline,
        }
    }
}

/// The header of an order.
///
/// # Errors
///
/// As [`PackedOrder::decode`].
pub(super) fn read_header(
    id: OrderId,
    customer_id: &str,
    currency: &str,
) -> Result<OrderHeader, Misfit> {
    Ok(OrderHeader {
        customer_id: parsed("orders", id, "customer_id", customer_id)?,
        currency: parsed("orders", id, "currency", currency)?,
    })
}

/// The columns of an order in a list.
pub(super) struct PackedSummary {
    pub(super) order_id: OrderId,
    pub(super) customer_id: String,
    pub(super) currency: String,
    pub(super) total_minor: i64,
    /// `None` until the first answer or change.
    pub(super) status: Option<String>,
    pub(super) refund_due_minor: Option<i64>,
    /// `None` without a deadline.
    pub(super) pay_by_micros: Option<i64>,
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
            refund_due_minor: self.refund_due_minor.unwrap_or(0),
            pay_by_micros: self.pay_by_micros,
            created_at_micros: self.created_at_micros,
            updated_at_micros: self.updated_at_micros,
        })
    }
}

/// What must be given back, as the column of an order's state has it.
pub(super) fn refund_due(state: &OrderState) -> Option<i64> {
    Some(state.refund_due_minor).filter(|minor| *minor > 0)
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

/// The options of an order as a column; `None` if it has none.
pub(super) fn write_options(terms: &Terms, trace_id: Option<TraceId>) -> Option<String> {
    let payment =
        terms.payment.as_ref().map(|payment| PackedPayment { within_s: payment.within_s });
    let trace = trace_id.map(|id| id.to_string());
    let has_some = payment.is_some() || trace.is_some();
    has_some.then(|| text(&PackedOptions { payment, trace }))
}

fn read_options(id: OrderId, text: Option<&str>) -> Result<PackedOptions, Misfit> {
    let Some(text) = text else { return Ok(PackedOptions::default()) };
    serde_json::from_str(text).map_err(|error| misfit("orders", id, "options", error))
}

fn read_payment(id: OrderId, payment: &PackedPayment) -> Result<PaymentTerms, Misfit> {
    const WITHIN_S: std::ops::RangeInclusive<u32> =
        PaymentTerms::MIN_WITHIN_S..=PaymentTerms::MAX_WITHIN_S;
    let within_s = payment.within_s;
    if !WITHIN_S.contains(&within_s) {
        return Err(misfit("orders", id, "options", format_args!("a payment within {within_s} s")));
    }
    Ok(PaymentTerms { within_s })
}

/// What an order has beside its lines, as the column has it: of its terms, and the trace of the
/// request that placed it. A plain order without a trace has no such column.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PackedOptions {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    payment: Option<PackedPayment>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    trace: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PackedPayment {
    within_s: u32,
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("packed columns have string keys")
}

#[cfg(test)]
mod tests;
