//! The workers of a process, which must not die, and its shutdown in stages (R18, R19).

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::failure::Chain;

/// How long a whole shutdown may take. R19 allows 30 s; the rest is a margin.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(25);
/// How long closing the databases may take after a worker died, or after that limit.
const CLOSE_LIMIT: Duration = Duration::from_secs(4);

/// The stages of a shutdown, in order: each ends before the next is cancelled (R19).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The HTTP server: accepts no more requests and finishes those in flight.
    Serve,
    /// Consumers and sweepers: finish their tick and acknowledge.
    Work,
    /// Committers: execute what is queued.
    Commit,
    /// Relays: publish what is queued.
    Relay,
    /// The databases: close their files. This stage also runs if a worker died.
    Close,
    /// The server of the probes, if it has an address of its own: it reports "not ready" until the
    /// end.
    Probe,
}

/// A worker that ended before the shutdown, or a shutdown that took too long. The process must end
/// with a non-zero code (R18).
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Died(String);

#[derive(Debug)]
struct Group {
    token: CancellationToken,
    tasks: JoinSet<Ended>,
}

/// The name of a worker, and its error.
type Ended = (&'static str, Result<(), String>);

/// The workers of a process, by stage.
#[derive(Debug, Default)]
pub struct Workers {
    stages: BTreeMap<Stage, Group>,
}

impl Workers {
    /// Returns a process without workers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a worker. It gets its stage's token, and must return `Ok` soon after that is
    /// cancelled.
    pub fn spawn<W, R, E>(&mut self, stage: Stage, name: &'static str, worker: W)
    where
        W: FnOnce(CancellationToken) -> R,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: std::error::Error + Send + 'static,
    {
        let empty = || Group { token: CancellationToken::new(), tasks: JoinSet::new() };
        let group = self.stages.entry(stage).or_insert_with(empty);
        let work = worker(group.token.clone());
        group
            .tasks
            .spawn(async move { (name, work.await.map_err(|error| Chain(&error).to_string())) });
    }

    /// Runs until `shutdown`, then stops stage by stage.
    ///
    /// # Errors
    ///
    /// Returns an error if a worker returns or panics before `shutdown`: nothing is drained, the
    /// databases are closed, and the caller ends the process with a non-zero code (R18). Also if a
    /// worker fails while it stops, or the shutdown takes longer than its limit.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), Died> {
        let ended = tokio::select! {
            () = shutdown.cancelled() => self.stop_in_time().await,
            died = self.first_death() => Err(died),
        };
        if ended.is_err() {
            self.close().await;
        }
        ended
    }

    /// Closes the databases and stops nothing else, for a process that cannot go on.
    pub async fn close(&mut self) {
        let Some(mut group) = self.stages.remove(&Stage::Close) else { return };
        group.token.cancel();
        let closing = async {
            while let Some(ended) = group.tasks.join_next().await {
                if let Err(Died(reason)) = stopped(ended) {
                    error!(reason, "a database was not closed");
                }
            }
        };
        if tokio::time::timeout(CLOSE_LIMIT, closing).await.is_err() {
            error!(limit_s = CLOSE_LIMIT.as_secs(), "the databases were not closed in time");
        }
    }

    async fn stop_in_time(&mut self) -> Result<(), Died> {
        info!("shutting down");
        let stopping = tokio::time::timeout(SHUTDOWN_LIMIT, self.stop());
        stopping.await.unwrap_or_else(|_| {
            Err(Died(format!("the workers did not stop within {SHUTDOWN_LIMIT:?}")))
        })
    }

    async fn first_death(&mut self) -> Died {
        let mut all = self
            .stages
            .values_mut()
            .map(|group| Box::pin(group.tasks.join_next()))
            .collect::<Vec<_>>();
        let ended = std::future::poll_fn(|context| {
            let ready = all.iter_mut().find_map(|next| match next.as_mut().poll(context) {
                std::task::Poll::Ready(Some(ended)) => Some(ended),
                _ => None,
            });
            ready.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
        });
        match ended.await {
            Ok((name, Ok(()))) => Died(format!("{name} ended before the shutdown")),
            Ok((name, Err(error))) => Died(format!("{name} failed: {error}")),
            Err(panic) => Died(format!("a worker panicked: {panic}")),
        }
    }

    async fn stop(&mut self) -> Result<(), Died> {
        for group in self.stages.values_mut() {
            group.token.cancel();
            while let Some(ended) = group.tasks.join_next().await {
                stopped(ended)?;
            }
        }
        Ok(())
    }
}

/// How a worker ended that was asked to stop.
fn stopped(ended: Result<Ended, JoinError>) -> Result<(), Died> {
    match ended {
        Ok((_, Ok(()))) => Ok(()),
        Ok((name, Err(error))) => Err(Died(format!("{name} failed while stopping: {error}"))),
        Err(panic) => Err(Died(format!("a worker panicked while stopping: {panic}"))),
    }
}

/// Returns a token that SIGTERM or Ctrl-C cancels. A second signal ends the process at once.
///
/// # Errors
///
/// Returns an error if the signal handlers cannot be installed.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let token = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let signalled = token.clone();
    tokio::spawn(async move {
        for _ in 0..2 {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if signalled.is_cancelled() {
                std::process::exit(130);
            }
            signalled.cancel();
        }
    });
    Ok(token)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test]
    async fn stages_stop_one_after_the_other() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut workers = Workers::new();
        for (stage, name) in
            [(Stage::Relay, "relay"), (Stage::Serve, "serve"), (Stage::Commit, "commit")]
        {
            let seen = seen.clone();
            workers.spawn(stage, name, |token| async move {
                token.cancelled().await;
                seen.lock().expect("the list").push(name);
                Ok::<_, Died>(())
            });
        }
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        workers.run(shutdown).await.expect("a clean shutdown");
        assert_eq!(*seen.lock().expect("the list"), ["serve", "commit", "relay"]);
    }

    #[tokio::test]
    async fn a_worker_that_dies_ends_the_run_with_its_name_and_reason() {
        let mut workers = Workers::new();
        workers.spawn(Stage::Serve, "patient", |token| async move {
            token.cancelled().await;
            Ok::<_, Died>(())
        });
        workers.spawn(Stage::Commit, "committer", |_| async {
            Err(Died("a corrupt page".to_owned()))
        });
        let died = workers.run(CancellationToken::new()).await.expect_err("a death");
        assert_eq!(died.to_string(), "committer failed: a corrupt page");
    }

    #[tokio::test]
    async fn a_death_closes_the_databases_and_drains_nothing() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut workers = Workers::new();
        for (stage, name) in [(Stage::Commit, "commit"), (Stage::Close, "close")] {
            let seen = seen.clone();
            workers.spawn(stage, name, |token| async move {
                token.cancelled().await;
                seen.lock().expect("the list").push(name);
                Ok::<_, Died>(())
            });
        }
        workers.spawn(Stage::Work, "worker", |_| async { Err(Died("no".to_owned())) });
        let died = workers.run(CancellationToken::new()).await.expect_err("a death");
        assert_eq!(died.to_string(), "worker failed: no");
        assert_eq!(*seen.lock().expect("the list"), ["close"]);
    }

    #[tokio::test]
    async fn a_worker_that_panics_ends_the_run() {
        let mut workers = Workers::new();
        workers.spawn(Stage::Work, "worker", |token| async move {
            if !token.is_cancelled() {
                panic!("boom");
            }
            Ok::<_, Died>(())
        });
        let died = workers.run(CancellationToken::new()).await.expect_err("a death");
        assert!(died.to_string().contains("panicked"), "{died}");
    }
}
