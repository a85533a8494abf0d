use contract::Quantity;
use inventory_core::decide::{Change, InventoryCommand};
use platform::clock::Timestamp;

use super::*;
use crate::store::laws::changing::{Revised, revise};
use crate::store::laws::{
    Fresh, START, cancel, fulfill, moved, place, put_location, received, stocked,
};

/// A store, and an audit of it that may have run before.
struct Shop {
    fresh: Fresh,
    audit: InventoryAudit,
}

impl Shop {
    /// Sixty movements of mugs at `main`, one at `SHOP`, some of tees; orders that hold, were
    /// cancelled, were shipped and were rejected. Of pins there are six movements: an order was
    /// shipped, taken back in part, and returned; and one was quarantined.
    async fn open(fresh: Fresh, budget: ReadBudget) -> Self {
        let shop = Self { audit: InventoryAudit::new(fresh.audit.clone(), budget), fresh };
        let one = [("MUG", 1)];
        shop.run([stocked("MUG", 100), stocked("TEE", 3)].concat()).await;
        shop.run((1..=57).map(|n| place(n, &one)).collect()).await;
        shop.run(vec![cancel(1, &one), fulfill(2, &one)]).await;
        shop.run(vec![put_location("SHOP", 1), received("MUG", "SHOP", 5)]).await;
        shop.run(vec![place(101, &[("TEE", 4)]), place(100, &[("TEE", 2), ("MUG", 1)])]).await;
        shop.run(vec![place(102, &[("CAP", 1)])]).await;
        shop.run(stocked("PIN", 5).to_vec()).await;
        let out = Revised { wants: &[("PIN", 3)], ships: &[("PIN", "main", 3)], returns: &[] };
        let part = Revised { ships: &[("PIN", "main", 2)], ..out };
        let back = Revised { returns: &[("PIN", "main", [1, 1, 0])], ..part };
        shop.run(vec![place(201, out.wants), revise(201, 2, out)]).await;
        shop.run(vec![revise(201, 3, part), revise(201, 4, back)]).await;
        let one = Change::Quarantine(Quantity::new(1).expect("a quantity"));
        shop.run(vec![moved("PIN", "main", one, "set apart")]).await;
        shop
    }

    async fn on_sqlite(budget: ReadBudget) -> Self {
        Self::open(crate::store::sqlite::tests::fresh().await, budget).await
    }

    async fn run(&self, commands: Vec<InventoryCommand>) {
        self.fresh.run(commands).await;
    }

    async fn round(&mut self) -> Findings {
        let mut findings = Findings::default();
        while self.audit.step(&mut findings).await.expect("a step") == Progress::UnderWay {}
        findings
    }
}

