//! What Inventory has reserved for an order, and what it has shipped for it.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

use super::super::{items, text};
use super::receipt::show_units;

/// The kinds of movements that take units out of the stock for a shipment, and back from it.
const OF_SHIPMENTS: [&str; 2] = ["ship", "unship"];

/// The units of a reservation, added up from its movements. Its `allocations` do not tell units that
/// are shipped from those that are reserved.
#[derive(Debug)]
pub(super) struct OrderStock {
    reserved: String,
    shipped: String,
    /// Whether the state of the reservation says already that all is shipped.
    is_shipped: bool,
}

impl OrderStock {
    pub(super) fn in_reservation(reservation: &Value) -> Self {
        let movements = items(&reservation["movements"]);
        let shipments = movements
            .iter()
            .filter(|movement| OF_SHIPMENTS.contains(&text(movement, "kind")))
            .map(|movement| (movement, -delta(movement, "on_hand_delta")));
        Self {
            reserved: sums(
                movements.iter().map(|movement| (movement, delta(movement, "reserved_delta"))),
            ),
            shipped: sums(shipments),
            is_shipped: text(reservation, "state") == "shipped",
        }
    }
}

fn delta(movement: &Value, member: &str) -> i64 {
    movement[member].as_i64().unwrap_or_default()
}

/// The units at each stock key where there are some.
fn sums<'a>(deltas: impl Iterator<Item = (&'a Value, i64)>) -> String {
    let mut sums = BTreeMap::<_, i64>::new();
    for (movement, delta) in deltas {
        *sums.entry((text(movement, "product_id"), text(movement, "location_id"))).or_default() +=
            delta;
    }
    let left = sums.into_iter().filter(|(_, units)| *units != 0);
    let line = |((product, location), units)| json!({"product_id": product, "location_id": location, "quantity": units});
    show_units(&left.map(line).collect())
}

impl fmt::Display for OrderStock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.reserved.as_str(), self.shipped.as_str()) {
            ("", "") => f.write_str("nothing is reserved"),
            ("", shipped) if self.is_shipped => f.write_str(shipped),
            ("", shipped) => write!(f, "nothing is reserved; shipped: {shipped}"),
            (reserved, "") => f.write_str(reserved),
            (reserved, shipped) => write!(f, "{reserved}; shipped: {shipped}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Movements at one location: kind, product, and what they change on hand and reserved.
    fn shown(state: &str, movements: &[(&str, &str, i64, i64)]) -> String {
        let movement = |(kind, product, on_hand, reserved): &(&str, &str, i64, i64)| {
            json!({"kind": kind, "product_id": product, "location_id": "main",
                   "on_hand_delta": on_hand, "reserved_delta": reserved})
        };
        let movements: Vec<_> = movements.iter().map(movement).collect();
        OrderStock::in_reservation(&json!({"state": state, "movements": movements})).to_string()
    }

    #[test]
    fn units_that_are_shipped_are_not_reserved() {
        let mut all = vec![("reserve", "A", 0, 3), ("reserve", "B", 0, 1)];
        assert_eq!(shown("reserved", &all), "3 × A at main; 1 × B at main");
        all.push(("ship", "A", -2, -2));
        let partly = "1 × A at main; 1 × B at main; shipped: 2 × A at main";
        assert_eq!(shown("reserved", &all), partly);
        all.push(("unship", "A", 1, 1));
        let back = "2 × A at main; 1 × B at main; shipped: 1 × A at main";
        assert_eq!(shown("reserved", &all), back);
        all.extend([("ship", "A", -2, -2), ("release", "B", 0, -1)]);
        assert_eq!(shown("shipped", &all), "3 × A at main");
        all.push(("return", "A", 1, 0));
        assert_eq!(shown("shipped", &all), "3 × A at main", "it was shipped, and came back");
    }

    #[test]
    fn an_order_for_which_nothing_is_reserved_says_so() {
        assert_eq!(shown("rejected", &[]), "nothing is reserved");
        let released = [("reserve", "A", 0, 3), ("release", "A", 0, -3)];
        assert_eq!(shown("released", &released), "nothing is reserved");
    }
}
