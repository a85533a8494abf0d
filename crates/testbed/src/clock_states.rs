//! How the clocks of a deployment may be wrong, and the proof that its programs see them.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::{Clock, Deployment, Form, PATIENCE, eventually};

/// How far a time that a program reports may be from the clock that it was given: a slow machine,
/// no more.
const TOLERANCE: Duration = Duration::from_secs(120);

/// What a clock of the test's own shows.
#[derive(Clone, Copy, Debug)]
pub enum ClockState {
    /// The time of the machine and so many hours more.
    Off(i64),
    /// Always this time.
    StandsAt(&'static str),
}

impl ClockState {
    /// Brings a clock into this state.
    pub fn set(self, clock: &Clock) {
        match self {
            Self::Off(hours) => clock.set(&format!("{hours:+}h")),
            Self::StandsAt(time) => clock.set(&time.replace('T', " ").replace('Z', "")),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the machine's clock is what others are off from"
    )]
    fn shows(self) -> OffsetDateTime {
        match self {
            Self::Off(hours) => {
                OffsetDateTime::from(SystemTime::now()) + time::Duration::hours(hours)
            }
            Self::StandsAt(time) => parse_time(time).expect("a time"),
        }
    }

    /// Whether a program that sees such a clock may have reported `time`.
    pub fn explains(self, time: OffsetDateTime) -> bool {
        (time - self.shows()).unsigned_abs() < TOLERANCE
    }
}

/// A time as the services write it.
///
/// Source: RFC 3339.
pub fn parse_time(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

/// Hours in a year.
pub const YEAR: i64 = 365 * 24;

/// Hours and years off, in both directions, at once and apart. In the last state all clocks are
/// right.
pub const CLOCK_STATES: [[ClockState; 2]; 7] = [
    [ClockState::Off(1), ClockState::Off(0)],
    [ClockState::Off(-1), ClockState::Off(1)],
    [ClockState::Off(YEAR), ClockState::Off(-YEAR)],
    [ClockState::StandsAt("2026-01-01T00:00:00Z"), ClockState::Off(0)],
    [ClockState::Off(-YEAR), ClockState::StandsAt("2027-01-01T00:00:00Z")],
    [ClockState::StandsAt("2025-01-01T00:00:00Z"), ClockState::StandsAt("2025-01-01T00:00:00Z")],
    [ClockState::Off(0), ClockState::Off(0)],
];

/// A clock for each program of a form.
pub fn clocks_for(form: Form) -> Vec<Clock> {
    (0..form.programs()).map(|_| Clock::right()).collect()
}

/// Sets the clocks of a deployment's programs to the two states in turn, and waits until each
/// program has logged a request with the time of its own clock.
pub async fn set_clocks(shop: &Deployment, state: [ClockState; 2]) {
    let clocks = &shop.environment.clocks;
    let of = |number: usize| state[number % state.len()];
    for (number, clock) in clocks.iter().enumerate() {
        of(number).set(clock);
    }
    eventually(PATIENCE, &format!("the programs see {state:?}"), || async {
        shop.get_each("/version").await;
        let logged = shop.programs.last_logged();
        assert_eq!(logged.len(), clocks.len());
        let mut logged = logged.into_iter().enumerate();
        logged.all(|(number, time)| of(number).explains(time)).then_some(())
    })
    .await;
}
