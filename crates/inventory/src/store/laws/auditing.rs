//! Laws of the audit: it sees what was done, it reads a bounded number of rows at a time, and what
//! is written meanwhile raises no alarm.

use platform::audit::{Audit, Findings, Progress, ReadBudget};
use tokio::sync::Semaphore;

use super::changing::{Revised, revise};
use super::*;
use crate::audit::InventoryAudit;
use crate::store::{MovementAudit, NamedMovement, StockAudit};

pub(crate) async fn the_audit_reads_every_reservation_once_in_order(fresh: Fresh) {
    assert_eq!(fresh.audit.last_order_id().await.expect("a read"), None);
    fresh.run(stocked("MUG", 3).to_vec()).await;
    fresh.run([5, 3, 9, 1, 7].into_iter().map(|n| place(n, &[("MUG", 1)])).collect()).await;
    let mut seen: Vec<OrderId> = Vec::new();
    loop {
        let page = fresh.audit.reservations_after(seen.last().copied(), 2).await.expect("a page");
        if page.is_empty() {
            break;
        }
        seen.extend(page.iter().map(|stored| stored.key));
    }
    assert_eq!(seen, [1, 3, 5, 7, 9].map(id));
    assert_eq!(fresh.audit.last_order_id().await.expect("a read"), Some(id(9)));
    let some = fresh.audit.reservations_by_id([9, 4, 1, 9].map(id).to_vec()).await;
    let some = some.expect("a read");
    assert_eq!(some.iter().map(|stored| stored.key).collect::<Vec<_>>(), [1, 9].map(id));
    for stored in some {
        let expected = fresh.store.reservation(stored.key).await.expect("a read");
        assert_eq!(Some(stored.row.expect("readable")), expected);
    }
    let known = vec![product("TEE"), product("MUG")];
    assert_eq!(fresh.audit.known_products(known).await.expect("a read"), [false, true]);
}

pub(crate) async fn the_audit_reads_every_stock_row_with_its_last_movement(fresh: Fresh) {
    assert_eq!(fresh.audit.last_stock().await.expect("a read"), None);
    fresh.run([stocked("MUG", 9), stocked("TEE", 4)].concat()).await;
    fresh.run(vec![put_location("SHOP", 1), received("MUG", "SHOP", 2)]).await;
    fresh.run(vec![place(1, &[("MUG", 3)])]).await;
    let all = fresh.audit.stock_after(None, 10).await.expect("a page");
    let rows: Vec<StockAudit> =
        all.iter().map(|stored| stored.row.clone().expect("readable")).collect();
    let seen: Vec<_> = rows
        .iter()
        .map(|StockAudit { stock_key: (product_id, location_id), level, .. }| {
            (product_id.as_str(), location_id.as_str(), level.on_hand, level.reserved)
        })
        .collect();
    assert_eq!(seen, [("MUG", "main", 9, 3), ("MUG", "SHOP", 2, 0), ("TEE", "main", 4, 0)]);
    for row in rows {
        let level = row.level;
        let last = NamedMovement { same_product: true, same_location: true, level };
        assert_eq!(row.last, Some(last));
    }
    let keys: Vec<_> = all.iter().map(|stored| stored.key).collect();
    assert!(keys.is_sorted_by(|a, b| a < b));
    for (at, key) in keys.iter().enumerate() {
        let rest = fresh.audit.stock_after(Some(*key), 10).await.expect("a page");
        assert_eq!(rest.iter().map(|stored| stored.key).collect::<Vec<_>>(), keys[at + 1..]);
    }
    assert_eq!(fresh.audit.stock_after(None, 1).await.expect("a page").len(), 1);
    assert_eq!(fresh.audit.last_stock().await.expect("a read"), keys.last().copied());
}

