//! The keys of an issuer as they are known now, and the worker that keeps them fresh.

use std::io;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::fetch::{PATIENCE, Source};
use super::jwk::{KeysById, VerificationKey};
use super::rejected::Rejected;
use super::settings::TokenSettings;
use crate::config::UsageError;
use crate::readiness::{Health, Readiness};

/// How long keys are used before they are fetched again.
const FRESH_FOR: Duration = Duration::from_secs(10 * 60);
/// How long keys are used while they cannot be fetched.
const MAX_STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// Requests cause at most one fetch in this time: anybody can name a key that does not exist.
const ASKED_EVERY: Duration = Duration::from_secs(60);
/// While there are no keys at all, the worker tries more often, by itself.
const FIRST_EVERY: Duration = Duration::from_secs(2);
/// The check of `/readyz`.
const CHECK: &str = "token issuer";

/// The keys of an issuer.
#[derive(Debug)]
pub(super) struct IssuerKeys {
    source: Source,
    known: RwLock<Option<Known>>,
    fetches: watch::Sender<Fetches>,
    wanted: Notify,
}

#[derive(Clone, Debug)]
struct Known {
    keys: Arc<KeysById>,
    fetched: Instant,
}

/// The fetches of the worker, of which one runs at a time.
#[derive(Clone, Copy, Debug, Default)]
struct Fetches {
    begun: u64,
    ended: u64,
    last: Option<Instant>,
}

impl Fetches {
    /// The number of the fetch that a request for an unknown key may wait for.
    fn awaited(self) -> Option<u64> {
        let is_running = self.begun > self.ended;
        let is_due = self.last.is_none_or(|last| last.elapsed() >= ASKED_EVERY);
        match is_running {
            true => Some(self.begun),
            false => is_due.then_some(self.begun + 1),
        }
    }
}

impl IssuerKeys {
    /// No keys yet: [`watch`](Self::watch) fetches them.
    ///
    /// # Errors
    ///
    /// As [`Source::new`].
    pub(super) fn new(settings: &TokenSettings) -> Result<Self, UsageError> {
        Ok(Self {
            source: Source::new(settings)?,
            known: RwLock::default(),
            fetches: watch::Sender::default(),
            wanted: Notify::new(),
        })
    }

    /// Returns the key with this id.
    ///
    /// # Errors
    ///
    /// It is unknown, or no keys could be fetched for too long.
    pub(super) fn find(&self, id: &str) -> Result<Arc<VerificationKey>, Rejected> {
        let known = self.known.read().expect("nothing panics under this lock");
        let known = known.as_ref().filter(|known| known.fetched.elapsed() <= MAX_STALE);
        let known = known.ok_or(Rejected::KeysUnavailable)?;
        known.keys.get(id).cloned().ok_or(Rejected::UnknownKey)
    }

    /// Waits until a fetch has ended that may have brought the key with this id. Returns at once if
    /// the key is known, or if the keys were fetched a short time ago.
    pub(super) async fn learn(&self, id: &str) {
        if self.find(id).is_ok() {
            return;
        }
        let mut fetches = self.fetches.subscribe();
        let now = *fetches.borrow_and_update();
        let Some(awaited) = now.awaited() else { return };
        self.wanted.notify_one();
        // The document that tells where the keys are may be fetched first. If the worker has ended,
        // the program stops.
        let fetched = fetches.wait_for(|fetches| fetches.ended >= awaited);
        let _ = timeout(2 * PATIENCE, fetched).await;
    }

    /// Fetches the keys again and again, and earlier when a request names a key that is unknown.
    ///
    /// # Errors
    ///
    /// Never; workers return errors.
    pub(super) async fn watch(
        &self,
        readiness: Readiness,
        stop: CancellationToken,
    ) -> io::Result<()> {
        let mut fault = None;
        loop {
            let fetched = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                fetched = self.fetch() => fetched.err(),
            };
            report(&readiness, fault.as_deref(), fetched.as_deref());
            let next = self.next(fetched.is_none());
            fault = fetched;
            let asked = async {
                loop {
                    self.wanted.notified().await;
                    // It may have been asked for while the last fetch ran.
                    if self.fetches.borrow().awaited().is_some() {
                        return;
                    }
                }
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = asked => {}
                () = sleep_until(next) => {}
            }
        }
    }

    async fn fetch(&self) -> Result<(), String> {
        self.fetches.send_modify(|fetches| {
            fetches.begun += 1;
            fetches.last = Some(Instant::now());
        });
        let fetched = self.source.fetch().await;
        let ended = fetched.map(|keys| {
            let known = Known { keys: Arc::new(keys), fetched: Instant::now() };
            *self.known.write().expect("nothing panics under this lock") = Some(known);
        });
        self.fetches.send_modify(|fetches| fetches.ended = fetches.begun);
        ended
    }

    /// When to fetch again without being asked.
    fn next(&self, is_fresh: bool) -> Instant {
        let has_keys = self.known.read().expect("nothing panics under this lock").is_some();
        let pause = match (is_fresh, has_keys) {
            (true, _) => FRESH_FOR,
            (false, true) => ASKED_EVERY,
            (false, false) => FIRST_EVERY,
        };
        Instant::now() + pause
    }
}

fn report(readiness: &Readiness, before: Option<&str>, now: Option<&str>) {
    match now {
        None => {
            if before.is_some() {
                info!("the keys of the token issuer can be fetched again");
            }
            readiness.set(CHECK, Health::Up);
        }
        Some(fault) => {
            if before.is_none() {
                error!(
                    fault,
                    "the keys of the token issuer cannot be fetched; those that are known stay valid"
                );
            }
            readiness.set(CHECK, Health::Degraded(fault.to_owned()));
        }
    }
}
