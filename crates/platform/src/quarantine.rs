//! Messages that could not be processed, and anomalies. They are set aside and counted, so that
//! they do not block the messages behind them (R16).

use std::fmt;

use sha2::{Digest, Sha256};

pub use table::{
    BadEntryId, Discarded, EntryId, QuarantineEntry, QuarantineFilter, QuarantineTable,
};

mod table;

/// How many bytes of a message are kept.
pub const MAX_KEPT_BYTES: usize = 64 * 1024;
/// How many entries the quarantine of a service has (R17). When it is full, a new entry takes the
/// room of the one that was discarded first. If none was discarded, it is not kept: somebody sends
/// garbage, and the first thousand entries say which.
pub const MAX_ENTRIES: usize = 1000;
/// How many bytes of a reason are kept. A parser may quote what it has read.
const MAX_REASON_BYTES: usize = 500;

/// Why a message was set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuarantineKind {
    /// The bytes cannot be decoded.
    Malformed,
    /// The command fails even when it is executed alone.
    Poisoned,
    /// The message cannot occur in a healthy system.
    Anomaly,
}

impl QuarantineKind {
    /// Returns the name as it is stored and logged.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Poisoned => "poisoned",
            Self::Anomaly => "anomaly",
        }
    }

    /// Reads a name that [`as_str`](Self::as_str) wrote; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Malformed, Self::Poisoned, Self::Anomaly];
        all.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl fmt::Display for QuarantineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An entry of the quarantine.
///
/// An entry is a record and does not block the message: a repeat is processed again (R16).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// The id of the thing that the message is about, if it could be read.
    pub subject: Option<String>,
    /// The kind of trouble.
    pub kind: QuarantineKind,
    /// The reason, for an operator.
    pub reason: String,
    /// The whole message. The store keeps the first [`MAX_KEPT_BYTES`].
    pub bytes: Vec<u8>,
}

impl Quarantined {
    /// Makes an entry for bytes that cannot be decoded.
    pub fn malformed(mut reason: String, bytes: Vec<u8>) -> Self {
        if reason.len() > MAX_REASON_BYTES {
            reason.truncate(reason.floor_char_boundary(MAX_REASON_BYTES));
            reason.push('…');
        }
        Self { subject: None, kind: QuarantineKind::Malformed, reason, bytes }
    }

    /// Returns the key, which repeats share: 32 bytes, the SHA-256 of (subject, kind, reason), or
    /// of the bytes if no subject is known.
    pub fn key(&self) -> Vec<u8> {
        let mut hash = Sha256::new();
        match &self.subject {
            Some(subject) => {
                [subject.as_str(), self.kind.as_str(), &self.reason].iter().for_each(|part| {
                    hash.update(part.as_bytes());
                    hash.update([0]);
                });
            }
            None => hash.update(&self.bytes),
        }
        hash.finalize().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_two_characters() {
        let long = format!("x{}", "é".repeat(MAX_REASON_BYTES));
        let Quarantined { reason, .. } = Quarantined::malformed(long, Vec::new());
        assert_eq!(reason, format!("x{}…", "é".repeat(249)));
        let short = Quarantined::malformed("short".to_owned(), Vec::new());
        assert_eq!(short.reason, "short");
    }
}
