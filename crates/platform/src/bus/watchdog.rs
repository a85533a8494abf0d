//! The watchdog: finds a consumer that delivers nothing although its stream holds something (R10).
//!
//! Such a consumer survives when a stream is lost and made anew, or restored: it stands at a number that the stream
//! will reach in a year. Deleting it loses nothing, and the next `receive` makes it anew.

use std::time::Duration;

use tokio::time::Instant;

/// Messages of a consumer, over all replicas, that may be delivered and not acknowledged.
pub const MAX_UNACKNOWLEDGED: u64 = 1024;

/// What was seen of one channel when it was last looked at.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    quiet_since: Option<Instant>,
    seen: Option<Seen>,
}

/// What a stream and its consumer tell of themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Messages in the stream: all that are not acknowledged.
    pub messages: u64,
    pub first_sequence: u64,
    pub last_sequence: u64,
    /// The newest message that the consumer has delivered, by the stream's number; and how many deliveries it made.
    pub delivered_sequence: u64,
    pub deliveries: u64,
    /// Messages that the consumer has still to deliver, and those that it has delivered without an acknowledgement.
    pub undelivered: u64,
    pub unacknowledged: u64,
}

impl Watch {
    /// Counts what a `receive` brought. True, once per period, if that was nothing for a whole period.
    pub fn is_due(&mut self, delivered: usize, period: Duration) -> bool {
        let now = Instant::now();
        if delivered > 0 {
            *self = Self::default();
        }
        let due = now >= *self.quiet_since.get_or_insert(now) + period;
        if due {
            self.quiet_since = Some(now);
        }
        due
    }

    /// What is wrong, if anything, with a consumer from which nothing came since it was last looked at.
    pub fn judge(&mut self, now: Seen) -> Option<&'static str> {
        judge(self.seen.replace(now), now)
    }
}

/// What is wrong, if anything, with a consumer from which nothing came between the two looks.
fn judge(before: Option<Seen>, now: Seen) -> Option<&'static str> {
    if now.delivered_sequence > now.last_sequence {
        return Some("stands ahead of its stream");
    }
    let stood_still = before.is_some_and(|before| {
        before.deliveries == now.deliveries
            && (before.overlooks() && now.overlooks() || before.holds_back() && now.holds_back())
    });
    stood_still.then_some("delivers nothing of what its stream holds")
}

impl Seen {
    /// In a work queue each message is either still to be delivered or unacknowledged.
    fn overlooks(self) -> bool {
        self.messages > self.undelivered + self.unacknowledged
    }

    fn holds_back(self) -> bool {
        self.undelivered > 0 && self.unacknowledged < MAX_UNACKNOWLEDGED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: Seen = Seen {
        messages: 0,
        first_sequence: 91,
        last_sequence: 90,
        delivered_sequence: 90,
        deliveries: 95,
        undelivered: 0,
        unacknowledged: 0,
    };

    #[test]
    fn a_consumer_is_judged_by_what_its_stream_holds() {
        let full = Seen { messages: 3, last_sequence: 93, ..EMPTY };
        let in_work = Seen { delivered_sequence: 93, deliveries: 98, unacknowledged: 3, ..full };
        let held_back = Seen { undelivered: 3, ..full };
        let wiped = Seen { messages: 3, last_sequence: 3, undelivered: 0, ..EMPTY };
        let beside = Seen { messages: 5, undelivered: 2, ..in_work };
        let saturated = Seen { messages: 2000, undelivered: 976, unacknowledged: 1024, ..in_work };
        let stuck = Some("delivers nothing of what its stream holds");
        for (name, before, now, fault) in [
            ("an idle channel", Some(EMPTY), EMPTY, None),
            ("messages that are worked on for long", Some(in_work), in_work, None),
            ("messages that nobody counts, seen once", None, full, None),
            ("messages that nobody counts, seen twice", Some(full), full, stuck),
            ("messages that are not delivered, seen once", Some(EMPTY), held_back, None),
            ("messages that are not delivered, seen twice", Some(held_back), held_back, stuck),
            (
                "a message that came between the two readings",
                Some(in_work),
                Seen { messages: 4, ..in_work },
                None,
            ),
            ("messages held back beside some that are worked on", Some(beside), beside, stuck),
            ("as many unacknowledged as there may be", Some(saturated), saturated, None),
            ("a delivery in between", Some(Seen { deliveries: 94, ..held_back }), held_back, None),
            ("a stream that begins anew", None, wiped, Some("stands ahead of its stream")),
        ] {
            assert_eq!(judge(before, now), fault, "{name}");
        }
    }
}
