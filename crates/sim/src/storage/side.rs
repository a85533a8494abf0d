//! What both services' ports have in common.

use std::fmt;
use std::marker::PhantomData;

use platform::audit::JournalAuditStore;

use crate::port::Port;
use crate::world::Stores;

/// A replica's stores.
#[derive(Debug)]
pub(crate) struct SidePort<S> {
    pub(super) port: Port,
    side: PhantomData<S>,
}

/// Which service's stores they are.
pub(crate) trait Side: fmt::Debug + Send + Sync {
    /// What the audit of the journal reads.
    fn journal(stores: &Stores) -> &dyn JournalAuditStore;
}

/// Those of the Order Service.
#[derive(Debug)]
pub(crate) struct OfOrders;

/// Those of the Inventory Service.
#[derive(Debug)]
pub(crate) struct OfStock;

impl Side for OfOrders {
    fn journal(stores: &Stores) -> &dyn JournalAuditStore {
        &*stores.orders_audit
    }
}

impl Side for OfStock {
    fn journal(stores: &Stores) -> &dyn JournalAuditStore {
        &*stores.inventory_audit
    }
}

impl<S> SidePort<S> {
    pub(crate) fn of(port: Port) -> Self {
        Self { port, side: PhantomData }
    }
}
