//! Requests that wait for an order's outcome (`Prefer: wait`), woken by the commit that brings it.

use std::collections::HashMap;
use std::sync::Mutex;

use contract::OrderId;
use tokio::sync::watch;

use crate::core::decide::Receipt;

/// Who waits for which order. A signal for speed only: waiting requests also look for themselves, by a timer.
#[derive(Debug, Default)]
pub struct Waiters {
    waiting: Mutex<HashMap<OrderId, watch::Sender<Option<Receipt>>>>,
}

impl Waiters {
    /// Listens for settlements of one order from now on.
    pub fn listen(&self, order_id: OrderId) -> watch::Receiver<Option<Receipt>> {
        let mut waiting = self.lock();
        let sender = waiting.entry(order_id).or_insert_with(|| watch::channel(None).0);
        sender.subscribe()
    }

    /// An order was settled: wakes whoever waits for it.
    pub fn settled(&self, receipt: &Receipt) {
        if let Some(sender) = self.lock().get(&receipt.order_id) {
            sender.send_replace(Some(receipt.clone()));
        }
    }

    /// Forgets an order for which nobody listens any more.
    pub fn leave(&self, order_id: OrderId, listener: watch::Receiver<Option<Receipt>>) {
        let mut waiting = self.lock();
        drop(listener);
        if waiting.get(&order_id).is_some_and(|sender| sender.receiver_count() == 0) {
            waiting.remove(&order_id);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<OrderId, watch::Sender<Option<Receipt>>>> {
        self.waiting.lock().expect("nothing panics under this lock")
    }
}
