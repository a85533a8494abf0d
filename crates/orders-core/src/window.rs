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
/// The largest size of a window while Inventory is silent, and of first sendings while the bus refuses
/// them.
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

    /// Records whether the bus took any message of an attempt. If it took none, nothing was queued,
    /// and the next first sendings may try again.
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
mod tests {
    use super::*;

    fn id(n: u128) -> OrderId {
        OrderId(uuid::Uuid::from_u128(n))
    }

    fn ids(range: std::ops::Range<usize>) -> impl ExactSizeIterator<Item = OrderId> {
        range.map(|n| id(n as u128))
    }

    const START: i64 = 100 * SECOND_MICROS;

    #[test]
    fn without_answers_the_windows_are_small_and_lost_commands_leave_them() {
        let mut window = Window::default();
        assert_eq!(window.free(START), FEWEST_AGAIN);
        window.resent(ids(0..64), 64, None, START);
        assert_eq!(window.free(START), 0);
        assert_eq!(window.admit(ids(100..3000), START), FEWEST_FIRST);
        assert_eq!(window.admit(ids(3000..3001), START), 0);
        let lost = START + LOST_AFTER_MICROS;
        assert_eq!(window.free(lost), LARGEST_IN_SILENCE);
        assert_eq!(window.admit(ids(3000..3100), lost), LARGEST_IN_SILENCE);
    }

    #[test]
    fn the_windows_follow_the_rate_of_answers() {
        let mut window = Window::default();
        let answer = |window: &mut Window, count, at| {
            ids(0..count).for_each(|order_id| {
                window.answered(order_id, at);
            });
        };
        answer(&mut window, 5000, START);
        assert_eq!(window.free(START), 2500, "half of a second's answers");
        assert_eq!(window.admit(ids(0..9000), START), 5000, "a second's answers");
        answer(&mut window, 5000, START);
        assert_eq!(window.free(START + SECOND_MICROS), 5000, "the previous second still counts");
        assert_eq!(window.free(START + 3 * SECOND_MICROS), FEWEST_AGAIN);
        answer(&mut window, 20_000, START + 4 * SECOND_MICROS);
        assert_eq!(window.free(START + 4 * SECOND_MICROS), LARGEST);
        assert_eq!(window.admit(ids(0..9000), START + 4 * SECOND_MICROS), LARGEST);
    }

    #[test]
    fn first_sendings_and_re_sends_take_no_room_from_each_other() {
        let mut window = Window::default();
        assert_eq!(window.admit(ids(0..5000), START), FEWEST_FIRST);
        assert_eq!(window.free(START), FEWEST_AGAIN);
        window.resent(ids(5000..5064), 64, None, START);
        assert_eq!(window.free(START), 0);
        // A re-send of what was sent for the first time makes room for another first sending.
        window.resent(ids(0..1), 1, None, START);
        assert_eq!(window.admit(ids(6000..6002), START), 1);
    }

    #[test]
    fn an_answer_takes_its_order_out_of_its_window() {
        let mut window = Window::default();
        window.resent([id(1), id(2)], 64, None, 7);
        window.answered(id(1), 8);
        window.answered(id(9), 8);
        assert_eq!(window.free(9), FEWEST_AGAIN - 1);
        assert_eq!(window.admit(ids(10..5000), 9), FEWEST_FIRST);
        window.answered(id(10), 10);
        assert_eq!(window.admit(ids(5000..5002), 11), 1);
    }

    #[test]
    fn what_the_bus_refused_was_not_sent() {
        let mut window = Window::default();
        window.resent(ids(0..60), 64, None, START);
        window.admit(ids(100..5000), START);
        window.tried_to_publish(false);
        assert_eq!(window.free(START), 4, "a re-send has its own time");
        assert_eq!(window.admit(ids(5000..9000), START), LARGEST_IN_SILENCE);
        assert_eq!(window.admit(ids(5000..9000), START), 0);
        window.tried_to_publish(true);
        let room = FEWEST_FIRST - LARGEST_IN_SILENCE;
        assert_eq!(window.admit(ids(5000..9000), START), room);
    }

    #[test]
    fn the_sweeper_goes_on_while_commands_are_left_to_it_or_leases_are_full() {
        let mut window = Window::default();
        window.admit(ids(0..FEWEST_FIRST), START);
        assert!(!window.calls_for_more(START));
        window.left_some_to_the_sweeper();
        assert!(window.calls_for_more(START));
        window.resent(ids(0..10), 10, None, START);
        assert!(window.calls_for_more(START), "a full lease may have left commands");
        window.resent(ids(0..9), 10, None, START);
        assert!(!window.calls_for_more(START));
    }

    #[test]
    fn what_is_due_takes_turns_with_what_a_silence_left() {
        let mut window = Window::default();
        window.resent(ids(0..1), 64, None, START);
        let end = START + 10 * SECOND_MICROS;
        assert!(window.answered(id(0), end));
        assert_eq!([window.look_back(), window.look_back()], [Some(end); 2], "nothing else is due");
        window.left_some_to_the_sweeper();
        assert_eq!([window.look_back(), window.look_back()], [None, Some(end)]);
        window.look_back();
        window.resent(ids(0..9), 10, None, end);
        assert_eq!([window.look_back(), window.look_back()], [Some(end); 2], "that was the last");
        window.resent(ids(0..9), 10, Some(end), end);
        assert_eq!(window.look_back(), None);
    }

