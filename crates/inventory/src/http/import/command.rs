//! A row of a file as a command.

use contract::Digest;
use inventory_core::decide::{ImportRow, InventoryCommand};
use inventory_core::stock::{RequestCause, RequestId};

use super::rows::Counted;
use super::task::Terms;
use crate::store::StockKey;

/// The command of a row, which stands on this line.
pub(super) fn command(
    terms: &Terms,
    line: u32,
    (product_id, location_id): StockKey,
    row: Counted,
) -> InventoryCommand {
    let Counted { name, on_hand } = row;
    let (key, reason, requester) = match terms {
        Terms::Import { key, reason, requester } => {
            (key.as_str(), Some(reason.clone()), requester.clone())
        }
        Terms::DryRun => ("", None, Default::default()),
    };
    let stock_key = (product_id, location_id);
    let digest = digest(&stock_key, on_hand, [name.as_deref(), reason.as_deref()]);
    let (product_id, location_id) = stock_key;
    let cause = RequestCause {
        request_id: request_id(key, line),
        digest,
        reason,
        reference: Some(shown(key).to_owned()),
        actor: requester.actor.clone(),
    };
    let row = ImportRow { product_id, name, location_id, on_hand, cause, requester };
    InventoryCommand::Import(Box::new(row))
}

/// The key as the client sent it: the key of a request begins with who they are.
pub(super) fn shown(key: &str) -> &str {
    key.rsplit_once(' ').map_or(key, |(_, key)| key)
}

/// The id of a row: equal for every repeat with the same key (R4). It is the id of no other request:
/// those begin with the id of a product.
fn request_id(key: &str, line: u32) -> RequestId {
    // A UUIDv8 (RFC 9562) of a hash.
    let digest = Digest::of(format!("\0import\0{line}\0{key}").as_bytes());
    RequestId(uuid::Builder::from_custom_bytes(digest.0).into_uuid().into_bytes())
}

/// The digest of what a row says and of the reason. Digests are stored, so this function must never
/// change its results.
fn digest((product_id, location_id): &StockKey, on_hand: i64, texts: [Option<&str>; 2]) -> Digest {
    // No text has a line break, so "\n" marks an absent one.
    let [name, reason] = texts.map(|text| text.unwrap_or("\n"));
    let text = format!("{product_id}\0{location_id}\0import\0{on_hand}\0{name}\0{reason}");
    Digest::of(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use inventory_core::admin::Requester;

    use super::*;

    fn cause(
        key: &str,
        line: u32,
        product: &str,
        name: Option<&str>,
        on_hand: i64,
    ) -> RequestCause {
        let requester = Requester::default();
        let terms = Terms::Import { key: key.to_owned(), reason: "annual".to_owned(), requester };
        let ids = (product.parse().expect("an id"), contract::LocationId::main());
        let row = Counted { name: name.map(str::to_owned), on_hand };
        match command(&terms, line, ids, row) {
            InventoryCommand::Import(row) => row.cause,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_row_is_one_request_of_its_key_and_line() {
        let one = cause("key:ana K", 2, "MUG", None, 5);
        assert_eq!(one.reference.as_deref(), Some("K"));
        assert_eq!(one.request_id, cause("key:ana K", 2, "TEE", Some("x"), 9).request_id);
        assert_ne!(one.request_id, cause("key:ana K", 3, "MUG", None, 5).request_id);
        assert_ne!(one.request_id, cause("key:bob K", 2, "MUG", None, 5).request_id);
        assert_eq!(uuid::Uuid::from_bytes(one.request_id.0).get_version_num(), 8);
    }

    /// Movements store the digest, so a repeated row must have the same one in every version.
    #[test]
    fn the_digest_of_a_row_is_pinned() {
        let digest = cause("K", 2, "MUG", Some("Mug"), 5).digest;
        assert_eq!(digest, Digest::of(b"MUG\0main\0import\x005\0Mug\0annual"));
        let unnamed = cause("K", 2, "MUG", None, 5).digest;
        assert_eq!(unnamed, Digest::of(b"MUG\0main\0import\x005\0\n\0annual"));
    }
}
