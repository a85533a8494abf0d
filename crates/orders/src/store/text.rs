//! What both engines keep in the same form: the parts of an answer as JSON, as the contract sends
//! them.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads a column of parts. None are stored as null.
///
/// # Errors
///
/// Returns an error if the column was edited by hand or is damaged.
pub(super) fn parts<T: DeserializeOwned>(text: Option<&str>) -> Result<Vec<T>, serde_json::Error> {
    text.map_or_else(|| Ok(Vec::new()), serde_json::from_str)
}

/// The other way round.
pub(super) fn parts_text<T: Serialize>(parts: &[T]) -> Option<String> {
    let text = || serde_json::to_string(parts).expect("parts of an answer have string keys");
    (!parts.is_empty()).then(text)
}
