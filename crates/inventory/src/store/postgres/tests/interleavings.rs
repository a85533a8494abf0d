//! Two batches of two replicas, statement by statement, in every order: what READ COMMITTED lets
//! one see of the other never makes them oversell, disagree or wait for each other.

use contract::answers::StockOutcome;
use contract::commands::StockCommandKind;
use contract::{Digest, Quantity};
use inventory_core::decide::{Change, InventoryOutcome, MovementRequest};
use inventory_core::stock::{RequestCause, RequestId};
use testbed::Race;
use tokio::task::JoinHandle;

use super::*;
use crate::store::laws::{id, order, run_until_done};

/// Where two orders meet at nothing but a product, they go side by side for long: `BEGIN` and the
/// claim; the locks of reservations and products; what is read under them; the writes, which are
/// all to locked rows or of one's own.
const OF_TWO_ORDERS: [usize; 5] = [2, 3, 1, 3, 3];
/// Statement by statement.
const ONE_BY_ONE: [usize; 0] = [];

async fn race(groups: &[usize]) -> Race<Postgres> {
    let open = async |url: String, name| {
        let server = Server::at(&url, "the database", name).expect("a URL");
        Postgres::open(server, Time::Given(Arc::new(ManualClock::at(START))))
            .await
            .expect("a database")
    };
    Race::open(groups, open).await
}

/// In every order. `batches` makes both sides' from the number of the run, `check` looks at what
/// came of it.
async fn run(
    race: &Race<Postgres>,
    prepare: impl AsyncFn(u32),
    batches: impl Fn(u32) -> [Vec<InventoryCommand>; 2],
    check: impl AsyncFn(u32, [Vec<Decided>; 2]),
) {
    let begin = async |run, [first, second]: [Arc<Postgres>; 2]| {
        prepare(run).await;
        let [one, other] = batches(run);
        [spawn(first, one), spawn(second, other)]
    };
    let orders = race.every_order(begin, check).await;
    println!("{orders} orders of statements");
    assert!(orders >= 20, "only {orders}");
}

fn spawn(replica: Arc<Postgres>, batch: Vec<InventoryCommand>) -> JoinHandle<Vec<Decided>> {
    tokio::spawn(async move { run_until_done(&*replica, batch.into()).await })
}

fn product(run: u32) -> String {
    format!("P{run}")
}

fn outcome(decided: &[Decided]) -> &StockOutcome {
    &decided[0].publish.as_ref().expect("an answer").outcome
}

fn is_reserved(decided: &[Decided]) -> bool {
    matches!(outcome(decided), StockOutcome::StockReserved { .. })
}

/// Every run has a product of its own, with one unit of it.
async fn one_unit(race: &Race<Postgres>, run: u32) {
    run_until_done(&race.witness, stocked(&product(run), 1).to_vec().into()).await;
}

async fn level(race: &Race<Postgres>, run: u32) -> (i64, i64, i64) {
    let stock = race
        .witness
        .product(product(run).parse().expect("an id"))
        .await
        .expect("a read")
        .expect("a product");
    let level = stock.levels.values().next().copied().unwrap_or_default();
    (level.on_hand, level.reserved, level.last_seq)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_orders_of_the_last_unit_are_one_confirmed_and_one_rejected() {
    let race = race(&OF_TWO_ORDERS).await;
    let batches =
        |run: u32| [1, 2].map(|n| vec![reserve(u128::from(run) * 10 + n, &[(&product(run), 1)])]);
    let check = async |run, decided: [Vec<Decided>; 2]| {
        assert_eq!(decided.iter().filter(|one| is_reserved(one)).count(), 1, "{decided:?}");
        assert_eq!(level(&race, run).await, (1, 1, 2));
    };
    run(&race, async |run| one_unit(&race, run).await, batches, check).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_command_that_two_replicas_got_is_decided_once() {
    let race = race(&ONE_BY_ONE).await;
    let batches =
        |run: u32| [1, 1].map(|n| vec![reserve(u128::from(run) * 10 + n, &[(&product(run), 1)])]);
    let check = async |run, decided: [Vec<Decided>; 2]| {
        assert!(decided.iter().all(|one| is_reserved(one)), "{decided:?}");
        assert_eq!(level(&race, run).await, (1, 1, 2));
    };
    run(&race, async |run| one_unit(&race, run).await, batches, check).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_beside_its_reserve_leaves_nothing_held() {
    let race = race(&ONE_BY_ONE).await;
    let batches = |run: u32| {
        let number = u128::from(run) * 10;
        [StockCommandKind::ReserveStock, StockCommandKind::ReleaseStock]
            .map(|kind| vec![order(kind, number, &[(&product(run), 1)])])
    };
    let check = async |run: u32, decided: [Vec<Decided>; 2]| {
        assert_eq!(outcome(&decided[1]), &StockOutcome::StockReleased);
        let (on_hand, reserved, last_seq) = level(&race, run).await;
        let expected = if is_reserved(&decided[0]) { 3 } else { 1 };
        assert_eq!((on_hand, reserved, last_seq), (1, 0, expected), "{decided:?}");
        let found = race
            .witness
            .reservation(id(u128::from(run) * 10))
            .await
            .expect("a read")
            .expect("a reservation");
        assert_eq!(found.state.name(), inventory_core::reservation::StateName::Released);
    };
    run(&race, async |run| one_unit(&race, run).await, batches, check).await;
}

/// A client's retry through another replica, at a stock key without movements.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_that_two_replicas_got_moves_stock_once() {
    let race = race(&ONE_BY_ONE).await;
    let batches = |run: u32| {
        [(); 2].map(|()| {
            vec![InventoryCommand::Move(Box::new(MovementRequest {
                product_id: product(run).parse().expect("an id"),
                location_id: contract::LocationId::main(),
                change: Change::Receive(Quantity::new(5).expect("a quantity")),
                cause: RequestCause {
                    request_id: RequestId(Digest::of(product(run).as_bytes()).0),
                    digest: Digest([1; 16]),
                    reason: None,
                    reference: None,
                    actor: None,
                },
            }))]
        })
    };
    let prepare = async |run| {
        let [put, _] = stocked(&product(run), 1);
        run_until_done(&race.witness, Arc::new([put])).await;
    };
    let check = async |run, decided: [Vec<Decided>; 2]| {
        let replays = decided
            .iter()
            .filter(|one| matches!(one[0].outcome, InventoryOutcome::Moved { replayed: true, .. }));
        assert_eq!(replays.count(), 1, "{decided:?}");
        assert_eq!(level(&race, run).await, (5, 0, 1));
    };
    run(&race, prepare, batches, check).await;
}
