//! The digest by which both services recognize an intent (R14).

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The first 16 bytes of a SHA-256 (FIPS 180-4).
///
/// 16 bytes are plenty against accidents, which is what digests are for here; they are no signature.
///
/// As text and in JSON, a digest is 32 lower-case hexadecimal digits. It has no other spelling.
/// [`Intent::digest`](crate::Intent::digest) says what is hashed for an order.
///
/// ```
/// use contract::Digest;
///
/// let digest = Digest::of(b"");
/// assert_eq!(digest.to_string(), "e3b0c44298fc1c149afbf4c8996fb924");
/// assert_eq!(Digest::try_from(digest.to_string()), Ok(digest));
/// assert!(Digest::try_from(digest.to_string().to_uppercase()).is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 16]);

impl Digest {
    /// Computes the digest of the bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let hash = Sha256::digest(bytes);
        let mut first = [0; 16];
        first.copy_from_slice(&hash[..16]);
        Self(first)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digits = |byte: u8| [byte >> 4, byte & 15].map(|half| DIGITS[usize::from(half)]);
        let text = self.0.map(digits);
        f.write_str(std::str::from_utf8(text.as_flattened()).expect("digits are ASCII"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = &'static str;

    /// Reads the text of a digest.
    ///
    /// # Errors
    ///
    /// The text is not 32 lower-case hexadecimal digits. The error is a sentence for people. A
    /// retry fails again.
    fn try_from(text: String) -> Result<Self, Self::Error> {
        const WRONG: &str = "a digest must be 32 lower-case hexadecimal digits";
        if text.len() != 32 || text.bytes().any(|b| !matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(WRONG);
        }
        let mut bytes = [0; 16];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| WRONG)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| WRONG)?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_digest_has_one_spelling() {
        let pinned = super::Digest::try_from(PINNED.to_owned()).expect("a digest");
        assert_eq!((pinned.to_string().as_str(), format!("{pinned:?}").as_str()), (PINNED, PINNED));
        for bad in [
            "",
            &PINNED[1..],
            &format!("{PINNED}0"),
            &PINNED.to_uppercase(),
            &PINNED.replace('6', "g"),
            &"é".repeat(16),
        ] {
            assert!(super::Digest::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    const PINNED: &str = "6001b0afb95f13ef07ff5c6d151fa4d4";
}
