//! API keys: who makes a request, and what they may do.
//!
//! A key is `lsk_live_<id>_<secret>`. The id is public and names the key in logs and histories; of
//! the secret, only a hash is stored.

pub use change::{KeyChange, Refused};
pub use file::{KeysFileError, change, read};
pub use record::{BadRecord, EXPIRES_SOON, KeyRecord, PreviousSecret};
pub use ring::{KeyLimits, KeySources, Keyring, Principal, Rejected};
pub use scope::{Scope, Scopes, UnknownScope};
pub use secret::{
    KEY_PREFIX, KeyId, KeyMode, NewKey, NotAKey, NotAnId, SecretHash, SentKey, UnknownMode,
};
pub use source::{KeySource, KeysUnreadable};
pub use table::{KeyTable, SecretUse, TableKeys};

mod change;
mod file;
mod record;
mod ring;
mod scope;
mod secret;
mod source;
mod table;
#[cfg(test)]
mod tests;
mod watch;
