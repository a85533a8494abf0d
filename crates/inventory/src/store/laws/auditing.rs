//! Laws of the audit: it reads a bounded number of rows at a time, and what moves meanwhile is in
//! order all the same.

use StockCommandKind::{ReleaseStock, ReserveStock, ShipStock};
use inventory_core::stock::Level;
use platform::audit::{Audit, Findings, Progress, ReadBudget};
use tokio::sync::Semaphore;

use super::*;
use crate::audit::InventoryAudit;
use crate::store::{HELD_AT_ONCE, HeldAudit, StockKey};

fn mugs(kind: StockCommandKind, n: u128) -> InventoryCommand {
    order(kind, n, &[("MUG", 2)])
}

fn at_main() -> StockKey {
    (product("MUG"), LocationId::main())
}

impl Fresh {
    async fn held(&self, after: Option<OrderId>, limit: u32) -> HeldAudit {
        self.audit.held_at(at_main(), after, limit).await.expect("a page")
    }

    /// Reserves for all of these, whose ids are in no order.
    async fn promise(&self, orders: u128) {
        self.run(stocked("MUG", 1_000_000).to_vec()).await;
        self.run((1..=orders).map(|n| mugs(ReserveStock, shuffled(n))).collect()).await;
    }
}

/// Ids below 1000 that follow each other in no order.
fn shuffled(n: u128) -> u128 {
    n * 379 % 1009
}

pub(crate) async fn what_is_held_at_a_place_is_read_page_by_page_beside_its_level(fresh: Fresh) {
    fresh.run([stocked("MUG", 9), stocked("TEE", 4)].concat()).await;
    fresh.run([3, 1, 4, 2].map(|n| mugs(ReserveStock, n)).to_vec()).await;
    fresh
        .run(vec![
            mugs(ShipStock, 1),
            mugs(ReleaseStock, 2),
            reserve(7, &[("TEE", 1)]),
            mugs(ReserveStock, 8),
        ])
        .await;
    let level = Level { on_hand: 7, reserved: 6, last_seq: 8 };
    let page = |units, allocations, more| HeldAudit { level, units, allocations, more_after: more };
    assert_eq!(
        fresh.held(None, 3).await,
        page(2, 3, Some(id(3))),
        "one was shipped, one released, one holds"
    );
    assert_eq!(fresh.held(Some(id(3)), 3).await, page(4, 2, None));
    assert_eq!(fresh.held(None, 4).await, page(4, 4, Some(id(4))));
    assert_eq!(fresh.held(Some(id(8)), 4).await, page(0, 0, None));
    let nowhere =
        fresh.audit.held_at((product("CAP"), LocationId::main()), None, 9).await.expect("a read");
    assert_eq!(
        nowhere,
        HeldAudit { level: Level::default(), units: 0, allocations: 0, more_after: None }
    );
}

pub(crate) async fn a_stock_key_with_many_reservations_is_not_summed_in_one_read(fresh: Fresh) {
    let few = u128::from(HELD_AT_ONCE);
    fresh.promise(few).await;
    let units = 2 * i64::from(HELD_AT_ONCE);
    let held = async || fresh.audit.stock_after(None, 10).await.expect("a page")[0].held;
    assert_eq!(held().await, Some(units));
    fresh.run(vec![mugs(ReleaseStock, shuffled(1))]).await;
    assert_eq!(held().await, Some(units - 2));
    fresh.run(vec![mugs(ReserveStock, 2000)]).await;
    assert_eq!(held().await, None, "whatever became of them");
    assert_eq!(fresh.round(&mut fresh.books(ReadBudget::SHORT)).await.0.violations, []);
}

impl Fresh {
    fn books(&self, reach: ReadBudget) -> InventoryAudit {
        InventoryAudit::new(self.audit.clone(), reach)
    }

    /// A whole round, and how much each of its steps read.
    async fn round(&self, books: &mut InventoryAudit) -> (Findings, Vec<u64>) {
        let (mut findings, mut steps) = (Findings::default(), Vec::new());
        loop {
            let before = findings.rows;
            let progress = books.step(&mut findings).await.expect("a step");
            steps.push(findings.rows - before);
            if progress == Progress::RoundOver {
                return (findings, steps);
            }
        }
    }
}

/// Ledgers grow, and orders of all ages come and go at one stock key, while it is read a few rows
/// at a time.
pub(crate) async fn rows_that_are_written_while_they_are_read_raise_no_alarm(fresh: Fresh) {
    fresh.promise(150).await;
    // So many batches may be written during a round: however slow the rounds are, there are several
    // of them.
    let may_write = Arc::new(Semaphore::new(0));
    let (store, allowed) = (fresh.store.clone(), may_write.clone());
    let writer = tokio::spawn(async move {
        for n in 151..=400 {
            allowed.acquire().await.expect("never closed").forget();
            let gone = if n % 2 == 0 { ReleaseStock } else { ShipStock };
            let rejected = reserve(5000 + n, &[("MUG", 1_000_000)]);
            let batch = [mugs(ReserveStock, shuffled(n)), mugs(gone, shuffled(n - 150)), rejected];
            run_until_done(&*store, Arc::new(batch)).await;
        }
    });
    let (mut watching, mut rounds) =
        (fresh.books(ReadBudget { page: 3, below: 20, round: 1_000 }), 0);
    while !writer.is_finished() {
        may_write.add_permits(50);
        let (findings, _) = fresh.round(&mut watching).await;
        assert_eq!(findings.violations, []);
        rounds += 1;
    }
    writer.await.expect("no panic");
    assert!(rounds >= 5, "it was read while it was written: {rounds} rounds");
    for books in [&mut watching, &mut fresh.books(ReadBudget::LONG)] {
        let (findings, _) = fresh.round(books).await;
        assert_eq!((findings.violations, findings.checked["INV-8"]), (Vec::new(), 250));
    }
    assert_eq!(fresh.levels("MUG").await, [("main".to_owned(), 1_000_000 - 250, 300)]);
}

pub(crate) async fn a_step_of_the_audit_reads_no_more_than_it_may(fresh: Fresh) {
    let reach = ReadBudget { page: 10, below: 50, round: 1_000 };
    fresh.promise(120).await;
    fresh.run((10..35).map(|n| put(&format!("P{n}"))).collect()).await;
    fresh.run((10..35).map(|n| received(&format!("P{n}"), "main", 7)).collect()).await;
    let mut books = fresh.books(reach);
    let (first, steps) = fresh.round(&mut books).await;
    assert!(steps.iter().all(|rows| *rows <= 60), "{steps:?}");
    assert_eq!(first.checked["INV-1"], 121 + 25, "every movement");
    let (second, steps) = fresh.round(&mut books).await;
    assert!(steps.iter().all(|rows| *rows <= 60), "{steps:?}");
    assert_eq!(
        second.checked["INV-1"],
        10 + 25,
        "nothing is new: a fifth of what may be read, of what is older"
    );
    fresh.run(vec![received("MUG", "main", 5)]).await;
    let (third, _) = fresh.round(&mut books).await;
    assert_eq!(third.checked["INV-1"], 11 + 25, "what is new as well");
    assert_eq!(
        [first, second, third].map(|round| (round.violations.len(), round.checked["INV-2"])),
        [(0, 26); 3]
    );
}
