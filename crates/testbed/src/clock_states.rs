//! The ways in which the clocks of a deployment can be wrong, and the check that its programs see
//! them.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::{Clock, Deployment, Form, PATIENCE, eventually};

/// How far the time that a program reports may be from its clock: only a slow machine explains a
/// difference.
const TOLERANCE: Duration = Duration::from_secs(120);

/// What a test's clock shows.
#[derive(Clone, Copy, Debug)]
pub enum ClockState {
    /// The machine's time plus this many hours.
    Off(i64),
    /// This time, standing still.
    StandsAt(&'static str),
}

impl ClockState {
    /// Sets `clock` to this state.
    pub fn set(self, clock: &Clock) {
        match self {
            Self::Off(hours) => clock.set(&format!("{hours:+}h")),
            Self::StandsAt(time) => clock.set(&time.replace('T', " ").replace('Z', "")),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the offsets are relative to the machine's clock"
    )]
    fn shows(self) -> OffsetDateTime {
        match self {
            Self::Off(hours) => {
                OffsetDateTime::from(SystemTime::now()) + time::Duration::hours(hours)
            }
            Self::StandsAt(time) => parse_time(time).expect("a time"),
        }
    }

    /// Whether a program that sees a clock in this state may have reported `time`.
    pub fn explains(self, time: OffsetDateTime) -> bool {
        (time - self.shows()).unsigned_abs() < TOLERANCE
    }
}

/// Parses a time in RFC 3339, as the services write it.
pub fn parse_time(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

/// Hours in a year.
pub const YEAR: i64 = 365 * 24;

/// Clocks that are hours and years off, ahead and behind, alike and different. In the last state
/// both clocks are right.
pub const CLOCK_STATES: [[ClockState; 2]; 7] = [
    [ClockState::Off(1), ClockState::Off(0)],
    [ClockState::Off(-1), ClockState::Off(1)],
    [ClockState::Off(YEAR), ClockState::Off(-YEAR)],
    [ClockState::StandsAt("2026-01-01T00:00:00Z"), ClockState::Off(0)],
    [ClockState::Off(-YEAR), ClockState::StandsAt("2027-01-01T00:00:00Z")],
    [ClockState::StandsAt("2025-01-01T00:00:00Z"), ClockState::StandsAt("2025-01-01T00:00:00Z")],
    [ClockState::Off(0), ClockState::Off(0)],
];

/// One clock for each program of a form.
pub fn clocks_for(form: Form) -> Vec<Clock> {
    (0..form.programs()).map(|_| Clock::right()).collect()
}

/// Sets the clocks of a deployment's programs to the two states in turn, and waits until each
/// program has logged a request at the time that its clock shows.
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
