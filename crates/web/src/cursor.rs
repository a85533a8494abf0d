//! Where the next page of a list begins: the key of the last row of this one, opaque to clients.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::problem::{Code, Problem};

/// The first byte. Another one is a cursor of another release: refused, and the client begins anew.
const VERSION: u8 = 1;
const CHECK_BYTES: usize = 4;

/// A cursor of `list`, a name that no other list has.
///
/// **Shape:** base64url without padding of version, check and key. The check is no signature: a cursor leads nowhere
/// that its client may not go, and only has to fail loudly when it is mangled or belongs to another list.
pub fn encode(list: &str, key: &str) -> String {
    let bytes: Vec<u8> = [VERSION].into_iter().chain(check(list, key)).chain(key.bytes()).collect();
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The key in a cursor of `list`. It is still the client's text: parse it as such.
///
/// **Errors:** 400 `invalid_cursor` for anything that [`encode`] did not make for this list.
pub fn decode(list: &str, cursor: &str) -> Result<String, Problem> {
    read(list, cursor).ok_or_else(invalid)
}

/// For a key that is not one of its list.
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
