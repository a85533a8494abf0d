//! Two batches of two replicas, statement by statement, in every order: what READ COMMITTED lets
//! one see of the other never makes them oversell, disagree or wait for each other in a circle.

use std::sync::atomic::{AtomicU32, Ordering};

use contract::{Facts, Revision};
use inventory_core::reservation::{Reservation, ReservationState};
use inventory_core::stock::Level;
use platform::audit::{Audit, Findings, Progress, ReadBudget};
use testbed::Race;
use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;

use super::*;
use crate::audit::InventoryAudit;
use crate::store::laws::{
    answer, fulfill, id, is_allocated, is_rejected, is_replay, put, run_until_done,
};

mod changes;

/// Statement by statement.
const ONE_BY_ONE: [usize; 0] = [];
/// Batches that lock no product run side by side for long. So statements that neither see the other
/// batch nor are seen by it are let through together: `BEGIN` and the locks of products and
/// reservations; the levels, the locations, the batch number and the new reservation; the rest.
const OF_UNKNOWN_PRODUCTS: [usize; 2] = [3, 4];
/// As above, where one batch creates the product: `BEGIN` and the locks of products; the locks of
/// reservations; what is read under them; the new product; the level and the reservation; the
/// movements and the commit. Of a batch without any of these, the next statements take their place.
const OF_A_NEW_PRODUCT: [usize; 6] = [2, 1, 4, 1, 2, 2];

/// Two replicas that race, and how often one of them had to run its batch again.
struct Shop {
    race: Race<Postgres>,
    reruns: Arc<AtomicU32>,
}

/// Both sides' decisions, each about one batch.
type Both = [Vec<DecidedInventory>; 2];

impl Shop {
    async fn open(groups: &[usize]) -> Self {
        let open = async |url: String, name| {
            let server = Server::at(&url, "the database", name).expect("a URL");
            let clock = Arc::new(ManualClock::at(START));
            Postgres::open(server, Time::Given(clock)).await.expect("a database")
        };
        Self { race: Race::open(groups, open).await, reruns: Arc::default() }
    }

    /// Runs both batches in every order of their statements, and audits what all runs left.
    ///
    /// `batches` makes both sides' from the number of the run. `check` looks at what came of it.
    async fn every_order(
        &self,
        prepare: impl AsyncFn(u32),
        batches: impl Fn(u32) -> [Vec<InventoryCommand>; 2],
        check: impl AsyncFn(u32, Both),
    ) {
        let begin = async |run, [first, second]: [Arc<Postgres>; 2]| {
            prepare(run).await;
            let [one, other] = batches(run);
            [self.spawn(first, one), self.spawn(second, other)]
        };
        let orders = self.race.every_order(begin, check).await;
        println!("{orders} orders of statements, {} reruns", self.reruns());
        assert!(orders >= 10, "only {orders}");
        let mut audit = InventoryAudit::new(Arc::new(self.race.witness.audit()), ReadBudget::LONG);
        let mut findings = Findings::default();
        while audit.step(&mut findings).await.expect("a step") == Progress::UnderWay {}
        assert!(findings.violations.is_empty(), "{:?}", findings.violations);
    }

    /// As the committer does: a batch that is not done is run again. No batch may deadlock.
    fn spawn(
        &self,
        replica: Arc<Postgres>,
        batch: Vec<InventoryCommand>,
    ) -> JoinHandle<Vec<DecidedInventory>> {
        let batch: Arc<[InventoryCommand]> = batch.into();
        let reruns = self.reruns.clone();
        tokio::spawn(async move {
            loop {
                match replica.run(batch.clone(), decide).await {
                    Ok(decided) => return decided,
                    Err(Failure::Busy(cause)) if cause.is::<write::CreatedMeanwhile>() => {
                        reruns.fetch_add(1, Ordering::SeqCst);
                    }
                    Err(Failure::Busy(cause)) if !is_deadlock(&*cause) => {}
                    Err(Failure::Unavailable(_)) => {}
                    Err(failure) => panic!("{}", Chain(&failure)),
                }
            }
        })
    }

