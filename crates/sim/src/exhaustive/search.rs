//! Breadth-first search: the states one step away from the start, then those two steps away, and so
//! on, each once. So no violation needs fewer steps than the first one that is found.

use super::bounds::Bounds;
use super::counterexample::{self, Path};
use super::known::{Digest, Known};
use super::liveness::Liveness;
use super::model::Model;
use super::shell::Shell;
use super::state::State;
use super::transition::Transition;
use crate::states::Violation;

/// How often a long search reports its progress.
const STATES_PER_REPORT: u32 = 10_000_000;

/// How much was explored, and the violation that was found.
#[derive(Debug)]
pub(crate) struct Explored<M = Model> {
    /// All rows and messages that occurred.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "tests ask whether every state of both tables was reached")
    )]
    pub(super) model: M,
    pub(crate) states: u32,
    /// Transitions that changed the state, to a new one or to a known one.
    pub(super) steps: u64,
    /// The distance of the farthest state from the start, in steps.
    pub(super) depth: u32,
    /// States that were checked but not expanded; 0 if everything was explored.
    pub(super) left_over: u32,
    pub(crate) found: Option<Found>,
}

#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) violation: Violation,
    /// The shortest path to the violation, a line for each step.
    pub(crate) trace: Vec<String>,
}

/// Explores until no state is left, a violation is found, or more than `limit` states are known.
pub(crate) fn explore(bounds: Bounds, shell: Shell, limit: u32) -> Explored {
    let mut search = Search::new(bounds, shell);
    let found = search.run(limit).err();
    let found = found.map(|(violation, path)| Found {
        violation,
        trace: counterexample::describe(&mut search.model, &path),
    });
    let states = search.known.len();
    let left_over = if found.is_some() { 0 } else { states - search.expanded };
    Explored {
        model: search.model,
        states,
        steps: search.steps,
        depth: search.depth,
        left_over,
        found,
    }
}

#[derive(Debug)]
struct Search {
    model: Model,
    liveness: Liveness,
    known: Known<State>,
    expanded: u32,
    steps: u64,
    depth: u32,
}

/// A violation, and the path to it.
type Trouble = (Violation, Path);

impl Search {
    fn new(bounds: Bounds, shell: Shell) -> Self {
        let model = Model::new(bounds, shell);
        Self {
            model,
            liveness: Liveness::default(),
            known: Known::default(),
            expanded: 0,
            steps: 0,
            depth: 0,
        }
    }

    fn run(&mut self, limit: u32) -> Result<(), Trouble> {
        let start = self.model.start();
        self.known.insert(start, start.digest(), 0);
        self.check(&start, 0)?;
        let (mut enabled, mut successors) = (Vec::new(), Vec::new());
        let mut end_of_layer = 1;
        while self.expanded < self.known.len() && self.known.len() < limit {
            if self.expanded == end_of_layer {
                self.depth += 1;
                end_of_layer = self.known.len();
            }
            let state = self.known.get(self.expanded);
            enabled.clear();
            self.model.enabled(&state, &mut enabled);
            successors.clear();
            let broken = self.succeed(&state, &enabled, &mut successors);
            self.known.sift(&mut successors);
            successors.iter().try_for_each(|(next, digest)| self.reach(*next, *digest))?;
            broken?;
            self.expanded += 1;
            if self.expanded.is_multiple_of(STATES_PER_REPORT) {
                eprintln!(
                    "  {} of {} known states expanded, {} steps away",
                    self.expanded,
                    self.known.len(),
                    self.depth
                );
            }
        }
        Ok(())
    }

    /// Takes the transitions of a state, up to the first that breaks an invariant, and appends the
    /// states after them with their digests.
    fn succeed(
        &mut self,
        state: &State,
        enabled: &[Transition],
        successors: &mut Vec<(State, u64)>,
    ) -> Result<(), Trouble> {
        for transition in enabled {
            let next = match self.model.after(state, *transition) {
                Ok(next) => next.sorted().0,
                Err(violation) => {
                    return Err((violation, self.path(self.expanded, Some(*transition))));
                }
            };
            if next != *state {
                self.steps += 1;
                successors.push((next, next.digest()));
            }
        }
        Ok(())
    }

    fn reach(&mut self, next: State, digest: u64) -> Result<(), Trouble> {
        match self.known.insert(next, digest, self.expanded) {
            Some(number) => self.check(&next, number),
            None => Ok(()),
        }
    }

    fn check(&mut self, state: &State, number: u32) -> Result<(), Trouble> {
        let checked =
            self.model.check(state).and_then(|()| self.liveness.check(&mut self.model, state));
        checked.map_err(|violation| (violation, self.path(number, None)))
    }

    fn path(&self, number: u32, last_transition: Option<Transition>) -> Path {
        Path { states: self.known.path(number), last_transition }
    }
}

impl Found {
    pub(crate) fn print(&self) {
        for (number, line) in (1..).zip(&self.trace) {
            println!("{number:>4}. {line}");
        }
        println!("      {} is violated: {}", self.violation.invariant, self.violation.what);
    }
}
