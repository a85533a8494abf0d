//! Decides which rows of a growing table a round of the audit reads.

/// A walk over a table that is sorted by a key, while rows are added at its end, perhaps faster
/// than the audit reads.
///
/// A round reads two stretches of bounded length. The first has the rows that are new since the
/// last round, up to the last row at its beginning. The second continues a pass over the older
/// rows, which reaches every row over several rounds: also new rows that exceeded the bound, and
/// rows that were written late with a key that is not the highest.
#[derive(Clone, Copy, Debug)]
pub struct Walk<K> {
    at_most: u32,
    /// The last row at the beginning of the last round.
    known: Option<K>,
    newer: Stretch<K>,
    older: Stretch<K>,
}

#[derive(Clone, Copy, Debug)]
struct Stretch<K> {
    after: Option<K>,
    up_to: Option<K>,
    /// How many of its rows may still be read in this round.
    left: u32,
}

/// The rows to read next: the first `limit` ones with `after < key ≤ up_to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<K> {
    /// The key before the page; `None` at the beginning of the table.
    pub after: Option<K>,
    /// The highest key that belongs to the page.
    pub up_to: K,
    /// The most rows to read.
    pub limit: u32,
}

impl<K: Copy + Ord> Walk<K> {
    /// Makes a walk whose rounds read at most `at_most` new rows and as many older ones.
    pub fn new(at_most: u32) -> Self {
        let nothing = Stretch { after: None, up_to: None, left: 0 };
        Self { at_most, known: None, newer: nothing, older: nothing }
    }

    /// Begins a round. `last` is the last key in the table.
    pub fn begin(&mut self, last: Option<K>) {
        if self.older.is_over() {
            self.older = Stretch { after: None, up_to: self.known, left: 0 };
        }
        self.older.left = self.at_most;
        self.newer = Stretch { after: self.known, up_to: last, left: self.at_most };
        self.known = last;
    }

    /// Returns the next page, of at most `rows` rows, or `None` when the round is over.
    pub fn page(&self, rows: u32) -> Option<Page<K>> {
        let Stretch { after, up_to, left } =
            *[&self.newer, &self.older].into_iter().find(|its| its.goes_on())?;
        Some(Page { after, up_to: up_to?, limit: rows.min(left) })
    }

    /// Notes that `rows` rows of the page were read, up to the key `to`, or to the page's end if
    /// that is `None`.
    pub fn went(&mut self, to: Option<K>, rows: usize) {
        let stretch = if self.newer.goes_on() { &mut self.newer } else { &mut self.older };
        stretch.after = to.or(stretch.up_to);
        stretch.left = stretch.left.saturating_sub(u32::try_from(rows).unwrap_or(u32::MAX));
    }
}

impl<K: Ord> Stretch<K> {
    fn is_over(&self) -> bool {
        self.after >= self.up_to
    }

    fn goes_on(&self) -> bool {
        self.left > 0 && !self.is_over()
    }
}

impl<K: Ord> Page<K> {
    /// Keeps the rows that belong to the page.
    pub fn of<T>(&self, mut rows: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
        rows.retain(|row| key(row) <= self.up_to);
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of numbers and a walk through it.
    struct Table {
        rows: Vec<u32>,
        walk: Walk<u32>,
    }

    impl Table {
        fn walked(at_most: u32) -> Self {
            Self { rows: Vec::new(), walk: Walk::new(at_most) }
        }

        /// Runs a round in pages of four, adds `added` rows after each, and returns what it read.
        fn round(&mut self, added: u32) -> Vec<u32> {
            self.walk.begin(self.rows.last().copied());
            let mut read = Vec::new();
            while let Some(page) = self.walk.page(4) {
                let rows = self.rows.iter().copied().filter(|row| Some(*row) > page.after);
                let rows = page.of(rows.take(page.limit as usize).collect(), |row| *row);
                self.walk.went(rows.last().copied(), rows.len());
                read.extend(rows);
                self.grow(added);
            }
            read
        }

        fn grow(&mut self, rows: u32) {
            let next = self.rows.last().map_or(1, |last| last + 1);
            self.rows.extend(next..next + rows);
        }
    }

    #[test]
    fn a_round_reads_what_is_new_and_then_a_stretch_of_what_is_older() {
        let mut table = Table::walked(5);
        assert!(table.round(0).is_empty(), "nothing is there");
        table.grow(5);
        assert_eq!(table.round(0), [1, 2, 3, 4, 5]);
        table.grow(3);
        assert_eq!(table.round(0), [6, 7, 8, 1, 2, 3, 4, 5]);
        assert_eq!(table.round(0), [1, 2, 3, 4, 5]);
        table.grow(1);
        assert_eq!(
            table.round(0),
            [9, 6, 7, 8],
            "the pass that began before ends where it was to end"
        );
    }

    #[test]
    fn a_round_that_reads_all_reads_each_once() {
        let mut table = Table::walked(u32::MAX);
        table.grow(10);
        assert_eq!(
            table.round(3),
            (1..=10).collect::<Vec<_>>(),
            "what is added meanwhile is the next round's"
        );
        let mut all = table.round(0);
        all.sort_unstable();
        assert_eq!(all, table.rows);
    }

    #[test]
    fn a_table_that_grows_faster_than_it_is_read_is_read_all_the_same() {
        let mut table = Table::walked(8);
        table.grow(20);
        let mut unread: std::collections::BTreeSet<u32> = table.rows.iter().copied().collect();
        while !unread.is_empty() {
            let first_new = table.walk.known.map_or(1, |known| known + 1);
            let read = table.round(10);
            assert!(read.len() <= 16, "a round is bounded: {read:?}");
            assert!(read.contains(&first_new), "and begins with what is new");
            unread.retain(|row| !read.contains(row));
            assert!(table.rows.len() < 1000, "{unread:?} were never read");
        }
    }

    #[test]
    fn rows_that_disappear_or_come_late_are_no_hindrance() {
        let mut table = Table::walked(8);
        table.grow(10);
        table.round(0);
        table.rows.remove(0);
        table.rows.pop();
        assert_eq!(table.round(0), [2, 3, 4, 5, 6, 7, 8, 9]);
        table.rows.insert(0, 1);
        assert!([table.round(0), table.round(0)].concat().contains(&1));
    }
}
