//! Slots for connections. When none is free, the connection that has been idle for longest is
//! evicted (R17).

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rustix::process::{Resource, getrlimit};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// The most connections, if the process may open that many files.
const MAX_CONNECTIONS: u64 = 10_000;

/// The number of slots: at most half of the files that the process may open. The other half is for
/// its files, databases and broker.
pub(super) fn capacity() -> usize {
    let open_files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(MAX_CONNECTIONS.min(open_files / 2)).unwrap_or(usize::MAX)
}

/// The slots of one listener.
#[derive(Debug)]
pub(super) struct Slots {
    free: Arc<Semaphore>,
    /// Connections that wait for their client's next request, in the order in which they began to
    /// wait.
    idle: Mutex<BTreeMap<u64, CancellationToken>>,
    next: AtomicU64,
    became_idle: Notify,
}

impl Slots {
    pub(super) fn new() -> Arc<Self> {
        Self::with_capacity(capacity())
    }

    pub(super) fn with_capacity(connections: usize) -> Arc<Self> {
        let free = Arc::new(Semaphore::new(connections));
        Arc::new(Self {
            free,
            idle: Mutex::default(),
            next: AtomicU64::new(0),
            became_idle: Notify::new(),
        })
    }

    /// Waits for a free slot; evicts the connection that has been idle for longest, if there is
    /// one.
    pub(super) async fn take(self: &Arc<Self>) -> Slot {
        loop {
            let mut more = pin!(self.became_idle.notified());
            more.as_mut().enable();
            let free = self.free.clone();
            if let Ok(permit) = free.clone().try_acquire_owned() {
                return self.slot(permit);
            }
            let evicts = self.longest_idle().is_some_and(|longest| {
                longest.cancel();
                true
            });
            tokio::select! {
                permit = free.acquire_owned() => return self.slot(permit.expect("the semaphore is never closed")),
                () = more, if !evicts => {}
            }
        }
    }

    fn longest_idle(&self) -> Option<CancellationToken> {
        self.idle().pop_first().map(|(_, longest)| longest)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, CancellationToken>> {
        self.idle.lock().expect("nothing panics under this lock")
    }

    fn slot(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Slot {
        let slot = Slot {
            slots: self.clone(),
            since: AtomicU64::new(0),
            evicted: CancellationToken::new(),
            _permit: permit,
        };
        slot.becomes_idle();
        slot
    }
}

/// The slot of one connection, which is idle at first. Dropping it frees the slot.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    /// The number under which it last became idle.
    since: AtomicU64,
    evicted: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl Slot {
    /// Cancelled when another connection needs the slot.
    pub(super) fn evicted(&self) -> CancellationToken {
        self.evicted.clone()
    }

    /// Marks the connection busy when a request arrives: it is not evicted until the request is
    /// answered.
    pub(super) fn becomes_busy(&self) {
        self.slots.idle().remove(&self.since.load(Ordering::Relaxed));
    }

    /// Marks the connection idle after its request is answered.
    pub(super) fn becomes_idle(&self) {
        let now = self.slots.next.fetch_add(1, Ordering::Relaxed);
        self.since.store(now, Ordering::Relaxed);
        self.slots.idle().insert(now, self.evicted.clone());
        self.slots.became_idle.notify_waiters();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.becomes_busy();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_longest_idle_is_evicted_and_a_busy_one_is_not() {
        let slots = Slots::with_capacity(3);
        let [first, second, third] = [slots.take().await, slots.take().await, slots.take().await];
        first.becomes_busy();
        let gone = second.evicted();
        let leaving = tokio::spawn(async move {
            gone.cancelled().await;
            drop(second);
        });
        let fourth = slots.take().await;
        leaving.await.unwrap();
        let evicted = [&first, &third, &fourth].map(|slot| slot.evicted().is_cancelled());
        assert_eq!(evicted, [false; 3]);
    }

    #[tokio::test]
    async fn a_new_connection_waits_until_a_busy_one_becomes_idle() {
        let slots = Slots::with_capacity(1);
        let first = slots.take().await;
        first.becomes_busy();
        let waiting = tokio::spawn({
            let slots = slots.clone();
            async move { slots.take().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished() && !first.evicted().is_cancelled());
        first.becomes_idle();
        first.evicted().cancelled().await;
        drop(first);
        waiting.await.unwrap();
        assert_eq!(slots.idle().len(), 0, "no connection is left in the list");
    }
}
