//! Natural batching: the commands that queue up while a commit runs are the next batch.
//!
//! A request hands a command to a [`Batcher`] and waits. A [`Committer`] takes everything that is
//! queued, commits it once, and answers each command (R2). A single command is a batch of one;
//! there is no second path.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::trace::SpanContext;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::failure::{Chain, Failure, NotDone, Suspicion};
use crate::telemetry::{QueueLength, traces};
use traced::BatchSpans;

pub use traced::{TracedCommand, TracedCommits};

mod traced;

/// The most commands in one commit.
pub const MAX_BATCH: usize = 2000;
/// The most commands that wait for a commit.
pub const MAX_QUEUE: usize = 10_000;
/// How long a request may wait for its commit before it is answered `overloaded`.
const REQUEST_WAIT: Duration = Duration::from_secs(10);
/// How much of that a command may spend in the queue. A command that begins later would finish
/// after its client has left; under lasting overload that would soon be every command.
const QUEUE_WAIT: Duration = Duration::from_secs(8);
/// How long after the request's deadline its answer is still awaited.
const GRACE: Duration = Duration::from_secs(1);
/// How often a batch is retried when the database is busy or away.
const MAX_RERUNS: u32 = 20;
/// The pause before the first retry. It grows with each, up to ten times as much.
const RERUN_PAUSE: Duration = Duration::from_millis(20);

/// Executes batches of commands `C`, each of which gets an answer `A`.
#[async_trait]
pub trait Commit<C, A>: Send + Sync {
    /// Returns how long a batch that follows one of several commands waits for more: where a commit
    /// costs much, fewer and larger ones take all of them further. Committers side by side wait one
    /// after the other.
    fn linger(&self) -> Duration {
        Duration::ZERO
    }

    /// Executes a batch in one transaction. Returns one answer per command, in order.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether anything was written and whether the committer may retry.
    async fn commit(&self, batch: Arc<[C]>) -> Result<Vec<A>, Failure>;

    /// Returns what traces say about the commits; `None` if they are in no trace.
    fn traced(&self) -> Option<TracedCommits> {
        None
    }

    /// Returns what traces say about a command; `None` if it is in no trace.
    fn traced_command<'c>(&self, _command: &'c C) -> Option<TracedCommand<'c>> {
        None
    }
}

struct Item<C, A> {
    command: C,
    /// The command is never begun after this (R2).
    begin_by: Instant,
    claim: Claim,
    /// The span of the request that waits, if its trace is exported.
    request: Option<SpanContext>,
    waiter: Waiter<A>,
}

/// Who waits for the answer to a command.
struct Waiter<A> {
    deadline: Instant,
    reply: oneshot::Sender<Result<A, NotDone>>,
}

/// The right to begin a command or to give it up. The committer and the waiting request compete for
/// it; the first to take it has it.
#[derive(Clone, Default)]
struct Claim(Arc<AtomicBool>);

impl Claim {
    fn take(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }
}

/// A handle that submits commands to a committer. Clones share its queue.
///
/// The committer ends when the last handle is dropped and the queue is empty.
pub struct Batcher<C, A> {
    queue: mpsc::Sender<Item<C, A>>,
}

impl<C, A> Clone for Batcher<C, A> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone() }
    }
}

impl<C, A> fmt::Debug for Batcher<C, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batcher").field("free", &self.queue.capacity()).finish()
    }
}

impl<C: Clone + Send + Sync + 'static, A: Send + 'static> Batcher<C, A> {
    /// Makes a queue of [`MAX_QUEUE`] commands and its committer, which calls `observe` for each
    /// batch.
    pub fn new(commit: Arc<dyn Commit<C, A>>, observe: Observe) -> (Self, Committer<C, A>) {
        let (queue, commands) = mpsc::channel(MAX_QUEUE);
        let commands = Arc::new(Mutex::new(commands));
        (Self { queue }, Committer { commands, commit, observe })
    }

