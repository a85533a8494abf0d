//! Writes into the admin log what happened outside of the stock.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use inventory_core::admin::{AdminNote, Note, Requester};
use inventory_core::decide::{InventoryCommand, InventoryOutcome};
use platform::batcher::Batcher;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use web::RefusedRequest;

/// The most refused requests of one client that are recorded in a [`PERIOD`]: the log keeps its
/// entries for ever, and a client may try for days.
const MAX_OF_A_CLIENT: u32 = 10;
/// How long the refused requests of a client are counted together.
const PERIOD: Duration = Duration::from_secs(60);

/// A worker that records that the service serves anyone, if it does, and the administrative requests
/// that are refused.
#[derive(Debug)]
pub struct Notes {
    pub batcher: Batcher<InventoryCommand, InventoryOutcome>,
    /// Where clients are served without being asked who they are.
    pub serves_anyone_at: Option<String>,
    pub refused: mpsc::Receiver<RefusedRequest>,
}

impl Notes {
    /// Records until `shutdown`.
    ///
    /// # Errors
    ///
    /// None: what cannot be recorded is in the log.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), Infallible> {
        if let Some(listen) = self.serves_anyone_at.take() {
            warn!(audit = true, listen, "clients are not asked who they are");
            self.record(Requester::default(), Note::ServesAnyone { listen }).await;
        }
        let mut recent = Recent::default();
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
            if recent.has_room_for(refused.requester.actor.as_deref()) {
                self.refused(refused).await;
            }
        }
    }

    async fn refused(&self, refused: RefusedRequest) {
        let RefusedRequest { requester, request, required_scope } = refused;
        let web::Requester { actor, request_id, address } = requester;
        let required_scope = required_scope.map(platform::keys::Scope::as_str);
        info!(
            audit = true,
            actor, address, request_id, request, required_scope, "a request was refused"
        );
        let requester = Requester { actor, request_id, address };
        self.record(requester, Note::Refused { request, required_scope }).await;
    }

    async fn record(&self, requester: Requester, note: Note) {
        let note = Box::new(AdminNote { requester, note });
        if let Err(error) = self.batcher.submit(InventoryCommand::Note(note)).await {
            warn!(?error, "the admin log cannot be written; the entry is only in this log");
        }
    }
}

/// How many requests of each client were recorded in this period. Clients have keys, which are few.
#[derive(Debug, Default)]
struct Recent {
    began: Option<Instant>,
    recorded: HashMap<String, u32>,
}

impl Recent {
    fn has_room_for(&mut self, actor: Option<&str>) -> bool {
        if self.began.is_none_or(|began| began.elapsed() >= PERIOD) {
            *self = Self { began: Some(Instant::now()), recorded: HashMap::new() };
        }
        let recorded = self.recorded.entry(actor.unwrap_or_default().to_owned()).or_default();
        *recorded += 1;
        *recorded <= MAX_OF_A_CLIENT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_client_cannot_fill_the_log_and_keeps_no_other_out_of_it() {
        let mut recent = Recent::default();
        let mut recorded = |actor| (0..50).filter(|_| recent.has_room_for(Some(actor))).count();
        assert_eq!((recorded("key:a"), recorded("key:b"), recorded("key:a")), (10, 10, 0));
        tokio::time::advance(PERIOD).await;
        assert_eq!(recorded("key:a"), 10);
    }
}
