use std::path::PathBuf;

use contract::commands::StockCommandKind;
use inventory_core::decide::{InventoryCommand, decide};
use platform::clock::{ManualClock, Timestamp};
use testbed::write_past;

use super::*;
use crate::store::Store;
use crate::store::laws::{START, order, put_location, received, reserve, stocked};
use crate::store::sqlite::Sqlite;

/// A store in a file of its own, and an audit of it that may have run before.
struct Shop {
    store: Arc<Sqlite>,
    audit: InventoryAudit,
    clock: Arc<ManualClock>,
    folder: tempfile::TempDir,
}

impl Shop {
    /// Sixty movements of mugs, some of tees; orders that hold, were released, were shipped and
    /// were rejected.
    async fn open(budget: ReadBudget) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(ManualClock::at(START));
        let store = Sqlite::open(&folder.path().join("inventory.db"), clock.clone());
        let store = Arc::new(store.expect("a new file"));
        let shop = Self {
            audit: InventoryAudit::new(Arc::new(store.audit()), budget),
            store,
            clock,
            folder,
        };
        shop.run([stocked("MUG", 100), stocked("TEE", 3)].concat()).await;
        shop.run((1..=57).map(|n| reserve(n, &[("MUG", 1)])).collect()).await;
        let gone = |kind, n| order(kind, n, &[("MUG", 1)]);
        shop.run(vec![
            gone(StockCommandKind::ReleaseStock, 1),
            gone(StockCommandKind::ShipStock, 2),
        ])
        .await;
        shop.run(vec![
            reserve(100, &[("TEE", 2), ("MUG", 1)]),
            reserve(101, &[("TEE", 2)]),
            reserve(102, &[("CAP", 1)]),
        ])
        .await;
        shop
    }

    async fn run(&self, commands: Vec<InventoryCommand>) {
        self.store.run(commands.into(), decide).await.expect("executed");
    }

    async fn round(&mut self) -> Findings {
        let mut findings = Findings::default();
        while self.audit.step(&mut findings).await.expect("a step") == Progress::UnderWay {}
        findings
    }

    /// The invariants that a round finds violated, and whether it names this.
    async fn violated(&mut self, offender: &str) -> (Vec<&'static str>, bool) {
        let violations = self.round().await.violations;
        let mut names: Vec<_> =
            violations.iter().map(|violation| violation.invariant.name).collect();
        names.sort_unstable();
        names.dedup();
        (names, violations.iter().any(|violation| violation.offender.contains(offender)))
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("inventory.db")
    }
}

/// What is done, which invariants it breaks, and who is named for it.
const DAMAGES: [(&str, &[&str], &str); 14] = [
    (
        "UPDATE movements SET reserved_delta = 200 WHERE product_id = 'MUG' AND seq = 20",
        &["INV-1", "INV-2"],
        "MUG at main",
    ),
    ("UPDATE movements SET on_hand_delta = 99 WHERE product_id = 'MUG' AND seq = 1", &["INV-2"], "movement 1"),
    ("UPDATE movements SET on_hand = 101 WHERE product_id = 'MUG' AND seq = 30", &["INV-2"], "movement 30"),
    ("DELETE FROM movements WHERE product_id = 'MUG' AND seq = 20", &["INV-2"], "movement 21"),
    ("DELETE FROM movements WHERE product_id = 'MUG' AND seq > 58", &["INV-2"], "MUG at main"),
    ("UPDATE stock SET on_hand = on_hand + 1 WHERE product_id = 'TEE'", &["INV-2"], "TEE at main"),
    ("UPDATE stock SET last_seq = last_seq - 1 WHERE product_id = 'TEE'", &["INV-2"], "TEE at main"),
    ("UPDATE stock SET reserved = reserved - 1 WHERE product_id = 'TEE'", &["INV-2", "INV-3"], "TEE at main"),
    (
        "UPDATE reservations SET state = 'released' WHERE order_id = x'00000000000000000000000000000007'",
        &["INV-3"],
        "MUG",
    ),
    ("UPDATE allocations SET quantity = 9 WHERE order_id = x'00000000000000000000000000000007'", &["INV-3"], "MUG"),
    (
        "UPDATE reservations SET shortages = replace(shortages, '\"available\":1', '\"available\":0')
         WHERE order_id = x'00000000000000000000000000000065'",
        &["INV-8"],
        "order 00000000-0000-0000-0000-000000000065",
    ),
    (
        "UPDATE reservations SET shortages = '[]' WHERE order_id = x'00000000000000000000000000000065'",
        &["INV-8"],
        "rejected without a shortage",
    ),
    (
        "UPDATE reservations SET shortages = replace(shortages, 'out_of_stock', 'unknown_product')
         WHERE order_id = x'00000000000000000000000000000065'",
        &["INV-8"],
        "was called unknown, but its ledgers were seen",
    ),
    (
        "UPDATE reservations SET shortages = replace(shortages, 'unknown_product', 'out_of_stock')
         WHERE order_id = x'00000000000000000000000000000066'",
        &["INV-8"],
        "was called out of stock, but is not known",
    ),
];

