//! The windows of commands in flight (R8): how many may be sent for the first time, and how many
//! again.
//!
//! They follow the rate of Inventory's answers, so that the queue in front of it stays about a
//! second long, and are small while it does not answer.

use std::collections::HashMap;
use std::time::Duration;

use contract::OrderId;

use crate::backoff::FIRST_ANSWER_WAIT_MICROS;

/// The least size of the window of re-sends.
const FEWEST_AGAIN: usize = 64;
/// The least size of the window of first sendings: a burst in front of an idle Inventory.
const FEWEST_FIRST: usize = 2048;
/// The largest size of a window, at any rate of answers.
const LARGEST: usize = 8192;
/// The largest size of a window while Inventory is silent, and of first sendings while the bus
/// refuses them.
const LARGEST_IN_SILENCE: usize = 16;
const SECOND_MICROS: i64 = 1_000_000;
/// Inventory is silent when commands had no answer for this long.
const SILENCE_MICROS: i64 = 2 * SECOND_MICROS;
/// A command that had no answer for this long counts as lost and leaves its window.
const LOST_AFTER_MICROS: i64 = 5 * SECOND_MICROS;
/// The same in a long silence, in which commands queue up rather than get lost.
const LOST_AT_LAST_MICROS: i64 = 30 * SECOND_MICROS;

/// The longest patience, however slow the answers are.
const LONGEST_PATIENCE: Duration = Duration::from_secs(30);

/// Counts commands in flight and answers.
///
/// All times are microseconds of one clock, which may jump. A time that lies a second or more in the
/// future counts as long ago.
#[derive(Debug, Default)]
pub struct Window {
    /// The last sending of each unanswered command.
    in_flight: HashMap<OrderId, Sending>,
    /// How many of these were sent for the first time.
    first: usize,
    /// The answers in the second that begins at `second_at`, and in the second before it.
    answers: (usize, usize),
    second_at: i64,
    /// The quickest answer in each of these two seconds, measured from the acceptance of its order.
    quickest: (Option<Duration>, Option<Duration>),
    /// The first sending of any command after the last answer.
    asked_at: Option<i64>,
    /// When the last silence ended. All commands that were sent before are due.
    awake_since: Option<i64>,
    /// Whether more commands may be due than were sent.
    behind: bool,
    /// Whether the bus refused the last messages.
    is_refused: bool,
    /// Whether the last lease was to take what was sent before the end of the silence.
    looked_back: bool,
}

#[derive(Clone, Copy, Debug)]
struct Sending {
    at: i64,
    is_first: bool,
}

impl Window {
    /// Records an answer for an order. Returns whether it ended a silence.
    pub fn answered(&mut self, order_id: OrderId, now_micros: i64) -> bool {
        self.forget(order_id);
        self.roll(now_micros);
        self.answers.0 += 1;
        let ended_silence = self.silence(now_micros) > 0;
        if ended_silence {
            self.awake_since = Some(now_micros);
        }
        self.asked_at = None;
        ended_silence
    }

    /// Records the quickest of several answers, measured from the acceptance of its order.
    pub fn took(&mut self, quickest: Option<Duration>, now_micros: i64) {
        self.roll(now_micros);
        self.quickest.0 = [self.quickest.0, quickest].into_iter().flatten().min();
    }

    /// Returns how long the quickest answers take at present, at most 30 s.
    ///
    /// A command that has waited for longer may be lost; a younger one may still be in a queue. If
    /// the sweeper did not wait, it would send a queue in front of Inventory a second time, behind
    /// itself.
    pub fn patience(&mut self, now_micros: i64) -> Duration {
        self.roll(now_micros);
        let (this_second, last_second) = self.quickest;
        this_second.into_iter().chain(last_second).min().unwrap_or_default().min(LONGEST_PATIENCE)
    }

    /// Records commands that are to be sent for the first time. Returns how many of them may be
    /// sent now, in this order. The others shall wait.
    pub fn admit(
        &mut self,
        order_ids: impl ExactSizeIterator<Item = OrderId>,
        now_micros: i64,
    ) -> usize {
        let size = if self.is_refused {
            LARGEST_IN_SILENCE
        } else {
            self.size(FEWEST_FIRST, 1, now_micros)
        };
        if self.first + order_ids.len() > size {
            self.forget_lost(now_micros);
        }
        let room = size.saturating_sub(self.first);
        let mut admitted = 0;
        for order_id in order_ids.take(room) {
            self.sent(order_id, Sending { at: now_micros, is_first: true });
            admitted += 1;
        }
        if admitted > 0 {
            self.asked_at.get_or_insert(now_micros);
        }
        admitted
    }

    /// Records that commands which were not admitted do not wait in memory.
    pub fn left_some_to_the_sweeper(&mut self) {
        self.behind = true;
    }

    /// Records whether the bus took any message of an attempt. If it took none, first sendings count
    /// no longer as in flight, also those of earlier attempts: the next ones shall not wait for
    /// answers that may never come.
    pub fn tried_to_publish(&mut self, got_through: bool) {
        self.is_refused = !got_through;
        if self.is_refused {
            self.in_flight.retain(|_, sending| !sending.is_first);
            self.first = 0;
        }
    }

