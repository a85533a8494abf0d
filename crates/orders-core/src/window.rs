//! The window of the sweeper: how many commands may be sent again at a time (R8).
//!
//! The window is small while Inventory does not answer, and follows the rate of its answers
//! otherwise.

use std::collections::HashMap;
use std::time::Duration;

use contract::OrderId;

/// The size of the window without answers.
const SMALLEST: usize = 64;
/// The largest size of the window, at any rate of answers.
const LARGEST: usize = 8192;
const SECOND_MICROS: i64 = 1_000_000;
/// A re-send that had no answer for this long counts as lost and leaves the window.
const LOST_AFTER_MICROS: i64 = 5 * SECOND_MICROS;
/// Inventory is silent when re-sends had no answer for this long.
const SILENCE_MICROS: i64 = 2 * SECOND_MICROS;

/// The longest patience, however slow the answers are.
const LONGEST_PATIENCE: Duration = Duration::from_secs(30);

/// Counts re-sends and answers.
///
/// All times are microseconds of one clock, which may jump. A time that lies in the future counts
/// as long ago.
#[derive(Debug, Default)]
pub struct Window {
    /// When each unanswered command was sent again.
    unanswered: HashMap<OrderId, i64>,
    /// The answers in the second that begins at `second_at`, and in the second before it.
    answers: (usize, usize),
    second_at: i64,
    /// The quickest answer in each of these two seconds, measured from the acceptance of its order.
    quickest: (Option<Duration>, Option<Duration>),
    last_answer_at: i64,
    resent_since_answer: bool,
    /// When the last silence ended. All commands that were sent before are due.
    awake_since: Option<i64>,
}