pub(crate) async fn the_audit_reads_every_movement_with_those_that_it_names(fresh: Fresh) {
    fresh.run([stocked("MUG", 9), stocked("TEE", 4)].concat()).await;
    fresh.run(vec![put_location("SHOP", 1), received("MUG", "SHOP", 2)]).await;
    fresh.run(vec![place(1, &[("MUG", 3)])]).await;
    let rows = fresh.audit.movements_after(None, 10).await.expect("a page");
    let rows: Vec<MovementAudit> =
        rows.into_iter().map(|stored| stored.row.expect("readable")).collect();
    let mut ledger = [fresh.ledger("MUG").await, fresh.ledger("TEE").await].concat();
    ledger.sort_by_key(Movement::number);
    assert_eq!(rows.iter().map(|row| row.movement.clone()).collect::<Vec<_>>(), ledger);
    let [mugs, tees, at_shop, reserved] = &rows[..] else { panic!("{rows:?}") };
    let named = |row: &MovementAudit, same_location| {
        Some(NamedMovement { same_product: true, same_location, level: row.movement.after })
    };
    for first in [mugs, tees] {
        assert_eq!((first.previous, first.previous_of_product), (None, None));
    }
    assert_eq!((at_shop.previous, at_shop.previous_of_product), (None, named(mugs, false)));
    assert_eq!(reserved.previous, named(mugs, true));
    assert_eq!(reserved.previous_of_product, named(at_shop, false));

    let numbers: Vec<i64> = ledger.iter().map(Movement::number).collect();
    assert_eq!(fresh.audit.last_movement().await.expect("a read"), numbers.last().copied());
    let page = fresh.audit.movements_after(Some(numbers[0]), 2).await.expect("a page");
    assert_eq!(page.iter().map(|stored| stored.key).collect::<Vec<_>>(), numbers[1..3]);
    let some = vec![numbers[2], 0, numbers[0], numbers[2]];
    let some = fresh.audit.movements_by_number(some).await.expect("a read");
    let some: Vec<_> = some.into_iter().map(|stored| stored.row.expect("readable")).collect();
    assert_eq!(some, [ledger[0].clone(), ledger[2].clone()]);
}

/// Ids below 1009 that follow each other in no order.
fn shuffled(n: u128) -> u128 {
    n * 379 % 1009
}

const TWO_MUGS: [(&str, u32); 1] = [("MUG", 2)];

impl Fresh {
    fn auditor(&self, budget: ReadBudget) -> InventoryAudit {
        InventoryAudit::new(self.audit.clone(), budget)
    }

    /// A whole round, and how much each of its steps read.
    async fn round(&self, audit: &mut InventoryAudit) -> (Findings, Vec<u64>) {
        let (mut findings, mut steps) = (Findings::default(), Vec::new());
        loop {
            let before = findings.rows;
            let progress = audit.step(&mut findings).await.expect("a step");
            steps.push(findings.rows - before);
            if progress == Progress::RoundOver {
                return (findings, steps);
            }
        }
    }

    /// Reserves for all of these, whose ids are in no order.
    async fn promise(&self, orders: u128) {
        self.run(stocked("MUG", 1_000_000).to_vec()).await;
        self.run((1..=orders).map(|n| place(shuffled(n), &TWO_MUGS)).collect()).await;
    }
}