/// The invariants that were found violated, sorted.
fn names(findings: &Findings) -> Vec<&'static str> {
    let mut names: Vec<_> =
        findings.violations.iter().map(|violation| violation.invariant.name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn is_named(findings: &Findings, offender: &str) -> bool {
    findings.violations.iter().any(|violation| violation.offender.contains(offender))
}

/// What is done, which invariants it breaks, and how the offender is named.
struct Damaged(&'static str, &'static [&'static str], &'static str);

const DAMAGES: [Damaged; 35] = [
    // A changed movement.
    Damaged(
        "UPDATE movements SET reserved_delta = 200 WHERE product_no = {MUG} AND seq = 20",
        &["INV-2", "INV-3"],
        "(MUG at main, 20): it says",
    ),
    Damaged(
        "UPDATE movements SET on_hand_delta = 99 WHERE product_no = {MUG} AND location_no = 1 AND seq = 1",
        &["INV-2"],
        "(MUG at main, 1): it says",
    ),
    Damaged(
        "UPDATE movements SET on_hand = 101 WHERE product_no = {MUG} AND seq = 30",
        &["INV-2"],
        "(MUG at main, 30): it says",
    ),
    Damaged(
        "UPDATE movements SET reserved = 101 WHERE product_no = {MUG} AND seq = 30",
        &["INV-1", "INV-2"],
        "(MUG at main, 30): 101 reserved of 100 on hand",
    ),
    Damaged(
        "UPDATE movements SET on_hand = 9223372036854775807, on_hand_delta = -9223372036854775807
         WHERE product_no = {MUG} AND seq = 30",
        &["INV-11", "INV-2"],
        "(MUG at main, 31): it says",
    ),
    Damaged(
        "UPDATE movements SET kind = 'release' WHERE product_no = {MUG} AND seq = 20",
        &["INV-11", "INV-3"],
        "(MUG at main, 20): a release by 0 on hand and 1 reserved",
    ),
    Damaged(
        "UPDATE movements SET location_no = 2 WHERE product_no = {MUG} AND seq = 20",
        &["INV-2", "INV-3"],
        "is of another stock key",
    ),
    // A broken chain.
    Damaged(
        "DELETE FROM movements WHERE product_no = {MUG} AND seq = 20",
        &["INV-2", "INV-3"],
        "(MUG at main, 21): the one before it, movement",
    ),
    Damaged(
        "DELETE FROM movements WHERE product_no = {MUG} AND seq > 58",
        &["INV-2", "INV-3"],
        "MUG at main: its last movement,",
    ),
    Damaged(
        "UPDATE movements SET previous = previous - 1 WHERE product_no = {MUG} AND seq = 20",
        &["INV-2"],
        "(MUG at main, 20): it says",
    ),
    Damaged(
        "UPDATE movements SET previous = movement_no WHERE product_no = {MUG} AND seq = 20",
        &["INV-2"],
        "is not older",
    ),
    Damaged(
        "UPDATE movements SET previous_of_product = (SELECT last_movement FROM stock WHERE product_no = {TEE})
         WHERE product_no = {MUG} AND seq = 20",
        &["INV-2"],
        "is of another product",
    ),
    Damaged(
        "UPDATE movements SET previous_of_product = NULL WHERE product_no = {MUG} AND seq = 20",
        &["INV-2"],
        "(MUG at main, 20): it names an older one of its product than of its stock key",
    ),
    // A fork: of an order, and of the beginning.
    Damaged(
        "INSERT INTO movements (movement_no, product_no, location_no, seq, previous, previous_of_product, kind,
             on_hand_delta, reserved_delta, on_hand, reserved, created_at, order_id)
         SELECT (SELECT max(movement_no) + 1 FROM movements), product_no, location_no, seq, previous,
             previous_of_product, kind, on_hand_delta, reserved_delta, on_hand, reserved, created_at, order_id
         FROM movements WHERE product_no = {MUG} AND seq = 30",
        &["INV-2", "INV-3"],
        "(MUG at main, 30): it names movement",
    ),
    Damaged(
        "INSERT INTO movements (movement_no, product_no, location_no, seq, kind, on_hand_delta, reserved_delta,
             on_hand, reserved, created_at, request_id, request_digest)
         SELECT (SELECT max(movement_no) + 1 FROM movements), product_no, location_no, seq, kind, on_hand_delta,
             reserved_delta, on_hand, reserved, created_at, {order 999}, request_digest
         FROM movements WHERE product_no = {TEE} AND seq = 1",
        &["INV-2"],
        "(TEE at main, 1): it names no movement as the one before it",
    ),
    // A changed stock row.
    Damaged(
        "UPDATE stock SET on_hand = on_hand + 1 WHERE product_no = {TEE}",
        &["INV-2"],
        "TEE at main: the row says",
    ),
    Damaged(
        "UPDATE stock SET last_seq = last_seq - 1 WHERE product_no = {TEE}",
        &["INV-2"],
        "TEE at main: the row says",
    ),
    Damaged(
        "UPDATE stock SET last_movement = (SELECT max(last_movement) FROM stock WHERE product_no = {MUG})
         WHERE product_no = {TEE}",
        &["INV-2"],
        "is of another stock key",
    ),
    // A changed reservation, and a movement of another order.
    Damaged(
        "UPDATE reservations SET allocations = replace(allocations, ',1,0,0,[', ',2,0,0,[')
         WHERE order_id = {order 7}",
        &["INV-3"],
        "order 00000000-0000-0000-0000-000000000007: MUG at main: it says [2, 0, 0]",
    ),
    Damaged(
        "UPDATE reservations SET allocations = (SELECT allocations FROM reservations WHERE order_id = {order 8})
         WHERE order_id = {order 7}",
        &["INV-3"],
        "order 00000000-0000-0000-0000-000000000007: MUG at main: it lists movement",
    ),
    Damaged(
        "UPDATE reservations SET allocations = '[]' WHERE order_id = {order 7}",
        &["INV-3"],
        "order 00000000-0000-0000-0000-000000000007 does not list it",
    ),
    Damaged(
        "UPDATE movements SET order_id = {order 7} WHERE order_id = {order 8}",
        &["INV-3"],
        "order 00000000-0000-0000-0000-000000000007 does not list it",
    ),
    Damaged(
        "DELETE FROM reservations WHERE order_id = {order 7}",
        &["INV-3"],
        "order 00000000-0000-0000-0000-000000000007 has no reservation",
    ),
    // A changed return.
    Damaged(
        "UPDATE reservations SET returns = replace(returns, ',1,1,0,', ',2,0,0,') WHERE order_id = {order 201}",
        &["INV-3"],
        "PIN back at main: it says [2, 0] restocked and quarantined, its movements [1, 1]",
    ),
    Damaged(
        "UPDATE reservations SET returns = replace(returns, ',1,1,0,', ',1,1,1,') WHERE order_id = {order 201}",
        &["INV-10"],
        "order 00000000-0000-0000-0000-0000000000c9: 3 of PIN came back of 2 shipped",
    ),
    Damaged(
        "UPDATE reservations SET returns = NULL WHERE order_id = {order 201}",
        &["INV-3"],
        "order 00000000-0000-0000-0000-0000000000c9 does not list it",
    ),
    // A movement that does not fit what it did to quarantined units.
    Damaged(
        "UPDATE movements SET quarantined = 5 WHERE product_no = {PIN} AND seq = 5",
        &["INV-1", "INV-2"],
        "(PIN at main, 5): 1 reserved and 5 quarantined of 5 on hand",
    ),
    Damaged(
        "UPDATE movements SET kind = 'ship' WHERE product_no = {PIN} AND seq = 4",
        &["INV-11"],
        "(PIN at main, 4): a ship by 1 on hand and 1 reserved",
    ),
    Damaged(
        "UPDATE movements SET kind = 'unship' WHERE product_no = {PIN} AND seq = 5",
        &["INV-11", "INV-3"],
        "which is no return",
    ),
    Damaged(
        "UPDATE stock SET quarantined = 1 WHERE product_no = {PIN}",
        &["INV-2"],
        "PIN at main: the row says",
    ),
    // A rejection that was not true.
    Damaged(
        r#"UPDATE reservations SET shortages = replace(shortages, '["TEE",4,3,', '["TEE",4,2,')
           WHERE order_id = {order 101}"#,
        &["INV-8"],
        "order 00000000-0000-0000-0000-000000000065: TEE had 3 available where it says 2",
    ),
    Damaged(
        r#"UPDATE reservations SET shortages = replace(shortages, '["TEE",4,3,', '["TEE",3,3,')
           WHERE order_id = {order 101}"#,
        &["INV-8"],
        "TEE was not short: 3 available of 3",
    ),
    Damaged(
        "UPDATE reservations SET shortages = replace(shortages, '[[1,', '[[1,9') WHERE order_id = {order 101}",
        &["INV-8"],
        "TEE cites movement",
    ),
    Damaged(
        "UPDATE reservations SET shortages = replace(shortages, 'out_of_stock', 'unknown_product')
         WHERE order_id = {order 101}",
        &["INV-8"],
        "was called unknown, but its ledgers were seen",
    ),
    Damaged(
        "UPDATE reservations SET shortages = replace(shortages, 'unknown_product', 'out_of_stock')
         WHERE order_id = {order 102}",
        &["INV-8"],
        "was called out of stock, but is not known",
    ),
];

