//! The documents of events, a bounded number of bytes at a time: an order with a long history is in
//! each of its events.

use platform::failure::Failure;
use platform::journal::Recorded;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::cursor::Mark;
use super::{EventSource, Feed, Found, Reader};

/// A read ends with the event by which it has this many bytes.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// How many events are read before their size is known.
const FIRST: usize = 32;

/// An event that is ready to be sent.
#[derive(Debug)]
pub(super) struct Message {
    /// Where the client continues after it.
    pub(super) next: Mark,
    pub(super) event: &'static str,
    pub(super) data: Box<RawValue>,
}

/// The events of what a read has found: all of them, or the first.
#[derive(Debug)]
pub(super) struct Documents {
    pub(super) messages: Vec<Message>,
    /// Behind the last of them; or, if they are all, behind all that was looked at.
    pub(super) next: Reader,
}

/// The bytes of some documents, from which the size of the next is guessed.
#[derive(Clone, Copy, Debug, Default)]
struct Sizes {
    documents: usize,
    bytes: usize,
}

impl Sizes {
    fn add(&mut self, bytes: usize) {
        self.documents += 1;
        self.bytes += bytes;
    }

    /// How many documents to read next, so that about [`MAX_BYTES`] are read in all.
    fn next(self) -> usize {
        match self.bytes.checked_div(self.documents) {
            None => FIRST,
            Some(average) => (MAX_BYTES.saturating_sub(self.bytes) / average.max(1)).max(1),
        }
    }
}

impl<S: EventSource> Feed<S> {
    /// Reads the events of what was found, until they have [`MAX_BYTES`].
    pub(super) async fn documents(&self, found: Found<S::Entry>) -> Result<Documents, Failure> {
        let Found { entries, next, .. } = found;
        let mut messages = Vec::with_capacity(entries.len());
        let mut sizes = Sizes::default();
        let mut left = entries.into_iter().peekable();
        while left.peek().is_some() {
            let recorded: Vec<_> = left.by_ref().take(sizes.next()).collect();
            let heads: Vec<_> = recorded.iter().map(Head::of::<S>).collect();
            let chunk = recorded.into_iter().map(|recorded| recorded.entry).collect();
            let events = self.events(chunk).await?;
            let mut heads = heads.into_iter().zip(events).peekable();
            while let Some((Head { reader, event }, its)) = heads.next() {
                let data = json(&its);
                sizes.add(data.get().len());
                messages.push(Message { next: reader.mark, event, data });
                let is_last = heads.peek().is_none() && left.peek().is_none();
                if sizes.bytes >= MAX_BYTES && !is_last {
                    return Ok(Documents { messages, next: reader });
                }
            }
        }
        Ok(Documents { messages, next })
    }
}

/// What a message has beside its document.
struct Head {
    /// Behind the entry.
    reader: Reader,
    event: &'static str,
}

impl Head {
    fn of<S: EventSource>(recorded: &Recorded<S::Entry>) -> Self {
        let mark = Feed::<S>::mark_behind(recorded);
        Self { reader: Reader { at: recorded.next, mark }, event: S::event_type(&recorded.entry) }
    }
}

/// A document: JSON without line breaks.
pub(super) fn json(value: &impl Serialize) -> Box<RawValue> {
    to_raw_value(value).expect("events have string keys and no failing serializer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_documents_are_read_at_once_and_large_ones_few_at_a_time() {
        let mut sizes = Sizes::default();
        assert_eq!(sizes.next(), FIRST);
        (0..FIRST).for_each(|_| sizes.add(2000));
        assert!(sizes.next() > 2000);
        let mut sizes = Sizes::default();
        (0..10).for_each(|_| sizes.add(400_000));
        assert_eq!(sizes.next(), 1);
    }
}
