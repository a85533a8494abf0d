//! Takes the Order Service's commands in and has them executed; the committer publishes the answers.

use std::sync::Arc;

use async_trait::async_trait;
use contract::codec::{self, Undecodable};
use contract::commands;
use inventory_core::decide::{InventoryCommand, InventoryOutcome};
use platform::consumer::{Inbox, Message};
use platform::failure::Failure;
use platform::quarantine::Quarantined;

use crate::metrics::Metrics;
use crate::store::Store;

/// What the Inventory Service knows about the commands that it consumes.
#[derive(Debug)]
pub struct Commands {
    pub store: Arc<dyn Store>,
    pub metrics: Arc<Metrics>,
}

#[async_trait]
impl Inbox<InventoryCommand, InventoryOutcome> for Commands {
    fn read(&self, payload: &[u8]) -> Vec<Message<InventoryCommand>> {
        codec::decode::<commands::StockCommand>(payload).into_iter().map(|read| self.message(read)).collect()
    }

    fn judge(&self, command: &InventoryCommand, outcome: Option<&InventoryOutcome>) -> Option<Quarantined> {
        let (kind, reason) = match outcome {
            Some(InventoryOutcome::Anomaly(reason)) => ("anomaly", *reason),
            Some(_) => return None,
            None => ("poisoned", "the command cannot be executed even alone"),
        };
        let InventoryCommand::Stock(command) = command else { return None };
        self.metrics.set_aside(kind);
        Some(Quarantined {
            subject: Some(command.order_id.to_string()),
            kind,
            reason: format!("{}: {reason}", command.kind.as_str()),
            bytes: codec::encode(std::slice::from_ref(&**command)).concat(),
        })
    }

    async fn set_aside(&self, entries: Vec<Quarantined>) -> Result<(), Failure> {
        self.store.quarantine(entries).await
    }
}

impl Commands {
    fn message(&self, read: Result<commands::StockCommand, Undecodable>) -> Message<InventoryCommand> {
        match read {
            Ok(command) => Message::Command(InventoryCommand::Stock(Box::new(command))),
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
