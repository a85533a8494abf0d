//! The commands that one transaction decides.

use super::messages::Messages;
use super::requests::Request;

/// One command of a batch: a request that waits at the replica, or a message from the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Request(Request),
    Message(u8),
}

/// One command, or two; the first is always present.
pub(super) type Batch = [Option<Item>; 2];

/// The code of the first message, above those of all requests.
const FIRST_MESSAGE: u8 = 64;

pub(super) const NO_BATCH: Batch = [None; 2];

impl Item {
    /// A unique number that is not 0.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Request(request) => request.code(),
            Self::Message(message) => FIRST_MESSAGE + message,
        }
    }
}

/// The codes of a batch's commands in one number.
pub(super) fn codes(batch: Batch) -> u16 {
    u16::from_le_bytes(batch.map(|item| item.map_or(0, Item::code)))
}

/// A batch as a counterexample shows it.
pub(super) fn describe(batch: Batch, messages: &Messages) -> String {
    let describe = |item| match item {
        Item::Request(request) => request.describe(),
        Item::Message(number) => messages.name(number),
    };
    let items: Vec<_> = batch.into_iter().flatten().map(describe).collect();
    format!("[{}]", items.join(", "))
}
