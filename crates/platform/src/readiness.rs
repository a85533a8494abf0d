//! Whether a service can take requests: one check per dependency, which its workers keep up to
//! date.

use std::sync::{Arc, Mutex, MutexGuard};

use crate::bus::Bus;
use crate::pairing::Pairing;
use crate::relay::Outbox;

/// The state of one dependency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It works.
    Up,
    /// Requests are accepted, but their processing may be late, as when the broker is away. The
    /// text is for an operator.
    Degraded(String),
    /// No request can be accepted, as when the database is away. The text is for an operator.
    Down(String),
}

impl Health {
    /// Returns the state of a bus, of what is to be published on it, and of what comes from others.
    /// Trouble is `Degraded`, never `Down`: messages are late, and no request is refused.
    pub fn of_bus(bus: &dyn Bus, outbox: &Outbox, pairing: &Pairing) -> Self {
        let late = [bus.trouble(), outbox.trouble()].concat();
        let late = (!late.is_empty())
            .then(|| format!("{}; messages wait and are sent later", late.join("; ")));
        match (late, pairing.trouble()) {
            (None, None) => Self::Up,
            (late, foreign) => {
                Self::Degraded(late.into_iter().chain(foreign).collect::<Vec<_>>().join("; "))
            }
        }
    }
}

/// The state of all checks, which clones share.
///
/// Checks are listed in the order in which they were first set. A service without checks is ready.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    draining: bool,
    checks: Vec<(&'static str, Health)>,
}

impl Readiness {
    /// Sets the state of a check.
    pub fn set(&self, check: &'static str, health: Health) {
        let mut known = self.known();
        match known.checks.iter_mut().find(|(name, _)| *name == check) {
            Some((_, its)) => *its = health,
            None => known.checks.push((check, health)),
        }
    }

    /// Makes the service not ready, whatever the checks say, because it is shutting down.
    pub fn drain(&self) {
        self.known().draining = true;
    }

    /// Returns the current state of all checks.
    pub fn snapshot(&self) -> Snapshot {
        let known = self.known();
        Snapshot { draining: known.draining, checks: known.checks.clone() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().expect("nothing panics while it holds the readiness")
    }
}

/// The state of all checks at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Whether the service is shutting down, and so is not ready.
    pub draining: bool,
    /// Name and state of each check, in the order in which they were first set.
    pub checks: Vec<(&'static str, Health)>,
}

impl Snapshot {
    /// Whether requests can be accepted: no check is down, and the service is not shutting down.
    pub fn is_ready(&self) -> bool {
        let is_down = |(_, health): &(_, Health)| matches!(health, Health::Down(_));
        !self.draining && !self.checks.iter().any(is_down)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_on_a_check_counts() {
        let readiness = Readiness::default();
        readiness.set("a", Health::Down("away".into()));
        readiness.set("a", Health::Up);
        assert_eq!(
            readiness.snapshot(),
            Snapshot { draining: false, checks: vec![("a", Health::Up)] }
        );
    }

    #[test]
    fn a_clone_shares_the_state_and_draining_is_final() {
        let readiness = Readiness::default();
        let another = readiness.clone();
        another.drain();
        another.set("a", Health::Down("away".into()));
        let checks = vec![("a", Health::Down("away".into()))];
        assert_eq!(readiness.snapshot(), Snapshot { draining: true, checks });
    }
}
