//! The rows of one order.

use contract::OrderId;
use orders_core::status::Status;
use rusqlite::Row;
use serde::{Deserialize, Deserializer};

use super::{ProductUnits, order_id, unpack};
use crate::fold::{
    Answer, Back, Content, Made, NewIntent, Registers, Short, Step, StockKey, StockUnits, Tracking,
};
use crate::states::Violation;

pub(super) const SELECT: &str = "SELECT orders.order_id AS order_id, customer_id, total_minor,
        idempotency_key, orders.digest AS first_digest, lines, options, created_at, status,
        order_states.revision AS revision, settled, last_seq, order_states.digest AS digest,
        updated_at, refund_due_minor, history, pending_commands.revision AS pending_revision, since,
        armed_at, pay_by
    FROM orders LEFT JOIN order_states USING (order_no) LEFT JOIN pending_commands USING (order_no)
        LEFT JOIN payment_deadlines USING (order_no)";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrderRow {
    pub(crate) order_id: OrderId,
    pub(crate) customer_id: String,
    pub(crate) total_minor: i64,
    pub(crate) key: Option<String>,
    /// The digest of the first intent.
    pub(crate) first_digest: Vec<u8>,
    pub(crate) content: Content,
    /// `None` until the first answer or change.
    pub(crate) state: Option<StateRow>,
    pub(crate) pending: Option<PendingRow>,
    pub(crate) deadline: Option<DeadlineRow>,
}

/// The row of `order_states`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StateRow {
    pub(crate) status: Status,
    pub(crate) revision: i64,
    pub(crate) settled: i64,
    pub(crate) last_seq: i64,
    pub(crate) digest: Option<Vec<u8>>,
    pub(crate) updated_at: i64,
    pub(crate) refund_due: Option<i64>,
    /// The entries after the first.
    pub(crate) history: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PendingRow {
    pub(crate) revision: i64,
    pub(crate) since: i64,
}

/// The row of `payment_deadlines`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeadlineRow {
    pub(crate) armed_at: i64,
    pub(crate) pay_by: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    payment: PaymentOption,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PaymentOption {
    within_s: i64,
}

/// Product, location, and the units that were restocked, quarantined and written off.
type StoredReturn = (String, String, i64, i64, i64);

/// One entry of a history, as it is stored.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(deserialize_with = "status")]
    status: Status,
    at: i64,
    #[serde(rename = "reason")]
    _reason: Option<String>,
    #[serde(rename = "actor")]
    _actor: Option<String>,
    revision: Option<i64>,
    wanted: Option<Vec<(String, i64)>>,
    shipped: Option<Vec<(String, String, i64)>>,
    returned: Option<Vec<StoredReturn>>,
    /// The key of a change, and the digest of its request.
    key: Option<(String, String)>,
    /// The shipment that is cancelled, or of which it is said how to follow it.
    shipment: Option<i64>,
    tracking: Option<Tracking>,
    decided_at: Option<i64>,
    allocated: Option<Vec<(String, String, i64)>>,
    booked_at: Option<Vec<(String, String, String)>>,
    #[serde(default)]
    shortages: Vec<Short>,
    payment: Option<Money>,
    refund: Option<Money>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Money {
    reference: String,
    amount: i64,
}

