//! The encoding of batches: a JSON array of messages, of which each element is read by itself
//! (R16).
//!
//! One message of the bus carries what one commit produced, so a broker has to store, deliver and
//! acknowledge a few messages for hundreds of orders.
//!
//! # Versions
//!
//! A reader takes a message of its own version and of every older one. A newer message is not an error
//! of the sender: the receiver drops it and counts it, and the sender repeats it until the receiver was
//! upgraded. An answer is written in the version of its command, because that is what the sender of
//! the command can read.

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
mod tests;