/// Two replicas write to different products side by side, and orders of all ages come and go, while
/// everything is read a few rows at a time.
pub(crate) async fn rows_that_are_written_while_they_are_read_raise_no_alarm(fresh: Fresh) {
    fresh.promise(150).await;
    fresh.run([stocked("TEE", 1_000_000), stocked("CAP", 1_000_000)].concat()).await;
    // So many batches may be written during a round: however slow the rounds are, there are several
    // of them.
    let may_write = Arc::new(Semaphore::new(0));
    let batches = |n: u128| {
        let gone = if n.is_multiple_of(2) { cancel } else { fulfill };
        let rejected = place(5000 + n, &[("MUG", 1_000_000)]);
        vec![place(shuffled(n), &TWO_MUGS), gone(shuffled(n - 150), &TWO_MUGS), rejected]
    };
    let others = |n: u128| {
        let both = place(8000 + n, &[("TEE", 1), ("CAP", 1)]);
        vec![place(6000 + n, &[("TEE", 1)]), both, cancel(6000 + n, &[("TEE", 1)])]
    };
    let writer = |batches: fn(u128) -> Vec<InventoryCommand>| {
        let (store, allowed) = (fresh.store.clone(), may_write.clone());
        tokio::spawn(async move {
            for n in 151..=400 {
                allowed.acquire().await.expect("never closed").forget();
                run_until_done(&*store, batches(n).into()).await;
            }
        })
    };
    let writers = [writer(batches), writer(others)];
    let mut watching = fresh.auditor(ReadBudget { page: 3, below: 20, round: 1_000 });
    let mut rounds = 0;
    while !writers.iter().all(|writer| writer.is_finished()) {
        may_write.add_permits(100);
        let (findings, _) = fresh.round(&mut watching).await;
        assert_eq!(findings.violations, []);
        rounds += 1;
    }
    for writer in writers {
        writer.await.expect("no panic");
    }
    assert!(rounds >= 5, "it was read while it was written: {rounds} rounds");
    let (findings, _) = fresh.round(&mut fresh.auditor(ReadBudget::LONG)).await;
    assert_eq!((findings.violations, findings.checked["INV-8"]), (Vec::new(), 250));
    assert_eq!(fresh.levels("MUG").await, [("main".to_owned(), 1_000_000 - 250, 300)]);
}

/// Orders are shipped in parts, taken back, returned, released and reserved again, while everything
/// is read a few rows at a time.
pub(crate) async fn orders_that_change_raise_no_alarm(fresh: Fresh) {
    fresh.run(stocked("MUG", 1_000).to_vec()).await;
    let some = quantity(9);
    fresh.run(vec![moved("MUG", "main", Change::Quarantine(some), "set apart")]).await;
    let wants = &[("MUG", 4)][..];
    let [none, out, part] = [&[][..], &[("MUG", "main", 4)], &[("MUG", "main", 3)]]
        .map(|ships| Revised { wants, ships, returns: &[] });
    let back =
        Revised { returns: &[("MUG", "NOWHERE", [1, 0, 1]), ("MUG", "main", [0, 1, 0])], ..part };
    let less = Revised { wants: &[("MUG", 3)], ..back };
    let nothing = Revised { wants: &[("MUG", 0)], ..none };
    let mut watching = fresh.auditor(ReadBudget { page: 3, below: 20, round: 1_000 });
    for n in 1..=20 {
        let path = match n % 3 {
            0 => [out, part, back, less],
            1 => [nothing, none, nothing, none],
            _ => [part, none, out, Revised { returns: &[("MUG", "main", [4, 0, 0])], ..out }],
        };
        fresh.run(vec![place(n, wants)]).await;
        for (revision, revised) in (2..).zip(path) {
            fresh.run(vec![revise(n, revision, revised)]).await;
        }
        let (findings, _) = fresh.round(&mut watching).await;
        assert_eq!(findings.violations, []);
    }
    let (findings, _) = fresh.round(&mut fresh.auditor(ReadBudget::LONG)).await;
    assert_eq!((findings.violations, findings.checked["INV-10"]), (Vec::new(), 20));
}

pub(crate) async fn a_step_of_the_audit_reads_no_more_than_it_may(fresh: Fresh) {
    let budget = ReadBudget { page: 10, below: 50, round: 100 };
    fresh.promise(120).await;
    fresh.run((10..35).map(|n| put(&format!("P{n}"))).collect()).await;
    fresh.run((10..35).map(|n| received(&format!("P{n}"), "main", 7)).collect()).await;
    let mut audit = fresh.auditor(budget);
    let mut round = async || {
        let (findings, steps) = fresh.round(&mut audit).await;
        assert!(steps.iter().all(|rows| *rows <= 10 + 50), "{steps:?}");
        assert_eq!(findings.violations, []);
        findings.checked["INV-1"]
    };
    assert_eq!(round().await, 100, "the first of 146 movements");
    assert_eq!(round().await, 100, "older ones");
    fresh.run(vec![received("MUG", "main", 5)]).await;
    assert_eq!(round().await, 1 + 46, "a new one, and the rest of the older ones");
    assert_eq!(round().await, 100, "and from the beginning");
}
