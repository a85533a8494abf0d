//! The encoding of batches: a JSON array of messages, of which each element is read by itself
//! (R16).

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The version in which this build writes messages, and the newest that it reads.
pub const SCHEMA_VERSION: u32 = 1;
/// The most messages in a batch.
pub const MAX_BATCH_MESSAGES: usize = 200;
/// The most bytes in a batch of several messages, brackets and commas included.
///
/// A larger message travels in a batch of its own. NATS accepts at most 1 MiB unless configured
/// otherwise.
pub const MAX_BATCH_BYTES: usize = 512 * 1024;

/// Why one message of a batch, or a whole batch, could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// A newer version of the program wrote the message; this is its schema version.
    ///
    /// The receiver drops the message. The sender repeats it after the upgrade (R16).
    #[error("schema version {0} is newer than this program")]
    UnknownVersion(u64),
    /// The bytes are not a message. The receiver puts them into quarantine (R16).
    #[error("not a message: {reason}")]
    Malformed {
        /// What is wrong, for people.
        reason: String,
        /// The bytes of the element, or of the batch if it is not a JSON array.
        bytes: Vec<u8>,
    },
}

/// Writes messages into batches of at most [`MAX_BATCH_MESSAGES`] and [`MAX_BATCH_BYTES`].
///
/// The messages keep their order. A batch is closed only when the next message does not fit, so the
/// batches are as few as that order allows. Without messages there are no batches.
///
/// # Panics
///
/// If a message cannot be written as JSON. The messages of this crate always can.
pub fn encode<M: Serialize>(messages: &[M]) -> Vec<Vec<u8>> {
    let mut batches = Vec::new();
    let mut batch = Vec::new();
    let mut count = 0;
    for message in messages {
        let text = serde_json::to_vec(message)
            .expect("messages have string keys and no failing serializer");
        let full = count == MAX_BATCH_MESSAGES || batch.len() + text.len() + 2 > MAX_BATCH_BYTES;
        if count > 0 && full {
            batch.push(b']');
            batches.push(std::mem::take(&mut batch));
            count = 0;
        }
        batch.push(if count == 0 { b'[' } else { b',' });
        batch.extend_from_slice(&text);
        count += 1;
    }
    if count > 0 {
        batch.push(b']');
        batches.push(batch);
    }
    batches
}

/// Reads a batch and returns one result per element, in the order of the batch.
///
/// Bytes that are not a JSON array count as one malformed element. A bad element does not affect
/// its neighbours (R16). A retry with the same bytes returns the same results.
pub fn decode<M: DeserializeOwned>(bytes: &[u8]) -> Vec<Result<M, Undecodable>> {
    match serde_json::from_slice::<Vec<&RawValue>>(bytes) {
        Ok(elements) => elements.into_iter().map(|element| decode_one(element.get())).collect(),
        Err(error) => vec![Err(malformed(&error, bytes))],
    }
}

/// The member that messages of every version have.
#[derive(Deserialize)]
struct Envelope {
    schema: u64,
}

fn decode_one<M: DeserializeOwned>(text: &str) -> Result<M, Undecodable> {
    // serde would read an array as a struct, by position.
    if !text.starts_with('{') {
        return Err(Undecodable::Malformed {
            reason: "expected a JSON object".to_owned(),
            bytes: text.as_bytes().to_vec(),
        });
    }
    let envelope: Envelope =
        serde_json::from_str(text).map_err(|error| malformed(&error, text.as_bytes()))?;
    if envelope.schema > u64::from(SCHEMA_VERSION) {
        return Err(Undecodable::UnknownVersion(envelope.schema));
    }
    serde_json::from_str(text).map_err(|error| malformed(&error, text.as_bytes()))
}

