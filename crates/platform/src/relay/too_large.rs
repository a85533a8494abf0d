//! The messages that are larger than the bus allows, so that an operator can be told (R17).

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

/// The most messages that are remembered.
const MAX_REMEMBERED: usize = 100;
/// The most messages that [`TooLarge::trouble`] names.
const MAX_NAMED: usize = 3;
/// A message that was not tried for this long is forgotten: it was answered through another
/// replica. The slowest backoff is a third of this.
const FORGET_AFTER: Duration = Duration::from_secs(15 * 60);

/// The messages of one channel that are too large to be sent.
#[derive(Debug, Default)]
pub(super) struct TooLarge {
    /// By the subject of the message.
    messages: BTreeMap<String, Message>,
    /// Whether there were more than are remembered, which is logged once.
    is_crowded: bool,
}

#[derive(Debug)]
struct Message {
    bytes: usize,
    tried: Instant,
}

impl TooLarge {
    /// Remembers a message, and logs it if it is new.
    pub(super) fn note(&mut self, channel: &str, subject: &str, bytes: usize, limit: usize) {
        let tried = Instant::now();
        if let Some(known) = self.messages.get_mut(subject) {
            *known = Message { bytes, tried };
            return;
        }
        if self.messages.len() < MAX_REMEMBERED {
            self.messages.insert(subject.to_owned(), Message { bytes, tried });
            warn!(
                channel,
                subject,
                bytes,
                limit,
                "message is larger than the broker takes and is not sent; raise the broker's max_payload to 1 MiB"
            );
        } else if !std::mem::replace(&mut self.is_crowded, true) {
            warn!(channel, limit, "more messages are larger than the broker takes, not named");
        }
    }

    /// Forgets the messages that the bus would take now, and returns the others in one line, if
    /// there are any.
    pub(super) fn trouble(&mut self, limit: usize) -> Vec<String> {
        let now = Instant::now();
        self.messages.retain(|_, message| {
            message.bytes > limit && now.duration_since(message.tried) < FORGET_AFTER
        });
        self.is_crowded &= self.messages.len() == MAX_REMEMBERED;
        if self.messages.is_empty() {
            return Vec::new();
        }
        let name = |(subject, Message { bytes, .. }): (&String, &Message)| {
            format!("{subject} ({bytes} bytes)")
        };
        let named: Vec<_> = self.messages.iter().take(MAX_NAMED).map(name).collect();
        let more = match self.messages.len() - named.len() {
            0 => String::new(),
            more if self.is_crowded => format!(" and more than {more} others"),
            more => format!(" and {more} more"),
        };
        vec![format!(
            "messages are larger than the {limit} bytes that the broker takes: {}{more}; raise its max_payload to 1 MiB",
            named.join(", ")
        )]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_too_large_is_named_until_it_could_be_sent() {
        let mut list = TooLarge::default();
        assert_eq!(list.trouble(0), [""; 0]);
        list.note("channel", "order 1", 3000, 1000);
        list.note("channel", "order 2", 2000, 1000);
        list.note("channel", "order 2", 2001, 1000);
        let both = "messages are larger than the 1000 bytes that the broker takes: order 1 (3000 bytes), order 2 (2001 bytes); raise its max_payload to 1 MiB";
        assert_eq!(list.trouble(1000), [both]);
        let one = both.replace(", order 2 (2001 bytes)", "").replace("1000", "2001");
        assert_eq!(list.trouble(2001), [one]);
        assert_eq!(list.trouble(3000), [""; 0]);
        assert_eq!(list.trouble(1000), [""; 0], "it is named again when it is tried again");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_tried_any_more_is_forgotten() {
        let mut list = TooLarge::default();
        list.note("channel", "order 1", 3000, 1000);
        tokio::time::advance(FORGET_AFTER / 2).await;
        list.note("channel", "order 2", 3000, 1000);
        tokio::time::advance(FORGET_AFTER / 2).await;
        let [line] = &list.trouble(1000)[..] else { panic!("one line") };
        assert!(line.contains("order 2") && !line.contains("order 1"), "{line}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_list_is_bounded() {
        let mut list = TooLarge::default();
        for number in 0..2 * MAX_REMEMBERED {
            list.note("channel", &format!("order {number:03}"), 3000, 1000);
        }
        assert_eq!(list.messages.len(), MAX_REMEMBERED);
        let [line] = &list.trouble(1000)[..] else { panic!("one line") };
        assert!(line.contains("order 002 (3000 bytes) and more than 97 others"), "{line}");
    }
}
