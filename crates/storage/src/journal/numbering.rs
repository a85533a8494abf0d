//! The numbers of the rows on PostgreSQL, which a replica gives after the commits (R29).
//!
//! A row that gets its number leaves a dead entry in the index of rows without one. As long as a
//! snapshot from before is open (a dump, an idle transaction), nothing can remove these entries. So
//! a look begins behind a [`Floor`], and does not read them again and again.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use platform::failure::{Failure, Suspicion};
use platform::journal::{Journal, Numbers};
use tokio::time::Instant;
use tokio_postgres::Row;

use crate::postgres::{self, Transaction};

/// How many rows one transaction numbers.
const AT_ONCE: i64 = 1000;
/// How many ids may be above the floor before it is raised.
const STEP: i64 = 1000;
/// The floor is forgotten after this time. A server that failed over to a standby that lagged
/// behind gives ids again that were used.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// A replica that is frozen with the head of the journal in its hands loses it after this time. To
/// be prepared.
pub const LEASE_POSTGRES: &str =
    "SELECT set_config('idle_in_transaction_session_timeout', $1, true)";

/// The head of the journal, and the lowest id above `$1` without a number, the highest id, and the
/// lowest id of a transaction that may still run. To be prepared.
pub const HEAD_POSTGRES: &str = "SELECT last,
            (SELECT id FROM journal WHERE no IS NULL AND id > $1 ORDER BY id LIMIT 1) AS lowest,
            coalesce((SELECT id FROM journal ORDER BY id DESC LIMIT 1), 0) AS highest,
            pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS running
     FROM journal_head";

/// The id of this transaction: higher than that of any transaction that wrote before. To be
/// prepared.
pub const OWN_POSTGRES: &str = "SELECT pg_current_xact_id()::text::bigint AS own";

/// Takes the head of the journal, unless another replica has it. To be prepared.
pub const LOCK_POSTGRES: &str = "SELECT last FROM journal_head FOR UPDATE SKIP LOCKED";

/// Numbers the rows above `$3` that are visible now, in the order of their ids, from the head on.
/// To be prepared.
pub const NUMBER_POSTGRES: &str =
    "WITH waiting AS (SELECT id FROM journal WHERE no IS NULL AND id > $3 ORDER BY id LIMIT $2),
          numbered AS (SELECT id, $1 + row_number() OVER (ORDER BY id) AS number FROM waiting),
          given AS (UPDATE journal SET no = number FROM numbered
                    WHERE journal.id = numbered.id AND journal.no IS NULL RETURNING journal.no)
     UPDATE journal_head SET last = $1 + (SELECT count(*) FROM given) RETURNING last";

/// The journal in a PostgreSQL database, as one replica numbers it.
#[derive(Debug)]
pub struct PostgresJournal {
    database: postgres::Database,
    floor: Mutex<Floor>,
    lease: Duration,
}

impl PostgresJournal {
    /// A replica that freezes while it numbers stops the feed for this long.
    pub const LEASE: Duration = Duration::from_secs(5);

    /// Makes a replica. If it freezes while it numbers, others go on after `lease`.
    pub fn new(database: postgres::Database, lease: Duration) -> Self {
        Self { database, floor: Mutex::default(), lease }
    }

    /// The id up to which this replica does not look: each row there has its number.
    pub fn floor(&self) -> i64 {
        self.known().id
    }

    fn known(&self) -> Floor {
        *self.floor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Journal for PostgresJournal {
    async fn number(&self) -> Result<Numbers, Failure> {
        let mut floor = self.known().unless_old();
        let numbering =
            async |transaction: &Transaction<'_>| number(transaction, &mut floor, self.lease).await;
        let numbers = self.database.write(numbering).await;
        // After a failure the database may be another server.
        let known = if numbers.is_ok() { floor } else { Floor::default() };
        *self.floor.lock().unwrap_or_else(PoisonError::into_inner) = known;
        numbers
    }
}

/// Numbers what waits. A transaction that finds nothing changes nothing, so its commit is no write.
///
/// The rows are read by a statement that begins under the lock. One that began before could miss a
/// row with a smaller id whose transaction commits meanwhile, and number a later entry of the same
/// order first.
async fn number(
    transaction: &Transaction<'_>,
    floor: &mut Floor,
    lease: Duration,
) -> Result<Numbers, Failure> {
    let (lease, above) = (format!("{}ms", lease.as_millis()), floor.id);
    let (kept, head) = tokio::join!(
        biased;
        transaction.query(LEASE_POSTGRES, [&lease]),
        transaction.query(HEAD_POSTGRES, [&above]),
    );
    kept?;
    let head: Head = one(&head?, HEAD_POSTGRES)?.try_into()?;
    if floor.look(&head) == Next::Mark {
        let own = transaction.query(OWN_POSTGRES, []).await?;
        let own = one(&own, OWN_POSTGRES)?.try_get("own").map_err(postgres::failure)?;
        floor.next = Some(Mark { id: head.highest, own });
    }
    if head.lowest.is_none() {
        return Ok(Numbers { last: head.last, more: false });
    }
    let locked = transaction.query(LOCK_POSTGRES, []).await?;
    let Some(locked) = locked.first() else {
        // Another replica numbers, and may have begun before the newest commits.
        return Ok(Numbers { last: head.last, more: true });
    };
    let from: i64 = locked.try_get("last").map_err(postgres::failure)?;
    let last = transaction.query(NUMBER_POSTGRES, [&from, &AT_ONCE, &floor.id]).await?;
    let last: i64 = match last.first() {
        Some(row) => row.try_get("last").map_err(postgres::failure)?,
        None => from,
    };
    Ok(Numbers { last, more: last - from == AT_ONCE })
}

/// What a look at the journal sees.
#[derive(Clone, Copy, Debug)]
struct Head {
    last: i64,
    /// The lowest id above the floor without a number.
    lowest: Option<i64>,
    highest: i64,
    /// Each transaction with a lower id is over, and the look sees what it committed.
    running: i64,
}

impl TryFrom<&Row> for Head {
    type Error = Failure;

    fn try_from(row: &Row) -> Result<Self, Failure> {
        let head = || {
            Ok(Self {
                last: row.try_get("last")?,
                lowest: row.try_get("lowest")?,
                highest: row.try_get("highest")?,
                running: row.try_get("running")?,
            })
        };
        head().map_err(postgres::failure)
    }
}

fn one<'rows>(rows: &'rows [Row], sql: &str) -> Result<&'rows Row, Failure> {
    let [row] = rows else {
        let written = rows.len() as u64;
        return Err(Suspicion::RowCount { written, expected: 1, sql: sql.to_owned() }.into());
    };
    Ok(row)
}

