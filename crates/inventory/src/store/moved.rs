//! What both engines keep in the same form: the entries of the journal, 12 bytes each. A row has one
//! entry per stock key that its transaction moved.

use std::collections::BTreeMap;

use inventory_core::decide::StockChange;
use inventory_core::stock::Movement;
use platform::audit::{JournalKey, Span};
use platform::failure::Failure;
use platform::journal::Recorded;
use storage::Misfit;

use super::{StockEntry, StockMoved, StockPosition, Stored};

/// The number of the last movement (8 bytes, big-endian), and how many movements there are (4).
pub(super) const LENGTH: usize = 12;

/// The movements of one transaction at one stock key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    /// The number of the last one.
    pub(super) last_movement: i64,
    /// How many they are; at least 1.
    pub(super) count: u32,
}

/// The entries that a decision makes.
pub(super) fn pack(changes: &[StockChange]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(changes.len() * LENGTH);
    for StockChange { before, after, .. } in changes {
        let count = after.last_seq.saturating_sub(before.last_seq);
        packed.extend_from_slice(&after.last_movement.to_be_bytes());
        packed.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
    }
    packed
}

/// One entry, unless it has no movement.
pub(super) fn unpack(packed: [u8; LENGTH]) -> Option<Moved> {
    let (last_movement, rest) = packed.split_first_chunk::<8>()?;
    let (count, _) = rest.split_first_chunk::<4>()?;
    let last_movement = i64::from_be_bytes(*last_movement);
    let count = u32::from_be_bytes(*count);
    (count > 0).then_some(Moved { last_movement, count })
}

/// The numbers of the movements that the entries name.
pub(super) fn numbers(entries: &[Recorded<Moved>]) -> Vec<i64> {
    entries.iter().map(|recorded| recorded.entry.last_movement).collect()
}

/// The entries with what their movements say. An entry fails alone if its movement is missing, cannot
/// be decoded, or is one of fewer than the entry says.
pub(super) fn entries(
    entries: Vec<Recorded<Moved>>,
    movements: Vec<Stored<i64, Movement>>,
) -> Vec<Recorded<StockEntry>> {
    let movements = movements.into_iter().map(|Stored { key, row }| (key, row));
    let movements: BTreeMap<i64, Result<Movement, Failure>> = movements.collect();
    let entry = |Recorded { entry, next }: Recorded<Moved>| {
        let misfit = || Misfit::new("journal", next.commit, "entries", "not what the ledger has");
        let moved = match movements.get(&entry.last_movement) {
            Some(Ok(movement)) => entry.of(movement).ok_or_else(|| misfit().into()),
            Some(Err(failure)) => Err(failure.clone()),
            None => Err(misfit().into()),
        };
        Recorded { entry: StockEntry { last_movement: entry.last_movement, moved }, next }
    };
    entries.into_iter().map(entry).collect()
}

/// The key of a stock key in the audit of the journal. The database gives numbers from 1 on.
pub(super) fn key(position: StockPosition) -> JournalKey {
    let [product, location] = [position.product_no, position.location_no]
        .map(|number| u128::from(number.cast_unsigned()));
    JournalKey(product << 32 | location)
}

/// The stock key with this key.
pub(super) fn position_of(JournalKey(key): JournalKey) -> StockPosition {
    let half = |bits: u128| u32::try_from(bits & u128::from(u32::MAX)).unwrap_or_default();
    let [product_no, location_no] = [key >> 32, key].map(|bits| half(bits).cast_signed());
    StockPosition { product_no, location_no }
}

impl Moved {
    /// The entry as the audit reads it. `last` is where its last movement is, and its place there.
    ///
    /// # Errors
    ///
    /// [`Misfit`] if the movement does not exist.
    pub(super) fn span(self, last: Option<(StockPosition, i64)>) -> Result<Span, Misfit> {
        let Self { last_movement, count } = self;
        let missing = || Misfit::new("movements", last_movement, "movement_no", "missing");
        let (position, to) = last.ok_or_else(missing)?;
        Ok(Span { key: key(position), from: to.saturating_sub(i64::from(count) - 1), to })
    }

    /// The entry with what its last movement says; `None` if its ledger has fewer movements.
    pub(super) fn of(self, last: &Movement) -> Option<StockMoved> {
        let to_seq = last.seq();
        let from_seq = to_seq - i64::from(self.count) + 1;
        (from_seq > 0).then(|| StockMoved {
            product_id: last.product_id.clone(),
            location_id: last.location_id.clone(),
            from_seq,
            to_seq,
            level: last.after,
            at_micros: last.created_at_micros,
            last_movement: last.number(),
        })
    }
}

#[cfg(test)]
mod tests {
    use contract::LocationId;
    use inventory_core::stock::Level;

    use super::*;

    fn level(last_seq: i64, last_movement: i64) -> Level {
        Level { last_seq, last_movement, ..Level::default() }
    }

    #[test]
    fn an_entry_has_the_last_movement_of_a_stock_key_and_how_many_there_are() {
        let change = |before, after| StockChange {
            product_id: "MUG".parse().expect("an id"),
            location_id: LocationId::main(),
            before,
            after,
        };
        let packed =
            pack(&[change(level(0, 0), level(1, 7)), change(level(3, 5), level(6, i64::MAX))]);
        let (entries, rest) = packed.as_chunks::<LENGTH>();
        assert!(rest.is_empty());
        let entries: Vec<_> = entries.iter().map(|entry| unpack(*entry)).collect();
        let moved = |last_movement, count| Some(Moved { last_movement, count });
        assert_eq!(entries, [moved(7, 1), moved(i64::MAX, 3)]);
        assert_eq!(unpack([0; LENGTH]), None);
    }
}