impl OrderRow {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let status: Option<String> = row.get("status")?;
        let state = status.map(|status| StateRow::read(row, &status)).transpose()?;
        let pending: Option<i64> = row.get("pending_revision")?;
        let since: Option<i64> = row.get("since")?;
        let armed_at: Option<i64> = row.get("armed_at")?;
        let pay_by: Option<i64> = row.get("pay_by")?;
        let options: Option<String> = row.get("options")?;
        let options: Option<Options> = options.as_deref().map(unpack);
        let content = Content {
            lines: unpack(&row.get::<_, String>("lines")?),
            pays_within_s: options.map(|options| options.payment.within_s),
            created_at: row.get("created_at")?,
        };
        let deadline = armed_at.zip(pay_by);
        Ok(Self {
            order_id: order_id(row.get("order_id")?),
            customer_id: row.get("customer_id")?,
            total_minor: row.get("total_minor")?,
            key: row.get("idempotency_key")?,
            first_digest: row.get("first_digest")?,
            content,
            state,
            pending: pending.zip(since).map(|(revision, since)| PendingRow { revision, since }),
            deadline: deadline.map(|(armed_at, pay_by)| DeadlineRow { armed_at, pay_by }),
        })
    }

    /// The entries of the history after the first.
    pub(crate) fn history(&self) -> &[Step] {
        self.state.as_ref().map(|state| state.history.as_slice()).unwrap_or_default()
    }

    /// What the history adds up to.
    ///
    /// # Errors
    ///
    /// The invariant that the history breaks.
    pub(crate) fn registers(&self) -> Result<Registers, Violation> {
        let registers = Registers::of(self.content.clone(), self.history());
        registers.map_err(|Violation { invariant, what }| Violation {
            invariant,
            what: format!("order {}, {what}", self.order_id),
        })
    }

    pub(crate) fn status(&self) -> Status {
        self.state.as_ref().map_or(Status::Received, |state| state.status)
    }

    /// Whether the order has or had the status.
    pub(crate) fn was(&self, status: Status) -> bool {
        status == Status::Received || self.history().iter().any(|entry| entry.status == status)
    }

    /// The ordered units, summed by product.
    pub(crate) fn ordered(&self) -> ProductUnits {
        self.content.ordered()
    }
}

impl StateRow {
    fn read(row: &Row<'_>, status: &str) -> rusqlite::Result<Self> {
        let history: Vec<Entry> = unpack(&row.get::<_, String>("history")?);
        Ok(Self {
            status: status_named(status),
            revision: row.get("revision")?,
            settled: row.get("settled")?,
            last_seq: row.get("last_seq")?,
            digest: row.get("digest")?,
            updated_at: row.get("updated_at")?,
            refund_due: row.get("refund_due_minor")?,
            history: history.into_iter().map(Entry::step).collect(),
        })
    }
}

impl Entry {
    fn step(self) -> Step {
        let text = format!("{self:?}");
        let (status, at) = (self.status, self.at);
        let made = match self {
            Self {
                revision: Some(revision),
                decided_at: None,
                payment: None,
                refund: None,
                ..
            } => self.intent(revision),
            Self { decided_at: Some(decided_at), payment: None, refund: None, .. } => {
                self.answer(decided_at)
            }
            Self { payment: Some(Money { reference, amount }), refund: None, .. } => {
                Made::Payment { reference, amount }
            }
            Self { refund: Some(Money { reference, amount }), .. } => {
                Made::Refund { reference, amount }
            }
            Self { shipment: Some(shipment), tracking: Some(tracking), .. } => {
                Made::Tracking { shipment, tracking }
            }
            _ => panic!("{text} is no entry"),
        };
        Step { status, at, made }
    }

    fn intent(self, revision: i64) -> Made {
        Made::Intent(NewIntent {
            revision,
            wanted: self.wanted.map(|lines| lines.into_iter().collect()),
            shipped: self.shipped.map(stock_units),
            returned: self.returned.map(|entries| entries.into_iter().map(back).collect::<Back>()),
            key: self.key.map(|(key, _)| key),
            cancelled_shipment: self.shipment,
            tracking: self.tracking,
        })
    }

    fn answer(self, decided_at: i64) -> Made {
        let booked = |(product, location, at): (String, String, String)| ((product, location), at);
        Made::Answer(Answer {
            decided_at,
            allocated: self.allocated.map(stock_units),
            shortages: self.shortages,
            booked_at: self.booked_at.map(|list| list.into_iter().map(booked).collect()),
        })
    }
}

fn back(entry: (String, String, i64, i64, i64)) -> (StockKey, [i64; 3]) {
    let (product, location, restocked, quarantined, written_off) = entry;
    ((product, location), [restocked, quarantined, written_off])
}

fn stock_units(parts: Vec<(String, String, i64)>) -> StockUnits {
    parts.into_iter().map(|(product, location, units)| ((product, location), units)).collect()
}

fn status<'de, D: Deserializer<'de>>(text: D) -> Result<Status, D::Error> {
    Ok(status_named(&String::deserialize(text)?))
}

fn status_named(text: &str) -> Status {
    Status::parse(text).expect("a status of the schema")
}
