//! Takes Inventory's answers in and settles the orders that they are about.

use std::sync::Arc;

use async_trait::async_trait;
use contract::answers::StockAnswer;
use contract::codec::{self, Undecodable};
use orders_core::decide::{OrderCommand, OrderOutcome};
use platform::consumer::{Inbox, Message};
use platform::failure::Failure;
use platform::quarantine::Quarantined;

use crate::metrics::Metrics;
use crate::store::Store;

/// What the Order Service knows about the answers that it consumes.
#[derive(Debug)]
pub struct Answers {
    pub store: Arc<dyn Store>,
    pub metrics: Arc<Metrics>,
}

#[async_trait]
impl Inbox<OrderCommand, OrderOutcome> for Answers {
    fn read(&self, payload: &[u8]) -> Vec<Message<OrderCommand>> {
        codec::decode::<StockAnswer>(payload).into_iter().map(|read| self.message(read)).collect()
    }

    fn judge(&self, command: &OrderCommand, outcome: Option<&OrderOutcome>) -> Option<Quarantined> {
        let (kind, reason) = match outcome {
            Some(OrderOutcome::Anomaly(reason)) => ("anomaly", (*reason).to_owned()),
            Some(_) => return None,
            None => ("poisoned", "the answer cannot be executed even alone".to_owned()),
        };
        let OrderCommand::Settle(answer) = command else { return None };
        let name = answer.outcome.name();
        self.metrics.set_aside(kind);
        Some(Quarantined {
            subject: Some(answer.order_id.to_string()),
            kind,
            reason: format!("{name}: {reason}"),
            bytes: codec::encode(std::slice::from_ref(&**answer)).concat(),
        })
    }

    async fn set_aside(&self, entries: Vec<Quarantined>) -> Result<(), Failure> {
        self.store.quarantine(entries).await
    }
}

impl Answers {
    fn message(&self, read: Result<StockAnswer, Undecodable>) -> Message<OrderCommand> {
        match read {
            Ok(answer) => Message::Command(OrderCommand::Settle(Box::new(answer))),
            Err(Undecodable::UnknownVersion(_)) => {
                self.metrics.set_aside("unknown_version");
                Message::UnknownVersion
            }
            Err(Undecodable::Malformed { reason, bytes }) => {
                self.metrics.set_aside("malformed");
                Message::Malformed(Quarantined::malformed(reason, bytes))
            }
        }
    }
}