#[tokio::test]
async fn whatever_is_wrong_with_the_stock_is_found_and_named() {
    for (sql, broken, offender) in DAMAGES {
        let mut shop = Shop::open(ReadBudget::SHORT).await;
        write_past(&shop.file(), sql);
        assert_eq!(shop.violated(offender).await, (broken.to_vec(), true), "{sql}");
    }
}

/// What was read once is read again: round by round a stretch of it, so that any damage is found in
/// the end.
#[tokio::test]
async fn what_was_in_order_and_is_damaged_later_is_found_in_time() {
    for (sql, _, offender) in DAMAGES {
        let mut shop = Shop::open(ReadBudget { page: 2, below: 60, round: 1_000 }).await;
        assert_eq!(shop.round().await.violations, []);
        assert_eq!(shop.round().await.violations, [], "also of what is read again");
        write_past(&shop.file(), sql);
        // A ledger of sixty movements in stretches of twelve.
        let mut named = false;
        for _ in 0..6 {
            let (broken, its) = shop.violated(offender).await;
            named |= its && !broken.is_empty();
        }
        assert!(named, "{sql}");
    }
}

#[tokio::test]
async fn a_violation_that_stays_is_reported_in_every_round() {
    let mut shop = Shop::open(ReadBudget { page: 2, below: 60, round: 1_000 }).await;
    shop.round().await;
    write_past(
        &shop.file(),
        "UPDATE movements SET on_hand = 101 WHERE product_id = 'MUG' AND seq = 3",
    );
    while shop.round().await.violations.is_empty() {}
    for _ in 0..3 {
        assert_eq!(
            shop.violated("movement 3").await,
            (vec!["INV-2"], true),
            "it is read from the beginning now"
        );
    }
    write_past(
        &shop.file(),
        "UPDATE movements SET on_hand = 100 WHERE product_id = 'MUG' AND seq = 3",
    );
    for _ in 0..7 {
        assert_eq!(shop.round().await.violations, [], "mended");
    }
}

/// A file that was put back to what it was an hour ago is read as what it is.
#[tokio::test]
async fn a_ledger_that_is_shorter_than_it_was_is_read_from_its_beginning() {
    let mut shop = Shop::open(ReadBudget::SHORT).await;
    assert_eq!(shop.round().await.violations, []);
    write_past(
        &shop.file(),
        "DELETE FROM movements WHERE product_id = 'MUG' AND seq > 1; DELETE FROM allocations WHERE product_id = 'MUG';
         UPDATE stock SET on_hand = 100, reserved = 0, last_seq = 1 WHERE product_id = 'MUG'",
    );
    let findings = shop.round().await;
    assert_eq!(findings.violations, []);
    assert_eq!(findings.checked["INV-1"], 1 + 2, "one of mugs, and those of tees again");
}

/// A clock that may be set back does not show whether the rejection or the stock came first.
#[tokio::test]
async fn a_clock_that_was_set_back_raises_no_alarm() {
    let mut shop = Shop::open(ReadBudget::SHORT).await;
    shop.clock.set(Timestamp(START.0 - 3_600_000_000));
    shop.run(vec![put_location("SHOP", 1), received("TEE", "SHOP", 50)]).await;
    shop.run(stocked("CAP", 50).to_vec()).await;
    for _ in 0..2 {
        let findings = shop.round().await;
        assert_eq!((findings.violations, findings.checked["INV-8"]), (Vec::new(), 2));
    }
}

