//! The rows that a transaction of the Inventory Service has locked (R11).

use inventory_core::decide::Touched;

use super::actors;
use super::state::{IDS, NOTHING};

/// Locked products and reservations, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Locks(u8);

impl Locks {
    /// What a transaction can lock of the rows that its batch touches: those that exist.
    pub(super) fn of(touched: &Touched, reservations: [u16; IDS]) -> Self {
        let mut locks = 0;
        for (index, product) in actors::PRODUCTS.iter().enumerate() {
            if touched.products.iter().any(|touched| touched.as_str() == *product) {
                locks |= 1 << index;
            }
        }
        for (order, index) in actors::orders() {
            let exists = reservations[index] != NOTHING;
            if exists && touched.orders.contains(&actors::order_id(order)) {
                locks |= 1 << (actors::PRODUCTS.len() + index);
            }
        }
        Self(locks)
    }

    /// Whether one of the transactions has to wait for the other one.
    pub(super) fn overlap(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether the transaction has locked a product.
    pub(super) fn has_product(self) -> bool {
        self.0 & ((1 << actors::PRODUCTS.len()) - 1) != 0
    }

    pub(super) fn bits(self) -> u8 {
        self.0
    }
}
