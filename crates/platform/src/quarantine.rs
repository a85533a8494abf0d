//! Messages that nobody could process, and anomalies: set aside, counted, and never in the way of their neighbours.

use sha2::{Digest, Sha256};

/// What of a message's bytes is kept.
pub const MAX_KEPT_BYTES: usize = 64 * 1024;

/// One thing to set aside. It is a record, not a verdict: a repeat is judged anew (R16).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// What the message is about, if that could be read.
    pub subject: Option<String>,
    /// `malformed`, `poisoned` or `anomaly`.
    pub kind: &'static str,
    pub reason: String,
    pub bytes: Vec<u8>,
}

impl Quarantined {
    pub fn malformed(reason: String, bytes: Vec<u8>) -> Self {
        Self { subject: None, kind: "malformed", reason, bytes }
    }

    /// Repeats have the same key and count up: (subject, kind, reason), or a hash of the bytes where no subject is known.
    pub fn key(&self) -> Vec<u8> {
        let mut hash = Sha256::new();
        match &self.subject {
            Some(subject) => [subject.as_str(), self.kind, &self.reason].iter().for_each(|part| {
                hash.update(part.as_bytes());
                hash.update([0]);
            }),
            None => hash.update(&self.bytes),
        }
        hash.finalize().to_vec()
    }
}
