//! What an entry of a history is, for those who follow the changes of orders.

use super::{Entry, Event};
use crate::registers::Registers;
use crate::status::{Purpose, Status};

/// What an entry of a history is: a status that the order got, or a change beside its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryKind {
    /// The order got this status.
    Status(Status),
    /// A client recorded a payment.
    Paid,
    /// A client recorded a refund.
    Refunded,
    /// A client cancelled units of the order.
    CancellationCreated,
    /// A client shipped units of the order.
    ShipmentCreated,
    /// A client said how to follow a shipment.
    ShipmentTracked,
    /// A client cancelled a shipment.
    ShipmentCancelled,
    /// Units came back.
    ReturnCreated,
    /// Inventory carried out the changes since its last answer.
    Amended,
}

impl EntryKind {
    /// All kinds, statuses first.
    pub fn all() -> impl Iterator<Item = Self> {
        let others = [
            Self::Paid,
            Self::Refunded,
            Self::CancellationCreated,
            Self::ShipmentCreated,
            Self::ShipmentTracked,
            Self::ShipmentCancelled,
            Self::ReturnCreated,
            Self::Amended,
        ];
        let not_amending = |status: &Status| *status != Status::Amending;
        let statuses = Status::ALL.into_iter().filter(not_amending).map(Self::Status);
        statuses.chain(others)
    }

    /// The name in the types of events, after `dev.lastro.order.`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Status(status) => status.as_str(),
            Self::Paid => "paid",
            Self::Refunded => "refunded",
            Self::CancellationCreated => "cancellation.created",
            Self::ShipmentCreated => "shipment.created",
            Self::ShipmentTracked => "shipment.tracked",
            Self::ShipmentCancelled => "shipment.cancelled",
            Self::ReturnCreated => "return.created",
            Self::Amended => "amended",
        }
    }

    /// The kind of an entry that follows on these registers.
    ///
    /// A payment that an order was reserved for confirms it; every other one is recorded beside its
    /// status. A change is no news about the status unless it ships the rest: then the order is
    /// `fulfilled` by the answer to it.
    pub fn of(before: &Registers, entry: &Entry) -> Self {
        BeforeEntry::of(before).kind_of(entry)
    }
}

/// What the kind of the next entry depends on, beside the entry. It is copied, so that the decider
/// can change the registers in place.
#[derive(Clone, Copy)]
pub(crate) struct BeforeEntry {
    is_reserved: bool,
    purpose: Purpose,
    settled_as: Option<Status>,
}

impl BeforeEntry {
    pub(crate) fn of(registers: &Registers) -> Self {
        Self {
            is_reserved: registers.is_reserved(),
            purpose: registers.purpose,
            settled_as: registers.settled_as,
        }
    }

    /// As [`EntryKind::of`].
    pub(crate) fn kind_of(self, entry: &Entry) -> EntryKind {
        match &entry.event {
            Event::Paid { .. } if self.is_reserved => EntryKind::Status(entry.status),
            Event::Paid { .. } => EntryKind::Paid,
            Event::Refunded { .. } => EntryKind::Refunded,
            Event::Tracked { .. } => EntryKind::ShipmentTracked,
            Event::Intended(intended) if intended.cancelled_shipment.is_some() => {
                EntryKind::ShipmentCancelled
            }
            Event::Intended(intended) if intended.key.is_some() => {
                if intended.shipped.is_some() {
                    EntryKind::ShipmentCreated
                } else if intended.returned.is_some() {
                    EntryKind::ReturnCreated
                } else {
                    EntryKind::CancellationCreated
                }
            }
            Event::Settled { .. } if self.purpose == Purpose::Amend => {
                let fulfilled = Status::Fulfilled;
                if entry.status == fulfilled && self.settled_as != Some(fulfilled) {
                    EntryKind::Status(fulfilled)
                } else {
                    EntryKind::Amended
                }
            }
            Event::Settled { .. } | Event::Intended(_) => EntryKind::Status(entry.status),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_is_listed_once_and_has_a_name_of_its_own() {
        let kinds: Vec<_> = EntryKind::all().collect();
        let names: BTreeSet<_> = kinds.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(names.len(), kinds.len());
        assert_eq!(kinds.len(), Status::ALL.len() - 1 + 8, "an entry is never just `amending`");
        assert!(!names.contains("amending"));
        let of_a_type = |c: char| c.is_ascii_lowercase() || c == '.';
        assert!(names.iter().all(|name| name.chars().all(of_a_type)), "{names:?}");
    }
}
