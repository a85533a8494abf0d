//! The audit of a journal (INV-13): its numbers have no gap, and what it tells about each key (an
//! order, a stock key) is each entry of its history once and in order.
//!
//! Every audit checks the rows by themselves: that no number is missing, and that the entries of a
//! key follow one another along the numbers. It remembers the keys that it saw last, so it does not
//! see entries in the wrong order with more than [`MIN_REMEMBERED`] other keys between them.
//!
//! A missing entry cannot be seen from the journal alone. An audit that reads everything in one
//! round counts both sides: what the journal tells up to the number that it had at the beginning,
//! and what the keys have, but for what was recorded later. An audit beside requests reads
//! stretches, and sees a missing entry only where a later one of the same key follows. Instead it
//! looks up that what the journal tells is there.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Audit, Findings, Invariant, Page, Progress, ReadBudget, Walk};
use crate::failure::Failure;
use crate::journal::{JournalRow, Unnumbered};

mod balance;
mod recent;

use balance::Balance;
use recent::Recent;

/// INV-13.
pub const INV_13: Invariant = Invariant {
    name: "INV-13",
    says: "what was committed is in the feed once, in its order, under numbers without gaps",
    counted: "journal entries",
};

/// The fewest keys whose last entry is remembered while a stretch is read.
const MIN_REMEMBERED: usize = 50_000;
/// The most keys that may change while an audit counts. With more it does not count to the end,
/// says so, and counts again in the next round.
const MAX_LATER: usize = 1_000_000;

/// What a row of the journal tells about one key: entries of its history, numbered from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Whose history it is.
    pub key: JournalKey,
    /// The first entry.
    pub from: i64,
    /// The last entry.
    pub to: i64,
}

/// A key that a journal tells of, which the store chooses. Keys sort by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JournalKey(pub u128);

/// What the audit reads of a journal and of the keys that it tells of.
///
/// Each call reads one snapshot of the last commit.
///
/// # Errors
///
/// Every call may be retried, unless it returns [`Failure::Fatal`].
#[async_trait]
pub trait JournalAuditStore: Send + Sync + fmt::Debug {
    /// Returns what an operator calls a key.
    fn name(&self, key: JournalKey) -> String;

    /// Returns the highest number of a row; 0 if there is none.
    async fn last_number(&self) -> Result<i64, Failure>;

    /// Returns the first `rows` rows with a number above `after`, sorted by number; but after the
    /// first only as long as they have at most `entries` entries.
    async fn rows_after(
        &self,
        after: i64,
        rows: u32,
        entries: u32,
    ) -> Result<Vec<JournalRow<Span>>, Failure>;

    /// Returns the first `rows` rows without a number whose id is above `after`, sorted by id,
    /// limited in the same way.
    async fn unnumbered_after(
        &self,
        after: i64,
        rows: u32,
        entries: u32,
    ) -> Result<Vec<Unnumbered<Span>>, Failure>;

    /// Returns the number of the last entry of each of these keys that exists.
    async fn lengths(&self, keys: Vec<JournalKey>) -> Result<Vec<(JournalKey, i64)>, Failure>;

    /// Returns the highest key.
    async fn last_key(&self) -> Result<Option<JournalKey>, Failure>;

    /// Returns the same as [`lengths`](Self::lengths) of the first `limit` keys after `after`,
    /// sorted.
    async fn lengths_after(
        &self,
        after: Option<JournalKey>,
        limit: u32,
    ) -> Result<Vec<(JournalKey, i64)>, Failure>;
}

/// Audits a journal page by page.
///
/// A round reads the rows that are new since the last round, and a stretch of older ones. No alarm
/// is false: a row never changes once it has its number, and a history only grows.
#[derive(Debug)]
pub struct JournalAudit {
    store: Arc<dyn JournalAuditStore>,
    budget: ReadBudget,
    walk: Walk<i64>,
    recent: Recent,
    phase: Phase,
    max_later: usize,
}

/// Where a round is.
#[derive(Debug)]
enum Phase {
    /// Between two rounds.
    Idle,
    /// It reads the journal, and counts it if the round reads all of it.
    Rows(Option<Count>),
    /// It reads the histories.
    Histories(Count),
}

/// Both sides of the count: what the journal tells up to a number, and what the histories have.
#[derive(Debug)]
struct Count {
    balance: Balance,
    /// The last key whose history was counted.
    after: Option<JournalKey>,
    /// The last key when the round began. Keys that came later have nothing to count.
    up_to: Option<JournalKey>,
    later: Later,
}

