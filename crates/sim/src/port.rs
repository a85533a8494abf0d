//! The faults of a replica's ports: every call passes here before and after, and may crash, wait or
//! fail.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use platform::failure::{Cause, Failure};

use crate::config::Fault;
use crate::coverage::{self, UnknownCommit, Work};
use crate::node::Node;
use crate::world::World;

/// How long a transaction waits for a row that another one has locked.
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);

/// A replica's end of its ports.
#[derive(Clone)]
pub(crate) struct Port {
    pub(crate) world: Arc<World>,
    pub(crate) node: Node,
    /// A read has failed fatally, after which nothing is written (R18).
    is_broken: Arc<AtomicBool>,
}

impl std::fmt::Debug for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Port of {}", self.node)
    }
}

/// What is known of a transaction before it runs.
pub(crate) struct About {
    pub(crate) what: &'static str,
    /// The rows that the transaction locks before it decides. It waits for transactions that have
    /// locked one of them.
    pub(crate) rows: Vec<String>,
    pub(crate) works: BTreeSet<Work>,
}

impl About {
    /// A transaction of the service itself, which no client waits for.
    pub(crate) fn own(what: &'static str) -> Self {
        Self { what, rows: Vec::new(), works: BTreeSet::new() }
    }
}

/// The fate of a transaction.
enum Fate {
    Done,
    NotDone(Failure),
    UnknownDone,
    UnknownNotDone,
    UnknownLate,
}

impl Port {
    pub(crate) fn of(world: Arc<World>, node: Node) -> Self {
        Self { world, node, is_broken: Arc::default() }
    }

    /// Takes some time. A replica that crashes here does not return.
    pub(crate) async fn pass(&self, point: &'static str) {
        if self.world.faults.happens(Fault::Crashes) {
            self.die(point).await;
        }
        self.take_time().await;
    }

    async fn die(&self, point: &'static str) {
        self.world.crash(self.node, point);
        std::future::pending::<()>().await;
    }

    async fn take_time(&self) {
        let world = &self.world;
        if world.faults.happens(Fault::Slowness) {
            tokio::time::sleep(world.random.millis(100..=4000)).await;
        } else if world.random.chance(400) {
            tokio::time::sleep(world.random.millis(0..=3)).await;
        }
    }

    /// Stands still, sometimes for longer than a lease lasts.
    pub(crate) async fn freeze(&self) {
        if self.world.faults.happens_often(Fault::Slowness) {
            let longest = *self.world.random.pick(&[5_000, 60_000]);
            tokio::time::sleep(self.world.random.millis(0..=longest)).await;
        }
    }

    /// Executes `work`, one transaction of the database. Returns the result that the replica gets.
    pub(crate) async fn transact<T: Send + 'static>(
        &self,
        about: About,
        work: BoxFuture<'static, Result<T, Failure>>,
    ) -> Result<T, Failure> {
        self.pass("before its transaction begins").await;
        let world = &self.world;
        let node = self.node;
        let About { what, rows, works } = about;
        let done = works.clone();
        self.until_unlocked(what, &rows).await?;
        let heard = match self.fate() {
            Fate::Done => work.await,
            Fate::NotDone(failure) => {
                world.trace.event(|| format!("{what} of {node} is not done: {failure}"));
                Err(failure)
            }
            Fate::UnknownDone => {
                work.await?;
                coverage::count_unknown(&works, UnknownCommit::Done);
                world.trace.event(|| format!("{what} of {node} is done, and its result is lost"));
                Err(unknown())
            }
            Fate::UnknownNotDone => {
                coverage::count_unknown(&works, UnknownCommit::NotDone);
                world
                    .trace
                    .event(|| format!("{what} of {node} is not done, and its result is lost"));
                Err(unknown())
            }
            Fate::UnknownLate => {
                world.trace.event(|| format!("{what} of {node} will land later"));
                self.land_later(rows, works, work);
                Err(unknown())
            }
        };
        // Deadlines are few, and their worker must survive that, too.
        let is_deadline = done.contains(&Work::Deadline);
        let dies = world.faults.happens(Fault::Crashes)
            || is_deadline && world.faults.happens_often(Fault::Crashes);
        if dies {
            if heard.is_ok() {
                coverage::count_unknown(&done, UnknownCommit::Died);
            }
            self.die("after its transaction").await;
        }
        self.take_time().await;
        heard
    }

    /// Waits until no late commit holds the rows, but not for ever.
    async fn until_unlocked(&self, what: &'static str, rows: &[String]) -> Result<(), Failure> {
        let world = &self.world;
        let node = self.node;
        let unlocked = world.locks.until_unlocked(node.service, rows);
        if tokio::time::timeout(LOCK_TIMEOUT, unlocked).await.is_err() {
            world.trace.event(|| format!("{what} of {node} is not done: its rows are locked"));
            return Err(Failure::Unavailable(cause("its rows are locked")));
        }
        Ok(())
    }

    /// Executes a read, which may fail.
    pub(crate) async fn read<T>(
        &self,
        what: &'static str,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        self.pass(what).await;
        let found = match self.failure() {
            Some(failure) => {
                self.world.trace.event(|| format!("{what} fails for {}: {failure}", self.node));
                self.is_broken.fetch_or(matches!(failure, Failure::Fatal(_)), Ordering::Relaxed);
                Err(failure)
            }
            None => work.await,
        };
        self.pass("after a read").await;
        found
    }

    /// Commits later, without the replica. The transaction has already decided, so its rows stay
    /// locked until the late COMMIT arrives.
    fn land_later<T: Send + 'static>(
        &self,
        rows: Vec<String>,
        works: BTreeSet<Work>,
        work: BoxFuture<'static, Result<T, Failure>>,
    ) {
        let world = self.world.clone();
        let node = self.node;
        world.locks.lock(node.service, &rows);
        let delay = world.random.millis(1..=*world.random.pick(&[50, 1000, 20_000]));
        self.world.executor.spawn(None, async move {
            tokio::time::sleep(delay).await;
            let landed = work.await;
            world.locks.unlock(node.service, &rows);
            if landed.is_ok() {
                coverage::count_unknown(&works, UnknownCommit::DoneLater);
            }
            world.trace.event(|| {
                format!(
                    "a commit of {node} has landed: {}",
                    if landed.is_ok() { "done" } else { "void" }
                )
            });
        });
    }

    /// A failure, if one happens here and now.
    fn failure(&self) -> Option<Failure> {
        let world = &self.world;
        if self.is_broken.load(Ordering::Relaxed) || world.faults.happens(Fault::DiskErrors) {
            return Some(Failure::Fatal(cause("a disk error")));
        }
        let failures: [fn(Cause) -> Failure; 3] =
            [Failure::Busy, Failure::Unavailable, Failure::Full];
        world
            .faults
            .happens(Fault::Aborts)
            .then(|| world.random.pick(&failures)(cause("the database said so")))
    }

    fn fate(&self) -> Fate {
        let world = &self.world;
        if let Some(failure) = self.failure() {
            return Fate::NotDone(failure);
        }
        let fates = [
            (Fault::UnknownDone, Fate::UnknownDone),
            (Fault::UnknownNotDone, Fate::UnknownNotDone),
            (Fault::LateCommits, Fate::UnknownLate),
        ];
        fates
            .into_iter()
            .find(|(fault, _)| world.faults.happens(*fault))
            .map_or(Fate::Done, |(_, fate)| fate)
    }
}

fn unknown() -> Failure {
    Failure::Unknown(cause("the connection was lost"))
}

fn cause(why: &'static str) -> Cause {
    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Made(&'static str);
    Arc::new(Made(why))
}
