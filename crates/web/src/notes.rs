//! The worker that writes into the admin log of a service what changes none of its data.

use std::sync::Arc;
use std::time::Duration;

use platform::admin::{AdminLog, AdminNote, Requester};
use platform::failure::{Chain, Failure};
use platform::keys::Scope;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::program::Context;
use crate::{Refusals, RefusedRequest};

/// How long a note is tried again while the database is busy or away. Others wait meanwhile, and so
/// does the end of the process.
const TRIED_FOR: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Records that the service serves anyone, if it does, and the administrative requests that its edge
/// refuses.
#[derive(Debug)]
pub struct Notes {
    service: &'static str,
    log: Arc<dyn AdminLog>,
    /// Where clients are served without being asked who they are.
    serves_anyone_at: Option<String>,
    /// What the edge reports.
    refused: mpsc::Receiver<RefusedRequest>,
}

impl Notes {
    /// The worker of a service, and where the edge of the service reports what it refuses.
    pub fn of(
        service: &'static str,
        log: Arc<dyn AdminLog>,
        context: &Context,
    ) -> (Self, Refusals) {
        let (refusals, refused) = Refusals::new();
        let serves_anyone_at = context.serves_anyone_at.clone();
        (Self { service, log, serves_anyone_at, refused }, refusals)
    }

    /// Records until `shutdown`. What cannot be recorded is in the log of the program.
    ///
    /// # Errors
    ///
    /// [`Failure::Fatal`].
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), Failure> {
        if let Some(listen) = self.serves_anyone_at.take() {
            let service = self.service;
            warn!(audit = true, service, listen, "clients are not asked who they are");
            let (requester, after) = (Requester::default(), json!({"no_auth": true}));
            self.record(requester, "serves_anyone", listen, after.to_string()).await?;
        }
        loop {
            let refused = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                refused = self.refused.recv() => refused,
            };
            // Without an API, only the shutdown is left to wait for.
            let Some(refused) = refused else {
                shutdown.cancelled().await;
                return Ok(());
            };
            self.refused(refused).await?;
        }
    }

    async fn refused(&self, refused: RefusedRequest) -> Result<(), Failure> {
        let RefusedRequest { requester, request, required_scope } = refused;
        let required_scope = required_scope.map(Scope::as_str);
        let requester: Requester = requester.into();
        let Requester { actor, address, request_id } = &requester;
        let service = self.service;
        info!(
            audit = true,
            service, actor, address, request_id, request, required_scope, "a request was refused"
        );
        let after = json!({"required_scope": required_scope}).to_string();
        self.record(requester, "refused", request, after).await
    }

    async fn record(
        &self,
        requester: Requester,
        action: &'static str,
        subject: String,
        after: String,
    ) -> Result<(), Failure> {
        let note = AdminNote { requester, action, subject, after };
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let failure = match self.log.note(note.clone()).await {
                Ok(()) => return Ok(()),
                Err(failure @ Failure::Fatal(_)) => return Err(failure),
                Err(failure) => failure,
            };
            let may_pass = matches!(failure, Failure::Busy(_) | Failure::Unavailable(_));
            if !may_pass || begun.elapsed() + pause > TRIED_FOR {
                let (error, service) = (Chain(&failure), self.service);
                warn!(%error, service, "the admin log cannot be written; the entry is only in this log");
                return Ok(());
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use platform::admin::AdminEntry;

    use super::*;

    /// A log that fails so before it takes a note.
    #[derive(Debug, Default)]
    struct Log {
        failures: Mutex<Vec<Failure>>,
        tries: Mutex<usize>,
        notes: Mutex<Vec<AdminNote>>,
    }

    #[async_trait]
    impl AdminLog for Log {
        async fn page(&self, _: Option<i64>, _: u32) -> Result<Vec<AdminEntry>, Failure> {
            panic!("nobody reads it")
        }

        async fn note(&self, note: AdminNote) -> Result<(), Failure> {
            *self.tries.lock().expect("a lock") += 1;
            if let Some(failure) = self.failures.lock().expect("a lock").pop() {
                return Err(failure);
            }
            self.notes.lock().expect("a lock").push(note);
            Ok(())
        }
    }

    fn cause() -> Arc<std::fmt::Error> {
        Arc::new(std::fmt::Error)
    }

    /// Lets the worker record these, and that it serves anyone.
    async fn recorded(failures: Vec<Failure>, refused: usize) -> (Arc<Log>, Result<(), Failure>) {
        let log = Arc::new(Log { failures: Mutex::new(failures), ..Log::default() });
        let (sender, receiver) = mpsc::channel(9);
        for number in 0..refused {
            let requester = crate::Requester {
                actor: Some("key:ana".to_owned()),
                request_id: Some(format!("r-{number}")),
                address: None,
            };
            let (request, required_scope) = ("GET /x".to_owned(), Some(Scope::KeysAdmin));
            let refused = RefusedRequest { requester, request, required_scope };
            sender.try_send(refused).expect("there is room");
        }
        drop(sender);
        let serves_anyone_at = Some("0.0.0.0:80".to_owned());
        let notes =
            Notes { service: "orders", log: log.clone(), serves_anyone_at, refused: receiver };
        let shutdown = CancellationToken::new();
        let worker = tokio::spawn(notes.run(shutdown.clone()));
        tokio::time::sleep(Duration::from_secs(60)).await;
        shutdown.cancel();
        (log, worker.await.expect("it does not panic"))
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_refused_is_recorded_with_who_asked_for_it() {
        let (log, ended) = recorded(Vec::new(), 1).await;
        assert!(ended.is_ok());
        let notes = log.notes.lock().expect("a lock").clone();
        let [anyone, refused] = &notes[..] else { panic!("{notes:?}") };
        assert_eq!((anyone.action, anyone.subject.as_str()), ("serves_anyone", "0.0.0.0:80"));
        assert_eq!(anyone.requester, Requester::default());
        assert_eq!((refused.action, refused.subject.as_str()), ("refused", "GET /x"));
        assert_eq!(refused.after, r#"{"required_scope":"keys:admin"}"#);
        assert_eq!(refused.requester.actor.as_deref(), Some("key:ana"));
        assert_eq!(refused.requester.request_id.as_deref(), Some("r-0"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_note_is_tried_again_while_the_database_is_away_and_not_for_ever() {
        let (log, _) =
            recorded(vec![Failure::Busy(cause()), Failure::Unavailable(cause())], 1).await;
        assert_eq!(log.notes.lock().expect("a lock").len(), 2);
        // The first one is given up; the second one is recorded when the database is back.
        let away = |_| Failure::Unavailable(cause());
        let (log, _) = recorded((0..8).map(away).collect(), 1).await;
        let notes = log.notes.lock().expect("a lock");
        assert_eq!((notes.len(), notes[0].action), (1, "refused"), "{notes:?}");
    }

    /// It may have been recorded.
    #[tokio::test(start_paused = true)]
    async fn a_note_of_unknown_fate_is_not_tried_again() {
        let (log, ended) = recorded(vec![Failure::Unknown(cause())], 0).await;
        assert!(ended.is_ok());
        assert_eq!(
            (*log.tries.lock().expect("a lock"), log.notes.lock().expect("a lock").len()),
            (1, 0)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_that_cannot_be_trusted_ends_the_worker() {
        let (_, ended) = recorded(vec![Failure::Fatal(cause())], 1).await;
        assert!(matches!(ended, Err(Failure::Fatal(_))));
    }
}
