//! The states that a search has reached.

/// A state, and a hash of it.
pub(super) trait Digest: Copy + PartialEq {
    fn digest(&self) -> u64;
}

/// Every state that was reached, numbered in that order, and its first predecessor.
#[derive(Debug)]
pub(super) struct Known<S> {
    states: Vec<S>,
    parents: Vec<u32>,
    /// A hash table of the states' numbers plus one, with linear probing. Its size is a power of
    /// two, and at least half of it is empty.
    table: Vec<u32>,
}

impl<S> Default for Known<S> {
    fn default() -> Self {
        Self { states: Vec::new(), parents: Vec::new(), table: Vec::new() }
    }
}

impl<S: Digest> Known<S> {
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.states.len()).expect("numbers of states are checked when they are given")
    }

    pub(super) fn get(&self, number: u32) -> S {
        self.states[index(number)]
    }

    /// The states on the way to this one, from the first on.
    pub(super) fn path(&self, mut number: u32) -> Vec<S> {
        let mut states = vec![self.get(number)];
        while number > 0 {
            number = self.parents[index(number)];
            states.push(self.get(number));
        }
        states.reverse();
        states
    }

    /// Removes most of the states that are known. A search spends most of its time waiting for the
    /// memory, and look-ups that do not depend on each other wait together.
    pub(super) fn sift(&self, states: &mut Vec<(S, u64)>) {
        let mask = self.table.len() - 1;
        let mut first = [0; 64];
        for (first, (_, digest)) in first.iter_mut().zip(&*states) {
            *first = self.table[slot(*digest, mask)];
        }
        let mut first = first.into_iter();
        states.retain(|(state, _)| match first.next() {
            None | Some(0) => true,
            Some(number) => self.states[index(number - 1)] != *state,
        });
    }

    /// Inserts a state with its digest. Returns its number if it is new.
    pub(super) fn insert(&mut self, state: S, digest: u64, parent: u32) -> Option<u32> {
        if self.states.len() * 2 >= self.table.len() {
            self.grow();
        }
        let mask = self.table.len() - 1;
        let mut slot = slot(digest, mask);
        while self.table[slot] != 0 {
            if self.states[index(self.table[slot] - 1)] == state {
                return None;
            }
            slot = (slot + 1) & mask;
        }
        let number = self.len();
        self.table[slot] = number.checked_add(1).expect("fewer states than numbers");
        self.states.push(state);
        self.parents.push(parent);
        Some(number)
    }

    fn grow(&mut self) {
        let size = (self.table.len() * 2).max(1024);
        self.table.clear();
        self.table.resize(size, 0);
        for (number, state) in (1..).zip(&self.states) {
            let mut slot = slot(state.digest(), size - 1);
            while self.table[slot] != 0 {
                slot = (slot + 1) & (size - 1);
            }
            self.table[slot] = number;
        }
    }
}

fn slot(digest: u64, mask: usize) -> usize {
    usize::try_from(digest).expect("addresses have 64 bits") & mask
}

fn index(number: u32) -> usize {
    usize::try_from(number).expect("addresses have 64 bits")
}
