//! The port of a table of keys, which each service has in its own database.

use std::fmt;

use async_trait::async_trait;

use super::record::KeyRecord;
use super::secret::{KeyId, SecretHash};
use crate::clock::Timestamp;
use crate::failure::Failure;

/// All keys of a table.
#[derive(Clone, Debug)]
pub struct TableKeys {
    /// It changes with every change of a key.
    pub version: i64,
    /// The keys.
    pub keys: Vec<KeyRecord>,
    /// The rows that are no keys, each in a line that names it. Nobody gets in with them.
    pub faults: Vec<String>,
}

/// A use of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretUse {
    /// The key.
    pub id: KeyId,
    /// The secret that was sent, of which a key has two while one replaces the other.
    pub secret: SecretHash,
    /// When it was last sent.
    pub at: Timestamp,
}

/// The table `api_keys`, as a service uses it: it can neither make nor change a key.
#[async_trait]
pub trait KeyTable: Send + Sync + fmt::Debug {
    /// Reads the keys, unless the table still has this version: then it reads nothing else.
    ///
    /// # Errors
    ///
    /// [`Failure::Suspect`] if what is stored is wrong as a whole; otherwise a retry may succeed.
    async fn read_if_changed(&self, known: Option<i64>) -> Result<Option<TableKeys>, Failure>;

    /// Notes when keys were last used, and with which of their secrets. What is noted never goes
    /// back: each replica notes what it has seen. Of a secret that its key does not have any more,
    /// only the use of the key is noted.
    ///
    /// # Errors
    ///
    /// A retry may succeed.
    async fn note_uses(&self, uses: Vec<SecretUse>) -> Result<(), Failure>;
}
