//! The sources of time and identity, which a deterministic test replaces.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use uuid::{ContextV7, Timestamp as UuidTimestamp, Uuid};

/// A point in time, in microseconds since 1970-01-01T00:00:00Z, as both databases store it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Formats the time as RFC 3339 in UTC with six decimals: `2026-11-23T18:30:00.000000Z`.
    ///
    /// All texts have the same width, so they sort as the times do.
    pub fn to_rfc3339(self) -> String {
        let format = format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z"
        );
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1000)
            .ok()
            .and_then(|at| at.format(&format).ok())
            .unwrap_or_else(|| "0000-01-01T00:00:00.000000Z".to_owned())
    }

    /// Reads an RFC 3339 time, such as `2026-11-23T18:30:00Z`; `None` for any other text. What is
    /// finer than a microsecond is rounded up, so that the same times as before are at or after it.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        let nanos = at.unix_timestamp_nanos();
        let up = i128::from(nanos.rem_euclid(1000) > 0);
        i64::try_from(nanos.div_euclid(1000) + up).ok().map(Self)
    }

    /// Returns the time `delay` later, or the latest representable one.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(micros(delay)))
    }

    /// Returns the time `delay` earlier, or the earliest representable one.
    #[must_use]
    pub fn before(self, delay: Duration) -> Self {
        Self(self.0.saturating_sub(micros(delay)))
    }

    /// Returns the time since `earlier`; zero if the clock was set back in between.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

fn micros(delay: Duration) -> i64 {
    i64::try_from(delay.as_micros()).unwrap_or(i64::MAX)
}

/// A source of the time of day.
///
/// It may jump in either direction, so only delays may depend on it, never correctness.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Returns the current time.
    fn now(&self) -> Timestamp;
}

/// A source of ids, and of the randomness that keeps replicas out of step.
pub trait Ids: Send + Sync + fmt::Debug {
    /// Returns a new UUIDv7 (RFC 9562). Within a process, later ids sort after earlier ones.
    fn uuid(&self) -> Uuid;

    /// Returns a uniformly distributed number, from which the jitter of retries is taken.
    fn random(&self) -> u64;
}

/// The machine's clock.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the machine's clock enters")]
    fn now(&self) -> Timestamp {
        let since_epoch =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp(micros(since_epoch))
    }
}

/// Makes UUIDv7 from a clock, with a counter that keeps ids of the same moment in order.
#[derive(Debug)]
pub struct SystemIds {
    clock: Arc<dyn Clock>,
    context: std::sync::Mutex<ContextV7>,
}

impl SystemIds {
    /// Makes ids whose time is that of `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, context: std::sync::Mutex::new(ContextV7::new()) }
    }
}

impl Ids for SystemIds {
    fn uuid(&self) -> Uuid {
        let now = u64::try_from(self.clock.now().0).unwrap_or(0);
        let nanos = u32::try_from(now % 1_000_000).unwrap_or(0) * 1000;
        let context = self.context.lock().expect("nothing panics while it makes an id");
        Uuid::new_v7(UuidTimestamp::from_unix(&*context, now / 1_000_000, nanos))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the machine's randomness enters"
    )]
    fn random(&self) -> u64 {
        getrandom::u64().expect("the machine has randomness")
    }
}

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Makes a clock that shows `start`.
    pub fn at(start: Timestamp) -> Self {
        Self(AtomicI64::new(start.0))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(micros(by), Ordering::SeqCst);
    }

    /// Sets the clock to any time, which may be in the past.
    pub fn set(&self, to: Timestamp) {
        self.0.store(to.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use time::format_description::well_known::Rfc3339;

    use super::*;

    #[test]
    fn a_timestamp_reads_back_what_it_prints() {
        let at = Timestamp(1_795_804_200_000_001);
        assert_eq!(at.to_rfc3339(), "2026-11-27T18:30:00.000001Z");
        let read = OffsetDateTime::parse(&at.to_rfc3339(), &Rfc3339).unwrap();
        assert_eq!(read.unix_timestamp_nanos(), i128::from(at.0) * 1000);
    }

    #[test]
    fn a_clock_set_back_makes_no_negative_age() {
        assert_eq!(Timestamp(5).since(Timestamp(9)), Duration::ZERO);
        assert_eq!(Timestamp(9).since(Timestamp(5)), Duration::from_micros(4));
    }

    #[test]
    fn ids_of_one_moment_sort_in_the_order_they_were_made() {
        let ids = SystemIds::new(Arc::new(ManualClock::at(Timestamp(1_795_804_200_000_001))));
        let made: Vec<Uuid> = (0..10_000).map(|_| ids.uuid()).collect();
        assert!(made.is_sorted());
        assert_eq!(made.iter().collect::<std::collections::HashSet<_>>().len(), made.len());
    }
}