/// Every engine runs this as a test of its own.
pub(crate) async fn every_damage_is_found_and_named(fresh: impl AsyncFn() -> Fresh) {
    for Damaged(sql, broken, offender) in DAMAGES {
        let mut shop = Shop::open(fresh().await, ReadBudget::SHORT).await;
        shop.fresh.damage(sql).await;
        let findings = shop.round().await;
        let found = (names(&findings), is_named(&findings, offender));
        assert_eq!(found, (broken.to_vec(), true), "{sql}: {:#?}", findings.violations);
    }
}

/// What was read once is read again, round by round a stretch of it, so that any damage is found in
/// the end.
#[tokio::test]
async fn what_was_in_order_and_is_damaged_later_is_found_in_time() {
    for Damaged(sql, broken, offender) in DAMAGES {
        let mut shop = Shop::on_sqlite(ReadBudget { page: 2, below: 60, round: 25 }).await;
        for _ in 0..4 {
            assert_eq!(shop.round().await.violations, [], "also of what is read again");
        }
        shop.fresh.damage(sql).await;
        let mut found = Vec::new();
        let mut named = false;
        for _ in 0..7 {
            let findings = shop.round().await;
            named |= is_named(&findings, offender);
            found.extend(names(&findings));
        }
        assert!(named && broken.iter().all(|name| found.contains(name)), "{sql}: {found:?}");
    }
}

