//! The hint by which replicas report to each other which orders were answered: its subject and its
//! bytes.

use contract::OrderId;
use uuid::Uuid;

/// The subject on which the hint is sent.
pub(crate) const ANSWERED_SUBJECT: &str = "orders.answered";

/// Orders whose answers a replica has committed.
///
/// The bytes of the hint are 16 for the replica's id and 16 for each order's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) replica: Uuid,
    pub(crate) order_ids: Vec<OrderId>,
}

impl Answered {
    /// Returns the bytes of the hint.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let ids = [self.replica].into_iter().chain(self.order_ids.iter().map(|id| id.0));
        ids.flat_map(Uuid::into_bytes).collect()
    }

    /// Reads the hint, ignoring an incomplete id at its end; `None` if it has no replica.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (replica, orders) = bytes.as_chunks::<16>().0.split_first()?;
        let order_ids = orders.iter().map(|id| OrderId(Uuid::from_bytes(*id))).collect();
        Some(Self { replica: Uuid::from_bytes(*replica), order_ids })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_read_as_it_was_written() {
        for orders in 0..4 {
            let order_ids = (1..=orders).map(|n| OrderId(Uuid::from_u128(n << 100 | n))).collect();
            let answered = Answered { replica: Uuid::from_u128(7), order_ids };
            assert_eq!(Answered::decode(&answered.encode()), Some(answered));
        }
    }

    #[test]
    fn half_an_id_says_nothing() {
        assert_eq!(Answered::decode(b"half an id"), None);
        let mut bytes = Answered { replica: Uuid::nil(), order_ids: Vec::new() }.encode();
        bytes.extend_from_slice(b"half an id");
        assert_eq!(
            Answered::decode(&bytes),
            Some(Answered { replica: Uuid::nil(), order_ids: Vec::new() })
        );
    }
}