    /// Returns a function that says how many commands are queued. It does not keep the committer
    /// alive.
    pub fn length(&self) -> QueueLength {
        let queue = self.queue.downgrade();
        Box::new(move || queue.upgrade().map_or(0, |queue| MAX_QUEUE - queue.capacity()))
    }

    /// Executes one command for a request: waits for the commit, never for room in the queue (R17).
    ///
    /// Dropping the call cancels the waiting, not the command (R2).
    ///
    /// # Errors
    ///
    /// [`NotDone`] says why there is no answer. Only after [`NotDone::OutcomeUnknown`] may the
    /// command have been executed.
    pub async fn submit(&self, command: C) -> Result<A, NotDone> {
        let now = Instant::now();
        self.submit_by(command, now + QUEUE_WAIT, now + REQUEST_WAIT).await
    }

    /// A command still queued at `begin_by` is never executed.
    async fn submit_by(
        &self,
        command: C,
        begin_by: Instant,
        deadline: Instant,
    ) -> Result<A, NotDone> {
        let (reply, mut answer) = oneshot::channel();
        let claim = Claim::default();
        let waiter = Waiter { deadline, reply };
        let request = traces::current().and_then(|_| traces::of_request());
        let item = Item { command, begin_by, claim: claim.clone(), request, waiter };
        self.queue.try_send(item).map_err(|full_or_closed| match full_or_closed {
            mpsc::error::TrySendError::Full(_) => NotDone::Overloaded,
            mpsc::error::TrySendError::Closed(_) => NotDone::ShuttingDown,
        })?;
        // If the committer died or its database does not answer, the outcome is unknown.
        let not_done = |answer: Result<_, _>| answer.unwrap_or(Err(NotDone::OutcomeUnknown));
        if let Ok(answer) = tokio::time::timeout_at(begin_by, &mut answer).await {
            return not_done(answer);
        }
        if claim.take() {
            return Err(NotDone::Overloaded);
        }
        tokio::time::timeout_at(deadline + GRACE, answer)
            .await
            .map_or(Err(NotDone::OutcomeUnknown), not_done)
    }

    /// Executes commands for a worker, which also waits for room in the queue. Returns one result
    /// per command, in order.
    ///
    /// At most [`MAX_BATCH`] of them are in the queue at a time, so that requests find room too.
    pub async fn submit_all(&self, commands: Vec<C>, deadline: Instant) -> Vec<Result<A, NotDone>> {
        let mut results = Vec::with_capacity(commands.len());
        let mut commands = commands.into_iter();
        while commands.len() > 0 {
            let step: Vec<_> = commands.by_ref().take(MAX_BATCH).collect();
            results.extend(self.submit_chunk(step, deadline).await);
        }
        results
    }

    /// Queues the commands together, so that they are not split into two batches.
    async fn submit_chunk(&self, commands: Vec<C>, deadline: Instant) -> Vec<Result<A, NotDone>> {
        let request = traces::current().and_then(|_| traces::of_request());
        let item = |command| {
            let (reply, answer) = oneshot::channel();
            let (request, waiter) = (request.clone(), Waiter { deadline, reply });
            (Item { command, begin_by: deadline, claim: Claim::default(), request, waiter }, answer)
        };
        let (items, answers): (Vec<_>, Vec<_>) = commands.into_iter().map(item).unzip();
        // A closed queue drops the items with their reply channels, which the wait below notices.
        if let Ok(slots) = self.queue.reserve_many(items.len()).await {
            slots.zip(items).for_each(|(slot, item)| slot.send(item));
        }
        let mut results = Vec::with_capacity(answers.len());
        for answer in answers {
            results.push(answer.await.unwrap_or(Err(NotDone::OutcomeUnknown)));
        }
        results
    }
}

/// What a committer reports about its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executed {
    /// A batch of this many commands begins.
    Begun {
        /// How many.
        commands: usize,
    },
    /// A batch was committed, or an attempt to commit it has failed.
    Attempted {
        /// How long the attempt took.
        took: Duration,
    },
}

