//! Two changes of one order at two replicas: a payment against the deadline, a shipment against a
//! cancellation, a return against a return.

use super::*;
use crate::store::laws::{
    cancel_units, carried_out, must_be_sound, pay, place_to_pay, ship, take_back,
};

/// What the order is like after a run, with its histories, deadlines and money sound.
async fn judged(race: &Race<Postgres>, run: u32) -> OrderView {
    must_be_sound(Arc::new(race.witness.audit())).await;
    let order = race.witness.order(id(number(run, 1))).await.expect("a read");
    order.expect("the order")
}

async fn pending(race: &Race<Postgres>, run: u32) -> Option<i64> {
    let ids = vec![id(number(run, 1))];
    let audit = race.witness.audit().orders_by_id(ids).await.expect("a read").remove(0);
    audit.pending.map(|pending| pending.revision)
}

/// Whether the only command of a side changed something.
fn changed(outcomes: &[OrderOutcome]) -> bool {
    matches!(outcomes[0], OrderOutcome::Accepted { replayed: false, .. } | OrderOutcome::Expired(_))
}

/// The payment is recorded whatever comes first; the deadline is over only if it comes first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_beside_the_deadline_is_in_time_or_late() {
    let race = race(&ONE_BY_ONE).await;
    let prepare = async |run| {
        let order = number(run, 1);
        let batch = Arc::new([place_to_pay(order, 60), reserved(order)]);
        run_until_done(&race.witness, batch).await;
    };
    let batches = |run| {
        let order = number(run, 1);
        [vec![pay(order, "ch_1")], vec![OrderCommand::expire(id(order))]]
    };
    let check = async |run, [paid, expired]: [Vec<OrderOutcome>; 2]| {
        assert!(changed(&paid), "{paid:?}");
        let order = judged(&race, run).await;
        assert_eq!(order.balance.map(|balance| balance.paid_minor), Some(6997));
        let (status, revision) = if changed(&expired) {
            (Status::Reviving, Some(3))
        } else {
            assert!(matches!(expired[0], OrderOutcome::Stale), "{expired:?}");
            (Status::Confirmed, None)
        };
        assert_eq!((order.status, pending(&race, run).await), (status, revision));
    };
    run(&race, prepare, batches, check).await;
}

/// Both are recorded, and the order never waits for the payment that is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_beside_the_answer_of_inventory_confirms_the_order() {
    let race = race(&ONE_BY_ONE).await;
    let prepare = async |run| {
        run_until_done(&race.witness, Arc::new([place_to_pay(number(run, 1), 60)])).await;
    };
    let batches = |run| {
        let order = number(run, 1);
        [vec![pay(order, "ch_1")], vec![reserved(order)]]
    };
    let check = async |run, [paid, settled]: [Vec<OrderOutcome>; 2]| {
        assert!(changed(&paid), "{paid:?}");
        assert!(matches!(settled[0], OrderOutcome::Settled { .. }), "{settled:?}");
        let order = judged(&race, run).await;
        assert_eq!((order.status, order.history.len()), (Status::Confirmed, 2));
        assert_eq!(pending(&race, run).await, None);
    };
    run(&race, prepare, batches, check).await;
}

/// Twice the same payment: it is recorded once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_beside_its_repeat_is_one_payment() {
    let race = race(&ONE_BY_ONE).await;
    let prepare = async |run| {
        let order = number(run, 1);
        let batch = Arc::new([place_to_pay(order, 60), reserved(order)]);
        run_until_done(&race.witness, batch).await;
    };
    let batches = |run| [(); 2].map(|()| vec![pay(number(run, 1), "ch_1")]);
    let check = async |run, outcomes: [Vec<OrderOutcome>; 2]| {
        assert_eq!(outcomes.iter().filter(|one| changed(one)).count(), 1, "{outcomes:?}");
        let order = judged(&race, run).await;
        assert_eq!((order.registers.payments.len(), order.status), (1, Status::Confirmed));
    };
    run(&race, prepare, batches, check).await;
}

/// Of two units of a product, one side ships both, and the other cancels one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shipment_beside_a_cancellation_of_the_same_units_is_one_of_them() {
    let race = race(&ONE_BY_ONE).await;
    let prepare = async |run| {
        let order = number(run, 1);
        run_until_done(&race.witness, Arc::new([place(order), reserved(order)])).await;
    };
    let batches = |run| {
        let order = number(run, 1);
        [vec![ship(order, "s", "789", 2)], vec![cancel_units(order, "c", "789", 1)]]
    };
    let check = async |run, [shipped, cancelled]: [Vec<OrderOutcome>; 2]| {
        assert_ne!(changed(&shipped), changed(&cancelled), "{shipped:?} {cancelled:?}");
        let order = judged(&race, run).await;
        let registers = &order.registers;
        let done = (registers.shipments.len(), registers.cancellations.len());
        assert_eq!(done, if changed(&shipped) { (1, 0) } else { (0, 1) });
        assert_eq!((order.status, pending(&race, run).await), (Status::Amending, Some(2)));
    };
    run(&race, prepare, batches, check).await;
}

/// Of two units that were shipped, each side takes both back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_return_beside_a_return_of_the_same_units_is_one_of_them() {
    let race = race(&ONE_BY_ONE).await;
    let prepare = async |run| {
        let order = number(run, 1);
        let shipped = [place(order), reserved(order), ship(order, "s", "789", 2)];
        run_until_done(&race.witness, Arc::new(shipped)).await;
        let registers = judged(&race, run).await.registers;
        let answer = carried_out(order, &registers.sent_intent());
        run_until_done(&race.witness, Arc::new([answer])).await;
    };
    let batches = |run| ["a", "b"].map(|key| vec![take_back(number(run, 1), key, "789", 2)]);
    let check = async |run, outcomes: [Vec<OrderOutcome>; 2]| {
        assert_eq!(outcomes.iter().filter(|one| changed(one)).count(), 1, "{outcomes:?}");
        let order = judged(&race, run).await;
        assert_eq!(order.registers.intent.returned.total(), 2);
        assert_eq!((order.registers.returns.len(), pending(&race, run).await), (1, Some(3)));
    };
    run(&race, prepare, batches, check).await;
}
