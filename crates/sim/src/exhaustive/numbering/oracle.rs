//! What holds in every state: INV-13, and that the reader gets each entry once and in order.

use super::state::{Entry, ORDERS, State};
use super::{Bounds, name};
use crate::states::{Violation, broken};

/// Checks a state.
///
/// # Errors
///
/// The first violation.
pub(super) fn check(state: &State, bounds: Bounds) -> Result<(), Violation> {
    let numbered = state.committed().filter(|(_, row)| row.number != 0);
    let mut numbered: Vec<_> = numbered.map(|(writer, row)| (row.number, writer)).collect();
    numbered.sort_unstable();
    let dense = (1..=state.last).eq(numbered.iter().map(|(number, _)| *number));
    if !dense {
        let given: Vec<_> = numbered.iter().map(|(number, _)| *number).collect();
        let last = state.last;
        return broken("INV-13", format!("the head is {last}, and the numbers are {given:?}"));
    }
    let entries = numbered.iter().flat_map(|(_, writer)| state.entries(*writer, bounds));
    if let Some(what) = out_of_order(entries) {
        return broken("INV-13", format!("along the numbers, {what}"));
    }
    match out_of_order(state.reader.kept.list().iter().copied()) {
        Some(what) => broken("R29", format!("for the reader, {what}")),
        None => Ok(()),
    }
}

/// The first entry that is not the next one of its order.
fn out_of_order(entries: impl Iterator<Item = Entry>) -> Option<String> {
    let mut ends = [0; ORDERS];
    for Entry { order, seq } in entries {
        let end = &mut ends[usize::from(order)];
        if seq != *end + 1 {
            return Some(format!("entry {seq} of {} follows entry {end}", name(order)));
        }
        *end = seq;
    }
    None
}