impl Window {
    /// Records an answer for an order. Returns whether it ended a silence.
    pub fn answered(&mut self, order_id: OrderId, now_micros: i64) -> bool {
        self.unanswered.remove(&order_id);
        self.roll(now_micros);
        self.answers.0 += 1;
        let silent =
            self.resent_since_answer && elapsed(self.last_answer_at, now_micros) >= SILENCE_MICROS;
        if silent {
            self.awake_since = Some(now_micros);
        }
        self.last_answer_at = now_micros;
        self.resent_since_answer = false;
        silent
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

    /// Returns how many more commands may be sent again now.
    pub fn free(&mut self, now_micros: i64) -> usize {
        self.roll(now_micros);
        self.unanswered.retain(|_, sent_at| elapsed(*sent_at, now_micros) < LOST_AFTER_MICROS);
        let size = self.answers.0.max(self.answers.1).clamp(SMALLEST, LARGEST);
        size.saturating_sub(self.unanswered.len())
    }

    /// When the last silence ended, while not all commands from before have been sent again.
    pub fn awake_since(&self) -> Option<i64> {
        self.awake_since
    }

    /// Records the commands that a lease sent again, out of at most `asked`.
    ///
    /// `awake_since` is the value that the lease was made with. If the lease found fewer commands
    /// than `asked`, it has sent the last command from before the end of the silence.
    pub fn resent(
        &mut self,
        order_ids: impl IntoIterator<Item = OrderId>,
        asked: usize,
        awake_since: Option<i64>,
        now_micros: i64,
    ) {
        let mut count = 0;
        for order_id in order_ids {
            self.unanswered.insert(order_id, now_micros);
            count += 1;
        }
        // Re-sends after a silence do not begin another silence: their commands may be stuck for
        // good.
        self.resent_since_answer |= count > 0 && awake_since.is_none();
        if count < asked && self.awake_since == awake_since {
            self.awake_since = None;
        }
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

fn elapsed(earlier: i64, now: i64) -> i64 {
    if earlier > now { i64::MAX } else { now.saturating_sub(earlier) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> OrderId {
        OrderId(uuid::Uuid::from_u128(n))
    }

    #[test]
    fn without_answers_the_window_is_small_and_lost_re_sends_leave_it() {
        let mut window = Window::default();
        assert_eq!(window.free(SECOND_MICROS), SMALLEST);
        window.resent((0..64).map(id), 64, None, SECOND_MICROS);
        assert_eq!(window.free(SECOND_MICROS), 0);
        assert_eq!(window.free(SECOND_MICROS + LOST_AFTER_MICROS), SMALLEST);
    }

    #[test]
    fn the_window_follows_the_rate_of_answers() {
        let mut window = Window::default();
        let start = 100 * SECOND_MICROS;
        (0..1000).for_each(|n| {
            window.answered(id(n), start);
        });
        assert_eq!(window.free(start), 1000);
        assert_eq!(window.free(start + SECOND_MICROS), 1000, "the previous second still counts");
        assert_eq!(window.free(start + 3 * SECOND_MICROS), SMALLEST);
        (0..10_000).for_each(|n| {
            window.answered(id(n), start + 4 * SECOND_MICROS);
        });
        assert_eq!(window.free(start + 4 * SECOND_MICROS), LARGEST);
    }

    #[test]
    fn an_answer_takes_its_order_out_of_the_window() {
        let mut window = Window::default();
        window.resent([id(1), id(2)], 64, None, 7);
        window.answered(id(1), 8);
        window.answered(id(9), 8);
        assert_eq!(window.free(9), SMALLEST - 1);
    }

    #[test]
    fn the_first_answer_after_a_silence_makes_all_commands_due_until_all_are_sent() {
        let mut window = Window::default();
        let start = 100 * SECOND_MICROS;
        assert!(!window.answered(id(1), start), "without re-sends there is no silence");
        window.resent([id(2)], 64, None, start + SECOND_MICROS);
        let answered_at = start + 10 * SECOND_MICROS;
        assert!(window.answered(id(2), answered_at));
        assert_eq!(window.awake_since(), Some(answered_at));
        window.resent([id(3)], 64, None, answered_at + 1);
        assert_eq!(
            window.awake_since(),
            Some(answered_at),
            "the lease began before the silence ended"
        );
        window.resent((0..64).map(id), 64, Some(answered_at), answered_at + 1);
        assert_eq!(window.awake_since(), Some(answered_at), "a full lease may have left commands");
        assert!(!window.answered(id(3), answered_at + 2), "answers go on");
        window.resent((64..70).map(id), 64, Some(answered_at), answered_at + 3);
        assert_eq!(window.awake_since(), None);
    }

    /// The times are written out and do not come from the constants under test.
    #[test]
    fn a_re_send_is_lost_after_five_seconds_and_a_silence_begins_after_two() {
        let mut window = Window::default();
        let start = 100_000_000;
        window.resent([id(1)], 64, None, start);
        assert_eq!(window.free(start + 4_999_999), SMALLEST - 1);
        assert_eq!(window.free(start + 5_000_000), SMALLEST);
        window.answered(id(1), start + 6_000_000);
        window.resent([id(2)], 64, None, start + 6_000_000);
        assert!(!window.answered(id(2), start + 7_999_999));
        window.resent([id(3)], 64, None, start + 8_000_000);
        assert!(window.answered(id(3), start + 9_999_999));
    }

    #[test]
    fn a_sweep_that_sent_nothing_does_not_begin_a_silence() {
        let mut window = Window::default();
        let start = 100 * SECOND_MICROS;
        window.answered(id(1), start);
        window.resent([], 64, None, start + SECOND_MICROS);
        assert!(!window.answered(id(2), start + 10 * SECOND_MICROS));
    }

    #[test]
    fn a_stuck_command_does_not_make_every_answer_the_end_of_a_silence() {
        let mut window = Window::default();
        let mut now = 100 * SECOND_MICROS;
        window.resent([id(1)], 64, None, now);
        let mut ends = 0;
        for order in 2..20 {
            now += 5 * SECOND_MICROS / 2;
            ends += usize::from(window.answered(id(order), now));
            if window.awake_since().is_some() {
                window.resent([id(1)], 64, window.awake_since(), now);
            }
        }
        assert_eq!(ends, 1, "re-sends after a silence do not begin another one");
    }

    #[test]
    fn patience_follows_the_quickest_answer_and_ends_with_the_answers() {
        let mut window = Window::default();
        let start = 100 * SECOND_MICROS;
        let seconds = |n| Duration::from_secs(n);
        assert_eq!(window.patience(start), seconds(0));
        window.took(Some(seconds(9)), start);
        window.took(Some(seconds(4)), start);
        window.took(None, start);
        assert_eq!(window.patience(start), seconds(4));
        window.took(Some(seconds(6)), start + SECOND_MICROS);
        assert_eq!(
            window.patience(start + SECOND_MICROS),
            seconds(4),
            "the previous second still counts"
        );
        assert_eq!(window.patience(start + 2 * SECOND_MICROS), seconds(6));
        assert_eq!(
            window.patience(start + 4 * SECOND_MICROS),
            seconds(0),
            "without answers there is no patience"
        );
        window.took(Some(seconds(3600)), start + 5 * SECOND_MICROS);
        assert_eq!(window.patience(start + 5 * SECOND_MICROS), LONGEST_PATIENCE);
    }

    #[test]
    fn a_clock_set_back_frees_the_window() {
        let mut window = Window::default();
        window.resent((0..64).map(id), 64, None, 1_000 * SECOND_MICROS);
        assert_eq!(window.free(SECOND_MICROS), SMALLEST);
    }
}
