//! The functions of the model that a planted mistake can replace.

use inventory_core::decide::{
    DecideInventory, InventoryCommand, InventoryDecision, LoadedInventory, Touched,
};
use orders_core::decide::{DecideOrders, LoadedOrders, OrderCommand, OrdersDecision};

use super::bounds::Bounds;
use super::messages::Messages;
use super::requests::Request;
use super::state::State;

/// Decides on orders that were read earlier, and overwrites the stored ones. The stored orders are
/// the first argument of the two, those that were read the second one.
pub(crate) type DecideOnOldOrders =
    fn(i64, &[OrderCommand], &LoadedOrders, &LoadedOrders) -> OrdersDecision;

/// The same for Inventory's rows.
pub(crate) type DecideOnOldStock =
    fn(i64, &[InventoryCommand], &LoadedInventory, &LoadedInventory) -> InventoryDecision;

/// The functions that the model calls for each step: the real ones, or a planted mistake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shell {
    pub(crate) decide_orders: DecideOrders,
    pub(crate) decide_stock: DecideInventory,
    /// Which rows a transaction of Inventory locks for its batch.
    pub(crate) locks: fn(&[InventoryCommand]) -> Touched,
    /// Called when a request begins to wait for its commit.
    pub(crate) accept: fn(&mut State, Request, &mut Messages, Bounds),
    /// Which messages a sweeper publishes, given those that it leased.
    pub(crate) resend: fn(u128) -> u128,
    /// Whether a commit of unknown fate is reported as failed and not decided again.
    pub(crate) unknown_is_failed: bool,
    /// If set, orders may be read before they are locked, and this function decides on them.
    pub(crate) decide_on_old_orders: Option<DecideOnOldOrders>,
    /// If set, stock may be read before it is locked, and this function decides on it.
    pub(crate) decide_on_old_stock: Option<DecideOnOldStock>,
    /// If set, the two functions above decide the retry after a commit of unknown fate instead, on
    /// the rows that the first try has read.
    pub(crate) retry_is_old: bool,
}

impl Shell {
    /// The services without a mistake.
    pub(crate) const RIGHT: Self = Self {
        decide_orders: orders_core::decide::decide,
        decide_stock: inventory_core::decide::decide,
        locks: Touched::by,
        accept: |_, _, _, _| (),
        resend: |messages| messages,
        unknown_is_failed: false,
        decide_on_old_orders: None,
        decide_on_old_stock: None,
        retry_is_old: false,
    };
}