/// Called for every batch that is executed.
pub type Observe = Arc<dyn Fn(Executed) + Send + Sync>;

/// A worker that executes queued commands. Clones share its queue, so several run side by side.
pub struct Committer<C, A> {
    commands: Arc<Mutex<mpsc::Receiver<Item<C, A>>>>,
    commit: Arc<dyn Commit<C, A>>,
    observe: Observe,
}

impl<C, A> Clone for Committer<C, A> {
    fn clone(&self) -> Self {
        Self {
            commands: self.commands.clone(),
            commit: self.commit.clone(),
            observe: self.observe.clone(),
        }
    }
}

impl<C, A> fmt::Debug for Committer<C, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Committer")
    }
}

impl<C: Clone + Send + Sync + 'static, A: Send + 'static> Committer<C, A> {
    /// Executes batches until every [`Batcher`] is dropped, or until `shutdown` is cancelled and
    /// the queue is empty.
    ///
    /// # Errors
    ///
    /// [`Failure::Fatal`] only; the process must end (R18).
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Failure> {
        let linger = self.commit.linger();
        let mut was_shared = false;
        loop {
            let mut batch = Vec::new();
            {
                let mut commands = self.commands.lock().await;
                let is_closed = commands.is_closed();
                tokio::select! {
                    biased;
                    () = shutdown.cancelled(), if !is_closed => commands.close(),
                    count = commands.recv_many(&mut batch, MAX_BATCH) => if count == 0 { return Ok(()) },
                }
                let may_grow = batch.len() < MAX_BATCH && !commands.is_closed();
                if !linger.is_zero() && was_shared && may_grow {
                    tokio::time::sleep(linger).await;
                    while batch.len() < MAX_BATCH
                        && let Ok(item) = commands.try_recv()
                    {
                        batch.push(item);
                    }
                }
            }
            was_shared = batch.len() > 1;
            self.execute(batch).await?;
        }
    }

    /// Executes what is queued now, up to [`MAX_BATCH`] commands, and returns how many there were.
    ///
    /// # Errors
    ///
    /// As [`Self::run`].
    pub async fn tick(&self) -> Result<usize, Failure> {
        let mut batch = Vec::new();
        {
            let mut commands = self.commands.lock().await;
            while batch.len() < MAX_BATCH
                && let Ok(item) = commands.try_recv()
            {
                batch.push(item);
            }
        }
        let count = batch.len();
        self.execute(batch).await.map(|()| count)
    }

    #[cfg(test)]
    async fn queued(&self) -> usize {
        self.commands.lock().await.len()
    }

    async fn execute(&self, queued: Vec<Item<C, A>>) -> Result<(), Failure> {
        let now = Instant::now();
        let (live, late): (Vec<_>, Vec<_>) =
            queued.into_iter().partition(|item| item.begin_by > now && item.claim.take());
        reply_all(late.into_iter().map(|item| item.waiter), NotDone::Overloaded);
        if live.is_empty() {
            return Ok(());
        }
        (self.observe)(Executed::Begun { commands: live.len() });
        let mut spans = traces::current().and_then(|traces| {
            let commands = live.iter().map(|item| (&item.command, item.request.as_ref()));
            BatchSpans::begin(traces, &*self.commit, commands)
        });
        let (commands, waiters): (Vec<_>, Vec<_>) =
            live.into_iter().map(|item| (item.command, item.waiter)).unzip();
        let commands: Arc<[C]> = commands.into();
        let Err(batch) = self.attempt(commands.clone(), waiters, false).await else {
            return Ok(());
        };
        if let Some(spans) = &mut spans {
            spans.fail(&batch.failure);
        }
        match &batch.failure {
            Failure::Suspect(cause) if batch.waiters.len() > 1 => {
                warn!(batch_size = batch.waiters.len(), reason = %Chain(&**cause), "batch failed, executing its commands one by one");
                for (command, waiter) in commands.iter().zip(batch.waiters) {
                    let command = Arc::new([command.clone()]);
                    if let Err(alone) = self.attempt(command, vec![waiter], batch.may_be_done).await
                    {
                        alone.give_up()?;
                    }
                }
                Ok(())
            }
            _ => batch.give_up(),
        }
    }

