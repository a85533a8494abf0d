//! The functions of the model that a planted mistake can replace.

use std::collections::BTreeMap;

use contract::ProductId;
use inventory_core::decide as stock;
use inventory_core::stock::Levels;
use orders_core::decide as order;

use super::messages::Messages;
use super::requests::Request;
use super::state::State;

/// Decides on stock that was read before the transaction began.
pub(crate) type DecideOnOldStock = fn(
    i64,
    &[stock::InventoryCommand],
    stock::Loaded,
    &BTreeMap<ProductId, Levels>,
) -> stock::Decision;

/// The functions that the model calls for each step: the real ones, or a planted mistake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shell {
    pub(crate) decide_orders: order::Decide,
    pub(crate) decide_stock: stock::Decide,
    /// Called when a request begins to wait for its commit.
    pub(crate) accept: fn(&mut State, Request, &mut Messages),
    /// Which messages a sweeper publishes, given those that it leased.
    pub(crate) resend: fn(u32) -> u32,
    /// Whether a commit of unknown fate is reported as failed and not decided again.
    pub(crate) unknown_is_failed: bool,
    /// If set, the stock may be read before it is locked, and this function decides on it.
    pub(crate) decide_on_old_stock: Option<DecideOnOldStock>,
}

impl Shell {
    /// The services without a mistake.
    pub(crate) const RIGHT: Self = Self {
        decide_orders: order::decide,
        decide_stock: stock::decide,
        accept: |_, _, _| (),
        resend: |messages| messages,
        unknown_is_failed: false,
        decide_on_old_stock: None,
    };
}
