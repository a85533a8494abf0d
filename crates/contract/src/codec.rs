//! Batches of messages as bytes: a JSON array, of which every element stands or falls alone.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The version in which this build writes messages, and the newest that it reads.
pub const SCHEMA_VERSION: u32 = 1;
/// The most messages in one batch.
pub const MAX_BATCH_MESSAGES: usize = 200;
/// The most bytes in one batch of several messages; brokers refuse much more (NATS above 1 MiB).
pub const MAX_BATCH_BYTES: usize = 512 * 1024;

/// Why one message of a batch, or a whole batch, could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// Written by a newer version. To be dropped: its sender repeats it after the upgrade (R16).
    #[error("schema version {0} is newer than this program")]
    UnknownVersion(u64),
    /// To be quarantined: a repeat will look the same.
    #[error("not a message: {reason}")]
    Malformed { reason: String, bytes: Vec<u8> },
}

/// Writes messages into as few batches as the limits allow.
///
/// **Shape:** keeps the order; no messages, no batches.
pub fn encode<M: Serialize>(messages: &[M]) -> Vec<Vec<u8>> {
    let mut batches = Vec::new();
    let mut batch = Vec::new();
    let mut count = 0;
    for message in messages {
        let text = serde_json::to_vec(message).expect("messages have string keys and no failing serializer");
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

/// Reads a batch. One result per element in its order; bytes that are no batch are one malformed element.
pub fn decode<M: DeserializeOwned>(bytes: &[u8]) -> Vec<Result<M, Undecodable>> {
    match serde_json::from_slice::<Vec<&RawValue>>(bytes) {
        Ok(elements) => elements.into_iter().map(|element| decode_one(element.get())).collect(),
        Err(error) => vec![Err(malformed(&error, bytes))],
    }
}

/// The part of a message that every version has.
#[derive(Deserialize)]
struct Envelope {
    schema: u64,
}

fn decode_one<M: DeserializeOwned>(text: &str) -> Result<M, Undecodable> {
    // serde would take an array for an object, member by member.
    if !text.starts_with('{') {
        return Err(Undecodable::Malformed { reason: "it is no object".to_owned(), bytes: text.as_bytes().to_vec() });
    }
    let envelope: Envelope = serde_json::from_str(text).map_err(|error| malformed(&error, text.as_bytes()))?;
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
    fn what_was_encoded_is_decoded_in_the_same_order_and_within_the_limits() {
        let long = "p".repeat(64);
        let sent: Vec<_> = (0..450).map(|n| command(if n % 2 == 0 { "a" } else { &long })).collect();
        let batches = encode(&sent);
        assert_eq!(batches.len(), 3);
        assert!(batches.iter().all(|batch| batch.len() <= MAX_BATCH_BYTES));
        let read: Result<Vec<StockCommand>, _> = batches.iter().flat_map(|batch| decode(batch)).collect();
        assert_eq!(read.as_deref(), Ok(&sent[..]));
        assert!(encode::<StockCommand>(&[]).is_empty());
    }

    /// A command whose message has so many bytes.
    fn command_of(bytes: usize) -> StockCommand {
        let mut command = StockCommand { traceparent: Some(String::new()), ..command("a") };
        let rest = serde_json::to_vec(&command).expect("JSON").len();
        command.traceparent = Some("t".repeat(bytes - rest));
        command
    }

    #[test]
    fn a_batch_is_filled_to_its_last_byte_and_what_is_larger_travels_alone() {
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
            let read: Result<Vec<StockCommand>, _> = written.iter().flat_map(|batch| decode(batch)).collect();
            assert_eq!(read, Ok(sent));
        }
    }

    #[test]
    fn a_bad_element_does_not_take_its_neighbours_down() {
        let good = serde_json::to_string(&command("a")).expect("JSON");
        let newer = good.replace("\"schema\":1", "\"schema\":2");
        let read = decode::<StockCommand>(format!("[{good},{{}},{newer},7,{good}]").as_bytes());
        assert!(read[0].is_ok() && read[4].is_ok());
        assert!(matches!(read[1], Err(Undecodable::Malformed { .. })));
        assert_eq!(read[2], Err(Undecodable::UnknownVersion(2)));
        assert!(matches!(&read[3], Err(Undecodable::Malformed { bytes, .. }) if bytes == b"7"));
    }

    /// Their places would be taken for names: `[2]` for the version of a newer program, which nobody has written.
    #[test]
    fn an_array_is_no_message() {
        let good = command("a");
        let values =
            serde_json::to_value((1, good.kind, good.order_id, &good.lines, good.digest, 1, 2, ())).expect("JSON");
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
        for garbage in [&b""[..], b"[", b"garbage", b"\xff\xfe", b"{}", b"[1,", &vec![b'['; 100_000]] {
            let read = decode::<StockCommand>(garbage);
            assert!(matches!(&read[..], [Err(Undecodable::Malformed { .. })]), "{read:?}");
        }
    }

    /// Messages of every version ever written may still lie in a broker, or come back from yesterday.
    #[test]
    fn every_stored_example_is_still_read() {
        let commands = include_str!("../examples/commands_v1.json");
        let answers = include_str!("../examples/answers_v1.json");
        let commands: Result<Vec<StockCommand>, _> = decode(commands.as_bytes()).into_iter().collect();
        let kinds: Vec<_> = commands.expect("three commands").iter().map(|command| command.kind).collect();
        assert_eq!(kinds, StockCommandKind::ALL);
        let answers: Result<Vec<StockAnswer>, _> = decode(answers.as_bytes()).into_iter().collect();
        let names: Vec<_> = answers.expect("four answers").iter().map(|answer| answer.outcome.name()).collect();
        assert_eq!(names, ["StockReserved", "StockRejected", "StockReleased", "StockShipped"]);
    }

    #[test]
    fn an_outcome_rides_flat_in_its_answer() {
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
