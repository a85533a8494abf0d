//! A summary of what happened, for a page that shows a busy shop: how many events of each type, and
//! what they were about.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

/// The most subjects that a summary names.
const MAX_SUBJECTS: usize = 50;

/// The data of a message of the type `summary`.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Summary {
    /// How many events of each type there were.
    counts: BTreeMap<&'static str, u64>,
    /// What the newest were about, each once, newest first.
    subjects: Vec<String>,
    /// How many events there were.
    events: usize,
}

impl Summary {
    /// Sums up entries, which come oldest first.
    pub(super) fn of<'a, T: 'a>(
        entries: impl DoubleEndedIterator<Item = &'a T> + ExactSizeIterator + Clone,
        event_type: impl Fn(&T) -> &'static str,
        subject: impl Fn(&T) -> Option<String>,
    ) -> Self {
        let mut counts = BTreeMap::new();
        for entry in entries.clone() {
            *counts.entry(event_type(entry)).or_default() += 1;
        }
        let events = entries.len();
        let mut known = HashSet::new();
        let mut subjects = Vec::new();
        for subject in entries.rev().filter_map(subject) {
            if known.insert(subject.clone()) {
                subjects.push(subject);
            }
            if subjects.len() == MAX_SUBJECTS {
                break;
            }
        }
        Self { counts, subjects, events }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(entries: &[(&'static str, u32)]) -> Summary {
        Summary::of(entries.iter(), |(name, _)| name, |(_, about)| Some(about.to_string()))
    }

    #[test]
    fn a_summary_counts_each_type_and_names_the_newest_subjects_once() {
        let seen = summary(&[("a", 1), ("b", 2), ("a", 1), ("a", 3)]);
        let expected = serde_json::json!({
            "counts": {"a": 3, "b": 1}, "subjects": ["3", "1", "2"], "events": 4,
        });
        assert_eq!(serde_json::to_value(seen).expect("JSON"), expected);
    }

    #[test]
    fn a_summary_names_at_most_fifty_subjects() {
        let entries: Vec<_> = (0..1000).map(|about| ("a", about)).collect();
        let seen = summary(&entries);
        assert_eq!((seen.events, seen.subjects.len()), (1000, MAX_SUBJECTS));
        assert_eq!((seen.subjects[0].as_str(), seen.subjects[49].as_str()), ("999", "950"));
    }
}
