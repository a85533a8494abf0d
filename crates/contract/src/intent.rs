//! What the Order Service intends for the stock of an order.
//!
//! An intent says how the stock of the order shall be, and not how it gets there. Orders sends only
//! intents that Inventory can carry out in every state that it may be in (R22). So an intent that
//! asks for no more than the order has needs no outcome. Only one that asks for stock has: that of
//! the placement, and that of an order which was paid after it expired.

use crate::allocation::Allocations;
use crate::digest::Digest;
use crate::returned::Returned;
use crate::revision::Revision;
use crate::wanted::Wanted;

/// The whole intent of an order at one revision (R20).
///
/// The Order Service owns it and replaces it as a whole. All numbers are absolute.
///
/// | | `revision` | `wanted` | `shipped` | `returned` |
/// |---|---|---|---|---|
/// | placed | 1 | what was ordered | nothing | nothing |
/// | cancelled, expired | the next | 0 of each product | nothing | nothing |
/// | fulfilled | the next | as before | all that is allocated, where it is allocated | as before |
/// | cancelled in part | the next | less | as before | as before |
/// | shipped in part | the next | as before | more | as before |
/// | a shipment is cancelled | the next | as before | less | as before |
/// | units came back | the next | as before | as before | more |
/// | paid after it expired | the next | what was wanted before | nothing | nothing |
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Intent {
    /// The number of this intent.
    pub revision: Revision,
    /// The units that the order wants, shipped or not, of every product of the order.
    pub wanted: Wanted,
    /// The units that shall have left the stock: at each location, at most what is allocated there
    /// (INV-10).
    pub shipped: Allocations,
    /// The units that came back from the customer: of each product, at most what is shipped over
    /// all locations (INV-10). A unit that came back still counts as shipped.
    pub returned: Returned,
}

impl Intent {
    /// The intent of an order that was just placed.
    pub fn placed(wanted: Wanted) -> Self {
        Self {
            revision: Revision::FIRST,
            wanted,
            shipped: Allocations::default(),
            returned: Returned::default(),
        }
    }

    /// Computes the digest of the intent (R14).
    ///
    /// Both services store it. It shows a command or an answer that is about another intent of the same
    /// revision, which only a restored backup or a forgery can explain.
    ///
    /// What is hashed are lines that end in 0x0A and whose members are separated by 0x00: the
    /// revision; `w`, product and quantity for every product; `s`, product, location and quantity
    /// for every shipped allocation; `r`, product, location and the units that were restocked,
    /// quarantined and written off for every entry of the returns. Numbers are written in decimal.
    /// Lines are sorted as the registers are.
    ///
    /// ```
    /// use contract::{Digest, Intent, Quantity, Revision, Wanted};
    ///
    /// let line = |product: &str, units| -> Result<_, Box<dyn std::error::Error>> {
    ///     Ok((product.parse()?, Quantity::new(units)?))
    /// };
    /// let placed = Intent::placed(Wanted::sum([line("789", 2)?, line("456", 1)?])?);
    /// assert_eq!(placed.digest(), Digest::of(b"1\nw\x00456\x001\nw\x00789\x002\n"));
    ///
    /// let wanted = placed.wanted.nothing();
    /// let cancelled = Intent { revision: Revision::FIRST.next(), wanted, ..placed };
    /// assert_eq!(cancelled.digest(), Digest::of(b"2\nw\x00456\x000\nw\x00789\x000\n"));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn digest(&self) -> Digest {
        let mut text = format!("{}\n", self.revision).into_bytes();
        for line in &self.wanted {
            push_line(&mut text, &["w", line.product_id.as_str(), &line.quantity.to_string()]);
        }
        for shipped in &self.shipped {
            let quantity = shipped.quantity.get().to_string();
            let product_id = shipped.product_id.as_str();
            push_line(&mut text, &["s", product_id, shipped.location_id.as_str(), &quantity]);
        }
        for entry in &self.returned {
            let members = [
                "r",
                entry.product_id.as_str(),
                entry.location_id.as_str(),
                &entry.restocked.to_string(),
                &entry.quarantined.to_string(),
                &entry.written_off.to_string(),
            ];
            push_line(&mut text, &members);
        }
        Digest::of(&text)
    }
}

