//! Two batches of two replicas, statement by statement, in every order: what READ COMMITTED lets
//! one see of the other never makes two orders of one key, or moves an order twice.

use orders_core::decide::{OrderOutcome, Receipt, Refusal};
use orders_core::status::Status;
use testbed::Race;
use tokio::task::JoinHandle;

use super::*;
use crate::store::laws::{cancel, fulfill, placement, reserved, run_until_done};

mod changes;

/// Statement by statement.
const ONE_BY_ONE: [usize; 0] = [];
/// `BEGIN` and the lock of an order that does not exist yet go together: neither waits or sees.
const OF_A_NEW_ORDER: [usize; 1] = [2];

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
    batches: impl Fn(u32) -> [Vec<OrderCommand>; 2],
    check: impl AsyncFn(u32, [Vec<OrderOutcome>; 2]),
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

fn spawn(replica: Arc<Postgres>, batch: Vec<OrderCommand>) -> JoinHandle<Vec<OrderOutcome>> {
    tokio::spawn(async move { run_until_done(&*replica, batch.into()).await })
}

async fn status(race: &Race<Postgres>, n: u128) -> Option<Status> {
    race.witness.receipt(id(n)).await.expect("a read").map(|receipt| receipt.status)
}

/// An order of this run.
fn number(run: u32, n: u128) -> u128 {
    u128::from(run) * 10 + n
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twins_with_one_key_make_one_order() {
    let race = race(&ONE_BY_ONE).await;
    let batches = |run| {
        [1, 2].map(|n| {
            vec![OrderCommand::Place(Box::new(placement(
                number(run, n),
                Some(&format!("key {run}")),
            )))]
        })
    };
    let check = async |run, outcomes: [Vec<OrderOutcome>; 2]| {
        let made: Vec<Receipt> = outcomes
            .iter()
            .map(|one| match &one[0] {
                OrderOutcome::Placed(receipt) | OrderOutcome::Replayed(receipt) => receipt.clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(made[0], made[1]);
        let there = [status(&race, number(run, 1)).await, status(&race, number(run, 2)).await];
        assert_eq!(there.iter().flatten().count(), 1, "{there:?}");
    };
    run(&race, async |_| {}, batches, check).await;
}

/// A commit of unknown fate is repeated, through another connection, while the first one may still
/// be under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_order_that_is_placed_twice_at_once_is_one_order() {
    let race = race(&OF_A_NEW_ORDER).await;
    let batches = |run| [(); 2].map(|()| vec![place(number(run, 1))]);
    let check = async |run, outcomes: [Vec<OrderOutcome>; 2]| {
        assert!(
            outcomes.iter().all(|one| matches!(one[0], OrderOutcome::Placed(_))),
            "{outcomes:?}"
        );
        let audit =
            race.witness.audit().orders_by_id(vec![id(number(run, 1))]).await.expect("a read");
        assert_eq!((audit.len(), audit[0].state), (1, None));
    };
    run(&race, async |_| {}, batches, check).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancellation_beside_a_fulfillment_is_one_of_them() {
    let race = race(&ONE_BY_ONE).await;
    let prepare = async |run| {
        run_until_done(&race.witness, Arc::new([place(number(run, 1)), reserved(number(run, 1))]))
            .await;
    };
    let batches = |run| [vec![cancel(number(run, 1))], vec![fulfill(number(run, 1))]];
    let check = async |run, outcomes: [Vec<OrderOutcome>; 2]| {
        let refused = outcomes
            .iter()
            .filter(|one| matches!(one[0], OrderOutcome::Refused(Refusal::InvalidTransition(_))))
            .count();
        assert_eq!(refused, 1, "{outcomes:?}");
        let audit = race
            .witness
            .audit()
            .orders_by_id(vec![id(number(run, 1))])
            .await
            .expect("a read")
            .remove(0);
        assert_eq!(audit.history.len(), 2);
        assert_eq!(audit.pending.map(|pending| pending.revision), Some(2));
    };
    run(&race, prepare, batches, check).await;
}

/// The answer of Inventory, twice, beside a client who cancels.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_beside_a_cancellation_moves_the_order_once() {
    let race = race(&ONE_BY_ONE).await;
    let prepare = async |run| {
        run_until_done(&race.witness, Arc::new([place(number(run, 1))])).await;
    };
    let batches = |run| {
        [vec![reserved(number(run, 1)), reserved(number(run, 1))], vec![cancel(number(run, 1))]]
    };
    let check = async |run, outcomes: [Vec<OrderOutcome>; 2]| {
        assert!(matches!(outcomes[1][0], OrderOutcome::Accepted { .. }), "{outcomes:?}");
        assert_eq!(status(&race, number(run, 1)).await, Some(Status::Cancelling));
        let audit = race
            .witness
            .audit()
            .orders_by_id(vec![id(number(run, 1))])
            .await
            .expect("a read")
            .remove(0);
        assert_eq!(audit.pending.map(|pending| pending.revision), Some(2));
    };
    run(&race, prepare, batches, check).await;
}
