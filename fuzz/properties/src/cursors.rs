//! A list accepts a cursor that it wrote itself, in the same spelling, and refuses any other.

use web::cursor::{decode, encode};
use web::problem::Code;

const LISTS: [&str; 3] = ["orders", "products", "movements of 789"];

/// The first byte selects the list. The other bytes are used as a cursor and as a key.
pub fn check(bytes: &[u8]) {
    let Some((first, text)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let list = LISTS[usize::from(*first) % LISTS.len()];
    let other = LISTS[(usize::from(*first) + 1) % LISTS.len()];

    let cursor = encode(list, text);
    assert!(
        cursor.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'),
        "{cursor}"
    );
    assert_eq!(decode(list, &cursor).as_deref(), Ok(text));

    match decode(list, text) {
        Ok(key) => {
            assert_eq!(encode(list, &key), text, "one cursor has one spelling");
            assert!(decode(other, text).is_err(), "two lists accept the cursor {text}");
        }
        Err(problem) => assert_eq!(problem.code, Code::INVALID_CURSOR),
    }
}
