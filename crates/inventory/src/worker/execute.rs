//! Reads the Order Service's commands for the consumer. The committer publishes the answers.

use std::sync::Arc;

use async_trait::async_trait;
use contract::codec::{self, Undecodable};
use contract::commands::AllocateStock;
use inventory_core::decide::{InventoryCommand, InventoryOutcome};
use platform::consumer::{Inbox, Message, Origin};
use platform::failure::Failure;
use platform::quarantine::Quarantined;
use platform::relay::Traced;

use crate::service::traced;
use crate::store::StockStore;

/// What the Inventory Service knows about the commands that it consumes.
#[derive(Debug)]
pub struct Commands {
    pub store: Arc<dyn StockStore>,
}

#[async_trait]
impl Inbox<InventoryCommand, InventoryOutcome> for Commands {
    fn noun(&self) -> &'static str {
        "command"
    }

    fn read(&self, payload: &[u8]) -> Vec<Message<InventoryCommand>> {
        codec::decode(payload).into_iter().map(message).collect()
    }

    fn origin(&self, command: &InventoryCommand) -> Option<Origin> {
        let InventoryCommand::Allocate(command) = command else { return None };
        Some(Origin {
            subject: command.order_id.to_string(),
            name: "AllocateStock",
            bytes: codec::encode_one(&**command),
        })
    }

    fn traced<'c>(&self, command: &'c mut InventoryCommand) -> Option<Traced<'c>> {
        match command {
            InventoryCommand::Allocate(command) => Some(traced::received(command)),
            _ => None,
        }
    }

    fn anomaly(&self, outcome: &InventoryOutcome) -> Option<&'static str> {
        match outcome {
            InventoryOutcome::Anomaly(reason) => Some(*reason),
            _ => None,
        }
    }

    async fn set_aside(&self, entries: Vec<Quarantined>) -> Result<usize, Failure> {
        self.store.quarantine(entries).await
    }
}

fn message(read: Result<AllocateStock, Undecodable>) -> Message<InventoryCommand> {
    match read {
        Ok(command) => Message::Command(InventoryCommand::Allocate(Box::new(command))),
        Err(Undecodable::UnknownVersion(_)) => Message::UnknownVersion,
        Err(Undecodable::Malformed { reason, bytes }) => Message::Malformed { reason, bytes },
    }
}