    #[test]
    fn a_first_sending_is_queued_for_a_second_or_as_long_as_answers_take() {
        let mut window = Window::default();
        window.admit(ids(0..1), START);
        window.resent(ids(1..2), 64, None, START);
        let queued =
            |window: &mut Window, order, micros| window.is_queued(id(order), START + micros);
        assert!(queued(&mut window, 0, 999_999));
        assert!(!queued(&mut window, 0, 1_000_000));
        assert!(!queued(&mut window, 1, 0), "it was sent again");
        assert!(!queued(&mut window, 2, 0), "it was not sent");
        window.took(Some(Duration::from_secs(3)), START + 2_000_000);
        assert!(queued(&mut window, 0, 2_999_999));
        assert!(!queued(&mut window, 0, 3_000_000));
    }

    #[test]
    fn the_sweeper_waits_until_a_lease_pays_off() {
        let mut window = Window::default();
        window.resent(ids(0..64), 64, None, START);
        assert!(!window.calls_for_more(START), "there is no room");
        for order in 0..16 {
            assert!(!window.calls_for_more(START));
            window.answered(id(order), START);
        }
        assert!(window.calls_for_more(START));
    }

    #[test]
    fn the_first_answer_after_a_silence_makes_all_commands_due_until_all_are_sent() {
        let mut window = Window::default();
        assert!(!window.answered(id(1), START), "nothing was asked");
        window.resent([id(2)], 64, None, START + SECOND_MICROS);
        let answered_at = START + 10 * SECOND_MICROS;
        assert!(window.answered(id(2), answered_at));
        assert_eq!(window.awake_since, Some(answered_at));
        window.resent([id(3)], 64, None, answered_at + 1);
        assert_eq!(
            window.awake_since,
            Some(answered_at),
            "the lease began before the silence ended"
        );
        window.resent(ids(0..64), 64, Some(answered_at), answered_at + 1);
        assert_eq!(window.awake_since, Some(answered_at), "a full lease may have left commands");
        assert!(!window.answered(id(3), answered_at + 2), "answers go on");
        window.resent(ids(64..70), 64, Some(answered_at), answered_at + 3);
        assert_eq!(window.awake_since, None);
        assert!(!window.calls_for_more(answered_at + 3));
    }

    /// The times are written out and do not come from the constants under test.
    #[test]
    fn a_command_is_lost_after_five_seconds_and_a_silence_begins_after_two() {
        let mut window = Window::default();
        let start = 100_000_000;
        window.resent([id(1)], 64, None, start);
        assert_eq!(window.free(start + 4_999_999), 15);
        assert_eq!(window.free(start + 5_000_000), 16);
        window.answered(id(1), start + 6_000_000);
        window.admit(ids(2..3), start + 6_000_000);
        assert!(!window.answered(id(2), start + 7_999_999));
        window.admit(ids(3..4), start + 8_000_000);
        assert!(window.answered(id(3), start + 10_000_000));
    }

    /// A broker keeps what it was given while Inventory is away.
    #[test]
    fn in_a_long_silence_commands_leave_the_windows_slowly() {
        let mut window = Window::default();
        let mut sent = 0;
        for second in 0..3600 {
            let now = START + second * SECOND_MICROS;
            sent += window.admit(ids(0..1000), now);
        }
        assert!(sent < FEWEST_FIRST + 2500, "{sent} commands in an hour");
        let end = START + 3600 * SECOND_MICROS;
        assert_eq!(window.admit(ids(0..1000), end + LOST_AT_LAST_MICROS), LARGEST_IN_SILENCE);
        // What the bus refused is not in a queue.
        window.resent(ids(5000..5016), 16, None, end);
        window.tried_to_publish(false);
        assert_eq!(window.free(end + LOST_AFTER_MICROS), LARGEST_IN_SILENCE);
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
            if window.awake_since.is_some() {
                window.resent([id(1)], 64, window.awake_since, now);
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
    fn a_time_that_comes_a_little_late_is_no_silence() {
        let mut window = Window::default();
        (0..3000).for_each(|n| {
            window.answered(id(n), START);
        });
        window.admit(ids(0..10), START);
        let before = START - 900_000;
        assert_eq!(window.admit(ids(10..3000), before), 2990);
        assert!(!window.answered(id(0), before));
        assert_eq!(window.free(before), 1500);
    }

    #[test]
    fn a_clock_set_back_frees_the_window() {
        let mut window = Window::default();
        window.resent(ids(0..64), 64, None, 1_000 * SECOND_MICROS);
        window.admit(ids(100..3000), 1_000 * SECOND_MICROS);
        assert_eq!(window.free(SECOND_MICROS), LARGEST_IN_SILENCE);
        assert_eq!(window.admit(ids(100..3000), SECOND_MICROS), LARGEST_IN_SILENCE);
    }
}