/// What was recorded since the round began: the first entry of each key.
#[derive(Debug)]
struct Later {
    read_to: i64,
    first: BTreeMap<JournalKey, i64>,
}

impl JournalAudit {
    /// Makes an audit. One with [`ReadBudget::LONG`] also counts.
    pub fn new(store: Arc<dyn JournalAuditStore>, budget: ReadBudget) -> Self {
        let walk = Walk::new(budget.round);
        let recent = Recent::new(MIN_REMEMBERED);
        Self { store, budget, walk, recent, phase: Phase::Idle, max_later: MAX_LATER }
    }

    async fn begin(&mut self) -> Result<(), Failure> {
        let last = self.store.last_number().await?;
        let up_to = self.store.last_key().await?;
        self.walk.begin((last > 0).then_some(last));
        let later = Later { read_to: last, first: BTreeMap::new() };
        let count = Count { balance: Balance::default(), after: None, up_to, later };
        self.phase = Phase::Rows((self.budget.round == u32::MAX).then_some(count));
        Ok(())
    }

    /// Judges a page of rows.
    async fn step_through_rows(
        &mut self,
        page: Page<i64>,
        findings: &mut Findings,
    ) -> Result<(), Failure> {
        let after = page.after.unwrap_or(0);
        let rows = self.store.rows_after(after, page.limit, self.budget.below).await?;
        let rows = page.of(rows, |row| row.number);
        let spans: Vec<Span> =
            rows.iter().flat_map(|row| row.entries.iter().flatten()).copied().collect();
        let counts = matches!(self.phase, Phase::Rows(Some(_)));
        let lengths = if counts { None } else { Some(self.lengths(&spans).await?) };
        findings.read(rows.len());
        findings.checked(INV_13, spans.len());
        judge_numbers(page, &rows, findings);
        self.recent.go_on_after(after);
        for JournalRow { number, entries } in &rows {
            let row = format!("row {number} of the journal");
            let Some(spans) = findings.readable(INV_13, row, entries.clone())? else {
                self.recent.forget();
                self.count_no_more();
                continue;
            };
            for span in spans {
                self.judge(*number, span, findings);
                if let Some(lengths) = &lengths {
                    self.judge_existence(*number, span, lengths, findings);
                }
            }
        }
        if let Phase::Rows(Some(count)) = &mut self.phase {
            spans.iter().for_each(|span| count.balance.recorded(*span));
        }
        let last = rows.last().map(|row| row.number);
        self.recent.went(last.unwrap_or(page.up_to));
        self.walk.went(last, rows.len());
        Ok(())
    }

    /// Checks that the entries follow those that were recorded before about the same key.
    fn judge(&mut self, number: i64, span: Span, findings: &mut Findings) {
        let Span { key, from, to } = span;
        findings.demand(INV_13, 1 <= from && from <= to, || {
            format!(
                "row {number} of the journal: entries {from} to {to} of {}",
                self.store.name(key)
            )
        });
        let before = self.recent.last(key);
        findings.demand(INV_13, before.is_none_or(|before| from == before + 1), || {
            let before = before.unwrap_or_default();
            let name = self.store.name(key);
            format!("row {number} of the journal: entry {from} of {name} follows entry {before}")
        });
        self.recent.remember(key, to);
    }

    /// Checks that the history has what the journal tells. It was read after the row.
    fn judge_existence(
        &self,
        number: i64,
        span: Span,
        lengths: &BTreeMap<JournalKey, i64>,
        findings: &mut Findings,
    ) {
        let length = lengths.get(&span.key).copied().unwrap_or(0);
        findings.demand(INV_13, span.to <= length, || {
            let (to, name) = (span.to, self.store.name(span.key));
            format!("row {number} of the journal: entry {to} of {name}, which has {length}")
        });
    }

    async fn lengths(&self, spans: &[Span]) -> Result<BTreeMap<JournalKey, i64>, Failure> {
        let mut keys: Vec<JournalKey> = spans.iter().map(|span| span.key).collect();
        keys.sort_unstable();
        keys.dedup();
        Ok(self.store.lengths(keys).await?.into_iter().collect())
    }

    /// What was damaged cannot be counted.
    fn count_no_more(&mut self) {
        if let Phase::Rows(count) = &mut self.phase {
            *count = None;
        }
    }

