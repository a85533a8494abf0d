//! The life of a process: workers that must not die, and a shutdown in stages (R18, R19).

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::failure::Chain;

/// How long a shutdown may take as a whole (R19: within 30 s, with some to spare).
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(25);

/// The order in which a process stops: each stage ends before the next is told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The HTTP server: takes no more requests and finishes the ones it has.
    Serve,
    /// Consumers and sweepers: finish their tick, acknowledge.
    Work,
    /// Committers: execute what is queued.
    Commit,
    /// Relays: publish what is queued.
    Relay,
    /// The server of the probes, if it has an address of its own: it tells until the end that nothing is accepted.
    Probe,
}

/// A worker that ended although nobody had told it to, or a shutdown that took too long. The process must end.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Died(String);

#[derive(Debug)]
struct Group {
    token: CancellationToken,
    tasks: JoinSet<(&'static str, Result<(), String>)>,
}

/// Everything that runs in a process.
#[derive(Debug, Default)]
pub struct Workers {
    stages: BTreeMap<Stage, Group>,
}

impl Workers {
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a worker. It gets its stage's token and must return, without an error, soon after that is cancelled.
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
    /// **Errors:** a worker that died before, by error, panic or return: nothing is drained, the caller ends the
    /// process with a non-zero code (R18).
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), Died> {
        tokio::select! {
            () = shutdown.cancelled() => {}
            died = self.first_death() => return Err(died),
        }
        info!("shutting down");
        let stopping = tokio::time::timeout(SHUTDOWN_LIMIT, self.stop());
        stopping.await.unwrap_or_else(|_| {
            Err(Died(format!("not everything stopped within {SHUTDOWN_LIMIT:?}")))
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
            Ok((name, Ok(()))) => Died(format!("{name} ended although nobody had told it to")),
            Ok((name, Err(error))) => Died(format!("{name} died: {error}")),
            Err(panic) => Died(format!("a worker panicked: {panic}")),
        }
    }

    async fn stop(self) -> Result<(), Died> {
        for mut group in self.stages.into_values() {
            group.token.cancel();
            while let Some(ended) = group.tasks.join_next().await {
                match ended {
                    Ok((_, Ok(()))) => {}
                    Ok((name, Err(error))) => {
                        return Err(Died(format!("{name} died while stopping: {error}")));
                    }
                    Err(panic) => {
                        return Err(Died(format!("a worker panicked while stopping: {panic}")));
                    }
                }
            }
        }
        Ok(())
    }
}

/// A token that is cancelled by SIGTERM or Ctrl-C. A second signal ends the process at once.
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
        assert_eq!(died.to_string(), "committer died: a corrupt page");
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
