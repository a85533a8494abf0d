//! Messages that a service sets aside, or that nobody has signed.

use futures_util::future::join_all;
use serde_json::{Value, json};
use testbed::{ANSWERS, COMMANDS, Operator, PATIENCE, Prometheus, eventually};

use super::Watched;
use crate::signatures::{Keys, shop};

/// The first command that is published, as it was sent.
async fn a_command(watched: &Watched, operator: &Operator) -> Value {
    let recording = operator.listen().await;
    watched.shop.confirmed(&[("MUG", 1)]).await;
    let payload = eventually(PATIENCE, "a command is heard", async || {
        let heard = recording.so_far().into_iter();
        heard.filter(|(channel, _)| *channel == COMMANDS).map(|(_, payload)| payload).next()
    });
    serde_json::from_slice(&payload.await).expect("JSON")
}

/// Discards every entry of the quarantine of the Inventory Service.
async fn discard_all(watched: &Watched) {
    let entries = watched.shop.column("/api/inventory/quarantine?seen=false&limit=200", "id").await;
    assert!(!entries.is_empty(), "there are entries");
    for some in entries.chunks(50) {
        let discard = async |id: &String| {
            let path = format!("/api/inventory/quarantine/{id}/discard");
            watched.shop.send("POST", &path, &[], "").await.ok()
        };
        join_all(some.iter().map(discard)).await;
    }
}

/// A message that no healthy service sends, until somebody has seen and discarded it.
#[tokio::test]
async fn a_message_that_cannot_occur() {
    let watched = Watched::with_files().await;
    let operator = Operator::of(watched.shop.environment.broker()).await;
    let mut command = a_command(&watched, &operator).await;
    command[0]["digest"] = json!("0".repeat(32));
    operator.publish(COMMANDS, command.to_string()).await;
    watched.fires("LastroAnomalies").await;
    watched.fires("LastroMessagesSetAside").await;
    discard_all(&watched).await;
    watched.clears("LastroMessagesSetAside").await;
    watched.clears("LastroAnomalies").await;
}

/// Somebody sends garbage without end, until that is stopped and the garbage discarded.
#[tokio::test]
async fn a_quarantine_that_is_nearly_full() {
    let watched = Watched::with_files().await;
    let operator = Operator::of(watched.shop.environment.broker()).await;
    let garbage: Vec<_> = (0..850).map(|number| format!("garbage {number}")).collect();
    for some in garbage.chunks(50) {
        join_all(some.iter().map(|text| operator.publish(COMMANDS, text.clone()))).await;
    }
    watched.fires("LastroQuarantineFull").await;
    discard_all(&watched).await;
    watched.clears("LastroQuarantineFull").await;
}

/// A message that the other service has not signed, until nobody sends any more.
#[tokio::test]
async fn a_message_without_a_signature() {
    let keys = Keys::new(&["order-service", "inventory-service"]);
    let shop = shop(&keys, "report").await;
    shop.stock("MUG", 10).await;
    shop.confirmed(&[("MUG", 1)]).await;
    let (orders, inventory) = shop.programs.addresses();
    let targets = [("order-service", orders[0]), ("inventory-service", inventory[0])];
    let prometheus = Prometheus::of(&targets).await;
    let operator = crate::signatures::connect(&shop, "operator").await;
    let sender = crate::signatures::database(&operator, "inventory=").await;
    crate::signatures::forge(&operator, ANSWERS, &sender, "[]", None).await;
    let labels = prometheus.fires("LastroMessagesUnverified").await;
    assert_eq!((&labels["service"], &labels["reason"]), (&json!("orders"), &json!("unsigned")));
    prometheus.clears("LastroMessagesUnverified").await;
}
