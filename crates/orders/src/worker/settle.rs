//! Reads Inventory's answers for the consumer, which settle orders.

use std::sync::Arc;

use async_trait::async_trait;
use contract::answers::StockAllocated;
use contract::codec::{self, Undecodable};
use orders_core::decide::{OrderCommand, OrderOutcome};
use platform::consumer::{Inbox, Message, Origin};
use platform::failure::Failure;
use platform::quarantine::Quarantined;
use platform::relay::Traced;

use crate::service::traced;
use crate::store::OrderStore;

/// What the Order Service knows about the answers that it consumes.
#[derive(Debug)]
pub struct Answers {
    pub store: Arc<dyn OrderStore>,
}

#[async_trait]
impl Inbox<OrderCommand, OrderOutcome> for Answers {
    fn noun(&self) -> &'static str {
        "answer"
    }

    fn read(&self, payload: &[u8]) -> Vec<Message<OrderCommand>> {
        codec::decode(payload).into_iter().map(message).collect()
    }

    fn origin(&self, command: &OrderCommand) -> Option<Origin> {
        let OrderCommand::Settle(answer) = command else { return None };
        Some(Origin {
            subject: answer.order_id.to_string(),
            name: "StockAllocated",
            bytes: codec::encode_one(&**answer),
        })
    }

    fn traced<'c>(&self, command: &'c mut OrderCommand) -> Option<Traced<'c>> {
        match command {
            OrderCommand::Settle(answer) => Some(traced::answer(answer)),
            _ => None,
        }
    }

    fn anomaly(&self, outcome: &OrderOutcome) -> Option<&'static str> {
        match outcome {
            OrderOutcome::Anomaly(reason) => Some(*reason),
            _ => None,
        }
    }

    async fn set_aside(&self, entries: Vec<Quarantined>) -> Result<usize, Failure> {
        self.store.quarantine(entries).await
    }
}

fn message(read: Result<StockAllocated, Undecodable>) -> Message<OrderCommand> {
    match read {
        Ok(answer) => Message::Command(OrderCommand::Settle(Box::new(answer))),
        Err(Undecodable::UnknownVersion(_)) => Message::UnknownVersion,
        Err(Undecodable::Malformed { reason, bytes }) => Message::Malformed { reason, bytes },
    }
}