/// Movements come faster than old ones are read again. What was skipped when it was new, and what
/// was read long ago, is found.
#[tokio::test]
async fn a_ledger_that_grows_faster_than_it_is_read_is_read_all_the_same() {
    for (damaged, rounds_before) in [(3, 4), (30, 0), (120, 2)] {
        let mut shop = Shop::open(ReadBudget { page: 2, below: 25, round: 8 }).await;
        let (mut rounds, mut named) = (0, false);
        while !named {
            if rounds == rounds_before {
                let sql = format!(
                    "UPDATE movements SET on_hand = 1000 WHERE product_id = 'MUG' AND seq = {damaged}"
                );
                write_past(&shop.file(), &sql);
            }
            let ids = 1000 + 20 * rounds..1020 + 20 * rounds;
            shop.run(ids.clone().map(|n| reserve(n, &[("MUG", 1)])).collect()).await;
            shop.run(
                ids.map(|n| order(StockCommandKind::ReleaseStock, n, &[("MUG", 1)])).collect(),
            )
            .await;
            let findings = shop.round().await;
            let offender = format!("MUG at main, movement {damaged}:");
            named = findings
                .violations
                .iter()
                .any(|violation| violation.offender.starts_with(&offender));
            assert!(named || findings.violations.is_empty(), "{:?}", findings.violations);
            assert!(
                findings.checked["INV-1"] <= 2 * (8 + 5),
                "of two ledgers: what is new, and what is older"
            );
            rounds += 1;
            assert!(rounds < 100, "movement {damaged}");
        }
    }
}

/// What is held where very many were promised something cannot be added up while more moves there
/// than is counted.
#[tokio::test]
async fn a_place_that_moves_faster_than_it_is_counted_is_left_until_it_is_quieter() {
    let mut shop = Shop::open(ReadBudget { page: 100, below: 20, round: 50 }).await;
    shop.run(vec![received("MUG", "main", 1_000)]).await;
    shop.run((200..300).map(|n| reserve(n, &[("MUG", 1)])).collect()).await;
    let (mut findings, mut n) = (Findings::default(), 1_000);
    while shop.audit.step(&mut findings).await.expect("a step") == Progress::UnderWay {
        for kind in [StockCommandKind::ReserveStock, StockCommandKind::ReleaseStock] {
            shop.run((n..n + 40).map(|n| order(kind, n, &[("MUG", 1)])).collect()).await;
        }
        n += 40;
        assert!(n < 10_000, "the round ends");
    }
    assert_eq!(
        (findings.violations, findings.checked["INV-3"]),
        (Vec::new(), 1),
        "only that of tees"
    );
    let findings = shop.round().await;
    assert_eq!((findings.violations, findings.checked["INV-3"]), (Vec::new(), 2));
}

/// What cannot be read is named, and hides nothing that lies behind it.
#[tokio::test]
async fn a_row_that_makes_no_sense_is_an_offender_and_no_hindrance() {
    let behind = "UPDATE stock SET on_hand = on_hand + 1 WHERE product_id = 'TEE';
        UPDATE reservations SET shortages = '[]' WHERE order_id = x'00000000000000000000000000000066'";
    for (sql, message) in [
        (
            "UPDATE movements SET kind = 'lost' WHERE product_id = 'MUG' AND seq = 20",
            "MUG at main cannot be read: ",
        ),
        (
            "UPDATE reservations SET shortages = 'none' WHERE order_id = x'00000000000000000000000000000065'",
            "the reservation of order 00000000-0000-0000-0000-000000000065 cannot be read: ",
        ),
        (
            "UPDATE reservations SET state = 'lost' WHERE order_id = x'00000000000000000000000000000064'",
            "the reservation of order 00000000-0000-0000-0000-000000000064 cannot be read: ",
        ),
    ] {
        let mut shop = Shop::open(ReadBudget::SHORT).await;
        write_past(&shop.file(), &format!("{sql}; {behind}"));
        let findings = shop.round().await;
        let named = |message: &str| {
            findings.violations.iter().any(|violation| violation.offender.starts_with(message))
        };
        assert!(named(message), "{sql}: {:#?}", findings.violations);
        assert!(named("TEE at main: the row says"), "{sql}: {:#?}", findings.violations);
        assert!(
            named("order 00000000-0000-0000-0000-000000000066: rejected without"),
            "{:#?}",
            findings.violations
        );
    }
}

#[tokio::test]
async fn a_place_without_a_name_ends_the_walk_through_places_and_no_other() {
    let mut shop = Shop::open(ReadBudget::SHORT).await;
    write_past(
        &shop.file(),
        "UPDATE stock SET product_id = '?' WHERE product_id = 'TEE';
         UPDATE reservations SET shortages = '[]' WHERE order_id = x'00000000000000000000000000000066'",
    );
    let mut findings = Findings::default();
    let mut failures = 0;
    loop {
        match shop.audit.step(&mut findings).await {
            Ok(Progress::UnderWay) => {}
            Ok(Progress::RoundOver) => break,
            Err(failure) => {
                assert!(matches!(failure, Failure::Suspect(_)), "{failure}");
                failures += 1;
            }
        }
    }
    assert_eq!((failures, findings.violations.len()), (1, 1));
}
