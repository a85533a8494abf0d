//! Slots for connections. When none is free, an idle connection is evicted (R17), see [`Turn`].

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::process::{Resource, getrlimit};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::anonymous::{GRACE, Holder};

/// The most connections, if the process may open that many files.
const MAX_CONNECTIONS: u64 = 10_000;
/// The number of a connection that is not idle.
const BUSY: u64 = 0;

/// The number of slots: at most half of the files that the process may open. The other half is for
/// its files, databases and broker, and for probes.
pub(super) fn capacity() -> usize {
    let open_files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(MAX_CONNECTIONS.min(open_files / 2)).unwrap_or(usize::MAX)
}

/// The slots of one listener.
#[derive(Debug)]
pub(super) struct Slots {
    free: Arc<Semaphore>,
    /// Slots for the time when all others have a request in flight. Only probes are answered there.
    spare: Arc<Semaphore>,
    /// Connections that wait for their client's next request, in the order in which they are
    /// evicted.
    idle: Mutex<BTreeMap<Turn, Arc<Connection>>>,
    next: AtomicU64,
    became_idle: Notify,
}

impl Slots {
    /// The slots of an API.
    pub(super) fn new() -> Arc<Self> {
        Self::with_spare(capacity(), capacity() / 16)
    }

    /// The slots of an address for probes alone, which leave most files to the API.
    pub(super) fn for_probes() -> Arc<Self> {
        Self::with_spare(capacity() / 4, 0)
    }

    pub(super) fn with_spare(connections: usize, spare: usize) -> Arc<Self> {
        Arc::new(Self {
            free: Arc::new(Semaphore::new(connections)),
            spare: Arc::new(Semaphore::new(spare)),
            idle: Mutex::default(),
            next: AtomicU64::new(1),
            became_idle: Notify::new(),
        })
    }

    /// Waits for a free slot; evicts the connection that has been idle for longest, if there is
    /// one. `None` if the address that is to hold the connection has too many.
    pub(super) async fn take(self: &Arc<Self>, holder: Option<Holder>) -> Option<Slot> {
        if holder.as_ref().is_some_and(|holder| !holder.makes_room(self)) {
            return None;
        }
        let (permit, is_spare) = self.permit().await;
        let connection = Arc::new(Connection { is_spare, ..Connection::default() });
        if let Some(holder) = &holder {
            holder.add(&connection);
        }
        let slot = Slot { slots: self.clone(), connection, holder, _permit: permit };
        slot.becomes_idle();
        Some(slot)
    }

    /// A free slot, and whether it is a spare one.
    async fn permit(&self) -> (OwnedSemaphorePermit, bool) {
        let never = "the semaphore is never closed";
        loop {
            let mut more = pin!(self.became_idle.notified());
            more.as_mut().enable();
            let (free, spare) = (self.free.clone(), self.spare.clone());
            if let Ok(permit) = free.clone().try_acquire_owned() {
                return (permit, false);
            }
            if self.evict_one(false) {
                return (free.acquire_owned().await.expect(never), false);
            }
            if let Ok(permit) = spare.clone().try_acquire_owned() {
                return (permit, true);
            }
            let evicts = self.evict_one(true);
            tokio::select! {
                permit = free.acquire_owned() => return (permit.expect(never), false),
                permit = spare.acquire_owned() => return (permit.expect(never), true),
                () = more, if !evicts => {}
            }
        }
    }

    /// Evicts the connection whose turn it is, if that is in a spare slot or not, as asked.
    fn evict_one(&self, is_spare: bool) -> bool {
        let mut idle = self.idle();
        let next = idle.first_entry().filter(|next| next.get().is_spare == is_spare);
        next.is_some_and(|next| {
            next.remove().is_evicted();
            true
        })
    }

    /// Evicts a connection, if it is idle.
    pub(super) fn evict(&self, connection: &Connection) -> bool {
        let mut idle = self.idle();
        let was_idle = idle.remove(&connection.turn()).is_some();
        if was_idle {
            connection.is_evicted();
        }
        was_idle
    }

    fn idle(&self) -> MutexGuard<'_, BTreeMap<Turn, Arc<Connection>>> {
        self.idle.lock().expect("nothing panics under this lock")
    }
}

/// The order in which idle connections are evicted: those in spare slots last, those without a key
/// before those with one, and otherwise the one that has been idle for longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    is_spare: bool,
    has_key: bool,
    since: u64,
}

/// What is known of a connection to those who look for one to evict. `since` and `has_key` change
/// under the lock of the idle ones.
#[derive(Debug, Default)]
pub(super) struct Connection {
    /// The number under which it last became idle; 0 while it is busy.
    since: AtomicU64,
    /// Whether a valid key was shown on it, and no wrong one since then.
    has_key: AtomicBool,
    /// Whether it counts against the limit of its address.
    is_counted: AtomicBool,
    is_spare: bool,
    evicted: CancellationToken,
}

impl Connection {
    /// The number under which it became idle, if it is.
    pub(super) fn idle_since(&self) -> Option<u64> {
        Some(self.since.load(Ordering::Relaxed)).filter(|since| *since != BUSY)
    }

