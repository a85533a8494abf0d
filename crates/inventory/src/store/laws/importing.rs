//! Laws of imports: a row is a count and a name, in one command.

use inventory_core::admin::{ImportNote, Note};
use inventory_core::decide::Refusal;
use inventory_core::stock::{Cause, MovementKind};

use super::*;

/// The row of a file on this line.
fn row(line: u32, id: &str, name: Option<&str>, on_hand: i64) -> InventoryCommand {
    let cause = RequestCause {
        request_id: RequestId(Digest::of(format!("line {line}").as_bytes()).0),
        digest: Digest::of(format!("{id} {name:?} {on_hand}").as_bytes()),
        reason: Some("annual".to_owned()),
        reference: Some("K".to_owned()),
        actor: Some("ana".to_owned()),
    };
    InventoryCommand::Import(Box::new(ImportRow {
        product_id: product(id),
        name: name.map(str::to_owned),
        location_id: LocationId::main(),
        on_hand,
        cause,
        requester: Requester::default(),
    }))
}

/// What a row led to: `on_hand name`, `again on_hand name`, or its refusals.
fn told(decided: &DecidedInventory) -> String {
    match &decided.outcome {
        InventoryOutcome::Imported(row) => {
            let again = if row.replayed { "again " } else { "" };
            format!("{again}{} {}", row.movement.after.on_hand, row.name)
        }
        InventoryOutcome::RowRefused(refusals) => format!("{refusals:?}"),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn a_row_of_an_import_reads_back_with_the_product_that_it_created(fresh: Fresh) {
    fresh.run(vec![row(2, "MUG", Some("Mug"), 5)]).await;
    let stock = fresh.store.product(product("MUG")).await.expect("a read").expect("a product");
    assert_eq!((stock.product.name.as_str(), stock.product.low_stock_at), ("Mug", None));
    assert_eq!(stock.product.created_at_micros, START.0);
    assert_eq!(stock.levels[&LocationId::main()].on_hand, 5);
    let ledger = fresh.ledger("MUG").await;
    let [count] = &ledger[..] else { panic!("{ledger:?}") };
    let Cause::Request(cause) = &count.cause else { panic!("{count:?}") };
    assert_eq!((count.kind, count.deltas.on_hand), (MovementKind::Count, 5));
    let texts = [&cause.reason, &cause.reference, &cause.actor].map(Option::as_deref);
    assert_eq!(texts, [Some("annual"), Some("K"), Some("ana")]);
}

pub(crate) async fn a_batch_of_rows_is_counted_once_and_a_refused_row_changes_nothing(
    fresh: Fresh,
) {
    fresh.run([stocked("TEE", 3).to_vec(), vec![place(1, &[("TEE", 2)])]].concat()).await;
    let batch = vec![
        row(2, "MUG", Some("Mug"), 5),
        row(3, "TEE", Some("Shirt"), 1),
        row(4, "CAP", None, 1),
        row(5, "TEE", Some("Tee"), 9),
    ];
    let first = fresh.run(batch.clone()).await;
    let below = format!("{:?}", [Refusal::BelowReserved { reserved: 2, quarantined: 0 }]);
    let expected = ["5 Mug", &below, "[ProductNotFound]", "9 Tee"];
    assert_eq!(first.iter().map(told).collect::<Vec<_>>(), expected);

    fresh.run(vec![put_named("MUG", "Cup", Some(3))]).await;
    let again = fresh.run(batch).await;
    let expected = ["again 5 Cup", &below, "[ProductNotFound]", "again 9 Tee"];
    assert_eq!(again.iter().map(told).collect::<Vec<_>>(), expected);
    let reused = fresh.run(vec![row(2, "MUG", Some("Mug"), 6)]).await;
    assert_eq!(told(&reused[0]), "[KeyReused]");
    assert_eq!(fresh.ledger("MUG").await.len(), 1);
    assert!(fresh.store.product(product("CAP")).await.expect("a read").is_none());
}

pub(crate) async fn the_admin_log_has_an_import_as_a_whole(fresh: Fresh) {
    let note = |note| {
        let requester = Requester::default();
        InventoryCommand::Note(Box::new(ImportNote { requester, note }))
    };
    let began = Note::ImportBegan { key: "K".to_owned(), reason: "annual".to_owned() };
    let ended = Note::ImportEnded {
        key: "K".to_owned(),
        is_complete: true,
        rows: 3,
        changed: 2,
        failed: 1,
        sha256: "e3b0".to_owned(),
    };
    let rows = [row(2, "MUG", Some("Mug"), 5), row(3, "TEE", Some("Tee"), 0)];
    let batch = [vec![note(began)], rows.to_vec(), vec![note(ended)]].concat();
    fresh.run(batch).await;
    let log = fresh.admin_log.page(None, 100).await.expect("a page");
    let seen: Vec<_> = log
        .iter()
        .rev()
        .map(|entry| (entry.action.as_str(), entry.subject.as_str(), entry.after.as_str()))
        .collect();
    let after = r#"{"changed":2,"complete":true,"failed":1,"rows":3,"sha256":"e3b0"}"#;
    let [began, (action, subject, json)] = seen[..] else { panic!("{seen:?}") };
    assert_eq!(began, ("import_began", "K", r#"{"reason":"annual"}"#));
    assert_eq!((action, subject), ("import_ended", "K"));
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    assert_eq!(value(json), value(after));
}
