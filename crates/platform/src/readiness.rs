//! Whether a service can take requests: one check per thing that it stands on, kept up to date by its workers.

use std::sync::{Arc, Mutex, MutexGuard};

use crate::bus::Bus;

/// How one thing that the service stands on is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    Up,
    /// Requests are accepted all the same, and something is late: the broker is away.
    Degraded(String),
    /// No request can be accepted: the database is away.
    Down(String),
}

impl Health {
    /// A broker that is away makes things late; it loses none and refuses none.
    pub fn of_bus(bus: &dyn Bus) -> Self {
        let late = |trouble| Self::Degraded(format!("{trouble}; messages wait and are sent later"));
        bus.trouble().map_or(Self::Up, late)
    }
}

/// The state of all checks.
///
/// **Shape:** clones share one state. Checks are told in the order in which they were first set; without any, the
/// service is ready.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    draining: bool,
    checks: Vec<(&'static str, Health)>,
}

impl Readiness {
    /// What is known of `check` from now on.
    pub fn set(&self, check: &'static str, health: Health) {
        let mut known = self.known();
        match known.checks.iter_mut().find(|(name, _)| *name == check) {
            Some((_, its)) => *its = health,
            None => known.checks.push((check, health)),
        }
    }

    /// Not ready from now on, whatever the checks say: the service is shutting down.
    pub fn drain(&self) {
        self.known().draining = true;
    }

    /// All checks as they are now, in the order in which they were first set.
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
    /// The service is shutting down.
    pub draining: bool,
    pub checks: Vec<(&'static str, Health)>,
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
