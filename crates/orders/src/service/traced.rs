//! What traces say about the commands and the messages of the Order Service.

use contract::OrderId;
use contract::answers::StockAllocated;
use contract::commands::AllocateStock;
use orders_core::decide::{OrderCommand, OrderRequest};
use platform::batcher::TracedCommand;
use platform::relay::Traced;
use platform::telemetry::traces::{self, Kind, Span};

/// The attribute that names the order.
const ORDER_ID: &str = "lastro.order_id";

/// The span of a command's decision.
pub(super) fn command(command: &OrderCommand) -> TracedCommand<'_> {
    let traceparent = match command {
        OrderCommand::Settle(answer) => answer.traceparent.as_deref(),
        OrderCommand::Place(placement) => placement.context.traceparent.as_deref(),
        OrderCommand::Request { context, .. } | OrderCommand::Expire { context, .. } => {
            context.traceparent.as_deref()
        }
    };
    let subject = Some((ORDER_ID, command.order_id().to_string()));
    TracedCommand { name: name(command), traceparent, subject }
}

fn name(command: &OrderCommand) -> &'static str {
    match command {
        OrderCommand::Place(_) => "decide place",
        OrderCommand::Settle(_) => "settle",
        OrderCommand::Expire { .. } => "decide expire",
        OrderCommand::Request { request, .. } => match **request {
            OrderRequest::Cancel { .. } => "decide cancel",
            OrderRequest::Fulfill => "decide fulfill",
            OrderRequest::Pay { .. } => "decide pay",
            OrderRequest::Refund { .. } => "decide refund",
            OrderRequest::CancelLines { .. } => "decide cancel_lines",
            OrderRequest::Ship { .. } => "decide ship",
            OrderRequest::Track { .. } => "decide track",
            OrderRequest::CancelShipment { .. } => "decide cancel_shipment",
            OrderRequest::Return { .. } => "decide return",
        },
    }
}

/// Begins the trace in which an order expires, which no request does, if it is to be exported.
pub(crate) fn expiry(order_id: OrderId) -> Option<Span> {
    let mut span = traces::current()?.begin(Kind::Internal, "expire".to_owned(), None);
    span.set(ORDER_ID, order_id.to_string());
    span.context().is_sampled().then_some(span)
}

/// A command that is about to be published.
pub(super) fn message(message: &mut AllocateStock) -> Traced<'_> {
    let AllocateStock { traceparent, order_id, .. } = message;
    Traced { traceparent, subject: (ORDER_ID, order_id) }
}

/// An answer that was received.
pub(crate) fn answer(answer: &mut StockAllocated) -> Traced<'_> {
    let StockAllocated { traceparent, order_id, .. } = answer;
    Traced { traceparent, subject: (ORDER_ID, order_id) }
}
