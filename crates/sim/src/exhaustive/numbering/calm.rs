//! From every state all committed rows get numbers, and the reader gets all entries, once nothing
//! fails any more: with one relay, while the others are frozen for ever.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use super::super::hash::Quick;
use super::oracle;
use super::state::{NONE, Relay, State};
use super::steps::{Number, Read, Rules, Step};
use crate::states::{Violation, broken};

/// More rounds than all rows and entries need.
const ROUNDS: usize = 20;

/// The states without open transactions from which all was numbered and read.
#[derive(Debug, Default)]
pub(super) struct Calm {
    ends_well: HashSet<State, BuildHasherDefault<Quick>>,
}

impl Calm {
    /// Checks that what is committed is numbered and read from here on.
    ///
    /// # Errors
    ///
    /// A violation if that never happens.
    pub(super) fn check(&mut self, rules: Rules, state: &State) -> Result<(), Violation> {
        (0..).take(rules.bounds.relays).try_for_each(|relay| {
            // An invariant that breaks on the way is reported by the search, with the whole path.
            match self.walk(rules, state, relay) {
                Ok(Some(what)) => {
                    broken("R29", format!("relay {} is alone, and {what}", relay + 1))
                }
                Ok(None) | Err(_) => Ok(()),
            }
        })
    }

    /// What never happens, if anything.
    fn walk(
        &mut self,
        rules: Rules,
        state: &State,
        relay: u8,
    ) -> Result<Option<String>, Violation> {
        let mut now = freeze_others(rules, state, relay)?;
        let mut is_open = true;
        while is_open {
            is_open = false;
            for writer in (0..).take(now.writers.len()) {
                while let Some(Some(next)) = rules.next_of_writer(&now, writer) {
                    now = rules.after(&now, Step::Writer(writer, next))?;
                    is_open = true;
                }
            }
        }
        let start = now;
        if self.ends_well.contains(&start) {
            return Ok(None);
        }
        for _ in 0..ROUNDS {
            oracle::check(&now, rules.bounds)?;
            if let Some(next) = rules.next_of_relay(&now, relay) {
                now = rules.after(&now, Step::Relay(relay, next))?;
            }
            let read = if now.reader.page.is_some() { Read::Keep } else { Read::Fetch };
            now = rules.after(&now, Step::Reader(read))?;
        }
        let missing = missing(rules, &now);
        if missing.is_none() {
            self.ends_well.insert(start);
        }
        Ok(missing)
    }
}

/// Lets the server end the transactions of all other relays, which never wake.
fn freeze_others(rules: Rules, state: &State, relay: u8) -> Result<State, Violation> {
    let mut now = *state;
    let mut steps = Vec::new();
    rules.enabled(state, &mut steps);
    for step in steps {
        if matches!(step, Step::Relay(other, Number::Freeze) if other != relay) {
            now = rules.after(&now, step)?;
        }
    }
    // What they believe makes no difference: they do nothing any more.
    for (other, left) in (0..).zip(&mut now.relays) {
        if other != relay && now.holder != other {
            *left = Relay::IDLE;
        }
    }
    Ok(now)
}

fn missing(rules: Rules, state: &State) -> Option<String> {
    let waiting = state.waiting();
    if !waiting.is_empty() {
        let holder = if state.holder == NONE { "nobody" } else { "another one" };
        let rows = waiting.len();
        return Some(format!("{rows} rows never get a number: {holder} has the head"));
    }
    let entries: usize =
        state.committed().map(|(writer, _)| state.entries(writer, rules.bounds).len()).sum();
    let kept = state.reader.kept.list().len();
    (kept != entries).then(|| format!("the reader has {kept} of {entries} entries in the end"))
}