    pub(super) fn counts(&self) {
        self.is_counted.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_counted(&self) -> bool {
        self.is_counted.load(Ordering::Relaxed)
    }

    fn has_key(&self) -> bool {
        self.has_key.load(Ordering::Relaxed)
    }

    fn turn(&self) -> Turn {
        let since = self.since.load(Ordering::Relaxed);
        Turn { is_spare: self.is_spare, has_key: self.has_key(), since }
    }

    fn is_evicted(&self) {
        self.since.store(BUSY, Ordering::Relaxed);
        self.evicted.cancel();
    }
}

/// The slot of one connection, which is idle at first. Dropping it frees the slot.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    connection: Arc<Connection>,
    /// Its address, if there is a limit for addresses.
    holder: Option<Holder>,
    _permit: OwnedSemaphorePermit,
}

impl Slot {
    /// Cancelled when another connection needs the slot.
    pub(super) fn evicted(&self) -> CancellationToken {
        self.connection.evicted.clone()
    }

    /// Marks the connection busy when a request arrives: it is not evicted until the request is
    /// answered.
    pub(super) fn becomes_busy(&self) {
        let mut idle = self.slots.idle();
        idle.remove(&self.connection.turn());
        self.connection.since.store(BUSY, Ordering::Relaxed);
    }

    /// Marks the connection busy when the body of a request has arrived. `number` is that under which
    /// it became idle while the body arrived: if its answer has begun meanwhile, it stays idle.
    pub(super) fn body_has_arrived(&self, number: u64) {
        let mut idle = self.slots.idle();
        if self.connection.idle_since() == Some(number) {
            idle.remove(&self.connection.turn());
            self.connection.since.store(BUSY, Ordering::Relaxed);
        }
    }

    /// Marks the connection idle after its request is answered, or while the body of the request
    /// arrives. Returns the number under which it is idle.
    pub(super) fn becomes_idle(&self) -> u64 {
        let now = self.slots.next.fetch_add(1, Ordering::Relaxed);
        let mut idle = self.slots.idle();
        if self.connection.idle_since().is_some() {
            idle.remove(&self.connection.turn());
        }
        self.connection.since.store(now, Ordering::Relaxed);
        idle.insert(self.connection.turn(), self.connection.clone());
        drop(idle);
        self.slots.became_idle.notify_waiters();
        now
    }

    /// Counts an idle connection as idle since now, because it has sent a part of its answer.
    pub(super) fn is_idle_since_now(&self) {
        let now = self.slots.next.fetch_add(1, Ordering::Relaxed);
        let mut idle = self.slots.idle();
        if let Some(connection) = idle.remove(&self.connection.turn()) {
            connection.since.store(now, Ordering::Relaxed);
            idle.insert(connection.turn(), connection);
        }
    }

    /// Whether the slot is for the time when all others have a request in flight.
    pub(super) fn is_spare(&self) -> bool {
        self.connection.is_spare
    }

    /// Whether the slot is a spare one, and none of the others has become free meanwhile.
    pub(super) fn is_short(&self) -> bool {
        self.is_spare() && self.slots.free.available_permits() == 0
    }

    /// A valid key was shown: from now on the connection is the key's, and not its address's.
    pub(super) fn shows_key(&self) {
        if !self.connection.has_key() {
            self.belongs_to_key();
        }
    }

    #[cold]
    fn belongs_to_key(&self) {
        self.set_has_key(true);
        if let Some(holder) = &self.holder {
            holder.remove(&self.connection);
        }
    }

    /// A wrong key was shown, or none where one is needed: the connection is its address's again.
    pub(super) fn shows_no_key(&self) {
        if !self.connection.has_key() {
            return;
        }
        self.set_has_key(false);
        if let Some(holder) = &self.holder {
            holder.add(&self.connection);
            holder.counts(&self.connection, &self.slots);
        }
    }

    fn set_has_key(&self, has_key: bool) {
        let mut idle = self.slots.idle();
        let connection = idle.remove(&self.connection.turn());
        self.connection.has_key.store(has_key, Ordering::Relaxed);
        if let Some(connection) = connection {
            idle.insert(connection.turn(), connection);
        }
    }

    /// Counts the connection for its address, unless a key is shown in time. Never ends.
    pub(super) async fn counts_after_grace(&self) {
        if self.holder.is_some() {
            sleep(GRACE).await;
            self.counts();
        }
        std::future::pending::<()>().await;
    }

    /// The time to show a key is over.
    pub(super) fn counts(&self) {
        if let Some(holder) = self.holder.as_ref().filter(|_| !self.connection.has_key()) {
            holder.counts(&self.connection, &self.slots);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.becomes_busy();
        if let Some(holder) = self.holder.as_ref().filter(|_| !self.connection.has_key()) {
            holder.remove(&self.connection);
        }
    }
}

#[cfg(test)]
impl Slots {
    pub(super) fn with_capacity(connections: usize) -> Arc<Self> {
        Self::with_spare(connections, 0)
    }

    /// How many connections are idle, and how many slots are free.
    pub(super) fn numbers(&self) -> (usize, usize) {
        (self.idle().len(), self.free.available_permits())
    }
}

#[cfg(test)]
mod tests;
