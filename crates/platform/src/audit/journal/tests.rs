use std::sync::Mutex;

use super::*;
use crate::audit::Unchecked;

/// A journal and the lengths of histories. After each page of histories, `then` happens.
#[derive(Debug, Default)]
struct Stored {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rows: Vec<(i64, Vec<Span>)>,
    unnumbered: Vec<(i64, Vec<Span>)>,
    lengths: BTreeMap<u128, i64>,
    then: Vec<fn(&mut State)>,
    /// The numbers of rows that cannot be read.
    damaged: Vec<i64>,
}

impl State {
    /// Commits entries in one row without a number.
    fn record(&mut self, keys: &[u128]) {
        let id = i64::try_from(self.rows.len() + self.unnumbered.len()).expect("a few") + 1;
        let spans = keys.iter().map(|key| {
            let length = self.lengths.entry(*key).or_default();
            *length += 1;
            Span { key: JournalKey(*key), from: *length, to: *length }
        });
        let spans = spans.collect();
        self.unnumbered.push((id, spans));
    }

    fn number(&mut self) {
        for (_, spans) in std::mem::take(&mut self.unnumbered) {
            let number = self.rows.last().map_or(1, |(last, _)| last + 1);
            self.rows.push((number, spans));
        }
    }
}

#[async_trait]
impl JournalAuditStore for Stored {
    fn name(&self, key: JournalKey) -> String {
        format!("key {}", key.0)
    }

    async fn last_number(&self) -> Result<i64, Failure> {
        Ok(self.state.lock().expect("no panic").rows.last().map_or(0, |(last, _)| *last))
    }

    async fn rows_after(
        &self,
        after: i64,
        rows: u32,
        _: u32,
    ) -> Result<Vec<JournalRow<Span>>, Failure> {
        let state = self.state.lock().expect("no panic");
        let found = state.rows.iter().filter(|(number, _)| *number > after).take(rows as usize);
        let row = |(number, spans): &(i64, Vec<Span>)| JournalRow {
            number: *number,
            entries: match state.damaged.contains(number) {
                true => Err(Failure::Suspect(Arc::new(std::io::Error::other("damaged")))),
                false => Ok(spans.clone()),
            },
        };
        Ok(found.map(row).collect())
    }

    async fn unnumbered_after(
        &self,
        after: i64,
        rows: u32,
        _: u32,
    ) -> Result<Vec<Unnumbered<Span>>, Failure> {
        let state = self.state.lock().expect("no panic");
        let found = state.unnumbered.iter().filter(|(id, _)| *id > after).take(rows as usize);
        let row =
            |(id, spans): &(i64, Vec<Span>)| Unnumbered { id: *id, entries: Ok(spans.clone()) };
        Ok(found.map(row).collect())
    }

    async fn lengths(&self, keys: Vec<JournalKey>) -> Result<Vec<(JournalKey, i64)>, Failure> {
        let state = self.state.lock().expect("no panic");
        Ok(keys.iter().filter_map(|key| Some((*key, *state.lengths.get(&key.0)?))).collect())
    }

    async fn last_key(&self) -> Result<Option<JournalKey>, Failure> {
        let state = self.state.lock().expect("no panic");
        Ok(state.lengths.keys().next_back().map(|key| JournalKey(*key)))
    }

    async fn lengths_after(
        &self,
        after: Option<JournalKey>,
        limit: u32,
    ) -> Result<Vec<(JournalKey, i64)>, Failure> {
        let mut state = self.state.lock().expect("no panic");
        let found = state.lengths.iter().filter(|(key, _)| Some(JournalKey(**key)) > after);
        let found =
            found.take(limit as usize).map(|(key, length)| (JournalKey(*key), *length)).collect();
        if let Some(then) = state.then.pop() {
            then(&mut state);
        }
        Ok(found)
    }
}

const SMALL: ReadBudget = ReadBudget { page: 2, below: 10, round: 100 };
const ALL: ReadBudget = ReadBudget { page: 2, below: 10, round: u32::MAX };

/// Three keys of three entries each, in nine rows.
fn whole() -> State {
    let mut state = State::default();
    for key in [1, 2, 1, 3, 2, 1, 3, 2, 3] {
        state.record(&[key]);
    }
    state.number();
    state
}

async fn violations(state: State, budget: ReadBudget, rounds: usize) -> Vec<String> {
    let store = Arc::new(Stored { state: Mutex::new(state) });
    let mut audit = JournalAudit::new(store, budget);
    audited(&mut audit, rounds).await.violations.into_iter().map(|one| one.offender).collect()
}

async fn audited(audit: &mut JournalAudit, rounds: usize) -> Findings {
    let mut findings = Findings::default();
    let mut left = rounds;
    while left > 0 {
        if audit.step(&mut findings).await.expect("a step") == Progress::RoundOver {
            left -= 1;
        }
    }
    findings
}

