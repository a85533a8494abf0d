//! Cursors: where the next page of a list begins. A cursor holds the key of the last row of the
//! page and is opaque to clients.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::problem::{Code, Problem};

/// The first byte of a cursor. A cursor of another version is refused, and the client starts at the
/// first page.
const VERSION: u8 = 1;
const CHECK_BYTES: usize = 4;

/// Encodes a cursor of `list`, a name that no other list has.
///
/// A cursor is the base64url, without padding, of a version, a checksum and the key. The checksum
/// is not a signature: it only detects a mangled cursor or one of another list. A client gains
/// nothing by forging a cursor, because it may read every row of the list anyway.
pub fn encode(list: &str, key: &str) -> String {
    let bytes: Vec<u8> = [VERSION].into_iter().chain(check(list, key)).chain(key.bytes()).collect();
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes the key in a cursor of `list`. The key is still untrusted text of the client: parse it.
///
/// # Errors
///
/// 400 `invalid_cursor` if [`encode`] did not make the cursor for this list.
pub fn decode(list: &str, cursor: &str) -> Result<String, Problem> {
    read(list, cursor).ok_or_else(invalid)
}

/// The problem of a cursor whose key is not valid for its list.
pub fn invalid() -> Problem {
    Problem::new(
        Code::INVALID_CURSOR,
        "send next_cursor unchanged to the list that returned it, or omit cursor for the first page",
    )
}

fn read(list: &str, cursor: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (version, rest) = bytes.split_first()?;
    let (its_check, key) = rest.split_at_checked(CHECK_BYTES)?;
    let key = std::str::from_utf8(key).ok()?;
    (*version == VERSION && its_check == check(list, key)).then(|| key.to_owned())
}

fn check(list: &str, key: &str) -> [u8; CHECK_BYTES] {
    let hash = Sha256::new().chain_update(list).chain_update([0]).chain_update(key).finalize();
    [hash[0], hash[1], hash[2], hash[3]]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cursor_belongs_to_its_list() {
        let cursor = encode("orders", "0197-a");
        assert_eq!(decode("orders", &cursor).unwrap(), "0197-a");
        assert_eq!(decode("products", &cursor).unwrap_err().code, Code::INVALID_CURSOR);
    }

    #[test]
    fn what_no_list_gave_out_is_refused() {
        let cursor = encode("orders", "0197-a");
        for bad in [
            "",
            "!",
            "AQ",
            &cursor[1..],
            &cursor[..cursor.len() - 1],
            &format!("{cursor}A"),
            &format!("{cursor}="),
            &"A".repeat(5000),
        ] {
            assert_eq!(decode("orders", bad).unwrap_err().code, Code::INVALID_CURSOR, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_key_reads_back(key in any::<String>()) {
            let cursor = encode("orders", &key);
            prop_assert!(cursor.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            prop_assert_eq!(decode("orders", &cursor).unwrap(), key);
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = decode("orders", &text);
        }
    }
}