#[tokio::test]
async fn a_violation_that_stays_is_reported_whenever_it_is_read() {
    let mut shop = Shop::on_sqlite(ReadBudget { page: 2, below: 60, round: 1_000 }).await;
    shop.round().await;
    let damage = async |shop: &Shop, on_hand| {
        let sql = format!(
            "UPDATE movements SET on_hand = {on_hand} WHERE product_no = {{MUG}} AND seq = 3"
        );
        shop.fresh.damage(&sql).await;
    };
    damage(&shop, 101).await;
    for _ in 0..3 {
        let findings = shop.round().await;
        assert_eq!(
            (names(&findings), is_named(&findings, "MUG at main, 3)")),
            (vec!["INV-2"], true)
        );
    }
    damage(&shop, 100).await;
    for _ in 0..3 {
        assert_eq!(shop.round().await.violations, [], "mended");
    }
}

/// A file that was put back to what it was an hour ago is read as what it is.
#[tokio::test]
async fn a_ledger_that_is_shorter_than_it_was_is_read_from_its_beginning() {
    let mut shop = Shop::on_sqlite(ReadBudget::SHORT).await;
    assert_eq!(shop.round().await.violations, []);
    let restored = "DELETE FROM movements WHERE movement_no > 2; DELETE FROM reservations;
        DELETE FROM stock WHERE location_no > 1 OR product_no > 2;
        UPDATE stock SET (on_hand, reserved, last_seq, last_movement) =
            (SELECT on_hand, reserved, seq, movement_no FROM movements WHERE movements.product_no = stock.product_no)";
    shop.fresh.damage(restored).await;
    for _ in 0..3 {
        let findings = shop.round().await;
        assert_eq!((findings.violations, findings.checked["INV-1"]), (Vec::new(), 2));
    }
    shop.run((1..=9).map(|n| place(n, &[("MUG", 1)])).collect()).await;
    for _ in 0..3 {
        assert_eq!(shop.round().await.violations, []);
    }
    assert_eq!(shop.round().await.checked["INV-1"], 11);
}