fn push_line(text: &mut Vec<u8>, members: &[&str]) {
    for (index, member) in members.iter().enumerate() {
        if index > 0 {
            text.push(0);
        }
        text.extend_from_slice(member.as_bytes());
    }
    text.push(b'\n');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Allocation, Quantity, ReturnedUnits};

    fn wanted(lines: &[(&str, u32)]) -> Wanted {
        let line = |(product, units): &(&str, u32)| {
            (product.parse().expect("an id"), Quantity::new(*units).expect("a quantity"))
        };
        Wanted::sum(lines.iter().map(line)).expect("lines")
    }

    /// Stored orders and reservations keep their digest, so its computation must never change.
    #[test]
    fn the_digests_of_the_example_order_are_pinned() {
        let placed = Intent::placed(wanted(&[("789", 2), ("456", 1)]));
        assert_eq!(placed.digest().to_string(), "a772afc17ed7c8097edf4c19a73a1b8e");
        assert_eq!(placed.digest(), Digest::of(b"1\nw\x00456\x001\nw\x00789\x002\n"));

        let revision = Revision::FIRST.next();
        let cancelled = Intent { revision, wanted: placed.wanted.nothing(), ..placed.clone() };
        assert_eq!(cancelled.digest().to_string(), "038f54c2ccd0d2bc5ba8dfaa5fd090fd");

        let allocations = placed.wanted.iter().map(|line| Allocation {
            product_id: line.product_id.clone(),
            location_id: "main".parse().expect("an id"),
            quantity: Quantity::new(line.quantity).expect("a quantity"),
        });
        let shipped = Allocations::sorted(allocations.collect()).expect("two allocations");
        let fulfilled = Intent { revision, shipped, ..placed };
        assert_eq!(fulfilled.digest().to_string(), "d322d2c5011329bfaf6a651b641c9efe");

        let returned = Returned::sorted(vec![ReturnedUnits {
            product_id: "789".parse().expect("an id"),
            location_id: "main".parse().expect("an id"),
            restocked: 1,
            quarantined: 0,
            written_off: 1,
        }]);
        let returned = returned.expect("one entry");
        let returned = Intent { revision: revision.next(), returned, ..fulfilled };
        assert_eq!(returned.digest().to_string(), "143372e2fef7e839eae1330ee9446f74");
        let lines: [&[u8]; 6] = [
            b"3\n",
            b"w\x00456\x001\n",
            b"w\x00789\x002\n",
            b"s\x00456\x00main\x001\n",
            b"s\x00789\x00main\x002\n",
            b"r\x00789\x00main\x001\x000\x001\n",
        ];
        assert_eq!(returned.digest(), Digest::of(&lines.concat()));
    }

    proptest! {
        #[test]
        fn the_digest_does_not_depend_on_the_order_of_the_lines(
            mut sent in prop::collection::vec(("[a-c]", 1u32..5), 1..20)
        ) {
            let digest = |lines: &[(String, u32)]| {
                let lines: Vec<_> = lines.iter().map(|(p, n)| (p.as_str(), *n)).collect();
                Intent::placed(wanted(&lines)).digest()
            };
            let before = digest(&sent);
            sent.reverse();
            prop_assert_eq!(before, digest(&sent));
        }

        #[test]
        fn every_member_of_the_intent_changes_its_digest(a in 1u32..9, b in 1u32..9) {
            let intent = Intent::placed(wanted(&[("a", a), ("b", b)]));
            let next = Intent { revision: intent.revision.next(), ..intent.clone() };
            let less = Intent { wanted: intent.wanted.nothing(), ..intent.clone() };
            prop_assert!(intent.digest() != next.digest());
            prop_assert!(intent.digest() != less.digest());
        }
    }
}
