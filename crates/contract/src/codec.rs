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
//!
//! Of a newer message, only the member `schema` is read. Every other member may have changed, also
//! `type`.
//!
//! # Size
//!
//! How large a message may be depends on the broker (`max_payload` of NATS), and may change while
//! the service runs. The sender asks the bus each time and hands the limit to [`encode`] (R17).

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// The version in which this build writes commands, and the newest that it reads.
pub const SCHEMA_VERSION: u32 = 1;
/// The most messages in a batch. [`encode`] writes no larger one, in any version, and [`decode`] takes
/// a larger one for garbage: it could cost its reader a hundred times its size.
pub const MAX_BATCH_MESSAGES: usize = 200;
/// The most bytes in a batch of several messages, brackets and commas included.
///
/// A larger message travels in a batch of its own, if the bus takes it.
pub const MAX_BATCH_BYTES: usize = 512 * 1024;

/// Messages in batches, as [`encode`] makes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// The batches, in the order of the messages.
    pub batches: Vec<Vec<u8>>,
    /// How many messages each batch has.
    pub counts: Vec<usize>,
    /// The messages that are in no batch, because the bus takes none of their size.
    ///
    /// The sender names them to the operator in the log and in `/readyz` (R17). Encoding them again
    /// helps only after the operator has raised the limit of the broker.
    pub too_large: Vec<TooLarge>,
}

/// A message whose batch would be larger than the bus allows, even if the message is alone in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// The message's position among those that were to be encoded.
    pub index: usize,
    /// How many bytes its batch would have: those of the message and two brackets.
    pub bytes: usize,
}

/// Why one message of a batch, or a whole batch, could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// A newer version of the program wrote the message; this is its schema version.
    ///
    /// The receiver counts the message and drops it. The sender repeats it until the receiver was
    /// upgraded and can read it (R16).
    #[error("schema version {0} is newer than this program")]
    UnknownVersion(u64),
    /// The bytes are not a message: no JSON object, another `type`, or a member that breaks a rule.
    ///
    /// The receiver counts the bytes and puts them into quarantine (R16). A retry fails again.
    #[error("not a message: {reason}")]
    Malformed {
        /// What is wrong, for people.
        reason: String,
        /// The bytes of the element, or of the batch if it is not a JSON array.
        bytes: Vec<u8>,
    },
}

/// Writes messages into batches of at most [`MAX_BATCH_MESSAGES`] and [`MAX_BATCH_BYTES`], none
/// larger than `max_bytes`, which is what the bus takes now (R17).
///
/// The messages keep their order. A batch is closed only when the next message does not fit, so the
/// batches are as few as that order allows. Without messages there are no batches.
///
/// ```
/// use contract::codec::{TooLarge, encode};
///
/// let long = "x".repeat(100);
/// let encoded = encode(&["first", &long, "last"], 50);
/// // The neighbours of a message that is too large share a batch all the same.
/// assert_eq!(encoded.batches, [br#"["first","last"]"#.to_vec()]);
/// // 100 letters, two quotation marks and two brackets.
/// assert_eq!(encoded.too_large, [TooLarge { index: 1, bytes: 104 }]);
/// ```
///
/// # Panics
///
/// If a message cannot be written as JSON. The messages of this crate always can.
pub fn encode<M: Serialize>(messages: &[M], max_bytes: usize) -> Encoded {
    let mut encoded = Encoded::default();
    let mut batch = Vec::new();
    let mut count = 0;
    for (index, message) in messages.iter().enumerate() {
        let text = serde_json::to_vec(message)
            .expect("messages have string keys and no failing serializer");
        let alone = text.len() + 2;
        if alone > max_bytes {
            encoded.too_large.push(TooLarge { index, bytes: alone });
            continue;
        }
        let limit = max_bytes.min(MAX_BATCH_BYTES);
        let full = count == MAX_BATCH_MESSAGES || batch.len() + alone > limit;
        if count > 0 && full {
            batch.push(b']');
            encoded.batches.push(std::mem::take(&mut batch));
            encoded.counts.push(std::mem::take(&mut count));
        }
        batch.push(if count == 0 { b'[' } else { b',' });
        batch.extend_from_slice(&text);
        count += 1;
    }
    if count > 0 {
        batch.push(b']');
        encoded.batches.push(batch);
        encoded.counts.push(count);
    }
    encoded
}

