//! The text of an API key: `lsk_live_<id>_<secret><checksum>`.
//!
//! The prefix lets scanners of source code find keys that were published by mistake, and the
//! checksum tells them, and whoever typed one, a key from other text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ID_LENGTH: usize = 12;
/// 43 of 62 characters are 256 random bits.
const SECRET_LENGTH: usize = 43;
const CHECKSUM_LENGTH: usize = 6;

/// What every key begins with.
pub const KEY_PREFIX: &str = "lsk_";

/// The public part of a key, by which logs, lists and histories name it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// The text of the id: 12 letters and digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let is_id = text.len() == ID_LENGTH && is_base62(text);
        if is_id { Ok(Self(text.to_owned())) } else { Err(NotAnId) }
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not the id of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the id of a key has 12 letters and digits")]
pub struct NotAnId;

/// The SHA-256 of a secret. A fast hash is enough: nobody can guess 256 random bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretHash(pub [u8; 32]);

impl SecretHash {
    fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash")
    }
}

/// Whether a key is for real orders or for trials. The services treat both alike: it is for people
/// who find one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyMode {
    /// `lsk_live_`
    Live,
    /// `lsk_test_`
    Test,
}

impl KeyMode {
    /// The name, as tables have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Live => "lsk_live_",
            Self::Test => "lsk_test_",
        }
    }
}

/// A text that names no mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the mode of a key is live or test")]
pub struct UnknownMode;

impl FromStr for KeyMode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        let found = [Self::Live, Self::Test].into_iter().find(|mode| mode.as_str() == text);
        found.ok_or(UnknownMode)
    }
}

/// A key as it was made: its text is shown once and stored nowhere.
pub struct NewKey {
    /// The public part.
    pub id: KeyId,
    /// What is stored.
    pub hash: SecretHash,
    /// The whole key.
    pub text: String,
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl NewKey {
    /// Makes a key with a new id.
    ///
    /// # Errors
    ///
    /// The operating system has no random numbers.
    pub fn generate(mode: KeyMode) -> Result<Self, getrandom::Error> {
        Self::for_id(KeyId(random(ID_LENGTH)?), mode)
    }

    /// Makes another secret for an id.
    ///
    /// # Errors
    ///
    /// As [`generate`](Self::generate).
    pub fn for_id(id: KeyId, mode: KeyMode) -> Result<Self, getrandom::Error> {
        let secret = random(SECRET_LENGTH)?;
        let body = format!("{}{id}_{secret}", mode.prefix());
        let text = format!("{body}{}", checksum(&body));
        Ok(Self { hash: SecretHash::of(&secret), id, text })
    }
}

/// A key that a client sent, in parts.
#[derive(Debug)]
pub struct SentKey {
    /// The public part.
    pub id: KeyId,
    /// The hash of the secret.
    pub hash: SecretHash,
}

/// The text is not an API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an API key")]
pub struct NotAKey;

impl FromStr for SentKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let rest =
            [KeyMode::Live, KeyMode::Test].iter().find_map(|m| text.strip_prefix(m.prefix()));
        let (id, rest) = rest.and_then(|rest| rest.split_once('_')).ok_or(NotAKey)?;
        if rest.len() != SECRET_LENGTH + CHECKSUM_LENGTH || !is_base62(rest) {
            return Err(NotAKey);
        }
        let (secret, sum) = rest.split_at(SECRET_LENGTH);
        let body = &text[..text.len() - CHECKSUM_LENGTH];
        if checksum(body) != sum {
            return Err(NotAKey);
        }
        Ok(Self { id: id.parse().map_err(|_| NotAKey)?, hash: SecretHash::of(secret) })
    }
}

fn is_base62(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a secret must not come from ids that a test can foresee"
)]
fn random(length: usize) -> Result<String, getrandom::Error> {
    let mut text = String::with_capacity(length);
    let mut bytes = [0; 64];
    while text.len() < length {
        getrandom::fill(&mut bytes)?;
        // 248 is the greatest multiple of 62 in a byte: every character is equally likely.
        let fair = bytes.iter().filter(|byte| **byte < 248);
        let characters = fair.map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]));
        text.extend(characters.take(length - text.len()));
    }
    Ok(text)
}

fn checksum(body: &str) -> String {
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut digits = [b'0'; CHECKSUM_LENGTH];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[rest as usize % ALPHABET.len()];
        rest /= 62;
    }
    digits.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_made() {
        for (mode, prefix) in [(KeyMode::Live, "lsk_live_"), (KeyMode::Test, "lsk_test_")] {
            let made = NewKey::generate(mode).expect("random numbers");
            assert!(made.text.starts_with(prefix) && made.text.len() == 71, "{}", made.text.len());
            let sent: SentKey = made.text.parse().expect("a key");
            assert_eq!((sent.id, sent.hash), (made.id, made.hash));
        }
    }

    #[test]
    fn two_keys_have_nothing_in_common() {
        let [one, two] =
            [(), ()].map(|()| NewKey::generate(KeyMode::Live).expect("random numbers"));
        assert!(one.id != two.id && one.hash != two.hash);
        let again = NewKey::for_id(one.id.clone(), KeyMode::Live).expect("random numbers");
        assert!(again.id == one.id && again.hash != one.hash);
    }

    #[test]
    fn one_wrong_character_is_noticed_without_a_look_up() {
        let text = NewKey::generate(KeyMode::Live).expect("random numbers").text;
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
            let wrong = String::from_utf8(bytes).expect("text");
            assert_eq!(wrong.parse::<SentKey>().map(|_| ()), Err(NotAKey), "{at}");
        }
        for wrong in ["", "lsk_live_", "lsk_live_a_b", &text[..70], &format!("{text}x"), "é"] {
            assert!(wrong.parse::<SentKey>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_in_no_debug_text() {
        let made = NewKey::generate(KeyMode::Live).expect("random numbers");
        let secret = &made.text[22..65];
        let sent: SentKey = made.text.parse().expect("a key");
        for text in [format!("{made:?}"), format!("{sent:?}")] {
            assert!(text.contains(made.id.as_str()) && !text.contains(secret), "{text}");
        }
    }
}
