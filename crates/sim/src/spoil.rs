//! What may become of a message on its way, or be put beside it.

use serde_json::Value;

use crate::random::Random;

/// Bytes that are no batch of messages, or a batch of which one element is no message. True: the good ones are in a
/// message of their own all the same.
pub(crate) fn garbage(payload: &[u8], random: &Random) -> (Vec<u8>, bool) {
    match random.below(4) {
        // Cut off.
        0 => (payload[..random.index(payload.len())].to_vec(), true),
        // No text at all.
        1 => (random.bytes::<24>().to_vec(), true),
        // One element among good ones: those must go through.
        2 => {
            let mut mixed = payload.to_vec();
            let end = mixed.pop().expect("a batch ends with a bracket");
            mixed.extend_from_slice(br#",{"schema":1,"type":"ReserveStock","order_id":"#);
            mixed.extend_from_slice(format!("{}", random.u64()).as_bytes());
            mixed.push(b'}');
            mixed.push(end);
            (mixed, false)
        }
        // A message without its lines.
        _ => (br#"[{"schema":1,"type":"StockReleased","lines":[]}]"#.to_vec(), true),
    }
}

/// The same messages, about other lines than their orders'.
pub(crate) fn forgery(payload: &[u8], random: &Random) -> Option<Vec<u8>> {
    let digest = random.bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    each(payload, |message| message["digest"] = Value::String(digest.clone()))
}

/// The same messages as a program writes them that is two versions ahead.
pub(crate) fn newer_version(payload: &[u8]) -> Option<Vec<u8>> {
    each(payload, |message| message["schema"] = Value::from(contract::SCHEMA_VERSION + 2))
}

fn each(payload: &[u8], change: impl Fn(&mut Value)) -> Option<Vec<u8>> {
    let mut messages: Vec<Value> = serde_json::from_slice(payload).ok()?;
    messages.iter_mut().for_each(change);
    serde_json::to_vec(&messages).ok()
}