/// An id below which no row is without a number, and none will be.
///
/// A row with a smaller id than others may be committed later, so that all rows that are visible
/// have numbers is not enough. A transaction draws the id of its row after it has written, and so
/// after it got an id of its own. Once the highest id in the journal has been read, whoever has
/// drawn a lower one has a lower transaction id than a transaction that gets its own now ([`Mark`]).
/// When all those are over, no such row comes any more.
#[derive(Clone, Copy, Debug, Default)]
struct Floor {
    id: i64,
    next: Option<Mark>,
    since: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    id: i64,
    own: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Nothing,
    Mark,
}

impl Floor {
    fn unless_old(self) -> Self {
        let is_old = self.since.is_some_and(|since| since.elapsed() >= FORGET_AFTER);
        let Self { id, next, since } = if is_old { Self::default() } else { self };
        Self { id, next, since: since.or_else(|| Some(Instant::now())) }
    }

    /// Raises the floor if that is safe.
    fn look(&mut self, head: &Head) -> Next {
        if head.highest < self.id {
            // The database was set back. The look saw too little, and the next one sees all.
            *self = Self::default();
            return Next::Nothing;
        }
        if let Some(mark) = self.next
            && mark.own <= head.running
            && head.lowest.is_none_or(|lowest| mark.id < lowest)
        {
            (self.id, self.next) = (mark.id, None);
        }
        let is_far = head.highest - self.id >= STEP;
        if is_far && self.next.is_none() { Next::Mark } else { Next::Nothing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(lowest: Option<i64>, highest: i64, running: i64) -> Head {
        Head { last: 0, lowest, highest, running }
    }

    fn marked() -> Floor {
        let mut floor = Floor::default();
        assert_eq!(floor.look(&head(Some(1), STEP, 10)), Next::Mark);
        floor.next = Some(Mark { id: STEP, own: 20 });
        floor
    }

    #[test]
    fn the_floor_rises_when_all_that_ran_at_its_mark_are_over_and_their_rows_have_numbers() {
        for (lowest, running, expected) in [
            (None, 19, 0),
            (Some(STEP), 20, 0),
            (Some(7), 30, 0),
            (None, 20, STEP),
            (Some(STEP + 1), 25, STEP),
        ] {
            let mut floor = marked();
            assert_eq!(floor.look(&head(lowest, STEP + 9, running)), Next::Nothing);
            assert_eq!(floor.id, expected, "{lowest:?} {running}");
        }
    }

    #[test]
    fn a_few_rows_make_no_mark_and_one_mark_is_made_at_a_time() {
        let mut floor = Floor::default();
        assert_eq!(floor.look(&head(None, STEP - 1, 10)), Next::Nothing);
        let mut floor = marked();
        assert_eq!(floor.look(&head(None, 3 * STEP, 15)), Next::Nothing);
        assert_eq!(floor.look(&head(None, 3 * STEP, 20)), Next::Mark);
    }

    #[test]
    fn a_database_that_was_set_back_is_looked_at_from_its_beginning() {
        let mut floor = Floor { id: 5000, ..Floor::default() };
        floor.look(&head(None, 4999, 10));
        assert_eq!(floor.id, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_floor_is_forgotten_from_time_to_time() {
        let floor = Floor { id: 5000, ..Floor::default() }.unless_old();
        tokio::time::advance(FORGET_AFTER / 2).await;
        assert_eq!(floor.unless_old().id, 5000);
        tokio::time::advance(FORGET_AFTER / 2).await;
        assert_eq!(floor.unless_old().id, 0);
    }
}
