//! The watchdog: finds a consumer that delivers nothing although its stream holds messages (R10).
//!
//! Such a consumer outlives a stream that is lost and created again, or restored: its position is a
//! sequence number that the stream will not reach for a long time. Deleting it loses nothing; the
//! next `receive` creates it again.

use std::time::Duration;

use tokio::time::Instant;

/// How many messages of a consumer, over all replicas, may be delivered and not yet acknowledged.
pub const MAX_UNACKNOWLEDGED: u64 = 1024;

/// The watchdog's state for one channel.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    quiet_since: Option<Instant>,
    seen: Option<Seen>,
}

/// The state of a stream and its consumer at one inspection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Messages in the stream, which are those that are not acknowledged.
    pub messages: u64,
    /// The sequence number of the stream's oldest message.
    pub first_sequence: u64,
    /// The sequence number of the stream's newest message.
    pub last_sequence: u64,
    /// The stream's sequence number of the newest message that the consumer has delivered.
    pub delivered_sequence: u64,
    /// How many deliveries the consumer has made, repeats included.
    pub deliveries: u64,
    /// Messages that the consumer has not delivered yet.
    pub undelivered: u64,
    /// Messages that the consumer has delivered and that are not acknowledged.
    pub unacknowledged: u64,
}

impl Watch {
    /// Notes how many messages a `receive` returned. Returns true, once per `period`, after a whole
    /// `period` without any.
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

    /// Returns what is wrong, if anything, with a consumer that delivered nothing since the last
    /// inspection. The text completes "the consumer …".
    pub fn judge(&mut self, now: Seen) -> Option<&'static str> {
        judge(self.seen.replace(now), now)
    }
}

/// Returns what is wrong, if anything, with a consumer that delivered nothing between the two
/// inspections.
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
    /// Whether the consumer misses messages: in a work queue each is either undelivered or
    /// unacknowledged.
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