    /// Commits the commands and replies to their waiters, or returns those with the last failure.
    /// `may_be_done` says whether an earlier attempt may have been committed.
    async fn attempt(
        &self,
        batch: Arc<[C]>,
        waiters: Vec<Waiter<A>>,
        mut may_be_done: bool,
    ) -> Result<(), Failed<A>> {
        let last_deadline = waiters.iter().map(|waiter| waiter.deadline).max();
        let mut reruns = 0;
        let mut pauses = 0;
        loop {
            let begun = Instant::now();
            let committed = self.commit.commit(batch.clone()).await;
            (self.observe)(Executed::Attempted { took: begun.elapsed() });
            let failure = match committed {
                Ok(answers) if answers.len() == waiters.len() => {
                    for (waiter, answer) in waiters.into_iter().zip(answers) {
                        // It may have left; its command is executed anyway.
                        let _ = waiter.reply.send(Ok(answer));
                    }
                    return Ok(());
                }
                Ok(answers) => {
                    Suspicion::AnswerCount { answers: answers.len(), commands: waiters.len() }
                        .into()
                }
                Err(failure) => failure,
            };
            // After an unknown commit, the batch is decided again from the stored state with the
            // same ids, so that it cannot count twice (R4).
            let in_time = last_deadline.is_some_and(|deadline| Instant::now() < deadline);
            may_be_done |= matches!(failure, Failure::Unknown(_));
            let again = in_time && may_run_again(&failure, waiters.len(), reruns);
            if !again {
                return Err(Failed { waiters, failure, may_be_done });
            }
            reruns += u32::from(!matches!(failure, Failure::Unknown(_)));
            pauses += 1;
            tokio::time::sleep(RERUN_PAUSE * pauses.min(10)).await;
        }
    }
}

/// Whether a batch that failed may succeed in another run, after `reruns` of them.
fn may_run_again(failure: &Failure, commands: usize, reruns: u32) -> bool {
    match failure {
        Failure::Unknown(_) => true,
        // A database that restarts or fails over is often back within this time.
        Failure::Busy(_) | Failure::Unavailable(_) => reruns < MAX_RERUNS,
        // Another transaction may have inserted the conflicting row: retry once with it.
        Failure::Suspect(_) => commands == 1 && reruns == 0,
        Failure::Full(_) | Failure::Fatal(_) => false,
    }
}

/// Commands that the committer gives up, and why.
struct Failed<A> {
    /// Who waits for these commands.
    waiters: Vec<Waiter<A>>,
    failure: Failure,
    /// Whether one of the attempts may have been committed, whatever the last one returned (R4).
    may_be_done: bool,
}

impl<A> Failed<A> {
    fn give_up(self) -> Result<(), Failure> {
        let Self { waiters, failure, may_be_done } = self;
        error!(batch_size = waiters.len(), error = %Chain(&failure), "commit failed, giving up its commands");
        let not_done = match failure {
            // Only the restart shows whether the commands were executed.
            Failure::Fatal(_) => {
                reply_all(waiters, NotDone::OutcomeUnknown);
                return Err(failure);
            }
            _ if may_be_done => NotDone::OutcomeUnknown,
            Failure::Busy(_) => NotDone::Overloaded,
            Failure::Unknown(_) => NotDone::OutcomeUnknown,
            Failure::Unavailable(_) => NotDone::Unavailable,
            Failure::Full(_) => NotDone::StorageFull,
            Failure::Suspect(_) => NotDone::Poisoned,
        };
        reply_all(waiters, not_done);
        Ok(())
    }
}

fn reply_all<A>(waiters: impl IntoIterator<Item = Waiter<A>>, not_done: NotDone) {
    for waiter in waiters {
        let _ = waiter.reply.send(Err(not_done));
    }
}

#[cfg(test)]
mod tests;
