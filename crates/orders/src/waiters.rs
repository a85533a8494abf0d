//! Requests that wait for an order's outcome (`Prefer: wait`), which the commit of the outcome
//! wakes.

use std::collections::HashMap;
use std::sync::Mutex;

use contract::OrderId;
use orders_core::decide::Receipt;
use tokio::sync::watch;

/// The requests that wait, by order. A wake-up only saves time: waiting requests also read the
/// order by a timer.
///
/// An order is listed exactly while it has listeners.
#[derive(Debug, Default)]
pub struct Waiters {
    waiting: Mutex<HashMap<OrderId, watch::Sender<Option<Receipt>>>>,
}

/// A request that waits for an order. Dropping it, as when the client disconnects, ends the wait.
#[derive(Debug)]
pub struct Listener<'a> {
    waiters: &'a Waiters,
    order_id: OrderId,
    receiver: watch::Receiver<Option<Receipt>>,
}

/// What ended a wait for an outcome (`Prefer: wait`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waker {
    /// Nothing: the outcome was there already.
    Nobody,
    /// The commit of the outcome, in this replica.
    Commit,
    /// A hint of another replica.
    Hint,
    /// The timer of the periodic read.
    Timer,
    /// The client's deadline, or the service's shutdown.
    Deadline,
}

impl Waker {
    pub(crate) const ALL: [Self; 5] =
        [Self::Nobody, Self::Commit, Self::Hint, Self::Timer, Self::Deadline];

    /// Returns the label in metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Commit => "commit",
            Self::Hint => "hint",
            Self::Timer => "timer",
            Self::Deadline => "deadline",
        }
    }
}

impl Waiters {
    /// Listens to the settlements of one order from now on.
    pub fn listen(&self, order_id: OrderId) -> Listener<'_> {
        let mut waiting = self.lock();
        let sender = waiting.entry(order_id).or_insert_with(|| watch::channel(None).0);
        Listener { waiters: self, order_id, receiver: sender.subscribe() }
    }

    /// Wakes the requests that wait for an order that was settled, and sends them its receipt.
    pub fn settled(&self, receipt: &Receipt) {
        if let Some(sender) = self.lock().get(&receipt.order_id) {
            sender.send_replace(Some(receipt.clone()));
        }
    }

    /// Wakes the requests that wait for orders that another replica settled, so that they read
    /// them.
    pub fn hinted(&self, order_ids: impl Iterator<Item = OrderId>) {
        let waiting = self.lock();
        order_ids
            .filter_map(|order_id| waiting.get(&order_id))
            .for_each(|sender| drop(sender.send_replace(None)));
    }

    #[cfg(test)]
    pub(crate) fn is_awaited(&self, order_id: OrderId) -> bool {
        self.lock().contains_key(&order_id)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<OrderId, watch::Sender<Option<Receipt>>>> {
        self.waiting.lock().expect("nothing panics under this lock")
    }
}

impl Listener<'_> {
    /// Waits for the next settlement. Returns its receipt, or `None` if it was only hinted.
    pub async fn settled(&mut self) -> Option<Receipt> {
        // The sender exists as long as there is a listener.
        let _ = self.receiver.changed().await;
        self.receiver.borrow_and_update().clone()
    }
}

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        let mut waiting = self.waiters.lock();
        // The count still includes this listener.
        if waiting.get(&self.order_id).is_some_and(|sender| sender.receiver_count() <= 1) {
            waiting.remove(&self.order_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use orders_core::status::Status;

    use super::*;

    fn receipt() -> Receipt {
        Receipt {
            order_id: OrderId(uuid::Uuid::from_u128(1)),
            status: Status::Confirmed,
            last_seq: 2,
            shortages: Vec::new(),
            balance: None,
        }
    }

    #[tokio::test]
    async fn everybody_who_listens_hears_of_the_settlement() {
        let waiters = Waiters::default();
        let mut listeners =
            [waiters.listen(receipt().order_id), waiters.listen(receipt().order_id)];
        waiters.settled(&receipt());
        for listener in &mut listeners {
            assert_eq!(listener.settled().await, Some(receipt()));
        }
    }

    #[tokio::test]
    async fn a_hint_wakes_those_whom_it_concerns() {
        let waiters = Waiters::default();
        let mut listener = waiters.listen(receipt().order_id);
        let mut other = waiters.listen(OrderId(uuid::Uuid::from_u128(2)));
        waiters.hinted([OrderId(uuid::Uuid::from_u128(3)), receipt().order_id].into_iter());
        assert_eq!(listener.settled().await, None);
        assert!(!other.receiver.has_changed().expect("it listens"));
        waiters.settled(&Receipt { order_id: other.order_id, ..receipt() });
        assert!(other.settled().await.is_some());
    }

    #[tokio::test]
    async fn a_waiter_that_hangs_up_is_removed_and_the_others_keep_waiting() {
        let waiters = Waiters::default();
        let mut patient = waiters.listen(receipt().order_id);
        drop(waiters.listen(receipt().order_id));
        waiters.settled(&receipt());
        assert_eq!(patient.settled().await, Some(receipt()));
        drop(patient);
        assert!(waiters.lock().is_empty());
    }
}
