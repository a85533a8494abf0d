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

/// How long a note is tried again while the database is busy or away. Others wait meanwhile.
const TRIED_FOR: Duration = Duration::from_secs(5);
/// How long the end of the process waits until the last notes are written.
const LAST_NOTES: Duration = Duration::from_secs(3);
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

    /// Records until `shutdown`, and then once more what was reported before it. What cannot be
    /// recorded is in the log of the program.
    ///
    /// # Errors
    ///
    /// [`Failure::Fatal`].
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), Failure> {
        if let Some(listen) = self.serves_anyone_at.take() {
            let service = self.service;
            warn!(audit = true, service, listen, "clients are not asked who they are");
            let (requester, after) = (Requester::default(), json!({"no_auth": true}).to_string());
            let note = AdminNote { requester, action: "serves_anyone", subject: listen, after };
            self.record(note, &shutdown).await?;
        }
        // Without an API, only the shutdown is left to wait for.
        while let Some(Some(refused)) = shutdown.run_until_cancelled(self.refused.recv()).await {
            let note = self.logged(refused);
            self.record(note, &shutdown).await?;
        }
        shutdown.cancelled().await;
        self.record_the_last(&shutdown).await
    }

    /// The note of a request that was refused, which is in the log of the program from now on.
    fn logged(&self, refused: RefusedRequest) -> AdminNote {
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
        AdminNote { requester, action: "refused", subject: request, after }
    }

    async fn record_the_last(&mut self, shutdown: &CancellationToken) -> Result<(), Failure> {
        let mut notes = Vec::new();
        while let Ok(refused) = self.refused.try_recv() {
            notes.push(self.logged(refused));
        }
        let recording = async {
            for note in notes {
                self.record(note, shutdown).await?;
            }
            Ok(())
        };
        tokio::time::timeout(LAST_NOTES, recording).await.unwrap_or_else(|_| {
            let service = self.service;
            warn!(service, "the last entries of the admin log were not written in time");
            Ok(())
        })
    }

    /// Tries until the note is recorded, for a while, and once only after `shutdown`.
    async fn record(&self, note: AdminNote, shutdown: &CancellationToken) -> Result<(), Failure> {
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let failure = match self.log.note(note.clone()).await {
                Ok(()) => return Ok(()),
                Err(failure @ Failure::Fatal(_)) => return Err(failure),
                Err(failure) => failure,
            };
            let may_pass = matches!(failure, Failure::Busy(_) | Failure::Unavailable(_));
            let has_time = begun.elapsed() + pause <= TRIED_FOR;
            let pausing = tokio::time::sleep(pause);
            if !may_pass || !has_time || shutdown.run_until_cancelled(pausing).await.is_none() {
                let (error, service) = (Chain(&failure), self.service);
                warn!(%error, service, "the admin log cannot be written; the entry is only in this log");
                return Ok(());
            }
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

    fn refused(number: usize) -> RefusedRequest {
        let requester = crate::Requester {
            actor: Some("key:ana".to_owned()),
            request_id: Some(format!("r-{number}")),
            address: None,
        };
        let (request, required_scope) = ("GET /x".to_owned(), Some(Scope::KeysAdmin));
        RefusedRequest { requester, request, required_scope }
    }

    /// Lets the worker record these, and that it serves anyone.
    async fn recorded(failures: Vec<Failure>, requests: usize) -> (Arc<Log>, Result<(), Failure>) {
        let log = Arc::new(Log { failures: Mutex::new(failures), ..Log::default() });
        let (sender, receiver) = mpsc::channel(9);
        for number in 0..requests {
            sender.try_send(refused(number)).expect("there is room");
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
    async fn the_end_waits_for_no_pause_and_records_what_was_reported_before_it() {
        let failures = vec![Failure::Unavailable(cause())];
        let log = Arc::new(Log { failures: Mutex::new(failures), ..Log::default() });
        let (sender, receiver) = mpsc::channel(9);
        for number in 0..3 {
            sender.try_send(refused(number)).expect("there is room");
        }
        let (service, serves_anyone_at) = ("orders", None);
        let notes = Notes { service, log: log.clone(), serves_anyone_at, refused: receiver };
        let shutdown = CancellationToken::new();
        let worker = tokio::spawn(notes.run(shutdown.clone()));
        // Until the first one is tried for the first time.
        tokio::task::yield_now().await;
        assert_eq!(*log.tries.lock().expect("a lock"), 1);
        let begun = Instant::now();
        shutdown.cancel();
        assert!(worker.await.expect("it does not panic").is_ok());
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let notes = log.notes.lock().expect("a lock");
        let ids: Vec<_> = notes.iter().map(|note| note.requester.request_id.as_deref()).collect();
        assert_eq!(ids, [Some("r-1"), Some("r-2")], "the first one is in the log of the program");
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_that_cannot_be_trusted_ends_the_worker() {
        let (_, ended) = recorded(vec![Failure::Fatal(cause())], 1).await;
        assert!(matches!(ended, Err(Failure::Fatal(_))));
    }
}