    fn reruns(&self) -> u32 {
        self.reruns.load(Ordering::SeqCst)
    }

    async fn has(&self, batch: Vec<InventoryCommand>) {
        run_until_done(&self.race.witness, batch.into()).await;
    }

    /// On hand, reserved and the number of movements.
    async fn level(&self, name: &str) -> (i64, i64, i64) {
        let stock = self.race.witness.product(name.parse().expect("an id")).await;
        let stock = stock.expect("a read").expect("a product");
        let level = stock.levels.values().next().copied().unwrap_or_default();
        let Level { on_hand, reserved, last_seq, .. } = level;
        (on_hand, reserved, last_seq)
    }

    async fn reservation(&self, n: u128) -> Reservation {
        self.race.witness.reservation(id(n)).await.expect("a read").expect("a reservation")
    }
}

fn is_deadlock(cause: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    let error = cause.downcast_ref::<tokio_postgres::Error>();
    error.and_then(tokio_postgres::Error::code) == Some(&SqlState::T_R_DEADLOCK_DETECTED)
}

/// Every run has products of its own.
fn product(run: u32) -> String {
    format!("P{run}")
}

/// Every run has orders of its own.
fn number(run: u32, n: u128) -> u128 {
    u128::from(run) * 10 + n
}

fn facts(decided: &[DecidedInventory]) -> &Facts {
    &answer(&decided[0]).facts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_orders_of_the_last_unit_are_one_confirmed_and_one_rejected() {
    let shop = Shop::open(&ONE_BY_ONE).await;
    let prepare = async |run| shop.has(stocked(&product(run), 1).to_vec()).await;
    let batches = |run| [1, 2].map(|n| vec![place(number(run, n), &[(&product(run), 1)])]);
    let check = async |run, both: Both| {
        assert_eq!(both.iter().filter(|one| is_allocated(&one[0])).count(), 1, "{both:?}");
        assert_eq!(both.iter().filter(|one| is_rejected(&one[0])).count(), 1, "{both:?}");
        assert_eq!(shop.level(&product(run)).await, (1, 1, 2));
    };
    shop.every_order(prepare, batches, check).await;
    assert_eq!(shop.reruns(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_orders_that_name_two_products_in_opposite_order_never_deadlock() {
    let shop = Shop::open(&ONE_BY_ONE).await;
    let other = |run| format!("Q{run}");
    let prepare = async |run| {
        shop.has([stocked(&product(run), 1), stocked(&other(run), 1)].concat()).await;
    };
    let batches = |run| {
        let p = product(run);
        let q = other(run);
        [
            vec![place(number(run, 1), &[(&p, 1), (&q, 1)]), place(number(run, 2), &[(&p, 1)])],
            vec![place(number(run, 3), &[(&q, 1)]), place(number(run, 4), &[(&q, 1), (&p, 1)])],
        ]
    };
    let check = async |run, both: Both| {
        let [one, two] = both.map(|decided| decided.iter().filter(|one| is_allocated(one)).count());
        // The first batch takes both units, or the second one takes one and leaves the other.
        assert!(matches!((one, two), (1, 0 | 1)), "{one} and {two}");
        for name in [product(run), other(run)] {
            assert_eq!(shop.level(&name).await, (1, 1, 2));
        }
    };
    shop.every_order(prepare, batches, check).await;
    assert_eq!(shop.reruns(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_command_that_two_replicas_got_is_decided_once() {
    let shop = Shop::open(&ONE_BY_ONE).await;
    let prepare = async |run| shop.has(stocked(&product(run), 1).to_vec()).await;
    let batches = |run| [(); 2].map(|()| vec![place(number(run, 1), &[(&product(run), 1)])]);
    let check = async |run, both: Both| {
        assert!(both.iter().all(|one| is_allocated(&one[0])), "{both:?}");
        assert_eq!(facts(&both[0]), facts(&both[1]));
        assert_eq!(shop.level(&product(run)).await, (1, 1, 2));
    };
    shop.every_order(prepare, batches, check).await;
    assert_eq!(shop.reruns(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancellation_beside_its_placement_leaves_nothing_held() {
    let shop = Shop::open(&ONE_BY_ONE).await;
    let prepare = async |run| shop.has(stocked(&product(run), 1).to_vec()).await;
    let batches = |run| {
        let product = product(run);
        let lines = [(product.as_str(), 1)];
        [vec![place(number(run, 1), &lines)], vec![cancel(number(run, 1), &lines)]]
    };
    let check = async |run, both: Both| {
        assert_eq!(facts(&both[1]).revision, Revision::FIRST.next());
        assert_eq!(facts(&both[1]).allocated.total(), 0);
        let movements = if is_allocated(&both[0][0]) { 3 } else { 1 };
        assert_eq!(shop.level(&product(run)).await, (1, 0, movements), "{both:?}");
        let stored = shop.reservation(number(run, 1)).await;
        assert_eq!(stored.state(), ReservationState::Released);
        assert_eq!(&stored.facts(), facts(&both[1]));
    };
    shop.every_order(prepare, batches, check).await;
    assert_eq!(shop.reruns(), 0);
}

/// A fault of an operator, or of two sweepers: both replicas get the next revision of one order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_revisions_of_one_order_are_applied_once_and_one_after_the_other() {
    let shop = Shop::open(&ONE_BY_ONE).await;
    let prepare = async |run| {
        let placed = place(number(run, 1), &[(&product(run), 1)]);
        shop.has([stocked(&product(run), 1).to_vec(), vec![placed]].concat()).await;
    };
    let batches = |run| {
        let product = product(run);
        let lines = [(product.as_str(), 1)];
        let [shipped, again] = [(); 2].map(|()| fulfill(number(run, 1), &lines));
        [vec![shipped], vec![place(number(run, 1), &lines), again]]
    };
    let check = async |run, both: Both| {
        assert_eq!(facts(&both[0]), facts(&both[1][1..]));
        assert_eq!(facts(&both[0]).revision, Revision::FIRST.next());
        assert_eq!(shop.level(&product(run)).await, (0, 0, 3), "{both:?}");
        let stored = shop.reservation(number(run, 1)).await;
        assert_eq!(stored.state(), ReservationState::Shipped);
    };
    shop.every_order(prepare, batches, check).await;
    assert_eq!(shop.reruns(), 0);
}

/// A client's retry through another replica, at a stock key without movements.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_that_two_replicas_got_moves_stock_once() {
    let shop = Shop::open(&ONE_BY_ONE).await;
    let prepare = async |run| shop.has(vec![put(&product(run))]).await;
    let batches = |run| [(); 2].map(|()| vec![received(&product(run), "main", 5)]);
    let check = async |run, both: Both| {
        assert_eq!(both.iter().filter(|one| is_replay(&one[0])).count(), 1, "{both:?}");
        assert_eq!(shop.level(&product(run)).await, (5, 0, 1));
    };
    shop.every_order(prepare, batches, check).await;
    assert_eq!(shop.reruns(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_beside_the_first_units_gets_them_or_is_rejected() {
    let shop = Shop::open(&ONE_BY_ONE).await;
    let prepare = async |run| shop.has(vec![put(&product(run))]).await;
    let batches = |run| {
        let order = place(number(run, 1), &[(&product(run), 5)]);
        [vec![received(&product(run), "main", 5)], vec![order]]
    };
    let check = async |run, [_, order]: Both| {
        let expected = if is_allocated(&order[0]) { (5, 5, 2) } else { (5, 0, 1) };
        assert_eq!(shop.level(&product(run)).await, expected, "{order:?}");
    };
    shop.every_order(prepare, batches, check).await;
    assert_eq!(shop.reruns(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_of_unknown_products_that_two_replicas_got_is_rejected_once() {
    let shop = Shop::open(&OF_UNKNOWN_PRODUCTS).await;
    let batches = |run| [(); 2].map(|()| vec![place(number(run, 1), &[(&product(run), 1)])]);
    let check = async |run, both: Both| {
        assert!(both.iter().all(|one| is_rejected(&one[0])), "{both:?}");
        assert_eq!(facts(&both[0]), facts(&both[1]));
        let repeats = both
            .iter()
            .filter(|one| matches!(one[0].outcome, InventoryOutcome::Answered { repeated: true }));
        assert_eq!(repeats.count(), 1, "{both:?}");
        let stored = shop.reservation(number(run, 1)).await;
        assert_eq!(stored.state(), ReservationState::Rejected);
    };
    shop.every_order(async |_| {}, batches, check).await;
    assert!(shop.reruns() > 0, "no order of statements shows the conflict");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancellation_beside_its_placement_of_unknown_products_is_the_last_word() {
    let shop = Shop::open(&OF_UNKNOWN_PRODUCTS).await;
    let batches = |run| {
        let product = product(run);
        let lines = [(product.as_str(), 1)];
        [vec![place(number(run, 1), &lines)], vec![cancel(number(run, 1), &lines)]]
    };
    let check = async |run, both: Both| {
        let revision = facts(&both[0]).revision;
        assert_eq!(is_rejected(&both[0][0]), revision == Revision::FIRST, "{both:?}");
        assert_eq!(facts(&both[1]).revision, Revision::FIRST.next());
        let stored = shop.reservation(number(run, 1)).await;
        assert_eq!(stored.state(), ReservationState::Released);
        assert_eq!(&stored.facts(), facts(&both[1]));
    };
    shop.every_order(async |_| {}, batches, check).await;
    assert!(shop.reruns() > 0, "no order of statements shows the conflict");
}

/// The product does not exist when the batches look for it, and one of them creates it: an order
/// that got units meets the rejection of the same order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_beside_the_creation_of_its_product_has_one_outcome() {
    let shop = Shop::open(&OF_A_NEW_PRODUCT).await;
    let of_the_order = |run| place(number(run, 1), &[(&product(run), 1)]);
    let batches = |run| {
        let [put, received] = stocked(&product(run), 1);
        [vec![of_the_order(run)], vec![put, received, of_the_order(run)]]
    };
    let check = async |run, both: Both| {
        assert_eq!(facts(&both[0]), facts(&both[1][2..]));
        let expected = if is_allocated(&both[0][0]) { (1, 1, 2) } else { (1, 0, 1) };
        assert_eq!(shop.level(&product(run)).await, expected, "{both:?}");
    };
    shop.every_order(async |_| {}, batches, check).await;
    assert!(shop.reruns() > 0, "no order of statements shows the conflict");
}

/// Both create a product and move it, each at a location of its own: its ledger has one beginning.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_product_that_two_replicas_create_has_one_ledger() {
    let shop = Shop::open(&OF_A_NEW_PRODUCT).await;
    shop.has(vec![put_location("SHOP", 1)]).await;
    let batches =
        |run| ["main", "SHOP"].map(|at| vec![put(&product(run)), received(&product(run), at, 1)]);
    let check = async |run, both: Both| {
        let stock = shop.race.witness.product(product(run).parse().expect("an id")).await;
        let stock = stock.expect("a read").expect("a product");
        let on_hand: Vec<i64> = stock.levels.values().map(|level| level.on_hand).collect();
        assert_eq!(on_hand, [1, 1], "{both:?}");
        let created = both.iter().filter(|decided| {
            matches!(decided[0].outcome, InventoryOutcome::ProductPut { created: true, .. })
        });
        assert_eq!(created.count(), 1, "{both:?}");
    };
    shop.every_order(async |_| {}, batches, check).await;
    assert!(shop.reruns() > 0, "no order of statements shows the conflict");
}
