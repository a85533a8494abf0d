//! What can happen next, and what comes of it.

use super::state::{Entries, NONE, Place, Relay, Row, State, Writer};
use super::{Bounds, Flaw, names};
use crate::states::{Violation, broken};

/// One step of one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Writer(u8, Write),
    Relay(u8, Number),
    Reader(Read),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Write {
    /// It locks the next of its orders. With the last lock it reads whether it was done before.
    Lock,
    Draw,
    /// It writes its row, which nobody sees yet.
    Insert,
    Commit,
    /// It commits, and its replica does not learn of it.
    CommitUnheard,
    /// It fails, or its replica dies.
    Fail,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    /// It locks the head, if that is free, and reads the last number.
    Lock,
    /// It reads the committed rows without a number.
    Read,
    /// Nobody sees the numbers yet.
    Write,
    Commit,
    /// Its process dies, and so its transaction ends.
    Die,
    /// It is frozen for so long that the server ends its transaction.
    Freeze,
    /// It finds that its transaction was ended.
    Wake,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// It reads a page.
    Fetch,
    /// It keeps the page and the cursor behind it, both or none.
    Keep,
    /// It dies, and begins again at its cursor.
    Die,
}

/// What is explored: the bounds, and the mistake if one is planted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) bounds: Bounds,
    pub(super) flaw: Option<Flaw>,
}

