//! Messages that nobody could process, and anomalies: set aside, counted, and never in the way of
//! their neighbours.

use std::fmt;

use sha2::{Digest, Sha256};

/// What of a message's bytes is kept.
pub const MAX_KEPT_BYTES: usize = 64 * 1024;

/// Why something was set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuarantineKind {
    /// Its bytes are no message.
    Malformed,
    /// Its command fails even alone.
    Poisoned,
    /// A message that cannot occur in a healthy system.
    Anomaly,
}

impl QuarantineKind {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Poisoned => "poisoned",
            Self::Anomaly => "anomaly",
        }
    }
}

impl fmt::Display for QuarantineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing to set aside. It is a record, not a verdict: a repeat is judged anew (R16).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// What the message is about, if that could be read.
    pub subject: Option<String>,
    pub kind: QuarantineKind,
    pub reason: String,
    pub bytes: Vec<u8>,
}

impl Quarantined {
    /// Bytes that are no message.
    pub fn malformed(reason: String, bytes: Vec<u8>) -> Self {
        Self { subject: None, kind: QuarantineKind::Malformed, reason, bytes }
    }

    /// Repeats have the same key and count up: (subject, kind, reason), or a hash of the bytes
    /// where no subject is known.
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
