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
    let queued = |window: &mut Window, order, micros| window.is_queued(id(order), START + micros);
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
    assert_eq!(window.awake_since, Some(answered_at), "the lease began before the silence ended");
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
