//! Room for connections: when there is none left, the one that has been silent for longest gives way (R17).

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rustix::process::{Resource, getrlimit};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// The most connections, if the process may have so many open.
const MAX_CONNECTIONS: u64 = 10_000;

/// Half of what the process may open is for connections to it; the other half for its files, databases and broker.
fn room() -> usize {
    let open_files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(MAX_CONNECTIONS.min(open_files / 2)).unwrap_or(usize::MAX)
}

/// The slots of one listener.
#[derive(Debug)]
pub(super) struct Slots {
    free: Arc<Semaphore>,
    /// Connections that wait for their client's next request, by when they began to.
    silent: Mutex<BTreeMap<u64, CancellationToken>>,
    next: AtomicU64,
    one_more_is_silent: Notify,
}

impl Slots {
    pub(super) fn new() -> Arc<Self> {
        Self::with_room_for(room())
    }

    fn with_room_for(connections: usize) -> Arc<Self> {
        let free = Arc::new(Semaphore::new(connections));
        Arc::new(Self { free, silent: Mutex::default(), next: AtomicU64::new(0), one_more_is_silent: Notify::new() })
    }

    /// A slot, as soon as there is one.
    pub(super) async fn take(self: &Arc<Self>) -> Slot {
        loop {
            let mut more = pin!(self.one_more_is_silent.notified());
            more.as_mut().enable();
            let free = self.free.clone();
            if let Ok(permit) = free.clone().try_acquire_owned() {
                return self.slot(permit);
            }
            let gives_way = self.longest_silent().is_some_and(|longest| {
                longest.cancel();
                true
            });
            tokio::select! {
                permit = free.acquire_owned() => return self.slot(permit.expect("the semaphore is never closed")),
                () = more, if !gives_way => {}
            }
        }
    }

    fn longest_silent(&self) -> Option<CancellationToken> {
        self.silent().pop_first().map(|(_, longest)| longest)
    }

    fn silent(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, CancellationToken>> {
        self.silent.lock().expect("nothing panics under this lock")
    }

    fn slot(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Slot {
        let slot =
            Slot { slots: self.clone(), since: AtomicU64::new(0), evicted: CancellationToken::new(), _permit: permit };
        slot.falls_silent();
        slot
    }
}

/// The slot of one connection, which is silent at first. It is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    /// When it last fell silent.
    since: AtomicU64,
    evicted: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl Slot {
    /// Comes back when somebody else needs it more.
    pub(super) fn evicted(&self) -> CancellationToken {
        self.evicted.clone()
    }

    /// A request is there: until it is answered, the connection does not give way.
    pub(super) fn is_heard(&self) {
        self.slots.silent().remove(&self.since.load(Ordering::Relaxed));
    }

    /// Its request is answered.
    pub(super) fn falls_silent(&self) {
        let now = self.slots.next.fetch_add(1, Ordering::Relaxed);
        self.since.store(now, Ordering::Relaxed);
        self.slots.silent().insert(now, self.evicted.clone());
        self.slots.one_more_is_silent.notify_waiters();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.is_heard();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_longest_silent_gives_way_and_a_busy_one_does_not() {
        let slots = Slots::with_room_for(3);
        let [first, second, third] = [slots.take().await, slots.take().await, slots.take().await];
        first.is_heard();
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
    async fn whoever_needs_a_place_waits_until_a_busy_one_falls_silent() {
        let slots = Slots::with_room_for(1);
        let first = slots.take().await;
        first.is_heard();
        let waiting = tokio::spawn({
            let slots = slots.clone();
            async move { slots.take().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished() && !first.evicted().is_cancelled());
        first.falls_silent();
        first.evicted().cancelled().await;
        drop(first);
        waiting.await.unwrap();
        assert_eq!(slots.silent().len(), 0, "nobody is left in the list");
    }
}
