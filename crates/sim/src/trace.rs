//! The events of a world, in order: a fingerprint of all of them, and the last lines for a reader.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::random::fingerprint;

/// The number of lines that are kept, unless all are wanted.
const MAX_KEPT: usize = 400;
/// A world without an event for this long is idle.
const IDLE_AFTER: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct Trace {
    began: Instant,
    keeps_all: bool,
    /// The age at the last event, in milliseconds.
    active_at_ms: AtomicI64,
    written: Mutex<Written>,
}

#[derive(Debug, Default)]
struct Written {
    fingerprint: u64,
    count: u64,
    lines: VecDeque<String>,
}

/// A fingerprint of a trace: two runs of one seed must have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pub(crate) hash: u64,
    pub(crate) events: u64,
}

impl Trace {
    pub(crate) fn new(began: Instant, keeps_all: bool) -> Self {
        Self { began, keeps_all, active_at_ms: AtomicI64::new(0), written: Mutex::default() }
    }

    /// Records that something was committed, sent or answered.
    pub(crate) fn event(&self, event: impl FnOnce() -> String) {
        let age = i64::try_from(self.age().as_millis()).unwrap_or(i64::MAX);
        self.active_at_ms.store(age, Ordering::Relaxed);
        self.write(&event());
    }

    /// Records an event that does not keep the world awake.
    pub(crate) fn note(&self, event: impl FnOnce() -> String) {
        self.write(&event());
    }

    /// How long the world has existed.
    pub(crate) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// A pause that grows while nothing happens, so that idle days pass quickly.
    pub(crate) fn stretch(&self, pause: Duration) -> Duration {
        let active_at_ms = u64::try_from(self.active_at_ms.load(Ordering::Relaxed)).unwrap_or(0);
        let idle = self.age().saturating_sub(Duration::from_millis(active_at_ms));
        if idle < IDLE_AFTER { pause } else { pause.max(idle / 8) }
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let written = self.written();
        Fingerprint { hash: written.fingerprint, events: written.count }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.written().lines.iter().cloned().collect()
    }

    fn write(&self, event: &str) {
        let at = self.age();
        let mut written = self.written();
        let moment = written.fingerprint ^ u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
        written.fingerprint = fingerprint(moment, event.as_bytes());
        written.count += 1;
        if !self.keeps_all && written.lines.len() == MAX_KEPT {
            written.lines.pop_front();
        }
        written.lines.push_back(format!("{:>12.3} s  {event}", at.as_secs_f64()));
    }

    fn written(&self) -> std::sync::MutexGuard<'_, Written> {
        self.written.lock().expect("nothing panics under this lock")
    }
}
