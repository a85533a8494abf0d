//! The wrappers around the parts of a replica, through which a mistake is planted.

use std::sync::Arc;

use axum::Router;
use inventory_core::decide as stock;
use orders::store::Store as OrdersStore;
use orders_core::decide as order;
use platform::bus::Bus;

use crate::node::NodeIds;

/// Wraps the store of an Order Service, given the bus of the same replica.
pub(crate) type WrapOrdersStore = fn(Arc<dyn OrdersStore>, &Arc<dyn Bus>) -> Arc<dyn OrdersStore>;

/// The wrappers of a replica's parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wrappers {
    pub(crate) decide_orders: order::Decide,
    pub(crate) decide_stock: stock::Decide,
    pub(crate) orders_store: WrapOrdersStore,
    /// Wraps the bus of any replica.
    pub(crate) bus: fn(Arc<dyn Bus>) -> Arc<dyn Bus>,
    /// Wraps the routes of any replica, given the ids that it draws.
    pub(crate) router: fn(Router, &Arc<NodeIds>) -> Router,
    /// Called before a world begins: a wrapper with a memory clears it.
    pub(crate) begin: fn(),
}

impl Wrappers {
    /// The services without a mistake.
    pub(crate) const NONE: Self = Self {
        decide_orders: order::decide,
        decide_stock: stock::decide,
        orders_store: |store, _| store,
        bus: |bus| bus,
        router: |router, _| router,
        begin: || (),
    };
}
