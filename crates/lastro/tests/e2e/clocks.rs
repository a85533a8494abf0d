//! Clocks of the test's own, and the proof that the programs see them.

use std::time::Duration;

use platform::clock::{Clock as _, SystemClock, Timestamp};
use testbed::{Clock, PATIENCE, eventually};

use crate::form::Form;
use crate::shop::Shop;

/// How far what a program tells may be from the clock that it was given: a slow machine, and no more than that.
const TOLERANCE: Duration = Duration::from_secs(120);

/// How a clock of the test's own goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goes {
    /// As the machine's, with so many hours added.
    Off(i64),
    /// Not at all.
    StandsAt(&'static str),
}

impl Goes {
    pub(crate) fn set(self, clock: &Clock) {
        match self {
            Self::Off(hours) => clock.set(&format!("{hours:+}h")),
            Self::StandsAt(time) => clock.set(&time.replace('T', " ").replace('Z', "")),
        }
    }

    /// What it shows now.
    fn shows(self) -> Timestamp {
        match self {
            Self::Off(hours) => Timestamp(SystemClock.now().0 + hours * 3_600_000_000),
            Self::StandsAt(time) => Timestamp::parse_rfc3339(time).expect("a time"),
        }
    }

    /// Whether `told` is what it shows.
    pub(crate) fn explains(self, reported: Timestamp) -> bool {
        let shown = self.shows();
        reported.since(shown).max(shown.since(reported)) < TOLERANCE
    }
}

/// **Units:** hours.
pub(crate) const YEAR: i64 = 365 * 24;
/// Hours, years, in both directions, at once and apart; the last one is right again.
pub(crate) const STATES: [[Goes; 2]; 7] = [
    [Goes::Off(1), Goes::Off(0)],
    [Goes::Off(-1), Goes::Off(1)],
    [Goes::Off(YEAR), Goes::Off(-YEAR)],
    [Goes::StandsAt("2026-01-01T00:00:00Z"), Goes::Off(0)],
    [Goes::Off(-YEAR), Goes::StandsAt("2027-01-01T00:00:00Z")],
    [Goes::StandsAt("2025-01-01T00:00:00Z"), Goes::StandsAt("2025-01-01T00:00:00Z")],
    [Goes::Off(0), Goes::Off(0)],
];

/// As many clocks as a form has programs.
pub(crate) fn clocks(form: Form) -> Vec<Clock> {
    (0..form.programs()).map(|_| Clock::right()).collect()
}

/// Sets the clocks of a shop's programs by turns, and makes sure that each program sees its own: it says so itself.
pub(crate) async fn set(shop: &Shop, state: [Goes; 2]) {
    let clocks = &shop.setting.clocks;
    let of = |number: usize| state[number % state.len()];
    for (number, clock) in clocks.iter().enumerate() {
        of(number).set(clock);
    }
    eventually(PATIENCE, &format!("the programs see {state:?}"), || async {
        // Each logs the request, with its time.
        shop.get_each("/version").await;
        let reported = shop.programs.last_told();
        assert_eq!(reported.len(), clocks.len());
        reported.into_iter().enumerate().all(|(number, reported)| of(number).explains(reported)).then_some(())
    })
    .await;
}