fn malformed(error: &serde_json::Error, bytes: &[u8]) -> Undecodable {
    Undecodable::Malformed { reason: error.to_string(), bytes: bytes.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::{StockAnswer, StockOutcome};
    use crate::commands::{StockCommand, StockCommandKind};
    use crate::{OrderId, Quantity, StockLines};

    fn command(product: &str) -> StockCommand {
        let line = (product.parse().expect("an id"), Quantity::new(2).expect("a quantity"));
        let lines = StockLines::sum([line]).expect("one line");
        StockCommand {
            schema: 1,
            kind: StockCommandKind::ReserveStock,
            order_id: OrderId(uuid::Uuid::from_u128(7)),
            digest: lines.digest(),
            lines,
            attempt: 1,
            sent_at_micros: 1_795_804_200_000_000,
            traceparent: None,
        }
    }

    #[test]
    fn batches_keep_the_order_of_messages_and_the_limits() {
        let long = "p".repeat(64);
        let sent: Vec<_> =
            (0..450).map(|n| command(if n % 2 == 0 { "a" } else { &long })).collect();
        let batches = encode(&sent);
        assert_eq!(batches.len(), 3);
        assert!(batches.iter().all(|batch| batch.len() <= MAX_BATCH_BYTES));
        let read: Result<Vec<StockCommand>, _> =
            batches.iter().flat_map(|batch| decode(batch)).collect();
        assert_eq!(read.as_deref(), Ok(&sent[..]));
        assert!(encode::<StockCommand>(&[]).is_empty());
    }

    /// A command whose message has this many bytes.
    fn command_of(bytes: usize) -> StockCommand {
        let mut command = StockCommand { traceparent: Some(String::new()), ..command("a") };
        let rest = serde_json::to_vec(&command).expect("JSON").len();
        command.traceparent = Some("t".repeat(bytes - rest));
        command
    }

    #[test]
    fn a_batch_is_filled_to_its_last_byte_and_a_larger_message_travels_alone() {
        // Two messages with a comma between them and brackets around them.
        let half = (MAX_BATCH_BYTES - 3) / 2;
        let rest = MAX_BATCH_BYTES - 3 - half;
        for (sizes, batches) in [
            (&[half, rest][..], &[MAX_BATCH_BYTES][..]),
            (&[half, rest + 1], &[half + 2, rest + 3]),
            (&[MAX_BATCH_BYTES], &[MAX_BATCH_BYTES + 2]),
            (&[1000, MAX_BATCH_BYTES, 1000], &[1002, MAX_BATCH_BYTES + 2, 1002]),
        ] {
            let sent: Vec<_> = sizes.iter().map(|bytes| command_of(*bytes)).collect();
            let written = encode(&sent);
            assert_eq!(written.iter().map(Vec::len).collect::<Vec<_>>(), batches);
            let read: Result<Vec<StockCommand>, _> =
                written.iter().flat_map(|batch| decode(batch)).collect();
            assert_eq!(read, Ok(sent));
        }
    }

    #[test]
    fn a_bad_element_does_not_affect_its_neighbours() {
        let good = serde_json::to_string(&command("a")).expect("JSON");
        let newer = good.replace("\"schema\":1", "\"schema\":2");
        let read = decode::<StockCommand>(format!("[{good},{{}},{newer},7,{good}]").as_bytes());
        assert!(read[0].is_ok() && read[4].is_ok());
        assert!(matches!(read[1], Err(Undecodable::Malformed { .. })));
        assert_eq!(read[2], Err(Undecodable::UnknownVersion(2)));
        assert!(matches!(&read[3], Err(Undecodable::Malformed { bytes, .. }) if bytes == b"7"));
    }

    /// serde would read an array by position: `[2]` would be a message of schema version 2.
    #[test]
    fn an_array_is_not_a_message() {
        let good = command("a");
        let values =
            serde_json::to_value((1, good.kind, good.order_id, &good.lines, good.digest, 1, 2, ()))
                .expect("JSON");
        for element in ["[2]", "[1]", "[]", &values.to_string()] {
            let read = decode::<StockCommand>(format!("[{element}]").as_bytes());
            assert!(
                matches!(&read[..], [Err(Undecodable::Malformed { bytes, .. })] if bytes == element.as_bytes()),
                "{read:?}"
            );
        }
    }

    #[test]
    fn garbage_is_one_malformed_element() {
        for garbage in
            [&b""[..], b"[", b"garbage", b"\xff\xfe", b"{}", b"[1,", &vec![b'['; 100_000]]
        {
            let read = decode::<StockCommand>(garbage);
            assert!(matches!(&read[..], [Err(Undecodable::Malformed { .. })]), "{read:?}");
        }
    }

    /// A broker may still hold messages of every version that was ever written.
    #[test]
    fn every_stored_example_is_still_read() {
        let commands = include_str!("../examples/commands_v1.json");
        let answers = include_str!("../examples/answers_v1.json");
        let commands: Result<Vec<StockCommand>, _> =
            decode(commands.as_bytes()).into_iter().collect();
        let kinds: Vec<_> =
            commands.expect("three commands").iter().map(|command| command.kind).collect();
        assert_eq!(kinds, StockCommandKind::ALL);
        let answers: Result<Vec<StockAnswer>, _> = decode(answers.as_bytes()).into_iter().collect();
        let names: Vec<_> =
            answers.expect("four answers").iter().map(|answer| answer.outcome.name()).collect();
        assert_eq!(names, ["StockReserved", "StockRejected", "StockReleased", "StockShipped"]);
    }

    #[test]
    fn the_members_of_an_outcome_are_members_of_its_answer() {
        let StockCommand { order_id, lines, digest, .. } = command("a");
        let outcome = StockOutcome::StockReleased;
        let answer = StockAnswer {
            schema: 1,
            outcome,
            order_id,
            lines,
            digest,
            attempt: 1,
            decided_at_micros: 1,
            sent_at_micros: 2,
            traceparent: None,
        };
        let text = serde_json::to_value(&answer).expect("JSON");
        assert_eq!(text["type"], "StockReleased");
        assert_eq!(decode::<StockAnswer>(format!("[{text}]").as_bytes()), [Ok(answer)]);
    }
}
