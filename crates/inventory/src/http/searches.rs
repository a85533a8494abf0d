//! The lane of searches: they look at every product, and must not keep look-ups waiting.

use std::sync::Arc;
use std::time::Duration;

use inventory_core::stock::ProductStock;
use platform::failure::{Failure, NotDone};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use web::problem::Problem;

use crate::store::{ProductFilter, StockStore};

/// Searches that run at the same time, fewer than any engine has readers.
pub(super) const RUNNING: usize = 2;
/// Searches that may wait for their turn (R17).
pub(super) const WAITING: usize = 16;
/// How long a search waits for its turn.
const MAX_WAIT: Duration = Duration::from_secs(4);

/// Runs few searches at a time, and refuses those for which there is no room to wait.
#[derive(Clone, Debug)]
pub(crate) struct Searches {
    /// Permits of searches that run or wait.
    room: Arc<Semaphore>,
    /// Permits of searches that run.
    turns: Arc<Semaphore>,
}

impl Default for Searches {
    fn default() -> Self {
        let room = Arc::new(Semaphore::new(RUNNING + WAITING));
        Self { room, turns: Arc::new(Semaphore::new(RUNNING)) }
    }
}

impl Searches {
    /// How many more searches would run or wait.
    #[cfg(test)]
    pub(super) fn room_left(&self) -> usize {
        self.room.available_permits()
    }

    /// Returns the products that match, once it is the search's turn.
    ///
    /// # Errors
    ///
    /// 503 `overloaded` if too many searches wait, or if the turn did not come; otherwise the
    /// problem of the failed read.
    pub(super) async fn run(
        &self,
        store: Arc<dyn StockStore>,
        filter: ProductFilter,
    ) -> Result<Vec<ProductStock>, Problem> {
        let room = self.room.clone().try_acquire_owned().map_err(|_| NotDone::Overloaded)?;
        let turn = timeout(MAX_WAIT, self.turns.clone().acquire_owned()).await;
        let turn = turn.map_err(|_| NotDone::Overloaded)?.map_err(|_| NotDone::ShuttingDown)?;
        // A task of its own: a client that goes away does not end the search, so the turn does not
        // end either.
        let searching = tokio::spawn(async move {
            let _held = (room, turn);
            store.products(filter).await
        });
        Ok(searching.await.unwrap_or_else(|panic| Err(Failure::suspect(panic)))?)
    }
}
