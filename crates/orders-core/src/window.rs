//! How much may be re-sent at once: few while nobody answers, as much as is answered otherwise (R8).

use std::collections::HashMap;
use std::time::Duration;

use contract::OrderId;

/// Unanswered re-sends that are always allowed.
const SMALLEST: usize = 64;
/// And that are never exceeded, however quick the answers.
const LARGEST: usize = 8192;
const SECOND_MICROS: i64 = 1_000_000;
/// A re-send without an answer for this long is lost; its place is free again.
const LOST_AFTER_MICROS: i64 = 5 * SECOND_MICROS;
/// Re-sending without any answer for this long is a silence.
const SILENCE_MICROS: i64 = 2 * SECOND_MICROS;

/// However slow the answers, what got none for so long is sent again.
const LONGEST_PATIENCE: Duration = Duration::from_secs(30);

/// Counts re-sends and answers.
///
/// **Units:** all times in microseconds of one clock, which may jump: a moment that lies ahead counts as long ago.
#[derive(Debug, Default)]
pub struct Window {
    unanswered: HashMap<OrderId, i64>,
    /// Answers in the second that begins at `second_at`, and in the one before.
    answers: (usize, usize),
    second_at: i64,
    /// The quickest answer in each of those two seconds, from its order's acceptance.
    quickest: (Option<Duration>, Option<Duration>),
    last_answer_at: i64,
    resent_since_answer: bool,
    /// Set by the first answer after a silence: all that was sent before then is due.
    awake_since: Option<i64>,
}

impl Window {
    /// Inventory answered for an order. Tells whether that ended a silence.
    pub fn answered(&mut self, order_id: OrderId, now_micros: i64) -> bool {
        self.unanswered.remove(&order_id);
        self.roll(now_micros);
        self.answers.0 += 1;
        let silent = self.resent_since_answer && elapsed(self.last_answer_at, now_micros) >= SILENCE_MICROS;
        if silent {
            self.awake_since = Some(now_micros);
        }
        self.last_answer_at = now_micros;
        self.resent_since_answer = false;
        silent
    }

    /// The quickest of some answers took so long from its order's acceptance.
    pub fn took(&mut self, quickest: Option<Duration>, now_micros: i64) {
        self.roll(now_micros);
        self.quickest.0 = [self.quickest.0, quickest].into_iter().flatten().min();
    }

    /// How long an answer takes at the least these days: what is not answered for longer may be lost, and what is
    /// younger is on its way. Without this, whatever queues up in front of Inventory would be sent again, and queue up
    /// behind itself.
    pub fn patience(&mut self, now_micros: i64) -> Duration {
        self.roll(now_micros);
        let (this_second, the_last) = self.quickest;
        this_second.into_iter().chain(the_last).min().unwrap_or_default().min(LONGEST_PATIENCE)
    }

    /// How many more may be re-sent now.
    pub fn free(&mut self, now_micros: i64) -> usize {
        self.roll(now_micros);
        self.unanswered.retain(|_, sent_at| elapsed(*sent_at, now_micros) < LOST_AFTER_MICROS);
        let size = self.answers.0.max(self.answers.1).clamp(SMALLEST, LARGEST);
        size.saturating_sub(self.unanswered.len())
    }

    /// Since when everything is due, if a silence has just ended and not all of it has been sent again.
    pub fn awake_since(&self) -> Option<i64> {
        self.awake_since
    }

    /// Of `asked` places, these were used. A lease that was made because of `awake_since` and found less than it could
    /// take has taken the last.
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
        // A wake-up is no reason for another one: what it re-sends may be stuck for good.
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
    fn while_nobody_answers_few_are_sent_and_lost_ones_make_room() {
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
        assert_eq!(window.free(start + SECOND_MICROS), 1000, "the second before still counts");
        assert_eq!(window.free(start + 3 * SECOND_MICROS), SMALLEST);
        (0..10_000).for_each(|n| {
            window.answered(id(n), start + 4 * SECOND_MICROS);
        });
        assert_eq!(window.free(start + 4 * SECOND_MICROS), LARGEST);
    }

    #[test]
    fn an_answer_frees_the_place_of_its_order() {
        let mut window = Window::default();
        window.resent([id(1), id(2)], 64, None, 7);
        window.answered(id(1), 8);
        window.answered(id(9), 8);
        assert_eq!(window.free(9), SMALLEST - 1);
    }

    #[test]
    fn the_first_answer_after_a_silence_makes_all_due_until_all_is_sent() {
        let mut window = Window::default();
        let start = 100 * SECOND_MICROS;
        assert!(!window.answered(id(1), start), "nothing was re-sent: an idle shop is no silence");
        window.resent([id(2)], 64, None, start + SECOND_MICROS);
        let heard = start + 10 * SECOND_MICROS;
        assert!(window.answered(id(2), heard));
        assert_eq!(window.awake_since(), Some(heard));
        window.resent([id(3)], 64, None, heard + 1);
        assert_eq!(window.awake_since(), Some(heard), "a lease that was begun before it could not know");
        window.resent((0..64).map(id), 64, Some(heard), heard + 1);
        assert_eq!(window.awake_since(), Some(heard), "a full lease may have left some");
        assert!(!window.answered(id(3), heard + 2), "answers go on");
        window.resent((64..70).map(id), 64, Some(heard), heard + 3);
        assert_eq!(window.awake_since(), None);
    }

    /// In seconds that are written out, and not taken from what is under test.
    #[test]
    fn a_place_is_free_after_five_seconds_and_a_silence_begins_after_two() {
        let (mut window, start) = (Window::default(), 100_000_000);
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
    fn a_sweep_that_found_nothing_to_send_does_not_wait_for_an_answer() {
        let (mut window, start) = (Window::default(), 100 * SECOND_MICROS);
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
        assert_eq!(ends, 1, "what a wake-up sends again in vain is no new silence");
    }

    #[test]
    fn patience_follows_the_quickest_answer_and_ends_with_the_answers() {
        let (mut window, start) = (Window::default(), 100 * SECOND_MICROS);
        let seconds = |n| Duration::from_secs(n);
        assert_eq!(window.patience(start), seconds(0));
        window.took(Some(seconds(9)), start);
        window.took(Some(seconds(4)), start);
        window.took(None, start);
        assert_eq!(window.patience(start), seconds(4));
        window.took(Some(seconds(6)), start + SECOND_MICROS);
        assert_eq!(window.patience(start + SECOND_MICROS), seconds(4), "the second before still counts");
        assert_eq!(window.patience(start + 2 * SECOND_MICROS), seconds(6));
        assert_eq!(window.patience(start + 4 * SECOND_MICROS), seconds(0), "a silence is waited for no longer");
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
