//! What the journal tells against what the histories have, in a memory that does not grow with
//! them.

use super::{INV_13, JournalKey, Span};
use crate::audit::Findings;

/// More than the entries that are likely to be wrong at once.
const BUCKETS: usize = 4096;

/// The difference between what the journal tells and what the histories have.
///
/// Each key belongs to a bucket, which adds up the entries that the journal tells and subtracts
/// those of the histories: how many they are, their keys, and their numbers. At the end all sums
/// are zero, or the sums of a bucket say which entries differ, unless several keys of one bucket
/// do.
#[derive(Debug)]
pub(super) struct Balance {
    buckets: Vec<Sums>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    entries: i128,
    high: i128,
    low: i128,
    numbers: i128,
}

impl Default for Balance {
    fn default() -> Self {
        Self { buckets: vec![Sums::default(); BUCKETS] }
    }
}

impl Balance {
    /// Counts entries of the journal.
    pub(super) fn recorded(&mut self, span: Span) {
        self.add(span, 1);
    }

    /// Counts entries of a history.
    pub(super) fn has(&mut self, span: Span) {
        self.add(span, -1);
    }

    fn add(&mut self, Span { key, from, to }: Span, sign: i128) {
        let (from, to) = (i128::from(from), i128::from(to));
        let entries = (to - from + 1).max(0);
        let [high, low] = halves(key.0).map(i128::from);
        let sums = &mut self.buckets[bucket(key.0)];
        let signed = sign * entries;
        // Damaged numbers may be of any size.
        sums.entries = sums.entries.wrapping_add(signed);
        sums.high = sums.high.wrapping_add(signed.wrapping_mul(high));
        sums.low = sums.low.wrapping_add(signed.wrapping_mul(low));
        sums.numbers = sums.numbers.wrapping_add(signed.wrapping_mul(from + to) / 2);
    }

    /// Names what differs.
    pub(super) fn judge(&self, name: &dyn Fn(JournalKey) -> String, findings: &mut Findings) {
        for (bucket, sums) in self.buckets.iter().enumerate() {
            findings.demand(INV_13, *sums == Sums::default(), || sums.offender(bucket, name));
        }
    }
}

impl Sums {
    fn offender(&self, bucket: usize, name: &dyn Fn(JournalKey) -> String) -> String {
        let several = || format!("several entries of histories differ from the journal ({self:?})");
        let Some(key) = self.key(bucket) else { return several() };
        let (name, count) = (name(key), self.entries.wrapping_abs());
        let entries = match count {
            1 => format!("entry {} of {name}", self.numbers / self.entries),
            _ => format!("{count} entries of {name}"),
        };
        match self.entries > 0 {
            true => format!("the journal has {entries} more often than its history"),
            false => format!("the journal lacks {entries}"),
        }
    }

    /// The only key that differs, if there is only one.
    fn key(&self, bucket_of_it: usize) -> Option<JournalKey> {
        let part = |sum: i128| {
            let part = sum.checked_div(self.entries)?;
            (part.wrapping_mul(self.entries) == sum).then_some(part)
        };
        let (high, low) = (part(self.high)?, part(self.low)?);
        let [high, low] = [u64::try_from(high).ok()?, u64::try_from(low).ok()?];
        let bits = (u128::from(high) << 64) | u128::from(low);
        (bucket(bits) == bucket_of_it).then_some(JournalKey(bits))
    }
}

fn halves(bits: u128) -> [u64; 2] {
    let halves = [bits >> 64, bits & u128::from(u64::MAX)];
    halves.map(|half| u64::try_from(half).unwrap_or(u64::MAX))
}

/// Keys of one moment, which are alike, are spread.
fn bucket(bits: u128) -> usize {
    let [high, low] = halves(bits);
    let mixed = (high ^ low.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 52) as usize % BUCKETS
}