#[tokio::test]
async fn a_whole_journal_raises_no_alarm_however_often_it_is_read() {
    for budget in [SMALL, ALL] {
        assert_eq!(violations(whole(), budget, 3).await, [""; 0]);
        assert_eq!(violations(State::default(), budget, 3).await, [""; 0]);
    }
}

#[tokio::test]
async fn what_is_recorded_and_numbered_while_histories_are_counted_raises_no_alarm() {
    let mut state = whole();
    state.record(&[1, 4]);
    state.then = vec![
        |state| state.record(&[3, 4, 5]),
        |state| state.number(),
        |state| {
            state.number();
            state.record(&[1, 2, 6]);
        },
        |state| state.record(&[1, 2, 3]),
    ];
    assert_eq!(violations(state, ALL, 2).await, [""; 0]);
}

#[tokio::test]
async fn a_missing_number_is_named() {
    for budget in [SMALL, ALL] {
        let mut state = whole();
        state.rows.remove(3);
        let named = violations(state, budget, 1).await;
        assert_eq!(named[0], "the journal has no row 4, but row 5");
    }
}

#[tokio::test]
async fn entries_in_the_wrong_order_are_named() {
    for budget in [SMALL, ALL] {
        let mut state = whole();
        let swapped = state.rows[0].1[0];
        state.rows[0].1[0] = state.rows[2].1[0];
        state.rows[2].1[0] = swapped;
        let named = violations(state, budget, 1).await;
        assert_eq!(named[0], "row 1 of the journal: entry 2 of key 1 follows entry 0");
    }
}

#[tokio::test]
async fn an_entry_without_its_history_is_named() {
    let mut state = whole();
    state.lengths.insert(3, 2);
    let named = violations(state, SMALL, 1).await;
    assert_eq!(named, ["row 9 of the journal: entry 3 of key 3, which has 2"]);
    let mut state = whole();
    state.lengths.insert(3, 2);
    let named = violations(state, ALL, 1).await;
    assert_eq!(named, ["the journal has entry 3 of key 3 more often than its history"]);
}

/// Nothing in the journal shows that its last entry of a key is missing.
#[tokio::test]
async fn an_entry_that_the_journal_lacks_is_named_by_an_audit_that_reads_everything() {
    let mut state = whole();
    state.lengths.insert(2, 4);
    state.lengths.insert(9, 3);
    let mut named = violations(state, ALL, 1).await;
    named.sort();
    assert_eq!(
        named,
        ["the journal lacks 3 entries of key 9", "the journal lacks entry 4 of key 2"]
    );
    let mut state = whole();
    state.lengths.insert(2, 4);
    assert_eq!(
        violations(state, SMALL, 1).await,
        [""; 0],
        "what an audit of stretches does not see"
    );
}

/// The audit reads it as soon as it has been recorded, before its round comes to it.
#[tokio::test]
async fn a_row_that_is_damaged_while_histories_are_counted_is_no_clean_round() {
    let mut state = whole();
    state.then = vec![|state| {
        state.record(&[1]);
        state.number();
        state.damaged = vec![10];
    }];
    let named = violations(state, ALL, 1).await;
    assert_eq!(named, ["what the count of entries needs cannot be read: damaged"]);
}

#[tokio::test]
async fn a_round_that_did_not_count_to_the_end_says_so_and_the_next_one_counts() {
    let mut state = whole();
    state.lengths.insert(9, 1);
    state.then = vec![|state| state.record(&[5, 6, 7])];
    let store = Arc::new(Stored { state: Mutex::new(state) });
    let mut audit = JournalAudit { max_later: 2, ..JournalAudit::new(store, ALL) };
    let first = audited(&mut audit, 1).await;
    assert_eq!(first.violations, []);
    let why = "entries were not counted: more than 2 orders or stock keys changed meanwhile";
    assert_eq!(first.unchecked, [Unchecked { invariant: INV_13, why: why.to_owned() }]);
    audit.max_later = 3;
    let second = audited(&mut audit, 1).await;
    assert_eq!(second.unchecked, []);
    let named: Vec<_> = second.violations.into_iter().map(|one| one.offender).collect();
    assert_eq!(named, ["the journal lacks entry 1 of key 9"]);
}

#[test]
fn the_keys_that_were_seen_last_are_remembered() {
    let mut recent = Recent::new(3);
    recent.go_on_after(0);
    assert_eq!(recent.last(JournalKey(1)), Some(0), "all are known");
    for key in 1..=6 {
        recent.remember(JournalKey(key), 7);
    }
    assert_eq!([1, 4, 9].map(|key| recent.last(JournalKey(key))), [None, Some(7), None]);
    recent.went(8);
    recent.go_on_after(8);
    assert_eq!(recent.last(JournalKey(5)), Some(7));
    recent.go_on_after(8);
    assert_eq!(recent.last(JournalKey(5)), None, "the page is read again");
}
