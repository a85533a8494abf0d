//! What the worker of deadlines leases (R25).

use super::*;
use crate::store::{DeadlineLease, Overdue};

/// How long a lease of these laws lasts.
const PUSH: Duration = Duration::from_secs(10);

impl Fresh {
    /// Leases deadlines, and tells the orders by number.
    async fn due(&self, limit: u32) -> Vec<u128> {
        let lease = DeadlineLease { limit, push: PUSH };
        let leased = self.store.lease_deadlines(lease).await.expect("a lease");
        leased.due.iter().map(|due| due.order_id.0.as_u128()).collect()
    }

    /// Orders that were reserved until they are paid.
    async fn reserve(&self, numbers: impl IntoIterator<Item = u128>, within_s: u32) {
        let numbers = numbers.into_iter();
        self.run(numbers.flat_map(|n| [place_to_pay(n, within_s), reserved(n)]).collect()).await;
    }

    /// When the deadline of an order passes, in seconds after the start.
    async fn pay_by(&self, n: u128) -> Option<i64> {
        let audit = self.audit.orders_by_id(vec![id(n)]).await.expect("a read").remove(0);
        audit.deadline.map(|deadline| (deadline.pay_by_micros - START.0) / 1_000_000)
    }
}

pub(crate) async fn a_deadline_is_there_exactly_while_the_order_is_reserved(fresh: Fresh) {
    fresh.run((1..=5).map(|n| place_to_pay(n, 60)).collect()).await;
    assert_eq!(fresh.pay_by(1).await, None, "nothing is reserved yet");
    fresh.clock.advance(Duration::from_secs(7));
    fresh.run((1..=4).map(reserved).chain([rejected(5)]).collect()).await;
    for n in 1..=4 {
        assert_eq!(fresh.pay_by(n).await, Some(67));
    }
    fresh.run(vec![pay(1, "a"), cancel(2), OrderCommand::expire(id(3))]).await;
    for (n, expected) in [(1, None), (2, None), (3, None), (4, Some(67)), (5, None)] {
        assert_eq!(fresh.pay_by(n).await, expected, "{n}");
    }
    assert!(fresh.audit.last_deadline().await.expect("a read").is_some());
    let deadlines = fresh.audit.deadlines_after(None, 10).await.expect("a page");
    assert_eq!(deadlines.len(), 1);
    assert!(deadlines[0].has_order);
    fresh.must_be_sound().await;
}

pub(crate) async fn a_deadline_is_leased_once_until_it_is_due_again(fresh: Fresh) {
    fresh.reserve([1], 60).await;
    fresh.clock.advance(Duration::from_secs(59));
    assert!(fresh.due(10).await.is_empty(), "its time is not over");
    fresh.clock.advance(Duration::from_secs(1));
    assert_eq!(fresh.due(10).await, [1]);
    assert!(fresh.due(10).await.is_empty());
    fresh.clock.advance(PUSH);
    assert_eq!(fresh.due(10).await, [1], "the first lease was lost");
    fresh.run(vec![OrderCommand::expire(id(1))]).await;
    assert_eq!(fresh.status(1).await, Some(Status::Expiring));
    fresh.clock.advance(PUSH);
    assert!(fresh.due(10).await.is_empty(), "the order is not reserved any more");
    fresh.must_be_sound().await;
}

pub(crate) async fn deadlines_that_passed_first_are_leased_first(fresh: Fresh) {
    for (n, within_s) in [(1, 90), (2, 60), (3, 80), (4, 70), (5, 1000)] {
        fresh.reserve([n], within_s).await;
    }
    fresh.clock.advance(Duration::from_secs(100));
    let lease = DeadlineLease { limit: 2, push: PUSH };
    let mut first = fresh.store.lease_deadlines(lease).await.expect("a lease").due;
    first.sort_by_key(|due| due.late);
    let first: Vec<_> =
        first.iter().map(|due| (due.order_id.0.as_u128(), due.late.as_secs())).collect();
    assert_eq!(first, [(4, 30), (2, 40)]);
    let mut rest = fresh.due(10).await;
    rest.sort_unstable();
    assert_eq!(rest, [1, 3]);
}