    /// Returns how many more commands may be sent again now.
    pub fn free(&mut self, now_micros: i64) -> usize {
        self.forget_lost(now_micros);
        let size = self.size(FEWEST_AGAIN, 2, now_micros);
        self.free_of(size)
    }

    /// Whether this command was sent for the first time so lately that it is probably queued. It may
    /// have been recorded long before, so that a lease takes it.
    pub fn is_queued(&mut self, order_id: OrderId, now_micros: i64) -> bool {
        let patience = i64::try_from(self.patience(now_micros).as_micros()).unwrap_or(i64::MAX);
        let queued_for = patience.max(FIRST_ANSWER_WAIT_MICROS);
        self.in_flight
            .get(&order_id)
            .is_some_and(|sending| sending.is_first && elapsed(sending.at, now_micros) < queued_for)
    }

    /// When the last silence ended, if the next lease shall take what was sent before that; else it
    /// shall take what is due. While there is both, they take turns: what finds no room now must not
    /// wait until all from before is sent.
    pub fn look_back(&mut self) -> Option<i64> {
        self.looked_back = self.awake_since.is_some() && !(self.behind && self.looked_back);
        self.awake_since.filter(|_| self.looked_back)
    }

    /// Whether the sweeper shall go on at once: more commands may be due than were sent, and there
    /// is room for so many that a lease pays off.
    pub fn calls_for_more(&mut self, now_micros: i64) -> bool {
        if !self.behind && self.awake_since.is_none() {
            return false;
        }
        let size = self.size(FEWEST_AGAIN, 2, now_micros);
        4 * self.free_of(size) >= size
    }

    /// Records the commands that a lease sent again, out of at most `asked`.
    ///
    /// `awake_since` is the value that the lease was made with. If the lease found fewer commands
    /// than `asked`, it has sent the last command from before the end of the silence, or the last
    /// one that is due.
    pub fn resent(
        &mut self,
        order_ids: impl IntoIterator<Item = OrderId>,
        asked: usize,
        awake_since: Option<i64>,
        now_micros: i64,
    ) {
        let mut count = 0;
        for order_id in order_ids {
            self.sent(order_id, Sending { at: now_micros, is_first: false });
            count += 1;
        }
        // Re-sends after a silence do not begin another silence: their commands may be stuck for
        // good.
        if count > 0 && awake_since.is_none() {
            self.asked_at.get_or_insert(now_micros);
        }
        if awake_since.is_none() {
            self.behind = count >= asked;
        } else if count < asked && self.awake_since == awake_since {
            self.awake_since = None;
        }
    }

    /// What is free in a window of re-sends of this size.
    fn free_of(&self, size: usize) -> usize {
        size.saturating_sub(self.in_flight.len() - self.first)
    }

    fn sent(&mut self, order_id: OrderId, sending: Sending) {
        let before = self.in_flight.insert(order_id, sending);
        self.first += usize::from(sending.is_first);
        self.first -= usize::from(before.is_some_and(|before| before.is_first));
    }

    fn forget(&mut self, order_id: OrderId) {
        let sending = self.in_flight.remove(&order_id);
        self.first -= usize::from(sending.is_some_and(|sending| sending.is_first));
    }

    fn forget_lost(&mut self, now_micros: i64) {
        let queued_for = if self.is_refused { 0 } else { self.silence(now_micros) / 8 };
        let lost_after = queued_for.clamp(LOST_AFTER_MICROS, LOST_AT_LAST_MICROS);
        self.in_flight.retain(|_, sending| elapsed(sending.at, now_micros) < lost_after);
        self.first = self.in_flight.values().filter(|sending| sending.is_first).count();
    }

    /// How long Inventory has been silent, if it is.
    fn silence(&self, now_micros: i64) -> i64 {
        let unanswered = self.asked_at.map_or(0, |asked_at| elapsed(asked_at, now_micros));
        if unanswered >= SILENCE_MICROS { unanswered } else { 0 }
    }

    /// The size of a window that holds the answers of a second, divided by `parts`.
    fn size(&mut self, fewest: usize, parts: usize, now_micros: i64) -> usize {
        self.roll(now_micros);
        if self.silence(now_micros) > 0 {
            return LARGEST_IN_SILENCE;
        }
        (self.answers.0.max(self.answers.1) / parts).clamp(fewest, LARGEST)
    }

    fn roll(&mut self, now_micros: i64) {
        match elapsed(self.second_at, now_micros) {
            0..SECOND_MICROS => return,
            SECOND_MICROS..2_000_000 => {
                self.answers = (0, self.answers.0);
                self.quickest = (None, self.quickest.0);
            }
            _ => {
                self.answers = (0, 0);
                self.quickest = (None, None);
            }
        }
        self.second_at = now_micros;
    }
}

/// Committers side by side tell their times a little out of order.
fn elapsed(earlier: i64, now: i64) -> i64 {
    let elapsed = now.saturating_sub(earlier);
    if elapsed <= -SECOND_MICROS { i64::MAX } else { elapsed.max(0) }
}

#[cfg(test)]
mod tests;