impl Rules {
    fn has(self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// Everything that can happen next, except that a transaction waits for a lock.
    pub(super) fn enabled(self, state: &State, steps: &mut Vec<Step>) {
        for (index, writer) in (0..).zip(&state.writers) {
            let Some(next) = self.next_of_writer(state, index) else { continue };
            steps.extend(next.map(|next| Step::Writer(index, next)));
            if next == Some(Write::Commit) {
                steps.push(Step::Writer(index, Write::CommitUnheard));
            }
            // One that has done nothing yet fails without a trace.
            if writer.locked != 0 || writer.id != 0 {
                steps.push(Step::Writer(index, Write::Fail));
            }
        }
        for (index, relay) in (0..).zip(&state.relays[..self.bounds.relays]) {
            steps.extend(self.next_of_relay(state, index).map(|next| Step::Relay(index, next)));
            if *relay != Relay::IDLE && !relay.is_ended {
                steps.push(Step::Relay(index, Number::Die));
                if !self.has(Flaw::NoLease) {
                    steps.push(Step::Relay(index, Number::Freeze));
                }
            }
        }
        if state.reader.page.is_some() {
            steps.extend([Step::Reader(Read::Keep), Step::Reader(Read::Die)]);
        } else if self.page(state).is_some() {
            steps.push(Step::Reader(Read::Fetch));
        }
    }

    /// What a transaction does next: `None` if it is over, `Some(None)` if it waits for a lock.
    pub(super) fn next_of_writer(self, state: &State, index: u8) -> Option<Option<Write>> {
        let Writer { attempts, locked, id, has_written } = state.writers[usize::from(index)];
        if attempts == 0 {
            return None;
        }
        let missing = self.orders(index) & !locked;
        Some(if id == 0 && (missing == 0 || self.has(Flaw::DrawsBeforeLocks)) {
            Some(Write::Draw)
        } else if missing != 0 {
            let is_free = state.writers.iter().all(|other| other.locked & lowest(missing) == 0);
            is_free.then_some(Write::Lock)
        } else if has_written {
            Some(Write::Commit)
        } else {
            Some(Write::Insert)
        })
    }

    /// What a relay does next; `None` if another one has the head.
    pub(super) fn next_of_relay(self, state: &State, index: u8) -> Option<Number> {
        let Relay { has_head, has_read, has_written, is_ended, .. } =
            state.relays[usize::from(index)];
        let may_write = !is_ended || has_read && has_head && self.has(Flaw::WritesAfterLease);
        if !may_write {
            return Some(Number::Wake);
        }
        let reads_first = self.has(Flaw::ReadsBeforeLock);
        if !has_read && (has_head || reads_first) {
            Some(Number::Read)
        } else if !has_head {
            let is_free = state.holder == NONE || self.has(Flaw::NoLock);
            is_free.then_some(Number::Lock)
        } else if has_written {
            Some(Number::Commit)
        } else {
            Some(Number::Write)
        }
    }

    /// The state after a step.
    ///
    /// # Errors
    ///
    /// A violation that the state after it would not show.
    pub(super) fn after(self, state: &State, step: Step) -> Result<State, Violation> {
        let mut next = *state;
        match step {
            Step::Writer(index, write) => self.write(&mut next, index, write)?,
            Step::Relay(index, number) => self.number(&mut next, index, number),
            Step::Reader(Read::Fetch) => next.reader.page = self.page(state),
            Step::Reader(Read::Die) => next.reader.page = None,
            Step::Reader(Read::Keep) => {
                let (page, at) = next.reader.page.take().expect("it has read a page");
                next.reader.at = at;
                if !page.list().iter().all(|entry| next.reader.kept.add(*entry)) {
                    return broken("R29", "the reader gets more entries than there are");
                }
            }
        }
        Ok(next)
    }

    pub(super) fn orders(self, writer: u8) -> u8 {
        self.bounds.orders[usize::from(writer)]
    }

    fn write(self, state: &mut State, index: u8, step: Write) -> Result<(), Violation> {
        let orders = self.orders(index);
        let writer = &mut state.writers[usize::from(index)];
        let row = &mut state.rows[usize::from(index)];
        let again = Writer { attempts: writer.attempts - 1, ..Writer::default() };
        match step {
            Write::Lock => {
                writer.locked |= lowest(orders & !writer.locked);
                if writer.locked == orders && row.commit != 0 {
                    *writer = Writer::default();
                }
            }
            Write::Draw => {
                state.drawn += 1;
                writer.id = state.drawn;
            }
            Write::Insert => writer.has_written = true,
            Write::Commit | Write::CommitUnheard => {
                if row.commit != 0 {
                    return broken("INV-13", format!("what {} did is there twice", names(orders)));
                }
                state.commits += 1;
                *row = Row { commit: state.commits, id: writer.id, number: 0 };
                *writer = if step == Write::Commit { Writer::default() } else { again };
            }
            Write::Fail => *writer = again,
        }
        Ok(())
    }

    fn number(self, state: &mut State, index: u8, step: Number) {
        let relay = &mut state.relays[usize::from(index)];
        match step {
            Number::Lock => {
                relay.has_head = true;
                relay.from = state.last;
                if !self.has(Flaw::NoLock) {
                    state.holder = index;
                }
            }
            Number::Read => {
                let waiting = state.waiting();
                let relay = &mut state.relays[usize::from(index)];
                if waiting.is_empty() {
                    end(state, index, Relay::IDLE);
                    return;
                }
                relay.has_read = true;
                let numbered = waiting.into_iter().take(usize::from(self.bounds.at_once));
                relay.rows.iter_mut().zip(numbered).for_each(|(row, writer)| *row = writer);
            }
            Number::Write => relay.has_written = true,
            Number::Commit => {
                let Relay { from, rows, .. } = *relay;
                let mut given = 0;
                for (number, writer) in (from + 1..).zip(rows.into_iter().filter(|at| *at != NONE))
                {
                    // The statement looks again at rows that it has waited for.
                    let row = &mut state.rows[usize::from(writer)];
                    if row.number == 0 {
                        row.number = number;
                        given += 1;
                    }
                }
                state.last = from + given;
                end(state, index, Relay::IDLE);
            }
            Number::Die | Number::Wake => end(state, index, Relay::IDLE),
            Number::Freeze => {
                let relay = if self.has(Flaw::WritesAfterLease) { *relay } else { Relay::IDLE };
                end(state, index, Relay { is_ended: true, ..relay });
            }
        }
    }

    /// What the reader finds behind its cursor, if there is anything.
    fn page(self, state: &State) -> Option<(Entries, Place)> {
        let by_ids = self.has(Flaw::FollowsIds);
        let mut at = state.reader.at;
        let (mut page, mut count) = (Entries::default(), 0);
        while count < self.bounds.page {
            let key = |row: &Row| if by_ids { row.id } else { row.number };
            let behind = state.committed().map(|(writer, row)| (key(row), writer));
            let behind = behind.filter(|(key, _)| *key >= at.row);
            let Some((key, writer)) = behind.min().filter(|(key, _)| by_ids || *key == at.row)
            else {
                break;
            };
            let entries = state.entries(writer, self.bounds);
            let skipped = if key == at.row { at.entry } else { 0 };
            let left = entries.iter().skip(usize::from(skipped));
            let mut taken = 0;
            for entry in left.take(usize::from(self.bounds.page - count)) {
                page.add(*entry);
                taken += 1;
            }
            count += taken;
            at = if usize::from(skipped + taken) < entries.len() {
                Place { row: key, entry: skipped + taken }
            } else {
                Place { row: key + 1, entry: 0 }
            };
        }
        (count > 0).then_some((page, at))
    }
}

/// Ends the transaction of a relay, which may be left with what it believes.
fn end(state: &mut State, index: u8, left: Relay) {
    state.relays[usize::from(index)] = left;
    if state.holder == index {
        state.holder = NONE;
    }
}

/// The lowest bit.
fn lowest(bits: u8) -> u8 {
    bits & bits.wrapping_neg()
}