    /// Counts a page of histories. Returns whether it was the last one.
    async fn step_through_histories(
        &self,
        count: &mut Count,
        findings: &mut Findings,
    ) -> Result<bool, Failure> {
        let lengths = self.store.lengths_after(count.after, self.budget.page).await?;
        // Whatever a history had when it was read was recorded before.
        self.read_later(&mut count.later).await?;
        findings.read(lengths.len());
        for (key, length) in &lengths {
            let later = count.later.first.get(key).copied().unwrap_or(i64::MAX);
            count.balance.has(Span { key: *key, from: 1, to: (later - 1).min(*length) });
        }
        count.after = lengths.last().map(|(key, _)| *key).or(count.up_to);
        Ok(count.after >= count.up_to || self.are_too_many(&count.later))
    }

    fn are_too_many(&self, later: &Later) -> bool {
        later.first.len() > self.max_later
    }

    /// Reads on what was recorded since the round began, those rows first that have no number: they
    /// may get one meanwhile.
    async fn read_later(&self, later: &mut Later) -> Result<(), Failure> {
        let ReadBudget { page, below, .. } = self.budget;
        let mut after = 0;
        loop {
            let rows = self.store.unnumbered_after(after, page, below).await?;
            let Some(last) = rows.last().map(|row| row.id) else { break };
            rows.into_iter().try_for_each(|row| later.add(row.entries?))?;
            after = last;
        }
        let last = self.store.last_number().await?;
        while later.read_to < last {
            let rows = self.store.rows_after(later.read_to, page, below).await?;
            let Some(number) = rows.last().map(|row| row.number) else { break };
            rows.into_iter().try_for_each(|row| later.add(row.entries?))?;
            later.read_to = number;
        }
        Ok(())
    }
}

impl Later {
    fn add(&mut self, spans: Vec<Span>) -> Result<(), Failure> {
        for Span { key, from, .. } in spans {
            let first = self.first.entry(key).or_insert(from);
            *first = from.min(*first);
        }
        Ok(())
    }
}

/// Checks that no number of the page is missing.
fn judge_numbers<T>(page: Page<i64>, rows: &[JournalRow<T>], findings: &mut Findings) {
    let mut expected = page.after.unwrap_or(0) + 1;
    let last = rows.is_empty().then_some(page.up_to + 1);
    for number in rows.iter().map(|row| row.number).chain(last) {
        findings.demand(INV_13, number == expected, || {
            format!("the journal has no row {expected}, but row {number}")
        });
        expected = number + 1;
    }
}

#[async_trait]
impl Audit for JournalAudit {
    fn invariants(&self) -> Vec<Invariant> {
        vec![INV_13]
    }

    async fn step(&mut self, findings: &mut Findings) -> Result<Progress, Failure> {
        if let Phase::Idle = self.phase {
            self.begin().await?;
        }
        if let Phase::Rows(_) = self.phase {
            if let Some(page) = self.walk.page(self.budget.page) {
                self.step_through_rows(page, findings).await?;
                return Ok(Progress::UnderWay);
            }
            self.phase = match std::mem::replace(&mut self.phase, Phase::Idle) {
                Phase::Rows(Some(count)) => Phase::Histories(count),
                _ => return Ok(Progress::RoundOver),
            };
        }
        let Phase::Histories(mut count) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return Ok(Progress::RoundOver);
        };
        let step = self.step_through_histories(&mut count, findings).await;
        match step {
            Ok(true) if self.are_too_many(&count.later) => {
                let most = self.max_later;
                let why = format!(
                    "entries were not counted: more than {most} orders or stock keys changed meanwhile"
                );
                findings.left_unchecked(INV_13, why);
                Ok(Progress::RoundOver)
            }
            Ok(true) => {
                count.balance.judge(&|key| self.store.name(key), findings);
                Ok(Progress::RoundOver)
            }
            // What is damaged cannot be counted.
            Err(failure @ Failure::Suspect(_)) => {
                findings.readable(
                    INV_13,
                    "what the count of entries needs",
                    Err::<(), _>(failure),
                )?;
                Ok(Progress::RoundOver)
            }
            Ok(false) => {
                self.phase = Phase::Histories(count);
                Ok(Progress::UnderWay)
            }
            Err(failure) => {
                self.phase = Phase::Histories(count);
                Err(failure)
            }
        }
    }
}

#[cfg(test)]
mod tests;
