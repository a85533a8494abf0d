//! Where keys come from: a file, or the table of a service's database. A worker looks for changes;
//! requests see only what it has read.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use subtle::ConstantTimeEq;
use tokio::time::Instant;
use tracing::{info, warn};

use super::file::{self, KeysFileError};
use super::record::KeyRecord;
use super::ring::{KeyLimits, Principal, Rejected};
use super::scope::Scope;
use super::secret::{KeyId, SecretHash, SentKey};
use super::table::{KeyTable, TableKeys};
use crate::clock::Clock;
use crate::config::warn_of_readers;
use crate::failure::{Chain, Failure};

/// How long known keys are accepted when their source cannot be read.
const TRUSTED_FOR: Duration = Duration::from_secs(5 * 60);

/// A file or a table of keys, and what was last read from it.
pub struct KeySource {
    pub(super) origin: Origin,
    pub(super) clock: Arc<dyn Clock>,
    known: RwLock<Known>,
}

pub(super) enum Origin {
    File(PathBuf),
    Table {
        service: &'static str,
        /// The check of `/readyz`.
        check: &'static str,
        table: Arc<dyn KeyTable>,
        /// Its keys win over those of the table with the same id.
        file: Option<Arc<KeySource>>,
    },
}

pub(super) struct Known {
    pub(super) keys: HashMap<KeyId, Key>,
    /// What is wrong with single rows of a table.
    faults: Vec<String>,
    /// `None` if the source could not be read since: it may have been replaced meanwhile.
    version: Option<Version>,
    /// When the source was last found readable.
    confirmed: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    File(file::Version),
    Table(i64),
}

pub(super) struct Key {
    pub(super) record: KeyRecord,
    principal: Arc<Principal>,
    /// The last use of each of its secrets.
    pub(super) last_uses: Vec<(SecretHash, Arc<LastUse>)>,
}

/// When a secret was last used, in microseconds since the epoch: as this process has seen it, and
/// as it has noted it in the table. 0 is never.
#[derive(Debug, Default)]
pub(super) struct LastUse {
    pub(super) seen: AtomicI64,
    pub(super) noted: AtomicI64,
}

impl LastUse {
    fn is_to_be_noted(&self) -> bool {
        self.seen.load(Ordering::Relaxed) > self.noted.load(Ordering::Relaxed)
    }
}

/// What a source says about a key that a client sent.
pub(super) enum Verdict {
    /// It knows the id.
    Known(Result<Arc<Principal>, Rejected>),
    /// It does not know the id.
    Unknown,
    /// It could not be read for too long, so it may know the id by now.
    Unsure,
}

