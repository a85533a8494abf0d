//! Laws of the admin log: it has what people changed by hand, and nothing else.

use inventory_core::admin::ImportNote;
use inventory_core::decide::RepairOrder;
use platform::admin::AdminNote;
use serde_json::{Value, json};

use super::*;

/// A request of a person at a till.
fn by_ana(command: InventoryCommand) -> InventoryCommand {
    let requester = Requester {
        actor: Some("key:ana".to_owned()),
        request_id: Some("r-1".to_owned()),
        address: Some("192.0.2.7".to_owned()),
    };
    match command {
        InventoryCommand::PutProduct(put) => {
            InventoryCommand::PutProduct(PutProduct { requester, ..put })
        }
        InventoryCommand::PutLocation(put) => {
            InventoryCommand::PutLocation(PutLocation { requester, ..put })
        }
        InventoryCommand::Move(request) => {
            InventoryCommand::Move(Box::new(MovementRequest { requester, ..*request }))
        }
        InventoryCommand::Import(row) => {
            InventoryCommand::Import(Box::new(ImportRow { requester, ..*row }))
        }
        InventoryCommand::Note(note) => {
            InventoryCommand::Note(Box::new(ImportNote { requester, ..*note }))
        }
        // What the Order Service sends, given by an operator instead.
        InventoryCommand::Allocate(command) => {
            InventoryCommand::Repair(Box::new(RepairOrder { command: *command, requester }))
        }
        InventoryCommand::Repair(repair) => {
            InventoryCommand::Repair(Box::new(RepairOrder { requester, ..*repair }))
        }
    }
}

pub(crate) async fn the_admin_log_has_what_people_changed_and_who_did_it(fresh: Fresh) {
    let count = Change::Count { on_hand: 7, expected: None };
    let batch = vec![
        put_named("MUG", "Mug", Some(3)),
        put_named("MUG", "Mug", Some(3)),
        put_named("MUG", "Big mug", None),
        put_location("shop", 5),
        received("MUG", "shop", 9),
        moved("MUG", "shop", count, "count"),
        moved("MUG", "shop", count, "count"),
        moved("MUG", "shop", Change::Adjust(-9), "too many"),
        moved("MUG", "shop", Change::Adjust(-1), "broken"),
    ];
    fresh.run(batch.into_iter().map(by_ana).collect()).await;
    let requester = platform::admin::Requester {
        actor: Some("key:ana".to_owned()),
        request_id: Some("r-1".to_owned()),
        address: Some("192.0.2.7".to_owned()),
    };
    let (subject, after) = ("PUT /moon".to_owned(), json!({"required_scope": null}).to_string());
    let note = AdminNote { requester, action: "refused", subject, after };
    fresh.admin_log.note(note).await.expect("noted");
    let mut log = fresh.admin_log.page(None, 100).await.expect("a page");
    log.reverse();
    let json = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let seen: Vec<_> = log
        .iter()
        .map(|entry| {
            let before = entry.before.as_deref().map(json);
            (entry.action.as_str(), entry.subject.as_str(), before, json(&entry.after))
        })
        .collect();
    let stock = |units: i64| json!({"location_id": "shop", "on_hand": units});
    let changed =
        |units: i64| json!({"location_id": "shop", "on_hand": units, "reason": "because"});
    let small = json!({"name": "Mug", "low_stock_at": 3});
    let big = json!({"name": "Big mug", "low_stock_at": null});
    assert_eq!(
        seen,
        [
            ("put_product", "MUG", None, small.clone()),
            ("put_product", "MUG", Some(small), big),
            ("put_location", "shop", None, json!({"name": "shop", "priority": 5})),
            ("count", "MUG", Some(stock(9)), changed(7)),
            ("adjust", "MUG", Some(stock(7)), changed(6)),
            ("refused", "PUT /moon", None, json!({"required_scope": null})),
        ]
    );
    for entry in &log {
        assert_eq!(entry.at, START);
        assert_eq!(entry.actor.as_deref(), Some("key:ana"));
        assert_eq!(entry.request_id.as_deref(), Some("r-1"));
        assert_eq!(entry.address.as_deref(), Some("192.0.2.7"));
    }
}

pub(crate) async fn the_admin_log_is_complete_page_by_page(fresh: Fresh) {
    let names: Vec<String> = (10..22).map(|n| format!("P{n}")).collect();
    for name in &names {
        fresh.run(vec![put(name)]).await;
    }
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = fresh.admin_log.page(before, 5).await.expect("a page");
        let Some(last) = page.last() else { break };
        before = Some(last.number);
        seen.extend(page.into_iter().map(|entry| entry.subject));
    }
    seen.reverse();
    assert_eq!(seen, names);
}

pub(crate) async fn a_repair_is_in_the_admin_log_with_the_reservation_before_and_after(
    fresh: Fresh,
) {
    let [cups, mugs] = [[("CUP", 1)], [("MUG", 2)]];
    let orders = vec![place(1, &mugs), place(2, &cups)];
    fresh.run([stocked("MUG", 5).to_vec(), stocked("CUP", 5).to_vec(), orders].concat()).await;
    let before = fresh.admin_log.page(None, 100).await.expect("a page").len();
    let repairs = [
        cancel(1, &mugs),
        fulfill(2, &cups),
        // Neither a repetition nor what contradicts the reservation is recorded.
        cancel(1, &mugs),
        cancel(2, &cups),
    ];
    for repair in repairs {
        fresh.run(vec![by_ana(repair)]).await;
    }
    assert_eq!(fresh.levels("MUG").await, [("main".to_owned(), 5, 0)]);
    assert_eq!(fresh.levels("CUP").await, [("main".to_owned(), 4, 0)]);
    let mut log = fresh.admin_log.page(None, 100).await.expect("a page");
    log.truncate(log.len() - before);
    log.reverse();
    let json = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let shown = |revision: i64, state: &str, reserved: i64, shipped: i64| {
        json!({
            "revision": revision, "state": state, "reserved": reserved, "shipped": shipped,
            "returned": 0,
        })
    };
    let expected = [
        (id(1), shown(1, "reserved", 2, 0), shown(2, "released", 0, 0)),
        (id(2), shown(1, "reserved", 1, 0), shown(2, "shipped", 0, 1)),
    ];
    assert_eq!(log.len(), expected.len(), "{log:?}");
    for (entry, (order_id, before, after)) in log.iter().zip(expected) {
        assert_eq!(
            (entry.action.as_str(), &entry.subject),
            ("repair_order", &order_id.to_string())
        );
        assert_eq!(entry.before.as_deref().map(json), Some(before));
        assert_eq!(json(&entry.after), after);
        assert_eq!(entry.actor.as_deref(), Some("key:ana"));
    }
}
