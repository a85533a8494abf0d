//! Breadth-first search, as that of the services.

use super::super::known::{Digest, Known};
use super::super::search::{Explored, Found};
use super::calm::Calm;
use super::oracle;
use super::state::State;
use super::steps::{Rules, Step};
use super::{Bounds, Flaw};
use crate::states::Violation;

/// Explores until no state is left, a violation is found, or more than `limit` states are known.
pub(crate) fn explore(bounds: Bounds, flaw: Option<Flaw>, limit: u32) -> Explored<()> {
    let rules = Rules { bounds, flaw };
    let mut search = Search {
        rules,
        known: Known::default(),
        calm: Calm::default(),
        expanded: 0,
        steps: 0,
        depth: 0,
    };
    let found = search.run(limit).err();
    let states = search.known.len();
    Explored {
        model: (),
        states,
        steps: search.steps,
        depth: search.depth,
        left_over: if found.is_some() { 0 } else { states - search.expanded },
        found,
    }
}

#[derive(Debug)]
struct Search {
    rules: Rules,
    known: Known<State>,
    calm: Calm,
    expanded: u32,
    steps: u64,
    depth: u32,
}

impl Search {
    fn run(&mut self, limit: u32) -> Result<(), Found> {
        let start = State::start(self.rules.bounds);
        self.known.insert(start, start.digest(), 0);
        self.check(&start, 0)?;
        let mut steps = Vec::new();
        let mut end_of_layer = 1;
        while self.expanded < self.known.len() && self.known.len() < limit {
            if self.expanded == end_of_layer {
                self.depth += 1;
                end_of_layer = self.known.len();
            }
            let state = self.known.get(self.expanded);
            steps.clear();
            self.rules.enabled(&state, &mut steps);
            for step in &steps {
                let next = match self.rules.after(&state, *step) {
                    Ok(next) => next,
                    Err(violation) => {
                        return Err(self.found(violation, self.expanded, Some(*step)));
                    }
                };
                if next == state {
                    continue;
                }
                self.steps += 1;
                if let Some(number) = self.known.insert(next, next.digest(), self.expanded) {
                    self.check(&next, number)?;
                }
            }
            self.expanded += 1;
        }
        Ok(())
    }

    fn check(&mut self, state: &State, number: u32) -> Result<(), Found> {
        let checked = oracle::check(state, self.rules.bounds)
            .and_then(|()| self.calm.check(self.rules, state));
        checked.map_err(|violation| self.found(violation, number, None))
    }

    /// The violation, with a line for each step on the way to it.
    fn found(&self, violation: Violation, number: u32, last_step: Option<Step>) -> Found {
        let path = self.known.path(number);
        let pairs = path.windows(2).map(|pair| {
            let [before, after] = pair else { unreachable!("a window has two states") };
            self.rules.describe(self.step_between(before, after), before, after)
        });
        let end = path[path.len() - 1];
        let last = last_step.map(|step| self.rules.describe(step, &end, &end));
        Found { violation, trace: pairs.chain(last).collect() }
    }

    /// The step that was taken, found again among all that were enabled.
    fn step_between(&self, before: &State, after: &State) -> Step {
        let mut steps = Vec::new();
        self.rules.enabled(before, &mut steps);
        let is_it = |step: &Step| self.rules.after(before, *step).is_ok_and(|next| next == *after);
        steps.into_iter().find(is_it).expect("the search has taken one of them")
    }
}
