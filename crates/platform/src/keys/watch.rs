//! The worker that keeps a source of keys up to date, and tells what it finds.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::secret::KeyId;
use super::source::{KeySource, KeysUnreadable, Origin};
use super::table::SecretUse;
use crate::clock::Timestamp;
use crate::failure::{Chain, Failure};
use crate::readiness::{Health, Readiness};
use crate::telemetry::Metrics;

/// How often a source is asked whether it has changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often the last uses of keys are written into their table.
const NOTE_USES_EVERY: Duration = Duration::from_secs(60);
/// How long the end of the process waits until the last ones are written.
const LAST_NOTE: Duration = Duration::from_secs(3);

impl KeySource {
    /// Reads the keys again whenever they change, or at SIGHUP, and notes in a table when its keys
    /// were used, for the last time after `stop`: no request is served then.
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
        let hangup = signal(SignalKind::hangup())?;
        // A write may wait for long. No look waits for it, and the end does not wait for long.
        tokio::select! {
            () = stop.cancelled() => {}
            never = self.look_often(hangup, &readiness, &metrics) => match never {},
            never = self.note_often() => match never {},
        }
        if tokio::time::timeout(LAST_NOTE, self.note_unless_away()).await.is_err() {
            warn!("the last uses of API keys were not written in time");
        }
        Ok(())
    }

    async fn look_often(
        &self,
        mut hangup: Signal,
        readiness: &Readiness,
        metrics: &Metrics,
    ) -> Infallible {
        let mut fault = None;
        let mut in_both = BTreeSet::new();
        loop {
            let error = self.look().await.err();
            fault = self.report(readiness, fault.as_deref(), error.as_ref());
            in_both = self.report_ids_in_both(&in_both);
            metrics.api_keys_expiring(self.name(), self.expiring());
            tokio::select! {
                _ = hangup.recv() => info!("SIGHUP: looking at the API keys"),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn note_often(&self) -> Infallible {
        loop {
            let noted = self.note_unless_away().await;
            let pause = if noted == Some(0) { LOOK_EVERY } else { NOTE_USES_EVERY };
            tokio::time::sleep(pause).await;
        }
    }

    /// Notes the last uses, and returns of how many secrets; `None` if that failed.
    async fn note_unless_away(&self) -> Option<usize> {
        if self.is_away() {
            return Some(0);
        }
        let noted = self.note_uses().await;
        if let Err(failure) = &noted {
            let error = Chain(failure);
            warn!(%error, "the last uses of API keys cannot be written");
        }
        noted.ok()
    }

    /// Writes when the keys of a table were used, as far as this process has not written it yet.
    /// Returns of how many secrets.
    ///
    /// # Errors
    ///
    /// A retry may succeed.
    pub(super) async fn note_uses(&self) -> Result<usize, Failure> {
        let Origin::Table { table, .. } = &self.origin else { return Ok(0) };
        let mut uses = Vec::new();
        let mut last_uses = Vec::new();
        for (id, key) in &self.known().keys {
            for (secret, last_use) in &key.last_uses {
                let seen = last_use.seen.load(Ordering::Relaxed);
                if seen > last_use.noted.load(Ordering::Relaxed) {
                    uses.push(SecretUse { id: id.clone(), secret: *secret, at: Timestamp(seen) });
                    last_uses.push((last_use.clone(), seen));
                }
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

    /// Returns what is wrong now.
    fn report(
        &self,
        readiness: &Readiness,
        before: Option<&str>,
        now: Option<&KeysUnreadable>,
    ) -> Option<String> {
        let check = match &self.origin {
            Origin::File(_) => "API keys",
            Origin::Table { check, .. } => check,
        };
        let fault = now.map(ToString::to_string);
        match (now, &fault) {
            (Some(error), Some(fault)) => {
                match error {
                    _ if before == Some(fault.as_str()) => {}
                    KeysUnreadable::Rows { .. } => {
                        error!(fault, "nobody gets in with the API keys of these rows");
                    }
                    _ => error!(
                        fault,
                        "the API keys cannot be read; those that are known stay valid"
                    ),
                }
                readiness.set(check, Health::Degraded(fault.clone()));
            }
            _ => {
                if before.is_some() {
                    info!(source = self.name(), "the API keys can be read again");
                }
                readiness.set(check, Health::Up);
            }
        }
        fault
    }
}