/// Why the keys of a source cannot be read. The line says which.
#[derive(Debug, thiserror::Error)]
pub enum KeysUnreadable {
    /// Those of the file.
    #[error(transparent)]
    File(#[from] KeysFileError),
    /// Those of the table of a service.
    #[error("the table api_keys of {service}: {}", Chain(failure))]
    Table {
        /// The service.
        service: &'static str,
        /// Why.
        failure: Failure,
    },
    /// Single rows of the table of a service. All others were read.
    #[error("rows of the table api_keys of {service} are no keys: {}", faults.join("; "))]
    Rows {
        /// The service.
        service: &'static str,
        /// What is wrong, one line per row, which it names.
        faults: Vec<String>,
    },
}

/// What was found in a source.
struct Found {
    keys: Vec<KeyRecord>,
    faults: Vec<String>,
    version: Version,
}

impl KeysUnreadable {
    /// Whether the source is away. Otherwise it was read, and it says something wrong.
    fn is_away(&self) -> bool {
        match self {
            Self::File(error) => matches!(error, KeysFileError::Io { .. }),
            Self::Table { failure, .. } => !matches!(failure, Failure::Suspect(_)),
            Self::Rows { .. } => false,
        }
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySource").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl KeySource {
    /// Reads the keys of a file.
    ///
    /// # Errors
    ///
    /// As [`file::read`], or the file has no keys: that is a mistake, not a service that is open to
    /// everybody.
    pub fn of_file(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, KeysFileError> {
        let version = file::version(path)?;
        let keys = by_id(read(path)?, &HashMap::new());
        warn_of_readers(path);
        let known = Known::now(keys, Vec::new(), Version::File(version));
        Ok(Self { origin: Origin::File(path.to_owned()), clock, known: RwLock::new(known) })
    }

    /// Reads the keys of a service's table, which may have none yet. `check` is its name in
    /// `/readyz`, and the keys of `file` win over keys of the table with the same id.
    ///
    /// # Errors
    ///
    /// The table cannot be read.
    pub async fn of_table(
        service: &'static str,
        check: &'static str,
        table: Arc<dyn KeyTable>,
        file: Option<Arc<KeySource>>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, KeysUnreadable> {
        let origin = Origin::Table { service, check, table, file };
        let known = Known {
            keys: HashMap::new(),
            faults: Vec::new(),
            version: None,
            confirmed: Instant::now(),
        };
        let source = Self { origin, clock, known: RwLock::new(known) };
        if let Some(Found { keys, faults, version }) = source.changed().await? {
            *source.known_mut() = Known::now(by_id(keys, &HashMap::new()), faults, version);
        }
        if source.known().keys.is_empty() {
            warn!(
                service,
                "the table api_keys has no keys, so requests are refused until there is one; run \
                 `lastro keys create --in-database --name NAME --scope orders:read`, with the \
                 scopes that it is to have, and the --data-dir or the database URLs of this program"
            );
        }
        Ok(source)
    }

    /// Whether it is a file, and not the table of a service.
    pub(super) fn is_file(&self) -> bool {
        matches!(self.origin, Origin::File(_))
    }

    /// The name in metrics: `file`, or the service whose table it is.
    pub fn name(&self) -> &'static str {
        match &self.origin {
            Origin::File(_) => "file",
            Origin::Table { service, .. } => service,
        }
    }

    /// What the source says about a key. It takes as long for an id that is unknown as for a secret
    /// that is wrong.
    pub(super) fn judge(&self, sent: &SentKey) -> Verdict {
        let known = self.known();
        let is_trusted = known.confirmed.elapsed() <= TRUSTED_FOR;
        let key = known.keys.get(&sent.id);
        let now = self.clock.now();
        let nobody = SecretHash([0; 32]);
        let hash = key.map_or(nobody, |key| key.record.sha256);
        let previous = key.and_then(|key| key.record.previous.as_ref());
        let is_current = bool::from(hash.0.ct_eq(&sent.hash.0));
        let old_hash = previous.map_or(nobody, |previous| previous.sha256);
        let is_previous = bool::from(old_hash.0.ct_eq(&sent.hash.0));
        let Some(key) = key else {
            return if is_trusted { Verdict::Unknown } else { Verdict::Unsure };
        };
        let ends = match previous {
            Some(previous) if !is_current => previous.not_after.min(key.record.not_after),
            _ => key.record.not_after,
        };
        Verdict::Known(match key.record.revoked_at {
            _ if !is_trusted => Err(Rejected::KeysUnavailable),
            _ if !is_current && !is_previous => Err(Rejected::Unknown),
            Some(_) => Err(Rejected::Revoked),
            None if ends <= now => Err(Rejected::Expired),
            None => {
                if let Some(last_use) = key.last_use(if is_current { hash } else { old_hash }) {
                    last_use.seen.fetch_max(now.0, Ordering::Relaxed);
                }
                Ok(key.principal.clone())
            }
        })
    }

    /// Reads the keys if they have changed. A row of a table that is no key takes its own key away.
    /// Those that are known stay if the source says something else that is wrong. If it cannot be
    /// read, they stay for a while.
    ///
    /// # Errors
    ///
    /// The source cannot be read, or it says something wrong.
    pub async fn look(&self) -> Result<(), KeysUnreadable> {
        // Before the question: the answer is as old as that at most.
        let asked = Instant::now();
        let looked = self.read_if_changed().await;
        let mut known = self.known_mut();
        match &looked {
            Err(error) if error.is_away() => known.version = None,
            _ => known.confirmed = asked,
        }
        looked
    }

    async fn read_if_changed(&self) -> Result<(), KeysUnreadable> {
        if let Some(Found { keys, faults, version }) = self.changed().await? {
            let keys = by_id(keys, &self.known().keys);
            // Only this worker writes. The log may be slow, and no request waits for it.
            log_changes(&self.known().keys, &keys);
            let mut known = self.known_mut();
            (known.keys, known.faults, known.version) = (keys, faults, Some(version));
        }
        let faults = self.known().faults.clone();
        if faults.is_empty() {
            return Ok(());
        }
        Err(KeysUnreadable::Rows { service: self.name(), faults })
    }

    /// Whether the source could not be read when it was last looked at.
    pub(super) fn is_away(&self) -> bool {
        self.known().version.is_none()
    }

    /// The keys, if they are not those of the known version.
    async fn changed(&self) -> Result<Option<Found>, KeysUnreadable> {
        let known = self.known().version;
        match &self.origin {
            Origin::File(path) => {
                let version = Version::File(file::version(path)?);
                if known == Some(version) {
                    return Ok(None);
                }
                Ok(Some(Found { keys: read(path)?, faults: Vec::new(), version }))
            }
            Origin::Table { service, table, .. } => {
                let known = match known {
                    Some(Version::Table(version)) => Some(version),
                    _ => None,
                };
                let found = table.read_if_changed(known).await;
                let found = found.map_err(|failure| KeysUnreadable::Table { service, failure })?;
                Ok(found.map(|TableKeys { version, keys, faults }| {
                    let version = Version::Table(version);
                    Found { keys, faults, version }
                }))
            }
        }
    }

    fn known_mut(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().expect("nothing panics under this lock")
    }

    pub(super) fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().expect("nothing panics under this lock")
    }
}

impl Key {
    fn last_use(&self, secret: SecretHash) -> Option<&Arc<LastUse>> {
        self.last_uses.iter().find(|(its, _)| *its == secret).map(|(_, last_use)| last_use)
    }
}

impl Known {
    fn now(keys: HashMap<KeyId, Key>, faults: Vec<String>, version: Version) -> Self {
        Self { keys, faults, version: Some(version), confirmed: Instant::now() }
    }
}

/// Reads the keys of a file that has some: a file without keys is a mistake, or is just being
/// written, and not a service that is open to nobody or to everybody.
fn read(path: &Path) -> Result<Vec<KeyRecord>, KeysFileError> {
    let records = file::read(path)?;
    if records.is_empty() {
        let reason = format!(
            "it has no keys; run `lastro keys create --file {} --name NAME --scope orders:read`, \
             with the scopes that it is to have",
            path.display()
        );
        return Err(KeysFileError::Malformed { path: path.to_owned(), reason });
    }
    Ok(records)
}

/// What a key has used of its limits, and when its secrets were used, stays after its source has
/// changed.
fn by_id(records: Vec<KeyRecord>, before: &HashMap<KeyId, Key>) -> HashMap<KeyId, Key> {
    let key = |record: KeyRecord| {
        let mut scopes = record.allowed();
        if record.customer_id.is_some() {
            scopes = scopes.and(Scope::OF_A_CUSTOMER.into_iter().collect());
        }
        let actor = Some(format!("key:{}", record.id).into());
        let customer_id = record.customer_id.as_deref().map(Arc::from);
        let rate = record.rate();
        let before = before.get(&record.id);
        let limits = before.and_then(|key| key.principal.limits.clone());
        let limits = limits.filter(|limits| limits.has_rate(rate));
        let limits = Some(limits.unwrap_or_else(|| Arc::new(KeyLimits::new(rate))));
        let principal = Arc::new(Principal { actor, scopes, customer_id, limits });
        let last_use = |secret| {
            let last_use = before.and_then(|key| key.last_use(secret)).cloned();
            (secret, last_use.unwrap_or_default())
        };
        let old = record.previous.as_ref().map(|old| old.sha256);
        let secrets: Vec<_> = std::iter::once(record.sha256).chain(old).collect();
        // A secret that is gone was a use of the key.
        let gone = before.into_iter().flat_map(|key| &key.last_uses);
        let gone = gone.filter(|(its, last)| !secrets.contains(its) && last.is_to_be_noted());
        let last_uses = secrets.iter().copied().map(last_use).chain(gone.cloned()).collect();
        (record.id.clone(), Key { record, principal, last_uses })
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
