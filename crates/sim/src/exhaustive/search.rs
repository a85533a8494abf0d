//! Breadth first: the states that are one step away, then those that are two, and so on, each once. So the first
//! violation that is found is one of those that need the fewest steps.

use super::bounds::Bounds;
use super::calm::Calm;
use super::model::Model;
use super::shell::Shell;
use super::state::State;
use super::step::Step;
use super::story;
use crate::states::Violation;

/// So often it is told how far a long search has come.
const STATES_PER_WORD: u32 = 10_000_000;

/// What was explored, and what was found.
#[derive(Debug)]
pub(crate) struct Explored {
    /// All rows and messages that were met.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests ask whether every state of both tables was reached"))]
    pub(super) model: Model,
    pub(crate) states: u32,
    /// Steps that led anywhere, to a new state or to a known one.
    pub(super) steps: u64,
    /// How far the farthest state is from the start.
    pub(super) depth: u32,
    /// States that were judged, but whose steps were not taken any more; none if everything was explored.
    pub(super) left_over: u32,
    pub(crate) found: Option<Found>,
}

#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) violation: Violation,
    /// The shortest way there, a line for each step.
    pub(crate) story: Vec<String>,
}

/// Explores until nothing is left, something is found, or more than `limit` states are known.
pub(crate) fn explore(bounds: Bounds, shell: Shell, limit: u32) -> Explored {
    let mut search = Search::new(bounds, shell);
    let found = search.run(limit).err();
    let found = found.map(|(violation, path)| Found { violation, story: story::tell(&mut search.model, &path) });
    let states = search.known.len();
    let left_over = if found.is_some() { 0 } else { states - search.looked_at };
    Explored { model: search.model, states, steps: search.steps, depth: search.depth, left_over, found }
}

#[derive(Debug)]
struct Search {
    model: Model,
    calm: Calm,
    known: Known,
    looked_at: u32,
    steps: u64,
    depth: u32,
}

/// A violation, and the states on the way to it: the last one breaks a promise, or one of its steps does.
type Trouble = (Violation, Path);

#[derive(Debug)]
pub(super) struct Path {
    pub(super) states: Vec<State>,
    pub(super) last_step: Option<Step>,
}

impl Search {
    fn new(bounds: Bounds, shell: Shell) -> Self {
        let model = Model::new(bounds, shell);
        Self { model, calm: Calm::default(), known: Known::default(), looked_at: 0, steps: 0, depth: 0 }
    }

    fn run(&mut self, limit: u32) -> Result<(), Trouble> {
        let start = self.model.start();
        self.known.insert(start, 0);
        self.judge(&start, 0)?;
        let (mut steps, mut end_of_layer) = (Vec::new(), 1);
        while self.looked_at < self.known.len() && self.known.len() < limit {
            if self.looked_at == end_of_layer {
                self.depth += 1;
                end_of_layer = self.known.len();
            }
            let state = self.known.get(self.looked_at);
            steps.clear();
            self.model.steps(&state, &mut steps);
            for step in &steps {
                self.take(&state, *step)?;
            }
            self.looked_at += 1;
            if self.looked_at.is_multiple_of(STATES_PER_WORD) {
                eprintln!(
                    "  {} of {} known states looked at, {} steps away",
                    self.looked_at,
                    self.known.len(),
                    self.depth
                );
            }
        }
        Ok(())
    }

    fn take(&mut self, state: &State, step: Step) -> Result<(), Trouble> {
        let next = match self.model.after(state, step) {
            Ok(next) => next.sorted().0,
            Err(violation) => return Err((violation, self.path(self.looked_at, Some(step)))),
        };
        if next == *state {
            return Ok(());
        }
        self.steps += 1;
        match self.known.insert(next, self.looked_at) {
            Some(number) => self.judge(&next, number),
            None => Ok(()),
        }
    }

    fn judge(&mut self, state: &State, number: u32) -> Result<(), Trouble> {
        let judged = self.model.check(state).and_then(|()| self.calm.check(&mut self.model, state));
        judged.map_err(|violation| (violation, self.path(number, None)))
    }

    fn path(&self, mut number: u32, last_step: Option<Step>) -> Path {
        let mut states = vec![self.known.get(number)];
        while number > 0 {
            number = self.known.parents[index(number)];
            states.push(self.known.get(number));
        }
        states.reverse();
        Path { states, last_step }
    }
}

/// Every state that was met, numbered in the order in which it was, and from which one it was met first.
#[derive(Debug, Default)]
struct Known {
    states: Vec<State>,
    parents: Vec<u32>,
    /// Numbers of states plus one, each at the first free place behind its hash. A power of two, half empty or more.
    table: Vec<u32>,
}

impl Known {
    fn len(&self) -> u32 {
        u32::try_from(self.states.len()).expect("numbers of states are checked when they are given")
    }

    fn get(&self, number: u32) -> State {
        self.states[index(number)]
    }

    /// The number of the state if it is new.
    fn insert(&mut self, state: State, parent: u32) -> Option<u32> {
        if self.states.len() * 2 >= self.table.len() {
            self.grow();
        }
        let mask = self.table.len() - 1;
        let mut place = place(&state, mask);
        while self.table[place] != 0 {
            if self.states[index(self.table[place] - 1)] == state {
                return None;
            }
            place = (place + 1) & mask;
        }
        let number = self.len();
        self.table[place] = number.checked_add(1).expect("fewer states than numbers");
        self.states.push(state);
        self.parents.push(parent);
        Some(number)
    }

    fn grow(&mut self) {
        let size = (self.table.len() * 2).max(1024);
        self.table.clear();
        self.table.resize(size, 0);
        for (number, state) in (1..).zip(&self.states) {
            let mut place = place(state, size - 1);
            while self.table[place] != 0 {
                place = (place + 1) & (size - 1);
            }
            self.table[place] = number;
        }
    }
}

fn place(state: &State, mask: usize) -> usize {
    usize::try_from(state.digest()).expect("addresses have 64 bits") & mask
}

fn index(number: u32) -> usize {
    usize::try_from(number).expect("addresses have 64 bits")
}

impl Found {
    pub(crate) fn print(&self) {
        for (number, line) in (1..).zip(&self.story) {
            println!("{number:>4}. {line}");
        }
        println!("      {} is violated: {}", self.violation.promise, self.violation.what);
    }
}
