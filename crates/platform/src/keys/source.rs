//! Where keys come from: a file, or the table of a service's database. A worker looks for changes;
//! requests see only what it has read.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use subtle::ConstantTimeEq;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::file::{self, KeysFileError};
use super::record::KeyRecord;
use super::ring::{KeyLimits, Principal, Rejected};
use super::scope::Scope;
use super::secret::{KeyId, SecretHash, SentKey};
use super::table::KeyTable;
use crate::clock::{Clock, Timestamp};
use crate::config::warn_of_readers;
use crate::failure::{Chain, Failure};
use crate::readiness::{Health, Readiness};
use crate::telemetry::Metrics;

/// How often a source is asked whether it has changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long known keys are accepted when their source cannot be read.
const TRUSTED_FOR: Duration = Duration::from_secs(5 * 60);
/// How often the last uses of keys are written into their table.
const NOTE_USES_EVERY: Duration = Duration::from_secs(60);

/// A file or a table of keys, and what was last read from it.
pub struct KeySource {
    origin: Origin,
    clock: Arc<dyn Clock>,
    known: RwLock<Known>,
}

enum Origin {
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

struct Known {
    keys: HashMap<KeyId, Key>,
    /// `None` if the source could not be read since: it may have been replaced meanwhile.
    version: Option<Version>,
    /// When the source was last found readable.
    confirmed: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    File(file::Version),
    Table(i64),
}

struct Key {
    record: KeyRecord,
    principal: Arc<Principal>,
    last_use: Arc<LastUse>,
}

/// When a key was last used, in microseconds since the epoch: as this process has seen it, and as it
/// has noted it in the table. 0 is never.
#[derive(Debug, Default)]
struct LastUse {
    seen: AtomicI64,
    noted: AtomicI64,
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
}

impl KeysUnreadable {
    /// Whether the source is away. Otherwise it was read, and it says something wrong.
    fn is_away(&self) -> bool {
        match self {
            Self::File(error) => matches!(error, KeysFileError::Io { .. }),
            Self::Table { failure, .. } => !matches!(failure, Failure::Suspect(_)),
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
        let known = Known::now(keys, Version::File(version));
        Ok(Self { origin: Origin::File(path.to_owned()), clock, known: RwLock::new(known) })
    }

    /// Reads the keys of a service's table, which may have none yet. `check` is its name in
    /// `/readyz`, and the keys of `file` win over keys of the table with the same id.
    ///
    /// # Errors
    ///
    /// The table cannot be read, or a row is not a key.
    pub async fn of_table(
        service: &'static str,
        check: &'static str,
        table: Arc<dyn KeyTable>,
        file: Option<Arc<KeySource>>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, KeysUnreadable> {
        let origin = Origin::Table { service, check, table, file };
        let known = Known { keys: HashMap::new(), version: None, confirmed: Instant::now() };
        let source = Self { origin, clock, known: RwLock::new(known) };
        if let Some((records, version)) = source.changed().await? {
            *source.known_mut() = Known::now(by_id(records, &HashMap::new()), version);
        }
        if source.known().keys.is_empty() {
            warn!(
                service,
                "the table api_keys has no keys, so requests are refused until there is one; run: lastro keys create --in-database"
            );
        }
        Ok(source)
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
                key.last_use.seen.fetch_max(now.0, Ordering::Relaxed);
                Ok(key.principal.clone())
            }
        })
    }

