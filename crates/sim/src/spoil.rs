//! Corrupted and forged messages.

use serde_json::Value;

use crate::random::Random;

/// A payload that is not a batch of messages, or a batch with an element that is not a message.
pub(crate) struct Garbage {
    pub(crate) payload: Vec<u8>,
    /// The part that must end in the quarantine.
    pub(crate) bad: Vec<u8>,
    /// Whether the payload also contains the good messages, which must go through.
    pub(crate) is_mixed: bool,
}

pub(crate) fn garbage(good: &[u8], random: &Random) -> Garbage {
    let alone = |payload: Vec<u8>| Garbage { bad: payload.clone(), payload, is_mixed: false };
    let element = |bad: String| {
        let payload = format!("[{bad}]").into_bytes();
        Garbage { payload, bad: bad.into_bytes(), is_mixed: false }
    };
    match random.below(4) {
        // Truncated.
        0 => alone(good[..random.index(good.len())].to_vec()),
        // Not text.
        1 => alone(random.bytes::<24>().to_vec()),
        2 => {
            let bad =
                format!(r#"{{"schema":1,"type":"ReserveStock","order_id":{}}}"#, random.u64())
                    .into_bytes();
            let (bracket, messages) = good.split_last().expect("a batch ends with a bracket");
            let payload = [messages, b",", &bad, &[*bracket]].concat();
            Garbage { payload, bad, is_mixed: true }
        }
        // A message without its lines.
        _ => element(r#"{"schema":1,"type":"StockReleased","lines":[]}"#.to_owned()),
    }
}

/// The same messages, with the digest of other lines than their orders'.
pub(crate) fn forgery(payload: &[u8], random: &Random) -> Option<Vec<u8>> {
    let digest = random.bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    each(payload, |message| message["digest"] = Value::String(digest.clone()))
}

/// The same messages, as written by a program that is two versions ahead.
pub(crate) fn newer_version(payload: &[u8]) -> Option<Vec<u8>> {
    each(payload, |message| message["schema"] = Value::from(contract::SCHEMA_VERSION + 2))
}

fn each(payload: &[u8], change: impl Fn(&mut Value)) -> Option<Vec<u8>> {
    let mut messages: Vec<Value> = serde_json::from_slice(payload).ok()?;
    messages.iter_mut().for_each(change);
    serde_json::to_vec(&messages).ok()
}