/// Writes a batch of one message, however large it is. The quarantine keeps decoded messages in
/// this form (R16).
///
/// # Panics
///
/// As [`encode`].
pub fn encode_one<M: Serialize>(message: &M) -> Vec<u8> {
    encode(std::slice::from_ref(message), usize::MAX).batches.concat()
}

/// Reads a batch and returns one result per element, in the order of the batch.
///
/// Bytes that are not a JSON array of at most [`MAX_BATCH_MESSAGES`] elements count as one malformed
/// element. A bad element does not affect its neighbours (R16). A retry with the same bytes returns the same results.
///
/// ```
/// use contract::codec::{Undecodable, decode};
/// use contract::commands::AllocateStock;
///
/// let good = r#"{"schema":1,"type":"AllocateStock","order_id":"01939c5e-6f70-7abc-8def-0123456789ab",
///     "revision":1,"wanted":[{"product_id":"456","quantity":1},{"product_id":"789","quantity":2}],
///     "digest":"a772afc17ed7c8097edf4c19a73a1b8e","attempt":1,"sent_at_micros":1795804200000000}"#;
/// let newer = r#"{"schema":2,"type":"MoveStock"}"#;
/// let batch = format!("[{good},{newer},7,{good}]");
///
/// let read = decode::<AllocateStock>(batch.as_bytes());
/// assert!(read[0].is_ok() && read[3].is_ok());
/// assert_eq!(read[1], Err(Undecodable::UnknownVersion(2)));
/// assert!(matches!(&read[2], Err(Undecodable::Malformed { bytes, .. }) if bytes == b"7"));
///
/// // Half a batch is one malformed element, and its bytes are kept.
/// let half = &batch.as_bytes()[..batch.len() / 2];
/// let read = decode::<AllocateStock>(half);
/// assert!(matches!(&read[..], [Err(Undecodable::Malformed { bytes, .. })] if bytes == half));
/// ```
pub fn decode<M: DeserializeOwned>(bytes: &[u8]) -> Vec<Result<M, Undecodable>> {
    // Almost every batch is good, and then one pass reads it.
    if let Ok(Batch(messages)) = serde_json::from_slice::<Batch<Object<M>>>(bytes) {
        return messages.into_iter().map(|Object(message)| Ok(message)).collect();
    }
    match serde_json::from_slice::<Batch<&RawValue>>(bytes) {
        Ok(Batch(elements)) => {
            elements.into_iter().map(|element| decode_one(element.get())).collect()
        }
        Err(error) => vec![Err(malformed(&error, bytes))],
    }
}

/// At most [`MAX_BATCH_MESSAGES`] elements of a JSON array.
struct Batch<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Batch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(BatchVisitor(PhantomData)).map(Self)
    }
}

struct BatchVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for BatchVisitor<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<T>, A::Error> {
        let mut read = Vec::new();
        while let Some(element) = elements.next_element()? {
            if read.len() == MAX_BATCH_MESSAGES {
                let reason = format_args!("more than {MAX_BATCH_MESSAGES} elements");
                return Err(de::Error::custom(reason));
            }
            read.push(element);
        }
        Ok(read)
    }
}

/// A message that is written as a JSON object. serde would also read an array as a struct, by
/// position.
struct Object<M>(M);

impl<'de, M: Deserialize<'de>> Deserialize<'de> for Object<M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

struct ObjectVisitor<M>(PhantomData<M>);

impl<'de, M: Deserialize<'de>> Visitor<'de> for ObjectVisitor<M> {
    type Value = M;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<M, A::Error> {
        M::deserialize(MapAccessDeserializer::new(members))
    }
}

/// Reads the schema version of a message, which must be one that this build knows.
pub(crate) fn known_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        known @ ..=SCHEMA_VERSION => Ok(known),
        newer => Err(de::Error::custom(Undecodable::UnknownVersion(u64::from(newer)))),
    }
}

/// The member that messages of every version have.
#[derive(Deserialize)]
struct Envelope {
    schema: u64,
}

fn decode_one<M: DeserializeOwned>(text: &str) -> Result<M, Undecodable> {
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
