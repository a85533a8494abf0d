//! An API key as it is stored: never the key itself, only the hash of its secret.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::scope::{Scope, Scopes, UnknownScope};
use super::secret::{KeyId, KeyMode, NotAnId, SecretHash};
use crate::clock::Timestamp;
use crate::rate::Rate;

/// The longest name of a key, in characters.
const MAX_NAME: usize = 100;
/// How long before its end a key is counted as one that ends soon.
pub const EXPIRES_SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// A stored key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    /// The public part of the key.
    pub id: KeyId,
    /// Who or what uses the key, for people.
    pub name: String,
    /// What the key allows.
    pub scopes: Vec<Scope>,
    /// Whether it is for real orders or for trials.
    pub mode: KeyMode,
    /// The only customer whose orders the key may see and change; every customer if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_id: Option<String>,
    /// How many requests per second the key may make of each kind, reads and writes; any number if
    /// absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// How many requests the key may make at once; twice the rate if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// The hash of the secret.
    pub sha256: SecretHash,
    /// When the key was made.
    #[serde(with = "rfc3339")]
    pub created_at: Timestamp,
    /// When the key ends.
    #[serde(with = "rfc3339")]
    pub not_after: Timestamp,
    /// The hash of the secret before the last rotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousSecret>,
    /// When the key was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339::option")]
    pub revoked_at: Option<Timestamp>,
}

/// A secret that was replaced, and that ends by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreviousSecret {
    /// The hash of the secret.
    pub sha256: SecretHash,
    /// When the secret was replaced.
    #[serde(with = "rfc3339")]
    pub replaced_at: Timestamp,
    /// When the secret ends.
    #[serde(with = "rfc3339")]
    pub not_after: Timestamp,
}

/// Why a key cannot be stored. The line says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadRecord(pub String);

impl KeyRecord {
    /// What the key allows.
    pub fn allowed(&self) -> Scopes {
        self.scopes.iter().copied().collect()
    }

    /// How much the key may ask for; `None` if there is no limit.
    pub fn rate(&self) -> Option<Rate> {
        self.rate.and_then(|rate| Rate::new(rate, self.burst))
    }

    /// Replaces the secret. The old one works until `overlap` is over.
    pub fn rotate(&mut self, sha256: SecretHash, now: Timestamp, overlap: Duration) {
        let not_after = now.after(overlap).min(self.not_after);
        let old = PreviousSecret { sha256: self.sha256, replaced_at: now, not_after };
        self.previous = (!overlap.is_zero()).then_some(old);
        self.sha256 = sha256;
    }

    /// Whether the key has been revoked, or has ended by itself.
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.revoked_at.is_some() || self.not_after <= now
    }

    /// Whether the key works, and with the secret before its last rotation as well.
    pub fn has_two_secrets(&self, now: Timestamp) -> bool {
        !self.has_ended(now) && self.previous.as_ref().is_some_and(|old| old.not_after > now)
    }

    /// Whether the key works, and ends within [`EXPIRES_SOON`].
    pub fn ends_soon(&self, now: Timestamp) -> bool {
        !self.has_ended(now) && self.not_after <= now.after(EXPIRES_SOON)
    }

    /// Checks what the form alone does not say.
    ///
    /// # Errors
    ///
    /// The key has no name or no scopes, or scopes that the key of a customer cannot have.
    pub fn check(&self) -> Result<(), BadRecord> {
        let bad = |reason: &str| Err(BadRecord(format!("key {}: {reason}", self.id)));
        if self.name.trim().is_empty() || self.name.chars().count() > MAX_NAME {
            return bad("its name must have 1 to 100 characters");
        }
        if self.rate.is_some_and(|rate| Rate::new(rate, self.burst).is_none()) {
            return bad("its rate and its burst must be 1 to 1000000");
        }
        if self.burst.is_some() && self.rate.is_none() {
            return bad("a burst needs a rate");
        }
        if self.scopes.is_empty() {
            return bad("it has no scopes, so it allows nothing");
        }
        if self.customer_id.as_deref().is_some_and(|id| !is_customer_id(id)) {
            return bad(
                "its customer_id must be 1 to 64 letters, digits, dots, underscores or hyphens",
            );
        }
        let foreign = self.scopes.iter().find(|scope| !Scope::OF_A_CUSTOMER.contains(scope));
        match foreign.filter(|_| self.customer_id.is_some()) {
            Some(scope) => bad(&format!("the key of one customer cannot have the scope {scope}")),
            None => Ok(()),
        }
    }
}

/// The form of the ids of customers, as the Order Service takes them.
fn is_customer_id(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=64).contains(&text.len())
        && text.bytes().all(plain)
        && text.as_bytes()[0].is_ascii_alphanumeric()
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error: NotAnId| de::Error::custom(error))
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error: UnknownScope| de::Error::custom(error))
    }
}

impl Serialize for SecretHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let hex: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        serializer.serialize_str(&hex)
    }
}

impl<'de> Deserialize<'de> for SecretHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digit = |at: usize| text.get(2 * at..2 * at + 2).filter(|_| text.len() == 64);
        let byte = |at| digit(at).and_then(|two| u8::from_str_radix(two, 16).ok());
        let bytes: Option<Vec<u8>> = (0..32).map(byte).collect();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| de::Error::custom("sha256 must have 64 hex digits"))
    }
}

/// Times as RFC 3339, to the second.
mod rfc3339 {
    use super::*;

    pub(super) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        let at = OffsetDateTime::from_unix_timestamp(at.0.div_euclid(1_000_000));
        let text = at.ok().and_then(|at| at.format(&Rfc3339).ok());
        to.serialize_str(&text.ok_or_else(|| serde::ser::Error::custom("a time out of range"))?)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(from)?;
        let at = OffsetDateTime::parse(&text, &Rfc3339);
        let at = at.map_err(|_| de::Error::custom("a time must be like 2026-11-28T09:00:00Z"))?;
        Ok(Timestamp(at.unix_timestamp().saturating_mul(1_000_000)))
    }

    pub(super) mod option {
        use super::*;

        pub(in super::super) fn serialize<S: Serializer>(
            at: &Option<Timestamp>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            match at {
                Some(at) => super::serialize(at, to),
                None => to.serialize_none(),
            }
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<Timestamp>, D::Error> {
            super::deserialize(from).map(Some)
        }
    }
}
