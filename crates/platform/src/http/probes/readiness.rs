//! Whether requests should be sent here, kept up to date by whoever knows.

use std::sync::{Arc, Mutex, MutexGuard};

use serde::Serialize;

use crate::bus::Bus;
use crate::problem::{Code, Problem};

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
        let late = |trouble| Self::Degraded(format!("{trouble}; orders are accepted and settled later"));
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

    /// **Errors:** `shutting_down` while draining; else `storage_unavailable`, naming every check that is down.
    pub fn report(&self) -> Result<Report, Problem> {
        let known = self.known();
        if known.draining {
            return Err(Problem::new(Code::ShuttingDown, "finishing what was accepted"));
        }
        let down: Vec<_> = known.checks.iter().filter_map(|(name, health)| health.down(name)).collect();
        if !down.is_empty() {
            return Err(Problem::new(Code::StorageUnavailable, down.join("; ")));
        }
        let checks: Vec<_> = known.checks.iter().map(|(name, health)| Check::of(name, health)).collect();
        let all_up = checks.iter().all(|check| check.status == "up");
        Ok(Report { status: if all_up { "ready" } else { "degraded" }, checks })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().expect("nothing panics while it holds the readiness")
    }
}

/// What `/readyz` answers while requests are accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// `ready` or `degraded`.
    status: &'static str,
    checks: Vec<Check>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Check {
    name: &'static str,
    /// `up` or `degraded`.
    status: &'static str,
    detail: Option<String>,
}

impl Check {
    fn of(name: &'static str, health: &Health) -> Self {
        let (status, detail) = match health {
            Health::Up => ("up", None),
            Health::Degraded(detail) => ("degraded", Some(detail.clone())),
            Health::Down(detail) => ("down", Some(detail.clone())),
        };
        Self { name, status, detail }
    }
}

impl Health {
    fn down(&self, name: &str) -> Option<String> {
        if let Self::Down(detail) = self { Some(format!("{name}: {detail}")) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(checks: &[(&'static str, Health)]) -> Result<&'static str, (Code, String)> {
        let readiness = Readiness::default();
        for (name, health) in checks {
            readiness.set(name, health.clone());
        }
        readiness.report().map(|report| report.status).map_err(|problem| (problem.code, problem.detail))
    }

    #[test]
    fn the_worst_check_decides() {
        let (late, away) = (Health::Degraded("late".into()), Health::Down("away".into()));
        assert_eq!(report(&[]), Ok("ready"));
        assert_eq!(report(&[("a", Health::Up), ("b", Health::Up)]), Ok("ready"));
        assert_eq!(report(&[("a", Health::Up), ("b", late.clone())]), Ok("degraded"));
        let down = Err((Code::StorageUnavailable, "a: away; c: away".to_owned()));
        assert_eq!(report(&[("a", away.clone()), ("b", late), ("c", away)]), down);
    }

    #[test]
    fn the_last_word_on_a_check_counts() {
        assert_eq!(report(&[("a", Health::Down("away".into())), ("a", Health::Up)]), Ok("ready"));
    }

    #[test]
    fn a_clone_shares_the_state_and_draining_is_final() {
        let readiness = Readiness::default();
        let another = readiness.clone();
        another.drain();
        another.set("a", Health::Down("away".into()));
        assert_eq!(readiness.report().unwrap_err().code, Code::ShuttingDown);
    }
}
