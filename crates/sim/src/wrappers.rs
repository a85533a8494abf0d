//! The wrappers around the parts of a replica, through which a mistake is planted.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use inventory_core::decide::DecideInventory;
use orders::store::OrderStore;
use orders_core::decide::DecideOrders;
use platform::bus::Bus;

use crate::node::NodeIds;

/// Wraps the store of an Order Service, given the bus of the same replica.
pub(crate) type WrapOrderStore = fn(Arc<dyn OrderStore>, &Arc<dyn Bus>) -> Arc<dyn OrderStore>;

/// The wrappers of a replica's parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wrappers {
    pub(crate) decide_orders: DecideOrders,
    pub(crate) decide_stock: DecideInventory,
    pub(crate) orders_store: WrapOrderStore,
    /// Wraps the bus of any replica.
    pub(crate) bus: fn(Arc<dyn Bus>) -> Arc<dyn Bus>,
    /// Wraps the routes of any replica, given the ids that it draws.
    pub(crate) router: fn(Router, &Arc<NodeIds>) -> Router,
    /// Changes the schemas of the databases, which are in this folder, before a world begins.
    pub(crate) databases: fn(&Path),
    /// Called before a world begins: a wrapper with a memory clears it.
    pub(crate) begin: fn(),
}

impl Wrappers {
    /// The services without a mistake.
    pub(crate) const NONE: Self = Self {
        decide_orders: orders_core::decide::decide,
        decide_stock: inventory_core::decide::decide,
        orders_store: |store, _| store,
        bus: |bus| bus,
        router: |router, _| router,
        databases: |_| (),
        begin: || (),
    };
}