/// No check compares times.
#[tokio::test]
async fn a_clock_that_was_set_back_raises_no_alarm() {
    let mut shop = Shop::on_sqlite(ReadBudget::SHORT).await;
    shop.fresh.clock.set(Timestamp(START.0 - 3_600_000_000));
    shop.run(vec![received("TEE", "SHOP", 50)]).await;
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
        let mut shop = Shop::on_sqlite(ReadBudget { page: 2, below: 25, round: 8 }).await;
        let (mut rounds, mut named) = (0, false);
        while !named {
            if rounds == rounds_before {
                let sql =
                    format!("UPDATE movements SET on_hand = 1000 WHERE movement_no = {damaged}");
                shop.fresh.damage(&sql).await;
            }
            let ids = 1000 + 20 * rounds..1020 + 20 * rounds;
            shop.run(ids.clone().map(|n| place(n, &[("MUG", 1)])).collect()).await;
            shop.run(ids.map(|n| cancel(n, &[("MUG", 1)])).collect()).await;
            let findings = shop.round().await;
            named = is_named(&findings, &format!("movement {damaged} (MUG at main"));
            let others = format!("movement {} (MUG at main", damaged + 1);
            let expected = findings.violations.iter().all(|its| {
                its.offender.starts_with(&others)
                    || its.offender.starts_with(&format!("movement {damaged} "))
            });
            assert!(expected, "{:?}", findings.violations);
            assert!(findings.checked["INV-1"] <= 2 * 8, "what is new, and what is older");
            rounds += 1;
            assert!(rounds < 100, "movement {damaged}");
        }
    }
}

/// What cannot be read is named, and hides nothing that lies behind it.
#[tokio::test]
async fn a_row_that_makes_no_sense_is_an_offender_and_no_hindrance() {
    let behind = "UPDATE stock SET on_hand = on_hand + 1 WHERE product_no = {TEE};
        UPDATE reservations SET shortages = replace(shortages, 'unknown_product', 'out_of_stock')
        WHERE order_id = {order 102}";
    for (sql, offender) in [
        (
            "UPDATE movements SET kind = 'lost' WHERE product_no = {MUG} AND seq = 20",
            "movements 21: kind is lost",
        ),
        (
            "UPDATE reservations SET shortages = 'none' WHERE order_id = {order 101}",
            "the reservation of order 00000000-0000-0000-0000-000000000065 cannot be read: ",
        ),
        (
            "UPDATE reservations SET allocations = '[7]' WHERE order_id = {order 7}",
            "the reservation of order 00000000-0000-0000-0000-000000000007 cannot be read: ",
        ),
        (
            "UPDATE reservations SET returns = '[7]' WHERE order_id = {order 7}",
            "the reservation of order 00000000-0000-0000-0000-000000000007 cannot be read: ",
        ),
        (
            "UPDATE reservations SET revision = -1 WHERE order_id = {order 7}",
            "the reservation of order 00000000-0000-0000-0000-000000000007 cannot be read: ",
        ),
        (
            "UPDATE locations SET location_id = '?' WHERE location_id = 'SHOP'",
            "the stock of product number 1 at location number 2 cannot be read: ",
        ),
        (
            "UPDATE locations SET location_id = '?' WHERE location_id = 'SHOP'",
            "movements 62: location_id is \"?\"",
        ),
    ] {
        let mut shop = Shop::on_sqlite(ReadBudget::SHORT).await;
        shop.fresh.damage(&format!("{sql}; {behind}")).await;
        let findings = shop.round().await;
        for offender in [
            offender,
            "TEE at main: the row says",
            "order 00000000-0000-0000-0000-000000000066: CAP was called out of stock",
        ] {
            assert!(is_named(&findings, offender), "{sql}: {offender}: {:#?}", findings.violations);
        }
    }
}
