//! The cells of an order's table, counted at the decider.

use std::collections::BTreeMap;

use contract::{Facts, OrderId, Revision};
use orders_core::decide::{
    DecidedOrder, LoadedOrders, OrderCommand, OrderOutcome, OrderRequest, OrdersDecision, Refusal,
};
use orders_core::status::Status;

use super::{COVERAGE, DECIDERS, mark};
use crate::describe::receipt;
use crate::spoil;

/// What an order has by the facts of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Has {
    Granted,
    Rejected,
    Nothing,
}

/// What is asked of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asked {
    Cancel,
    Fulfill,
    Pay,
    Refund,
    CancelLines,
    Ship,
    Track,
    CancelShipment,
    Return,
    /// The deadline of the payment has passed.
    Expire,
}

impl Asked {
    pub(crate) const ALL: [Self; 10] = [
        Self::Cancel,
        Self::Fulfill,
        Self::Pay,
        Self::Refund,
        Self::CancelLines,
        Self::Ship,
        Self::Track,
        Self::CancelShipment,
        Self::Return,
        Self::Expire,
    ];

    fn of(request: &OrderRequest) -> Self {
        match request {
            OrderRequest::Cancel { .. } => Self::Cancel,
            OrderRequest::Fulfill => Self::Fulfill,
            OrderRequest::Pay { .. } => Self::Pay,
            OrderRequest::Refund { .. } => Self::Refund,
            OrderRequest::CancelLines { .. } => Self::CancelLines,
            OrderRequest::Ship { .. } => Self::Ship,
            OrderRequest::Track { .. } => Self::Track,
            OrderRequest::CancelShipment { .. } => Self::CancelShipment,
            OrderRequest::Return { .. } => Self::Return,
        }
    }
}

/// The answer to what is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Answered {
    Done,
    /// It was so before.
    Repeated,
    /// The status does not allow it.
    Invalid,
    /// There are too few units.
    Unavailable,
    /// Inventory is taking units away.
    Busy,
    AlreadyPaid,
    Underpaid,
    /// The payment names no amount, and nothing is due.
    NoAmount,
    NotExpected,
    /// More would be refunded than was paid.
    Exceeds,
    NoShipment,
    /// The reference was used with another amount.
    KeyReused,
    /// None that a good request gets.
    Other,
}

impl Answered {
    pub(crate) const ALL: [Self; 12] = [
        Self::Done,
        Self::Repeated,
        Self::Invalid,
        Self::Unavailable,
        Self::Busy,
        Self::AlreadyPaid,
        Self::Underpaid,
        Self::NoAmount,
        Self::NotExpected,
        Self::Exceeds,
        Self::NoShipment,
        Self::KeyReused,
    ];

    fn of(outcome: &OrderOutcome) -> Self {
        match outcome {
            OrderOutcome::Accepted { replayed: false, .. } | OrderOutcome::Expired(_) => Self::Done,
            OrderOutcome::Accepted { replayed: true, .. } | OrderOutcome::Stale => Self::Repeated,
            OrderOutcome::Refused(refusal) => match refusal {
                Refusal::InvalidTransition(_) => Self::Invalid,
                Refusal::QuantityUnavailable(_) => Self::Unavailable,
                Refusal::OrderBusy => Self::Busy,
                Refusal::AlreadyPaid => Self::AlreadyPaid,
                Refusal::Underpaid { .. } => Self::Underpaid,
                Refusal::AmountRequired => Self::NoAmount,
                Refusal::PaymentNotExpected => Self::NotExpected,
                Refusal::RefundExceedsPayment { .. } => Self::Exceeds,
                Refusal::ShipmentNotFound => Self::NoShipment,
                Refusal::KeyReused => Self::KeyReused,
                Refusal::NotFound | Refusal::TooManyChanges | Refusal::TooManyReturnEntries(_) => {
                    Self::Other
                }
            },
            _ => Self::Other,
        }
    }
}

/// An event of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OrderEvent {
    /// A request, and the answer to it.
    Request(Asked, Answered),
    /// Facts of a lower revision than the order's.
    Lower(Has),
    /// Facts of the order's revision.
    Current(Has),
}

impl OrderEvent {
    pub(crate) const FACTS: [Self; 6] = [
        Self::Lower(Has::Granted),
        Self::Lower(Has::Rejected),
        Self::Lower(Has::Nothing),
        Self::Current(Has::Granted),
        Self::Current(Has::Rejected),
        Self::Current(Has::Nothing),
    ];

    /// All events.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let requests = Asked::ALL.into_iter().flat_map(|asked| {
            Answered::ALL.into_iter().map(move |answered| Self::Request(asked, answered))
        });
        requests.chain(Self::FACTS)
    }
}

/// The Order Service's decider, observed.
pub(crate) fn decide_orders(
    now_micros: i64,
    batch: &[OrderCommand],
    loaded: LoadedOrders,
) -> OrdersDecision {
    let orders = loaded.orders.iter();
    let mut states: BTreeMap<OrderId, (Status, Revision)> = orders
        .map(|(id, order)| (*id, (order.status(), order.registers.intent.revision)))
        .collect();
    let finds_itself = |command: &OrderCommand| match command {
        OrderCommand::Place(placement) => states.contains_key(&placement.order_id),
        _ => false,
    };
    if batch.iter().any(finds_itself) {
        mark("a placement that finds itself after an unknown commit");
    }
    let decision = (DECIDERS.get().orders)(now_micros, batch, loaded);
    for (command, decided) in batch.iter().zip(&decision.decided) {
        if let Some((status, revision)) = states.get(&command.order_id())
            && let Some(event) = order_event(command, &decided.outcome, *revision)
            && !matches!(decided.outcome, OrderOutcome::Anomaly(_))
        {
            let cell = (*status, event);
            COVERAGE.with_borrow_mut(|coverage| *coverage.orders.entry(cell).or_default() += 1);
        }
        note_order(&mut states, decided);
    }
    decision
}

/// Notes the status and the revision of an order after a command.
fn note_order(states: &mut BTreeMap<OrderId, (Status, Revision)>, decided: &DecidedOrder) {
    let Some(receipt) = receipt(&decided.outcome) else { return };
    let (_, known) =
        states.get(&receipt.order_id).copied().unwrap_or((receipt.status, Revision::FIRST));
    let made = decided.publish.as_ref().map(|command| command.intent.revision);
    states.insert(receipt.order_id, (receipt.status, made.unwrap_or(known)));
}

/// The event of an order that is at this revision. Forged messages are none.
fn order_event(command: &OrderCommand, outcome: &OrderOutcome, at: Revision) -> Option<OrderEvent> {
    match command {
        OrderCommand::Place(_) => None,
        OrderCommand::Request { request, .. } => {
            Some(OrderEvent::Request(Asked::of(request), Answered::of(outcome)))
        }
        OrderCommand::Expire { .. } => {
            Some(OrderEvent::Request(Asked::Expire, Answered::of(outcome)))
        }
        OrderCommand::Settle(answer) if spoil::is_forged(answer.sent_at_micros) => None,
        OrderCommand::Settle(answer) if answer.facts.revision < at => {
            Some(OrderEvent::Lower(has(&answer.facts)))
        }
        OrderCommand::Settle(answer) => Some(OrderEvent::Current(has(&answer.facts))),
    }
}

pub(super) fn has(facts: &Facts) -> Has {
    match (facts.allocated.is_empty(), facts.shortages.is_empty()) {
        (false, _) => Has::Granted,
        (true, false) => Has::Rejected,
        (true, true) => Has::Nothing,
    }
}
