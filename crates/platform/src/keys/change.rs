//! What may be done to a key, wherever it is stored.

use std::time::Duration;

use super::record::KeyRecord;
use super::secret::{KeyId, SecretHash};
use crate::clock::Timestamp;

/// A change of one key.
#[derive(Debug)]
pub enum KeyChange {
    /// Stores a new key.
    Create(KeyRecord),
    /// Replaces the secret; the old one works until the overlap is over.
    Rotate {
        /// The key.
        id: KeyId,
        /// The hash of the secret that is replaced: another one was written meanwhile by somebody
        /// else.
        expects: SecretHash,
        /// The hash of the new secret.
        sha256: SecretHash,
        /// How long the old secret still works.
        overlap: Duration,
    },
    /// Ends the key now. One that was revoked before stays as it is.
    Revoke(KeyId),
    /// Puts back the secrets that the key had before a rotation that could not be made everywhere.
    Restore {
        /// The key before the rotation.
        record: KeyRecord,
        /// The hash of the secret that the rotation wrote.
        expects: SecretHash,
    },
}

/// Why a key cannot be changed, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

impl Refused {
    /// There is no such key.
    pub fn unknown(id: &KeyId) -> Self {
        Self(format!("no key has the id {id}; see `lastro keys list`"))
    }
}

impl KeyChange {
    /// The key that changes.
    pub fn id(&self) -> &KeyId {
        match self {
            Self::Create(record) | Self::Restore { record, .. } => &record.id,
            Self::Rotate { id, .. } | Self::Revoke(id) => id,
        }
    }

    /// The name in the admin log.
    pub fn action(&self) -> &'static str {
        match self {
            Self::Create(_) => "key_created",
            Self::Rotate { .. } => "key_rotated",
            Self::Revoke(_) => "key_revoked",
            Self::Restore { .. } => "key_restored",
        }
    }

    /// What the key is afterwards. `found` is the key as it is stored now.
    ///
    /// # Errors
    ///
    /// There is no such key, or it cannot be changed in this way.
    pub fn apply(&self, found: Option<&KeyRecord>, now: Timestamp) -> Result<KeyRecord, Refused> {
        let id = self.id();
        match (self, found) {
            (Self::Create(_), Some(_)) => Err(Refused(format!("key {id} is there already"))),
            (Self::Create(record), None) => Ok(record.clone()),
            (
                Self::Rotate { expects, .. } | Self::Restore { expects, .. },
                Some(KeyRecord { sha256, .. }),
            ) if sha256 != expects => {
                let line = "has another secret by now; run the command again";
                Err(Refused(format!("key {id} {line}")))
            }
            // Somebody may have revoked the key meanwhile, and it stays so.
            (Self::Restore { record, .. }, Some(found)) => Ok(KeyRecord {
                sha256: record.sha256,
                previous: record.previous.clone(),
                ..found.clone()
            }),
            (Self::Rotate { sha256, overlap, .. }, Some(record)) => {
                may_rotate(record, now, *overlap)?;
                let mut record = record.clone();
                record.rotate(*sha256, now, *overlap);
                Ok(record)
            }
            (Self::Revoke(_), Some(record)) => {
                let revoked_at = record.revoked_at.or(Some(now));
                Ok(KeyRecord { revoked_at, ..record.clone() })
            }
            (Self::Rotate { .. } | Self::Revoke(_) | Self::Restore { .. }, None) => {
                Err(Refused::unknown(id))
            }
        }
    }
}

/// A rotation must not end a secret that somebody still uses.
fn may_rotate(record: &KeyRecord, now: Timestamp, overlap: Duration) -> Result<(), Refused> {
    let id = &record.id;
    if record.has_ended(now) {
        return Err(Refused(format!("key {id} has ended; make a new one")));
    }
    if record.has_two_secrets(now) && !overlap.is_zero() {
        let line = "still has two secrets; wait until the old one has ended, or end both now with --overlap 0s";
        return Err(Refused(format!("key {id} {line}")));
    }
    Ok(())
}
