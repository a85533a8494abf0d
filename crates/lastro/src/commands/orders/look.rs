//! All that is known about an order, at both services.

use platform::clock::Timestamp;
use serde_json::Value;

use super::super::{Context, text};
use crate::client::{Failed, Item, Query, segment};
use crate::output::{age, now};

/// The statuses of an order that waits for Inventory's answer.
pub(in crate::commands) const IN_FLIGHT: [&str; 6] =
    ["received", "amending", "cancelling", "fulfilling", "expiring", "reviving"];
/// How many pending commands are searched for that of an order.
const SEARCHED: usize = 10_000;
/// How many messages that were set aside are searched: as many as a service keeps.
const SET_ASIDE: usize = 1000;

/// Something that was looked for.
#[derive(Debug)]
pub(in crate::commands) enum Found {
    Item(Item),
    /// It does not exist.
    Nothing,
    /// It could not be looked for, for this reason.
    NotKnown(String),
}

/// All that is known about an order.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) order: Item,
    /// Its pending command.
    pub(super) command: Found,
    /// What Inventory holds for it.
    pub(super) reservation: Found,
    /// Messages about it that were set aside, with the service that did.
    pub(super) set_aside: Vec<(&'static str, Value)>,
    pub(super) now: Timestamp,
}

impl Found {
    pub(super) fn value(&self) -> Option<&Value> {
        match self {
            Self::Item(item) => Some(&item.value),
            Self::Nothing | Self::NotKnown(_) => None,
        }
    }

    /// As the service wrote it.
    pub(super) fn raw(&self) -> &str {
        match self {
            Self::Item(item) => &item.raw,
            Self::Nothing | Self::NotKnown(_) => "null",
        }
    }
}

impl Look {
    pub(super) fn status(&self) -> &str {
        text(&self.order.value, "status")
    }

    /// Whether it waits for Inventory's answer.
    pub(super) fn is_in_flight(&self) -> bool {
        IN_FLIGHT.contains(&self.status())
    }

    /// Looks at an order.
    ///
    /// # Errors
    ///
    /// The order cannot be read. What else cannot be read is reported beside it.
    pub(super) async fn at(context: &Context, id: &str) -> Result<Self, Failed> {
        let order = item(context, &format!("/api/orders/{}", segment(id))).await?;
        let path = format!("/api/inventory/reservations/{}", segment(id));
        let reservation = found(item(context, &path).await);
        let mut look =
            Self { order, command: Found::Nothing, reservation, set_aside: Vec::new(), now: now() };
        if look.is_in_flight() {
            // As the service writes it: the user may have written it in capitals.
            let id = text(&look.order.value, "order_id").to_owned();
            look.command = command(context, &id).await;
            for service in ["orders", "inventory"] {
                look.set_aside.extend(set_aside(context, service, &id).await);
            }
        }
        Ok(look)
    }

    /// For how long its command has been pending.
    pub(super) fn waiting(&self) -> Option<std::time::Duration> {
        self.command.value().and_then(|command| age(&command["since"], self.now))
    }
}

async fn item(context: &Context, path: &str) -> Result<Item, Failed> {
    let answer = context.client.get(path).await?;
    Ok(Item { raw: answer.raw()?, value: answer.json()? })
}

fn found(read: Result<Item, Failed>) -> Found {
    match read {
        Ok(item) => Found::Item(item),
        Err(error) if error.code() == Some("reservation_not_found") => Found::Nothing,
        Err(error) => Found::NotKnown(error.first_line()),
    }
}

/// The order's pending command. The list is in the order in which orders came, so those that are
/// stuck come first.
pub(in crate::commands) async fn command(context: &Context, id: &str) -> Found {
    let mut command = None;
    let query = Query::of("/api/orders/pending");
    let read = context.client.pages(&query, SEARCHED, |items| {
        command = items.into_iter().find(|item| text(&item.value, "order_id") == id);
        // The rest need not be read.
        if command.is_some() { Err(Failed::Closed) } else { Ok(()) }
    });
    match (read.await, command) {
        (_, Some(command)) => Found::Item(command),
        (Ok(false), None) => Found::Nothing,
        (Ok(true), None) => Found::NotKnown(format!("it is not among the first {SEARCHED}")),
        (Err(error), None) => Found::NotKnown(error.first_line()),
    }
}

/// The messages about the order that a service has set aside. Whoever may not read them sees none.
async fn set_aside(
    context: &Context,
    service: &'static str,
    id: &str,
) -> Vec<(&'static str, Value)> {
    let query = Query::of(format!("/api/{service}/quarantine"));
    let all = context.client.list(&query, SET_ASIDE).await.unwrap_or_default();
    let about = all.into_iter().map(|item| item.value);
    about.filter(|entry| text(entry, "order_id") == id).map(|entry| (service, entry)).collect()
}
