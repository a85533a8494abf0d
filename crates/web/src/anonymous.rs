//! What clients without a valid key hold at the same time, by address: connections, and requests in
//! flight (R17). The addresses of one IPv6 network (/64) are one.
//!
//! An address is in the table exactly while it holds something. A connection has one request in
//! flight at most, so the table has at most two addresses for each slot: for 10 000 connections,
//! about 3 MiB. Nothing that is held is ever forgotten to make room.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use platform::rate::network_of;

use crate::slots::{Connection, Slots};

/// How long a new connection does not count: a storefront opens many at once, before it sends its
/// key on the first of them.
pub(crate) const GRACE: Duration = Duration::from_secs(1);
/// How many times the limit an address may hold, with the connections that do not count yet.
const BURST: usize = 8;

/// What the addresses hold, and what they may hold.
#[derive(Debug, Default)]
pub(crate) struct Anonymous {
    /// The most connections of an address; `None` if there is no limit.
    most_connections: Option<usize>,
    /// The most requests in flight of an address; `None` if there is no limit.
    most_requests: Option<u32>,
    held: Mutex<HashMap<u128, Held>>,
}

/// What one address holds.
#[derive(Debug, Default)]
struct Held {
    connections: Vec<Arc<Connection>>,
    requests: u32,
}

/// An address that holds something, or is about to.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    anonymous: Arc<Anonymous>,
    network: u128,
}

/// A request in flight, until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlight(Holder);

/// An address has as many requests in flight as it may have: this many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany(pub(crate) u32);

impl Anonymous {
    pub(crate) fn new(most_connections: Option<u32>, most_requests: Option<u32>) -> Arc<Self> {
        let most_connections =
            most_connections.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
        Arc::new(Self { most_connections, most_requests, held: Mutex::default() })
    }

    /// The address that is to hold a connection; `None` if there is no limit.
    pub(crate) fn of_connection(self: &Arc<Self>, address: IpAddr) -> Option<Holder> {
        self.most_connections.map(|_| self.holder(address))
    }

    /// Counts a request until it is answered.
    ///
    /// # Errors
    ///
    /// The address has too many.
    pub(crate) fn begin(self: &Arc<Self>, address: IpAddr) -> Result<Option<InFlight>, TooMany> {
        let Some(most) = self.most_requests else { return Ok(None) };
        let holder = self.holder(address);
        let mut held = self.held();
        let requests = &mut held.entry(holder.network).or_default().requests;
        if *requests >= most {
            return Err(TooMany(most));
        }
        *requests += 1;
        drop(held);
        Ok(Some(InFlight(holder)))
    }

    fn holder(self: &Arc<Self>, address: IpAddr) -> Holder {
        Holder { anonymous: self.clone(), network: network_of(address) }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<u128, Held>> {
        self.held.lock().expect("nothing panics under this lock")
    }
}

impl Holder {
    /// Whether there is room for another connection. At the limit, it evicts the one that has been
    /// idle for longest; there is no room if none is idle.
    pub(crate) fn makes_room(&self, slots: &Slots) -> bool {
        let most = self.most().saturating_mul(BURST);
        let mut held = self.anonymous.held();
        let Some(its) = held.get_mut(&self.network) else { return true };
        its.connections.len() < most || its.evict_one_of(slots, |_| true)
    }

    /// Adds a connection on which no key was shown yet.
    pub(crate) fn add(&self, connection: &Arc<Connection>) {
        let mut held = self.anonymous.held();
        held.entry(self.network).or_default().connections.push(connection.clone());
    }

    /// The connection has had its time to show a key, and counts from now on. If the address holds
    /// too many, those that have been idle for longest are evicted.
    pub(crate) fn counts(&self, connection: &Arc<Connection>, slots: &Slots) {
        let mut held = self.anonymous.held();
        connection.counts();
        let Some(its) = held.get_mut(&self.network) else { return };
        let counted = its.connections.iter().filter(|other| other.is_counted()).count();
        for _ in self.most()..counted {
            if !its.evict_one_of(slots, Connection::is_counted) {
                return;
            }
        }
    }

    /// Takes a connection away, because it is closed or a key was shown. One that was evicted is not
    /// there any more.
    pub(crate) fn remove(&self, connection: &Arc<Connection>) {
        self.change(|its| its.connections.retain(|other| !Arc::ptr_eq(other, connection)));
    }

    fn change(&self, change: impl FnOnce(&mut Held)) {
        let mut held = self.anonymous.held();
        let Some(its) = held.get_mut(&self.network) else { return };
        change(its);
        if its.connections.is_empty() && its.requests == 0 {
            held.remove(&self.network);
        }
    }

    fn most(&self) -> usize {
        self.anonymous.most_connections.unwrap_or(usize::MAX)
    }
}

impl Held {
    /// Evicts, of those that `may` be evicted, the connection that has been idle for longest.
    fn evict_one_of(&mut self, slots: &Slots, may: impl Fn(&Connection) -> bool) -> bool {
        loop {
            let connections = self.connections.iter().enumerate();
            let idle = connections
                .filter(|(_, connection)| may(connection))
                .filter_map(|(at, connection)| connection.idle_since().map(|since| (since, at)));
            let Some((_, at)) = idle.min() else { return false };
            // A request may arrive on it meanwhile. Then it is another's turn.
            if slots.evict(&self.connections[at]) {
                self.connections.swap_remove(at);
                return true;
            }
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.change(|its| its.requests -= 1);
    }
}

#[cfg(test)]
mod tests;
