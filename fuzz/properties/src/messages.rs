//! Whatever comes over the bus is read element by element, and what was read is written and read
//! back the same.

use std::fmt::Debug;

use contract::SCHEMA_VERSION;
use contract::answers::StockAllocated;
use contract::codec::{MAX_BATCH_BYTES, MAX_BATCH_MESSAGES, Undecodable, decode, encode};
use contract::commands::AllocateStock;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub fn check(bytes: &[u8]) {
    check_as::<AllocateStock>(bytes);
    check_as::<StockAllocated>(bytes);
}

fn check_as<M: Serialize + DeserializeOwned + Clone + PartialEq + Debug>(bytes: &[u8]) {
    let read = decode::<M>(bytes);
    check_elements(bytes, &read);
    let messages: Vec<M> = read.into_iter().filter_map(Result::ok).collect();
    let batches = encode(&messages, usize::MAX).batches;
    let mut again = Vec::new();
    for batch in &batches {
        let part = decode::<M>(batch);
        assert!(part.len() <= MAX_BATCH_MESSAGES);
        assert!(part.len() == 1 || batch.len() <= MAX_BATCH_BYTES);
        again.extend(part.into_iter().map(|message| message.expect("a written message is read")));
    }
    assert_eq!(again, messages);
    assert_eq!(encode(&again, usize::MAX).batches, batches);
}

/// A second JSON reader finds the same elements. Where it fails, because its numbers are floats,
/// nothing is compared.
fn check_elements<M: Debug>(bytes: &[u8], read: &[Result<M, Undecodable>]) {
    match serde_json::from_slice(bytes) {
        Ok(Value::Array(elements)) if elements.len() > MAX_BATCH_MESSAGES => {
            assert!(matches!(read, [Err(Undecodable::Malformed { .. })]), "{read:?}");
        }
        Ok(Value::Array(elements)) => {
            assert_eq!(read.len(), elements.len());
            for (one, element) in read.iter().zip(&elements) {
                let newer = element["schema"]
                    .as_u64()
                    .is_some_and(|schema| schema > u64::from(SCHEMA_VERSION));
                match one {
                    Ok(_) => assert!(!newer, "{element}"),
                    Err(Undecodable::UnknownVersion(_)) => assert!(newer, "{element}"),
                    Err(Undecodable::Malformed { bytes: kept, .. }) => {
                        assert!(
                            bytes.windows(kept.len().max(1)).any(|part| part == kept),
                            "{element}"
                        );
                    }
                }
            }
        }
        Ok(_) => assert!(matches!(read, [Err(Undecodable::Malformed { .. })]), "{read:?}"),
        Err(_) => {}
    }
}