pub(crate) async fn leases_side_by_side_take_each_deadline_once(fresh: Fresh) {
    fresh.reserve(1..=200, 60).await;
    fresh.clock.advance(Duration::from_secs(60));
    let leases = (0..8).map(|_| {
        let store = fresh.store.clone();
        tokio::spawn(async move {
            let mut taken = Vec::new();
            loop {
                let lease = DeadlineLease { limit: 7, push: PUSH };
                match store.lease_deadlines(lease).await {
                    Ok(leased) if leased.due.is_empty() => return taken,
                    Ok(leased) => taken.extend(leased.due.iter().map(|due| due.order_id)),
                    Err(Failure::Busy(_) | Failure::Unavailable(_)) => {}
                    Err(failure) => panic!("{failure}"),
                }
            }
        })
    });
    let mut taken = Vec::new();
    for lease in leases.collect::<Vec<_>>() {
        taken.extend(lease.await.expect("no panic"));
    }
    taken.extend(fresh.due(200).await.into_iter().map(id));
    taken.sort_unstable();
    assert!(taken.into_iter().eq((1..=200).map(id)), "each of them, and none twice");
}

pub(crate) async fn a_clock_set_back_arms_deadlines_again(fresh: Fresh) {
    fresh.reserve([1, 2], 60).await;
    fresh.clock.advance(Duration::from_secs(3600));
    fresh.reserve([3], 600).await;
    assert_eq!(fresh.due(1).await.len(), 1, "one of the first two, which are due long since");
    fresh.clock.set(Timestamp(START.0 + 100_000_000));
    fresh.run(vec![OrderCommand::expire(id(1)), OrderCommand::expire(id(2))]).await;
    assert!(fresh.due(10).await.is_empty());
    assert_eq!(fresh.pay_by(3).await, Some(700), "600 seconds from now on");
    let shown = Some(START.0 + 700_000_000);
    let balance = fresh.view(3).await.balance.expect("a payment");
    assert_eq!(balance.pay_by_micros, shown, "the order's page says the same");
    let filter = Filter { statuses: vec![Status::Reserved], limit: 1, ..Filter::default() };
    let listed = fresh.store.orders(filter).await.expect("a page");
    assert_eq!(listed[0].pay_by_micros, shown, "and the list");
    fresh.clock.advance(Duration::from_secs(599));
    assert!(fresh.due(10).await.is_empty());
    fresh.clock.advance(Duration::from_secs(1));
    assert_eq!(fresh.due(10).await, [3]);
    fresh.must_be_sound().await;
}

/// What is reserved while a lease begins is a little later than the time that the lease has read.
pub(crate) async fn a_clock_that_is_little_behind_shortens_no_deadline(fresh: Fresh) {
    fresh.reserve([1], 60).await;
    for behind_ms in [1, 1000, 30_000] {
        fresh.clock.set(Timestamp(START.0 - behind_ms * 1000));
        assert!(fresh.due(10).await.is_empty());
        assert_eq!(fresh.pay_by(1).await, Some(60), "{behind_ms}");
    }
    fresh.must_be_sound().await;
}

/// The clock was a year ahead when a replica leased the deadline and died.
pub(crate) async fn a_lease_of_a_clock_that_was_ahead_ends_when_the_clock_is_set_back(
    fresh: Fresh,
) {
    fresh.reserve([1], 60).await;
    fresh.reserve([2], 200).await;
    fresh.clock.advance(Duration::from_secs(365 * 24 * 3600));
    assert_eq!(fresh.due(10).await, [1, 2]);
    fresh.clock.set(Timestamp(START.0 + 100_000_000));
    assert_eq!(fresh.due(10).await, [1], "it has passed by any clock");
    fresh.clock.advance(Duration::from_secs(100));
    assert_eq!(fresh.due(10).await, [1, 2]);
    fresh.must_be_sound().await;
}

pub(crate) async fn a_lease_does_not_move_the_deadline(fresh: Fresh) {
    fresh.reserve([1], 60).await;
    fresh.clock.advance(Duration::from_secs(75));
    for _ in 0..3 {
        assert_eq!(fresh.due(10).await, [1]);
        assert_eq!(fresh.pay_by(1).await, Some(60));
        fresh.clock.advance(PUSH);
    }
    fresh.must_be_sound().await;
}

pub(crate) async fn what_is_overdue_is_counted_with_its_age_also_while_it_is_leased(fresh: Fresh) {
    let overdue = async || fresh.store.overdue().await.expect("a read");
    assert_eq!(overdue().await, Overdue::default());
    fresh.reserve([1], 60).await;
    fresh.reserve([2], 70).await;
    fresh.reserve([3], 1000).await;
    assert_eq!(overdue().await, Overdue::default());
    fresh.clock.advance(Duration::from_secs(75));
    assert_eq!(overdue().await, Overdue { deadlines: 2, late: Duration::from_secs(15) });
    fresh.due(10).await;
    fresh.clock.advance(Duration::from_secs(5));
    assert_eq!(overdue().await, Overdue { deadlines: 2, late: Duration::from_secs(20) });
    fresh.run(vec![OrderCommand::expire(id(1)), pay(2, "a")]).await;
    assert_eq!(overdue().await, Overdue::default(), "they are not reserved any more");
}
