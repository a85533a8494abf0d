//! The watchdog: finds a consumer that delivers nothing although its stream holds something, and deletes it (R10).
//!
//! Such a consumer survives when a stream is lost and made anew, or restored: it stands at a number that the stream
//! will reach in a year. Deleting it loses nothing, and the next `receive` makes it anew.
//!
//! A stream whose files are gone counts messages that it can give to nobody, and goes on so for ever. It is deleted
//! whole: whatever it held is sent again (R7).

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::declare::{MAX_ACK_PENDING, stream_name};

/// What was seen of one channel when it was last looked at.
#[derive(Clone, Default)]
pub(super) struct Watch {
    quiet_since: Option<Instant>,
    seen: Option<Seen>,
}

/// What a stream and its consumer tell of themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    /// Messages in the stream: all that are not acknowledged.
    messages: u64,
    first_sequence: u64,
    last_sequence: u64,
    /// The newest message that the consumer has delivered, by the stream's number; and how many deliveries it made.
    delivered_sequence: u64,
    deliveries: u64,
    /// Messages that the consumer has still to deliver, and those that it has delivered without an acknowledgement.
    undelivered: u64,
    unacknowledged: u64,
}

impl Watch {
    /// Counts what a `receive` brought. True, once per period, if that was nothing for a whole period.
    pub(super) fn is_due(&mut self, delivered: usize, period: Duration) -> bool {
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

    /// Looks at the broker. True: something was wrong, and what is known of the channel is to be forgotten.
    pub(super) async fn look(&mut self, context: &Context, channel: &str, consumer: &PullConsumer) -> bool {
        let name = stream_name(channel);
        // The consumer first: read the other way round, one that has just delivered would seem to be ahead.
        let told = async {
            let consumer = consumer.get_info().await.map_err(|error| error.to_string())?;
            let stream = context.get_stream(&name).await.map_err(|error| error.to_string())?;
            let state = stream.cached_info().state.clone();
            let now = Seen {
                messages: state.messages,
                first_sequence: state.first_sequence,
                last_sequence: state.last_sequence,
                delivered_sequence: consumer.delivered.stream_sequence,
                deliveries: consumer.delivered.consumer_sequence,
                undelivered: consumer.num_pending,
                unacknowledged: consumer.num_ack_pending as u64,
            };
            Ok::<_, String>((stream, now))
        };
        let (stream, now) = match told.await {
            Ok(told) => told,
            Err(error) => {
                debug!(channel, error, "the watchdog cannot see the stream or its consumer");
                return true;
            }
        };
        if now.messages > 0 && has_lost(&stream, now.first_sequence).await {
            warn!(channel, ?now, "the stream has lost its files; it is made anew");
            if let Err(error) = context.delete_stream(&name).await {
                debug!(channel, %error, "the stream cannot be deleted");
            }
            return true;
        }
        let Some(fault) = judge(self.seen.replace(now), now) else { return false };
        warn!(channel, ?now, "the consumer {fault}; it is made anew");
        if let Err(error) = context.delete_consumer_from_stream(&consumer.cached_info().name, &name).await {
            debug!(channel, %error, "the consumer cannot be deleted");
        }
        true
    }
}

/// Whether a stream counts a message as its first and cannot give it.
async fn has_lost(stream: &Stream, first_sequence: u64) -> bool {
    match stream.get_raw_message(first_sequence).await {
        // Unless it was acknowledged in between.
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => {
            let now = stream.get_info().await.map(|info| info.state);
            now.is_ok_and(|now| now.messages > 0 && now.first_sequence == first_sequence)
        }
        _ => false,
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
        self.undelivered > 0 && self.unacknowledged < MAX_ACK_PENDING.unsigned_abs()
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
            ("a message that came between the two readings", Some(in_work), Seen { messages: 4, ..in_work }, None),
            ("messages held back beside some that are worked on", Some(beside), beside, stuck),
            ("as many unacknowledged as there may be", Some(saturated), saturated, None),
            ("a delivery in between", Some(Seen { deliveries: 94, ..held_back }), held_back, None),
            ("a stream that begins anew", None, wiped, Some("stands ahead of its stream")),
        ] {
            assert_eq!(judge(before, now), fault, "{name}");
        }
    }
}