    /// Reads the keys again whenever they change, or at SIGHUP, and notes in a table when its keys
    /// were used.
    ///
    /// # Errors
    ///
    /// The process cannot listen for the signal.
    pub async fn watch(
        self: Arc<Self>,
        readiness: Readiness,
        metrics: Metrics,
        stop: CancellationToken,
    ) -> std::io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let mut fault = None;
        let mut in_both = BTreeSet::new();
        let mut noted: Option<Instant> = None;
        loop {
            let now = self.look().await.err().map(|error| error.to_string());
            self.report(&readiness, &fault, now.as_deref());
            fault = now;
            in_both = self.report_ids_in_both(&in_both);
            metrics.api_keys_expiring(self.name(), self.expiring());
            let may_note = noted.is_none_or(|noted| noted.elapsed() >= NOTE_USES_EVERY);
            if fault.is_none() && may_note {
                match self.note_uses().await {
                    Ok(0) => {}
                    Ok(_) => noted = Some(Instant::now()),
                    Err(failure) => {
                        noted = Some(Instant::now());
                        let error = Chain(&failure);
                        warn!(%error, "the last uses of API keys cannot be written, retrying");
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = hangup.recv() => info!("SIGHUP: looking at the API keys"),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Reads the keys if they have changed. Those that are known stay if the source says something
    /// wrong. If it cannot be read, they stay for a while.
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
        let Some((records, version)) = self.changed().await? else { return Ok(()) };
        let keys = by_id(records, &self.known().keys);
        // Only this worker writes. The log may be slow, and no request waits for it.
        log_changes(&self.known().keys, &keys);
        let mut known = self.known_mut();
        (known.keys, known.version) = (keys, Some(version));
        Ok(())
    }

    /// The keys, if they are not those of the known version.
    async fn changed(&self) -> Result<Option<(Vec<KeyRecord>, Version)>, KeysUnreadable> {
        let known = self.known().version;
        match &self.origin {
            Origin::File(path) => {
                let version = Version::File(file::version(path)?);
                if known == Some(version) {
                    return Ok(None);
                }
                Ok(Some((read(path)?, version)))
            }
            Origin::Table { service, table, .. } => {
                let known = match known {
                    Some(Version::Table(version)) => Some(version),
                    _ => None,
                };
                let found = table.read_if_changed(known).await;
                let found = found.map_err(|failure| KeysUnreadable::Table { service, failure })?;
                Ok(found.map(|found| (found.keys, Version::Table(found.version))))
            }
        }
    }

    /// Writes when the keys of a table were used, as far as this process has not written it yet.
    /// Returns of how many keys.
    ///
    /// # Errors
    ///
    /// A retry may succeed.
    pub(super) async fn note_uses(&self) -> Result<usize, Failure> {
        let Origin::Table { table, .. } = &self.origin else { return Ok(0) };
        let mut uses = Vec::new();
        let mut last_uses = Vec::new();
        for (id, key) in &self.known().keys {
            let seen = key.last_use.seen.load(Ordering::Relaxed);
            if seen > key.last_use.noted.load(Ordering::Relaxed) {
                uses.push((id.clone(), Timestamp(seen)));
                last_uses.push((key.last_use.clone(), seen));
            }
        }
        if uses.is_empty() {
            return Ok(0);
        }
        table.note_uses(uses).await?;
        let noted = last_uses.len();
        for (last_use, seen) in last_uses {
            last_use.noted.store(seen, Ordering::Relaxed);
        }
        Ok(noted)
    }

    /// How many keys end soon.
    pub(super) fn expiring(&self) -> usize {
        let now = self.clock.now();
        self.known().keys.values().filter(|key| key.record.ends_soon(now)).count()
    }

    /// The ids that the file has as well.
    pub(super) fn ids_in_both(&self) -> BTreeSet<KeyId> {
        let Origin::Table { file: Some(file), .. } = &self.origin else { return BTreeSet::new() };
        let known = self.known();
        file.known().keys.keys().filter(|id| known.keys.contains_key(*id)).cloned().collect()
    }

    fn report_ids_in_both(&self, before: &BTreeSet<KeyId>) -> BTreeSet<KeyId> {
        let now = self.ids_in_both();
        for id in now.difference(before) {
            let service = self.name();
            error!(key_id = %id, service, "an API key is in the file and in the table; the file's is used");
        }
        now
    }

    fn report(&self, readiness: &Readiness, before: &Option<String>, now: Option<&str>) {
        let check = match &self.origin {
            Origin::File(_) => "API keys",
            Origin::Table { check, .. } => check,
        };
        match now {
            None => {
                if before.is_some() {
                    info!(source = self.name(), "the API keys can be read again");
                }
                readiness.set(check, Health::Up);
            }
            Some(fault) => {
                if before.as_deref() != Some(fault) {
                    error!(fault, "the API keys cannot be read; those that are known stay valid");
                }
                readiness.set(check, Health::Degraded(fault.to_owned()));
            }
        }
    }

    fn known_mut(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().expect("nothing panics under this lock")
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().expect("nothing panics under this lock")
    }
}

impl Known {
    fn now(keys: HashMap<KeyId, Key>, version: Version) -> Self {
        Self { keys, version: Some(version), confirmed: Instant::now() }
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

/// What a key has used of its limits, and when, stays after its source has changed.
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
        let last_use = before.map(|key| key.last_use.clone()).unwrap_or_default();
        (record.id.clone(), Key { record, principal, last_use })
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
