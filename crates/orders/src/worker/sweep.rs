//! The sweeper: sends pending commands again until they are answered, and those that found no room
//! in the window (R7, R8).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use contract::commands::AllocateStock;
use faults::fault_point;
use orders_core::backoff;
use orders_core::window::Window;
use platform::clock::{Clock, Ids, Timestamp};
use platform::failure::{Chain, Failure};
use platform::relay::Outbox;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::metrics::Metrics;
use crate::service::publish;
use crate::store::{Lease, OrderStore, Pick};

/// The longest that a due command waits for the sweeper.
const PERIOD: Duration = Duration::from_millis(250);
/// The most commands of one lease, so that requests get their turn at the writer.
const MAX_LEASE: usize = 500;

/// Counts the commands in flight for the committer, which sends them first and sees Inventory's
/// answers, and for the sweeper.
#[derive(Debug, Default)]
pub struct AnswerFeed {
    window: Mutex<Window>,
    heard: Notify,
}

impl AnswerFeed {
    /// Notes that these orders were answered. `quickest` is the shortest time from accepting one of
    /// them to its answer, if that is known.
    pub fn answered(
        &self,
        order_ids: impl IntoIterator<Item = contract::OrderId>,
        quickest: Option<Duration>,
        now_micros: i64,
    ) {
        let mut window = self.window();
        window.took(quickest, now_micros);
        let mut ended_silence = false;
        for order_id in order_ids {
            ended_silence |= window.answered(order_id, now_micros);
        }
        if ended_silence {
            info!("Inventory answers again, resending all pending commands");
        }
        if window.calls_for_more(now_micros) {
            self.heard.notify_one();
        }
    }

    /// Notes that these commands are to be sent for the first time. Returns how many of them may be
    /// sent now, in this order; the sweeper sends the others.
    pub fn admit(&self, commands: &[AllocateStock], now_micros: i64) -> usize {
        self.window().admit(commands.iter().map(|command| command.order_id), now_micros)
    }

    /// Notes whether the bus took any message of an attempt to publish.
    pub fn tried_to_publish(&self, got_through: bool) {
        self.window().tried_to_publish(got_through);
    }

    fn window(&self) -> std::sync::MutexGuard<'_, Window> {
        self.window.lock().expect("nothing panics while it counts")
    }
}

/// A worker that sends unanswered commands again.
#[derive(Debug)]
pub struct Sweeper {
    pub store: Arc<dyn OrderStore>,
    pub outbox: Outbox,
    pub answer_feed: Arc<AnswerFeed>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    pub metrics: Arc<Metrics>,
}

impl Sweeper {
    /// Sweeps by a timer, and at once while more may be due than was sent, until `shutdown`.
    ///
    /// # Errors
    ///
    /// [`Failure::Fatal`] only; the process must end (R18).
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Failure> {
        let mut failing = false;
        while !shutdown.is_cancelled() {
            match (self.tick().await, failing) {
                (Err(failure @ Failure::Fatal(_)), _) => return Err(failure),
                // Log only the first failure and the recovery.
                (Err(failure), false) => {
                    failing = true;
                    warn!(error = %Chain(&failure), "sweep failed, retrying");
                }
                (Ok(_), true) => {
                    failing = false;
                    warn!("sweep succeeded again");
                }
                (Ok(0), false) | (Err(_), true) => {}
                (Ok(resent), false) => debug!(resent, "resent pending commands"),
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.answer_feed.heard.notified() => {}
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
        Ok(())
    }

    /// Leases the due commands that fit the window, publishes them, and returns how many they were.
    ///
    /// # Errors
    ///
    /// Those of [`OrderStore::lease`].
    pub async fn tick(&self) -> Result<usize, Failure> {
        let at = self.clock.now();
        let now = at.0;
        let (free, awake_since, patience) = {
            let mut window = self.answer_feed.window();
            (window.free(now).min(MAX_LEASE), window.look_back(), window.patience(now))
        };
        if free == 0 {
            return Ok(0);
        }
        let lease = Lease {
            limit: u32::try_from(free).unwrap_or(u32::MAX),
            pick: awake_since.map_or(Pick::Due { patience }, |since| Pick::SentBefore {
                ago: at.since(Timestamp(since)),
            }),
            delay: backoff::delay,
            random: self.ids.random(),
        };
        let commands = self.store.lease(lease).await?;
        fault_point!("sweep.leased", when !commands.is_empty());
        self.answer_feed.window().resent(
            commands.iter().map(|command| command.order_id),
            free,
            awake_since,
            now,
        );
        self.metrics.commands_resent.inc_by(commands.len() as u64);
        publish(&self.outbox, &commands);
        Ok(commands.len())
    }
}
