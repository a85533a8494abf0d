//! What traces say about the commands and the messages of the Inventory Service.

use contract::answers::StockAllocated;
use contract::commands::AllocateStock;
use inventory_core::decide::InventoryCommand;
use platform::batcher::TracedCommand;
use platform::relay::Traced;

/// The attribute that names the order.
const ORDER_ID: &str = "lastro.order_id";

/// The span of a command's decision. What clients ask for carries no trace context: the request that
/// waits has it.
pub(super) fn command(command: &InventoryCommand) -> TracedCommand<'_> {
    let name = match command {
        InventoryCommand::Allocate(command) => {
            return TracedCommand {
                name: "decide allocate",
                traceparent: command.traceparent.as_deref(),
                subject: Some((ORDER_ID, command.order_id.to_string())),
            };
        }
        InventoryCommand::Move(_) => "decide move",
        InventoryCommand::PutProduct(_) => "decide put_product",
        InventoryCommand::PutLocation(_) => "decide put_location",
        InventoryCommand::Import(_) => "decide import",
        InventoryCommand::Note(_) => "decide note",
        InventoryCommand::Repair(_) => "decide repair",
    };
    TracedCommand { name, traceparent: None, subject: None }
}

/// An answer that is about to be published.
pub(super) fn message(message: &mut StockAllocated) -> Traced<'_> {
    let StockAllocated { traceparent, order_id, .. } = message;
    Traced { traceparent, subject: (ORDER_ID, order_id) }
}

/// A command that was received.
pub(crate) fn received(command: &mut AllocateStock) -> Traced<'_> {
    let AllocateStock { traceparent, order_id, .. } = command;
    Traced { traceparent, subject: (ORDER_ID, order_id) }
}
