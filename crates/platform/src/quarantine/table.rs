//! The port of a table of set-aside messages, as operators look through it. Each service has one in
//! its own database.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;

use super::QuarantineKind;
use crate::admin::Requester;
use crate::clock::Timestamp;
use crate::failure::Failure;

/// The id of an entry: the key that repeats share, which is written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(pub [u8; 32]);

/// An entry of the quarantine, without its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineEntry {
    /// Its id.
    pub id: EntryId,
    /// The id of the thing that the message is about, if it could be read.
    pub subject: Option<String>,
    /// The kind of trouble.
    pub kind: QuarantineKind,
    /// The reason, for an operator.
    pub reason: String,
    /// How many bytes the message has.
    pub length: i64,
    /// How often it came.
    pub count: i64,
    /// When it first came.
    pub first_at: Timestamp,
    /// When it last came.
    pub last_at: Timestamp,
    /// Who discarded it, and when; `None` if it came again since, or if nobody has.
    pub discarded: Option<Discarded>,
}

/// A note that an operator has seen an entry and that it calls for nothing more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discarded {
    /// When.
    pub at: Timestamp,
    /// By whom; `None` if clients are not asked who they are.
    pub by: Option<String>,
}

/// Which entries to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct QuarantineFilter {
    /// Only entries that are discarded, or only those that are not.
    pub seen: Option<bool>,
    /// Only entries that are listed after the one with this time of its last repeat, and this id.
    pub after: Option<(Timestamp, EntryId)>,
    /// The most entries to return.
    pub limit: u32,
}

/// The table `quarantine`, as operators look through it. No entry is ever deleted.
#[async_trait]
pub trait QuarantineTable: Send + Sync + fmt::Debug {
    /// Returns a page of entries: the one that came last is the first, and equal ones are sorted by
    /// id, descending.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry; nothing was changed.
    async fn list(&self, filter: QuarantineFilter) -> Result<Vec<QuarantineEntry>, Failure>;

    /// Returns an entry with what is kept of its message, or `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry; nothing was changed.
    async fn entry(&self, id: EntryId) -> Result<Option<(QuarantineEntry, Vec<u8>)>, Failure>;

    /// Returns how many entries nobody has discarded.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry; nothing was changed.
    async fn unseen(&self) -> Result<u64, Failure>;

    /// Notes that an operator has seen the entry, until it comes again, and records it in the admin
    /// log. An entry that is discarded already stays as it is. Returns `None` if there is no entry.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry; a repeat has no further effect.
    async fn discard(
        &self,
        id: EntryId,
        requester: Requester,
    ) -> Result<Option<QuarantineEntry>, Failure>;
}

/// A text that is not the id of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id of an entry has 64 lower-case hexadecimal digits")]
pub struct BadEntryId;

impl FromStr for EntryId {
    type Err = BadEntryId;

    fn from_str(text: &str) -> Result<Self, BadEntryId> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(BadEntryId),
        };
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return Err(BadEntryId) };
        let bytes: Vec<u8> = pairs
            .iter()
            .map(|[high, low]| Ok(digit(*high)? << 4 | digit(*low)?))
            .collect::<Result<_, _>>()?;
        bytes.try_into().map(Self).map_err(|_| BadEntryId)
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let id = EntryId(std::array::from_fn(|at| u8::try_from(at * 8).expect("a byte")));
        assert_eq!(id.to_string().len(), 64);
        assert_eq!(id.to_string().parse(), Ok(id));
        let text = id.to_string();
        let short = &text[1..];
        let shorter = &text[2..];
        for wrong in ["", short, shorter, &text.to_uppercase(), &text.replace('0', "g"), "é"] {
            assert_eq!(wrong.parse::<EntryId>(), Err(BadEntryId), "{wrong}");
        }
    }
}
