//! The journal of a database: one row per transaction, numbered after the commit (R29). A feed of
//! events is read along these numbers.
//!
//! The numbers are dense and given under one lock, so a reader that sees number n sees all numbers
//! below it: it follows the journal with one [`Position`] and misses no entry, whatever clocks say
//! and however late a transaction commits.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::failure::{Chain, Failure};

/// How often a replica looks for rows without a number, and for numbers that others gave.
pub const PERIOD: Duration = Duration::from_millis(250);
/// The shortest pause between two looks, however many transactions commit.
const PACE: Duration = Duration::from_millis(50);

/// A place in a journal: the next entry to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The number of the row, from 1 without gaps.
    pub commit: i64,
    /// The index of the entry in its row, from 0.
    pub entry: u32,
}

impl Position {
    /// Before the first entry.
    pub const START: Self = Self { commit: 1, entry: 0 };

    /// Behind the row with this number; before the first entry if it is 0.
    pub fn behind(commit: i64) -> Self {
        Self { commit: commit + 1, entry: 0 }
    }
}

/// An entry of a journal, as it is read along the numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded<T> {
    /// What the transaction made.
    pub entry: T,
    /// The position behind it.
    pub next: Position,
}

/// The side of a journal that gives numbers.
#[async_trait]
pub trait Journal: Send + Sync + std::fmt::Debug {
    /// Numbers the rows that were committed without a number, if no other replica is doing it, and
    /// returns what is numbered then. The numbers are committed.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry. The numbers may have been given; a retry finds them.
    async fn number(&self) -> Result<Numbers, Failure>;
}

/// The numbers of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// The highest number there is; 0 if there is none.
    pub last: i64,
    /// Whether rows may be left without a number: they were too many, or another replica gives
    /// numbers now.
    pub more: bool,
}

/// A row of a journal, as an audit reads it.
#[derive(Clone, Debug)]
pub struct JournalRow<T> {
    /// Its number.
    pub number: i64,
    /// What the transaction made, or [`Failure::Suspect`] if that cannot be unpacked.
    pub entries: Result<Vec<T>, Failure>,
}

/// A row of a journal that has no number yet.
#[derive(Clone, Debug)]
pub struct Unnumbered<T> {
    /// Its id, by which it is numbered.
    pub id: i64,
    /// As in [`JournalRow`].
    pub entries: Result<Vec<T>, Failure>,
}

/// The end of a journal as this process knows it. Clones of the `Arc` share it.
#[derive(Debug)]
pub struct Tail {
    committed: Notify,
    last: watch::Sender<i64>,
}

impl Default for Tail {
    fn default() -> Self {
        Self { committed: Notify::new(), last: watch::Sender::new(0) }
    }
}

impl Tail {
    /// Tells that a transaction of this process has committed.
    pub fn committed(&self) {
        self.committed.notify_one();
    }

    /// Tells the highest number of a row.
    pub fn reached(&self, last: i64) {
        self.last.send_if_modified(|known| {
            let is_new = *known < last;
            *known = (*known).max(last);
            is_new
        });
    }

    /// Returns the highest number of a row that this process knows; 0 if there is none.
    pub fn last(&self) -> i64 {
        *self.last.borrow()
    }

    /// Waits until there is an entry at `position` or behind it.
    pub async fn wait_for(&self, position: Position) {
        let mut last = self.last.subscribe();
        // The sender lives as long as `self`.
        let _ = last.wait_for(|last| position.commit <= *last).await;
    }
}

/// The worker that numbers a journal: woken by commits of this process, and by a timer for those of
/// others.
#[derive(Debug)]
pub struct Numbering {
    /// The service's name in logs.
    pub service: &'static str,
    /// Which journal.
    pub journal: Arc<dyn Journal>,
    /// Who is told how far it is numbered.
    pub tail: Arc<Tail>,
}

impl Numbering {
    /// Numbers until `shutdown`.
    ///
    /// # Errors
    ///
    /// [`Failure::Fatal`] only; the process must end (R18).
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Failure> {
        let mut is_failing = false;
        while !shutdown.is_cancelled() {
            let begun = Instant::now();
            match self.tick().await {
                Err(failure @ Failure::Fatal(_)) => return Err(failure),
                // Log only the first failure and the recovery.
                Err(failure) if !is_failing => {
                    let error = Chain(&failure);
                    warn!(service = self.service, %error, "numbering of events failed, retrying");
                    is_failing = true;
                }
                Err(_) => {}
                Ok(()) if is_failing => {
                    warn!(service = self.service, "numbering of events succeeded again");
                    is_failing = false;
                }
                Ok(()) => {}
            }
            let woken = async {
                tokio::time::sleep_until(begun + PACE).await;
                self.tail.committed.notified().await;
            };
            tokio::select! {
                biased;
                () = shutdown.cancelled() => {}
                _ = tokio::time::timeout(PERIOD, woken) => {}
            }
        }
        Ok(())
    }

    /// Numbers what there is, and tells the end of the journal.
    ///
    /// # Errors
    ///
    /// Those of [`Journal::number`].
    pub async fn tick(&self) -> Result<(), Failure> {
        let Numbers { last, more } = self.journal.number().await?;
        self.tail.reached(last);
        if more {
            self.tail.committed();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
