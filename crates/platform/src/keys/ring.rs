//! The keys that a service accepts now.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::file::KeysFileError;
use super::scope::Scopes;
use super::secret::SentKey;
use super::source::{KeySource, Verdict};
use crate::clock::Clock;
use crate::rate::{Limit, Rate};

/// Who makes a request, and what they may do.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The name in histories, such as `key:4fT9xQ2mLp0a`; `None` if clients are not asked who they
    /// are.
    pub actor: Option<Arc<str>>,
    /// What they may do.
    pub scopes: Scopes,
    /// The only customer whose orders they may see and change.
    pub customer_id: Option<Arc<str>>,
    /// How much they may ask for; `None` without a key.
    pub limits: Option<Arc<KeyLimits>>,
}

/// How much the client with a key may ask for.
#[derive(Debug)]
pub struct KeyLimits {
    /// Of requests that change nothing; `None` if there is no limit.
    pub read: Option<Limit>,
    /// Of requests that change something; `None` if there is no limit.
    pub write: Option<Limit>,
    /// Of searches, which cost more than other requests.
    pub search: Limit,
    /// Of requests that wait for an outcome at the same time.
    pub waits: Arc<Semaphore>,
    rate: Option<Rate>,
}

impl KeyLimits {
    /// The most requests of one key that wait at the same time.
    pub const MAX_WAITS: u32 = 100;

    /// The limits of a key of which nothing is used. Reads and writes have the rate each.
    pub fn new(rate: Option<Rate>) -> Self {
        let waits = Arc::new(Semaphore::new(Self::MAX_WAITS as usize));
        let search = Limit::new(Rate::SEARCHES);
        Self { read: rate.map(Limit::new), write: rate.map(Limit::new), search, waits, rate }
    }

    /// Whether these are the limits of a key with this rate.
    pub(super) fn has_rate(&self, rate: Option<Rate>) -> bool {
        self.rate == rate
    }
}

impl Principal {
    /// Everybody who reaches a service that asks nobody for a key.
    pub fn anyone() -> Self {
        Self { actor: None, scopes: Scopes::all(), customer_id: None, limits: None }
    }

    /// A client without a key of a service that asks for one.
    pub fn anonymous() -> Self {
        Self { scopes: Scopes::default(), ..Self::anyone() }
    }
}

/// Why a key is not accepted. Clients are not told: it helps those who try keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// It has not the form of a key.
    Malformed,
    /// No key has its id, or its secret is another one.
    Unknown,
    /// It ended.
    Expired,
    /// It was revoked.
    Revoked,
    /// The keys could not be read for too long. A retry may succeed.
    KeysUnavailable,
}

/// The keys that a service accepts: those of a file, of its own table, or of both.
#[derive(Debug)]
pub struct Keyring {
    sources: Vec<Arc<KeySource>>,
}

impl Keyring {
    /// Reads the keys of a file.
    ///
    /// # Errors
    ///
    /// As [`KeySource::of_file`].
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, KeysFileError> {
        Ok(Self::of(vec![Arc::new(KeySource::of_file(path, clock)?)]))
    }

    /// The keys of all these sources, of which a file is the first one. It decides about the ids
    /// that it knows; of the tables, one that accepts a key is enough.
    pub fn of(sources: Vec<Arc<KeySource>>) -> Self {
        Self { sources }
    }

    #[cfg(test)]
    pub(super) fn sources(&self) -> &[Arc<KeySource>] {
        &self.sources
    }

    /// Finds out who sent a key.
    ///
    /// # Errors
    ///
    /// [`Rejected`] says why the key is not accepted.
    pub fn authenticate(&self, text: &str) -> Result<Arc<Principal>, Rejected> {
        let sent: SentKey = text.parse().map_err(|_| Rejected::Malformed)?;
        let mut found: Option<Result<_, Rejected>> = None;
        let mut is_decided = false;
        let mut is_unsure = false;
        // Every source is asked, so that the time does not tell which one knows an id.
        for source in &self.sources {
            match source.judge(&sent) {
                Verdict::Known(_) if is_decided => {}
                Verdict::Known(verdict) => {
                    is_decided = verdict.is_ok() || source.is_file();
                    found = if is_decided { Some(verdict) } else { found.or(Some(verdict)) };
                }
                Verdict::Unknown => {}
                Verdict::Unsure => is_unsure = true,
            }
        }
        let unknown = if is_unsure { Rejected::KeysUnavailable } else { Rejected::Unknown };
        found.unwrap_or(Err(unknown))
    }
}

/// Where the services of a process find the keys that clients are asked for.
#[derive(Clone, Debug, Default)]
pub struct KeySources {
    /// The file, which all services read.
    pub file: Option<Arc<KeySource>>,
    /// Whether each service also has keys in a table of its own.
    pub in_database: bool,
    /// The tables of the services that were opened.
    pub tables: Vec<Arc<KeySource>>,
}

impl KeySources {
    /// The keys that a service accepts: those of the file, and those of its own table.
    pub fn of_service(&self, service: &str) -> Keyring {
        self.ring(|table| table.name() == service)
    }

    /// The keys that one service of the process accepts at least, for what belongs to no service,
    /// such as `/metrics`.
    pub fn of_program(&self) -> Keyring {
        self.ring(|_| true)
    }

    fn ring(&self, includes: impl Fn(&KeySource) -> bool) -> Keyring {
        let tables = self.tables.iter().filter(|table| includes(table));
        Keyring::of(self.file.iter().chain(tables).cloned().collect())
    }
}
