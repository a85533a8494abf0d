//! The sweeper: sends pending commands again until they are answered, and those that found no room
//! in the window (R7, R8).

use std::iter;
use std::sync::{Arc, Mutex, MutexGuard};
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

use super::deferred::Deferred;
use crate::metrics::Metrics;
use crate::service::publish;
use crate::store::{Lease, OrderStore, Pick};

/// The longest that a due command waits for the sweeper.
const PERIOD: Duration = Duration::from_millis(250);
/// The most commands of one lease, so that requests get their turn at the writer.
const MAX_LEASE: usize = 500;

/// Holds back commands while too many are in flight. The committer, which sends them first and sees
/// Inventory's answers, and the sweeper share it.
#[derive(Debug, Default)]
pub struct AnswerFeed {
    sendings: Mutex<Sendings>,
    heard: Notify,
}

#[derive(Debug, Default)]
struct Sendings {
    window: Window,
    deferred: Deferred,
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
        let Sendings { window, deferred } = &mut *self.sendings();
        window.took(quickest, now_micros);
        let mut ended_silence = false;
        for order_id in order_ids {
            ended_silence |= window.answered(order_id, now_micros);
            // Another replica has sent it.
            deferred.forget_placement(order_id);
        }
        if ended_silence {
            info!("Inventory answers again, resending all pending commands");
        }
        if window.calls_for_more(now_micros) {
            self.heard.notify_one();
        }
    }

    /// Notes the same of answers that another replica has committed. This one commits nothing after
    /// which it would send what waits, so the sweeper does.
    pub fn answered_elsewhere(
        &self,
        order_ids: impl IntoIterator<Item = contract::OrderId>,
        now_micros: i64,
    ) {
        self.answered(order_ids, None, now_micros);
        if !self.sendings().deferred.is_empty() {
            self.heard.notify_one();
        }
    }

    /// Wakes the sweeper before its timer does: a command was made due by hand.
    pub fn wake(&self) {
        self.heard.notify_one();
    }

    /// Takes commands that are to be sent for the first time. Returns those that may be sent now,
    /// the earliest first; the others wait until answers make room.
    ///
    /// It may be called with none, to send what waits. What is too much to wait in memory, and what
    /// waits when the process ends, is left to the sweeper.
    #[must_use]
    pub fn admit(&self, commands: Vec<AllocateStock>, now_micros: i64) -> Vec<AllocateStock> {
        let Sendings { window, deferred } = &mut *self.sendings();
        commands.into_iter().for_each(|command| deferred.push(command));
        let count = window.admit(deferred.orders(), now_micros);
        let admitted = iter::from_fn(|| deferred.pop()).take(count).collect();
        if deferred.shrink() {
            window.left_some_to_the_sweeper();
        }
        admitted
    }

    /// Takes the commands of a lease of at most `asked`, and returns those to send again; see
    /// [`Window::resent`].
    fn resend(
        &self,
        mut commands: Vec<AllocateStock>,
        asked: usize,
        awake_since: Option<i64>,
        now_micros: i64,
    ) -> Vec<AllocateStock> {
        let Sendings { window, deferred } = &mut *self.sendings();
        let leased = commands.len();
        commands.retain(|command| !window.is_queued(command.order_id, now_micros));
        let queued = leased - commands.len();
        let order_ids = commands.iter().map(|command| command.order_id);
        order_ids.clone().for_each(|order_id| deferred.forget(order_id));
        window.resent(order_ids, asked - queued, awake_since, now_micros);
        commands
    }

    /// Notes whether the bus took any message of an attempt to publish.
    pub fn tried_to_publish(&self, got_through: bool) {
        self.sendings().window.tried_to_publish(got_through);
    }

    fn sendings(&self) -> MutexGuard<'_, Sendings> {
        self.sendings.lock().expect("nothing panics while it counts")
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

    /// Publishes the commands that wait in memory and those of a lease, as far as the windows allow.
    /// Returns how many were sent again.
    ///
    /// # Errors
    ///
    /// Those of [`OrderStore::lease`].
    pub async fn tick(&self) -> Result<usize, Failure> {
        let at = self.clock.now();
        let now = at.0;
        publish(&self.outbox, self.answer_feed.admit(Vec::new(), now));
        let (free, awake_since, patience) = {
            let Sendings { window, .. } = &mut *self.answer_feed.sendings();
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
        let commands = self.answer_feed.resend(commands, free, awake_since, now);
        self.metrics.commands_resent.inc_by(commands.len() as u64);
        let resent = commands.len();
        publish(&self.outbox, commands);
        Ok(resent)
    }
}
