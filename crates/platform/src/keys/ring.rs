//! The keys that a service accepts now.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use subtle::ConstantTimeEq;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::file::{self, KeysFileError, Version};
use super::record::KeyRecord;
use super::scope::{Scope, Scopes};
use super::secret::{KeyId, SecretHash, SentKey};
use crate::clock::Clock;
use crate::config::warn_of_readers;
use crate::rate::{Limit, Rate};
use crate::readiness::{Health, Readiness};

/// How often the ring looks whether its file has changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long the ring goes on with the keys that it knows when its file cannot be read.
const TRUSTED_FOR: Duration = Duration::from_secs(5 * 60);
/// The check of `/readyz`.
const CHECK: &str = "API keys";

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
}

impl Principal {
    /// Everybody who reaches a service that asks nobody for a key.
    pub fn anyone() -> Self {
        Self { actor: None, scopes: Scopes::all(), customer_id: None, limits: None }
    }

    /// A client without a key of a service that asks for one.
    pub fn stranger() -> Self {
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

/// The keys of a service.
pub struct Keyring {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    known: RwLock<Known>,
}

struct Known {
    keys: HashMap<KeyId, Key>,
    version: Version,
    /// When the file was last found readable.
    confirmed: Instant,
}

struct Key {
    record: KeyRecord,
    principal: Arc<Principal>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Keyring {
    /// Reads the keys of a file.
    ///
    /// # Errors
    ///
    /// As [`file::read`], or the file has no keys: that is a mistake, not a service that is open to
    /// everybody.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, KeysFileError> {
        let version = file::version(path)?;
        let records = read(path)?;
        warn_of_readers(path);
        let keys = by_id(records, &HashMap::new());
        let known = Known { keys, version, confirmed: Instant::now() };
        Ok(Self { path: path.to_owned(), clock, known: RwLock::new(known) })
    }

    /// Finds out who sent a key.
    ///
    /// # Errors
    ///
    /// [`Rejected`] says why the key is not accepted.
    pub fn authenticate(&self, text: &str) -> Result<Arc<Principal>, Rejected> {
        let sent: SentKey = text.parse().map_err(|_| Rejected::Malformed)?;
        let known = self.known();
        if known.confirmed.elapsed() > TRUSTED_FOR {
            return Err(Rejected::KeysUnavailable);
        }
        let key = known.keys.get(&sent.id);
        let now = self.clock.now();
        // An id that is unknown takes as long as a secret that is wrong.
        let nobody = SecretHash([0; 32]);
        let hash = key.map_or(nobody, |key| key.record.sha256);
        let previous = key.and_then(|key| key.record.previous.as_ref());
        let is_current = bool::from(hash.0.ct_eq(&sent.hash.0));
        let old_hash = previous.map_or(nobody, |previous| previous.sha256);
        let is_previous = bool::from(old_hash.0.ct_eq(&sent.hash.0));
        let Some(key) = key.filter(|_| is_current || is_previous) else {
            return Err(Rejected::Unknown);
        };
        let ends = match previous {
            Some(previous) if !is_current => previous.not_after.min(key.record.not_after),
            _ => key.record.not_after,
        };
        match key.record.revoked_at {
            Some(_) => Err(Rejected::Revoked),
            None if ends <= now => Err(Rejected::Expired),
            None => Ok(key.principal.clone()),
        }
    }

    /// Reads the file again whenever it changes, or at SIGHUP.
    ///
    /// # Errors
    ///
    /// The process cannot listen for the signal.
    pub async fn watch(
        self: Arc<Self>,
        readiness: Readiness,
        stop: CancellationToken,
    ) -> std::io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let mut fault = None;
        loop {
            let now = self.look().err().map(|error| error.to_string());
            report(&readiness, &fault, now.as_deref());
            fault = now;
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = hangup.recv() => info!("SIGHUP: looking at the API keys"),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Reads the file if it has changed. The keys that are known stay if it says something wrong.
    /// If it cannot be read, they stay for a while: somebody may have taken it away.
    ///
    /// # Errors
    ///
    /// As [`file::read`].
    pub fn look(&self) -> Result<(), KeysFileError> {
        let looked = self.read_if_changed();
        if !matches!(looked, Err(KeysFileError::Io { .. })) {
            self.known_mut().confirmed = Instant::now();
        }
        looked
    }

    fn read_if_changed(&self) -> Result<(), KeysFileError> {
        let version = file::version(&self.path)?;
        if version != self.known().version {
            let records = read(&self.path)?;
            let keys = by_id(records, &self.known().keys);
            // Only this worker writes. The log may be slow, and no request waits for it.
            log_changes(&self.known().keys, &keys);
            let mut known = self.known_mut();
            (known.keys, known.version) = (keys, version);
        }
        Ok(())
    }

    fn known_mut(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().expect("nothing panics under this lock")
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().expect("nothing panics under this lock")
    }
}

/// Reads the keys of a file that has some: a file without keys is a mistake, or is just being
/// written, and not a service that is open to nobody or to everybody.
fn read(path: &Path) -> Result<Vec<KeyRecord>, KeysFileError> {
    let records = file::read(path)?;
    if records.is_empty() {
        let reason = "it has no keys; run: lastro keys create".to_owned();
        return Err(KeysFileError::Malformed { path: path.to_owned(), reason });
    }
    Ok(records)
}

/// What a key has used of its limits, it has used also after the file has changed.
fn by_id(records: Vec<KeyRecord>, before: &HashMap<KeyId, Key>) -> HashMap<KeyId, Key> {
    let key = |record: KeyRecord| {
        let mut scopes = record.allowed();
        if record.customer_id.is_some() {
            scopes = scopes.and(Scope::OF_A_CUSTOMER.into_iter().collect());
        }
        let actor = Some(format!("key:{}", record.id).into());
        let customer_id = record.customer_id.as_deref().map(Arc::from);
        let rate = record.rate();
        let known = before.get(&record.id).and_then(|key| key.principal.limits.clone());
        let limits = known.filter(|limits| limits.rate == rate);
        let limits = Some(limits.unwrap_or_else(|| Arc::new(KeyLimits::new(rate))));
        let principal = Arc::new(Principal { actor, scopes, customer_id, limits });
        (record.id.clone(), Key { record, principal })
    };
    records.into_iter().map(key).collect()
}

/// What was done with `lastro keys`, in the log of the service that it is done to.
fn log_changes(before: &HashMap<KeyId, Key>, after: &HashMap<KeyId, Key>) {
    for (id, key) in after {
        let (name, record) = (&key.record.name, &key.record);
        let action = match before.get(id).map(|key| &key.record) {
            None => "created",
            Some(old) if old == record => continue,
            Some(_) if record.revoked_at.is_none() && before[id].record.revoked_at.is_some() => {
                "restored"
            }
            Some(old) if old.revoked_at != record.revoked_at => "revoked",
            Some(old) if old.sha256 != record.sha256 => "rotated",
            Some(_) => "changed",
        };
        info!(audit = true, key_id = %id, name, scopes = ?record.allowed(), "API key {action}");
    }
    for id in before.keys().filter(|id| !after.contains_key(id)) {
        info!(audit = true, key_id = %id, "API key removed");
    }
}

fn report(readiness: &Readiness, before: &Option<String>, now: Option<&str>) {
    match now {
        None => {
            if before.is_some() {
                info!("the API keys can be read again");
            }
            readiness.set(CHECK, Health::Up);
        }
        Some(fault) => {
            if before.as_deref() != Some(fault) {
                error!(fault, "the API keys cannot be read; those that are known stay valid");
            }
            readiness.set(CHECK, Health::Degraded(fault.to_owned()));
        }
    }
}
