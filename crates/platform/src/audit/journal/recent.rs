//! The last entries of the keys that were seen last.

use std::collections::BTreeMap;

use super::JournalKey;

/// Remembers at least as many keys as it is told to, and at most twice as many.
#[derive(Debug)]
pub(super) struct Recent {
    at_least: usize,
    newer: BTreeMap<JournalKey, i64>,
    older: BTreeMap<JournalKey, i64>,
    /// Up to which number the journal was read.
    read_to: i64,
    /// Whether a page was begun and not finished.
    in_a_page: bool,
    /// Whether every key since the first row is remembered.
    all: bool,
}

impl Recent {
    pub(super) fn new(at_least: usize) -> Self {
        let (newer, older) = (BTreeMap::new(), BTreeMap::new());
        Self { at_least, newer, older, read_to: 0, in_a_page: false, all: false }
    }

    /// Begins a page. What is remembered is forgotten if the page does not follow the last one, or
    /// if the last step failed in the middle of its page, which is then read again.
    pub(super) fn go_on_after(&mut self, after: i64) {
        if self.in_a_page || self.read_to != after {
            self.forget();
        }
        if after == 0 {
            self.forget();
            self.all = true;
        }
        self.in_a_page = true;
    }

    /// Ends a page, which was read up to a number.
    pub(super) fn went(&mut self, to: i64) {
        self.read_to = to;
        self.in_a_page = false;
    }

    pub(super) fn forget(&mut self) {
        self.newer.clear();
        self.older.clear();
        self.all = false;
    }

    /// The last entry of a key; 0 if it has none, and `None` if that is not known.
    pub(super) fn last(&self, key: JournalKey) -> Option<i64> {
        let known = self.newer.get(&key).or_else(|| self.older.get(&key)).copied();
        known.or(self.all.then_some(0))
    }

    pub(super) fn remember(&mut self, key: JournalKey, last: i64) {
        self.newer.insert(key, last);
        if self.newer.len() >= self.at_least {
            self.all &= self.older.is_empty();
            self.older = std::mem::take(&mut self.newer);
        }
    }
}
