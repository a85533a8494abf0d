//! Writes into the admin log what happened outside of the stock.

use std::convert::Infallible;

use inventory_core::admin::{AdminNote, Note, Requester};
use inventory_core::decide::{InventoryCommand, InventoryOutcome};
use platform::batcher::Batcher;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use web::RefusedRequest;

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
            self.refused(refused).await;
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
