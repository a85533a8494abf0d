//! The replicas of both services, their clocks and their ids.

use std::fmt;
use std::sync::{Arc, Mutex};

use platform::clock::{Clock, Ids, Timestamp};
use tokio::time::Instant;
use uuid::{Builder, Uuid};

use crate::random::Random;

/// The time at which every world begins.
pub(crate) const BEGINNING: Timestamp = Timestamp(1_795_804_200_000_000);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Service {
    Orders,
    Inventory,
}

/// A replica of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Node {
    pub(crate) service: Service,
    /// From 1.
    pub(crate) number: u64,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.service {
            Service::Orders => "orders",
            Service::Inventory => "inventory",
        };
        write!(f, "{name}-{}", self.number)
    }
}

/// The time of the world, with the error of one node's clock.
#[derive(Debug)]
pub(crate) struct NodeClock {
    began: Instant,
    error: Mutex<Error>,
}

/// How a clock is wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Error {
    /// Microseconds ahead, or behind if negative.
    Offset(i64),
    StandsAt(Timestamp),
}

impl NodeClock {
    pub(crate) fn new(began: Instant, error: Error) -> Self {
        Self { began, error: Mutex::new(error) }
    }

    pub(crate) fn set(&self, error: Error) {
        *self.error.lock().expect("nothing panics under this lock") = error;
    }

    /// Lets a stopped clock run on from the time that it shows.
    pub(crate) fn start(&self) {
        let mut error = self.error.lock().expect("nothing panics under this lock");
        if let Error::StandsAt(at) = *error {
            *error = Error::Offset(at.0 - BEGINNING.after(self.began.elapsed()).0);
        }
    }
}

impl Clock for NodeClock {
    fn now(&self) -> Timestamp {
        match *self.error.lock().expect("nothing panics under this lock") {
            Error::StandsAt(at) => at,
            Error::Offset(micros) => {
                let now = BEGINNING.after(self.began.elapsed());
                Timestamp(now.0.saturating_add(micros))
            }
        }
    }
}

/// Ids that the seed determines.
#[derive(Debug)]
pub(crate) struct NodeIds {
    clock: Arc<NodeClock>,
    random: Random,
    last: Mutex<Uuid>,
}

impl NodeIds {
    pub(crate) fn new(clock: Arc<NodeClock>, random: Random) -> Self {
        Self { clock, random, last: Mutex::default() }
    }

    /// The id that was drawn last.
    pub(crate) fn last(&self) -> Uuid {
        *self.last.lock().expect("nothing panics under this lock")
    }
}

impl Ids for NodeIds {
    fn uuid(&self) -> Uuid {
        let millis = u64::try_from(self.clock.now().0 / 1000).unwrap_or(0);
        let id = Builder::from_unix_timestamp_millis(millis, &self.random.bytes()).into_uuid();
        *self.last.lock().expect("nothing panics under this lock") = id;
        id
    }

    fn random(&self) -> u64 {
        self.random.u64()
    }
}

/// Any error that a clock may have.
pub(crate) fn any_error(random: &Random, now: Timestamp) -> Error {
    const HOUR: u64 = 3600;
    let by = |seconds: u64| {
        let micros = i64::try_from(seconds * 1_000_000).expect("years are few microseconds");
        Error::Offset(if random.chance(500) { micros } else { -micros })
    };
    match random.below(5) {
        0 => by(random.below(3)),
        1 => by(random.within(HOUR..=3 * HOUR)),
        2 => by(365 * 24 * HOUR),
        3 => Error::StandsAt(now),
        _ => Error::Offset(0),
    }
}
