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
/// While there are no keys that may be used, the worker tries more often, by itself.
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

impl Known {
    fn may_be_used(&self) -> bool {
        self.fetched.elapsed() <= MAX_STALE
    }
}

/// The fetches of the worker, of which one runs at a time.
#[derive(Clone, Copy, Debug, Default)]
struct Fetches {
    begun: u64,
    ended: u64,
    last: Option<Instant>,
}

/// Why the keys cannot be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    text: String,
    /// Whether keys are known that may still be used.
    has_keys: bool,
}

impl Fault {
    fn consequence(&self) -> &'static str {
        match self.has_keys {
            true => "those that are known stay valid",
            false => "none is known, so no access token can be verified",
        }
    }
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
        let known = known.as_ref().filter(|known| known.may_be_used());
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
        let mut before: Option<Fault> = None;
        loop {
            let fetched = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                fetched = self.fetch() => fetched,
            };
            let fault = fetched.err().map(|text| Fault { text, has_keys: self.has_keys() });
            report(&readiness, before.as_ref(), fault.as_ref());
            let next = self.next(fault.is_none());
            before = fault;
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

    /// Whether keys are known that may be used.
    fn has_keys(&self) -> bool {
        let known = self.known.read().expect("nothing panics under this lock");
        known.as_ref().is_some_and(Known::may_be_used)
    }

    /// When to fetch again without being asked.
    fn next(&self, is_fresh: bool) -> Instant {
        let pause = match (is_fresh, self.has_keys()) {
            (true, _) => FRESH_FOR,
            (false, true) => ASKED_EVERY,
            (false, false) => FIRST_EVERY,
        };
        Instant::now() + pause
    }
}

fn report(readiness: &Readiness, before: Option<&Fault>, now: Option<&Fault>) {
    match now {
        None => {
            if before.is_some() {
                info!("the keys of the token issuer can be fetched again");
            }
            readiness.set(CHECK, Health::Up);
        }
        Some(fault) => {
            if before != Some(fault) {
                let (fault, consequence) = (&fault.text, fault.consequence());
                error!(fault, "the keys of the token issuer cannot be fetched; {consequence}");
            }
            readiness.set(CHECK, Health::Degraded(fault.text.clone()));
        }
    }
}
