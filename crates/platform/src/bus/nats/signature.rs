//! Signatures of messages: with the rights of the other service at the broker, but without its
//! private key, nobody can make a service believe anything (R32).
//!
//! A service signs every message with a key of its own, and knows the public key of the other
//! service, so neither can forge what the other says. The signature is over the subject, the
//! database that sends (R31), and the payload. Nothing in it keeps an old message from being sent
//! again: repeats are harmless by the protocol (R12).

use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, ParsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::time::Instant;
use tracing::{info, warn};

use super::super::{Delivery, DeliveryTag};
use super::declare::stream_name;
use crate::log_limit::{Line, LogLimit};
use crate::pairing::DatabaseId;
use crate::telemetry::{Metrics, Unverified};

pub use keys::SignatureSettings;

mod keys;
#[cfg(test)]
pub(super) mod tests;

/// The header of a signature: `v1;kid=KEY;SIGNATURE`, with the id of the key and the signature in
/// base64url.
pub(super) const SIGNATURE: &str = "Lastro-Sig";
/// How many digits of a hash name a key.
const KEY_ID_DIGITS: usize = 16;
/// What has no valid signature is reported for this long after it was last seen.
const FORGET_AFTER: Duration = Duration::from_secs(15 * 60);

/// What happens to messages that no known key has signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignatureMode {
    /// Signatures are not verified.
    #[default]
    Off,
    /// They are counted, logged, and executed like others.
    Report,
    /// They are counted, logged, and acknowledged without being executed.
    Require,
}

impl SignatureMode {
    fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Report => "report",
            Self::Require => "require",
        }
    }
}

/// The key with which a service signs.
struct Signer {
    key_id: String,
    key: Ed25519KeyPair,
}

/// The public keys of the other service, by their ids: two while its key is being replaced.
#[derive(Default)]
struct Verifier {
    keys: Vec<(String, ParsedPublicKey)>,
}

impl Verifier {
    fn knows(&self, key_id: &str) -> bool {
        self.keys.iter().any(|(id, _)| id == key_id)
    }
}

/// What one service signs with, and what it demands of what it receives.
pub struct Signatures {
    signer: Option<Signer>,
    verifier: Verifier,
    mode: SignatureMode,
    log_limit: LogLimit,
    seen: Mutex<Option<Seen>>,
}

/// What came without a valid signature.
#[derive(Clone, Debug)]
struct Seen {
    messages: u64,
    last: String,
    at: Instant,
}

/// A message as the broker delivers it.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) delivery: Delivery,
    /// The header [`SIGNATURE`].
    pub(super) signature: Option<String>,
}

/// Why a message is not known to be from the other service.
struct Fault {
    why: Unverified,
    /// For an operator.
    text: String,
}

impl Signatures {
    fn new(signer: Option<Signer>, verifier: Verifier, mode: SignatureMode) -> Self {
        Self { signer, verifier, mode, log_limit: LogLimit::default(), seen: Mutex::default() }
    }

    /// Neither signs nor verifies signatures.
    pub fn none() -> Self {
        Self::new(None, Verifier::default(), SignatureMode::Off)
    }

    /// Whether only what is signed is believed.
    pub(super) fn demanded(&self) -> bool {
        self.mode == SignatureMode::Require
    }

    /// Logs which keys are used, so that an operator can compare them with those of the other service.
    pub(super) fn log(&self) {
        let signing_key = self.signer.as_ref().map(|signer| signer.key_id.as_str());
        let known_keys: Vec<&str> = self.verifier.keys.iter().map(|(id, _)| id.as_str()).collect();
        if signing_key.is_some() || !known_keys.is_empty() {
            let (known_keys, mode) = (known_keys.join(" "), self.mode.as_str());
            info!(signing_key, known_keys, mode, "signatures of messages at the broker");
        }
    }

    /// Returns the header for a message that this database sends, if the service signs.
    pub(super) fn sign(&self, subject: &str, sender: DatabaseId, payload: &[u8]) -> Option<String> {
        let Signer { key_id, key } = self.signer.as_ref()?;
        let signature = key.sign(&signed_bytes(subject, sender, payload));
        Some(format!("v1;kid={key_id};{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Returns the messages that are to be processed, and the tags of those that are to be
    /// acknowledged only. Counts and logs what has no valid signature.
    pub(super) fn admit(
        &self,
        subject: &str,
        incoming: Vec<Incoming>,
        service: &'static str,
        metrics: &Metrics,
    ) -> (Vec<Delivery>, Vec<DeliveryTag>) {
        let mut admitted = Vec::with_capacity(incoming.len());
        let mut dropped = Vec::new();
        for Incoming { delivery, signature } in incoming {
            let fault = match self.mode {
                SignatureMode::Off => None,
                SignatureMode::Report | SignatureMode::Require => {
                    self.verify(subject, &delivery, signature.as_deref()).err()
                }
            };
            if let Some(fault) = &fault {
                metrics.unverified(service, fault.why);
                self.note(subject, fault, delivery.sender);
            }
            match (fault, self.mode) {
                (Some(_), SignatureMode::Require) => dropped.push(delivery.tag),
                _ => admitted.push(delivery),
            }
        }
        (admitted, dropped)
    }

    fn verify(
        &self,
        subject: &str,
        delivery: &Delivery,
        header: Option<&str>,
    ) -> Result<(), Fault> {
        let fault = |why, text: &str| Fault { why, text: text.to_owned() };
        let Some(header) = header else {
            return Err(fault(Unverified::Unsigned, "is not signed"));
        };
        let invalid = || fault(Unverified::Invalid, "has a signature that is not valid");
        let (key_id, signature) = parse(header).ok_or_else(invalid)?;
        let found = self.verifier.keys.iter().find(|(id, _)| id == key_id);
        let Some((_, key)) = found else {
            let text = format!("is signed by the unknown key {key_id}");
            return Err(Fault { why: Unverified::UnknownKey, text });
        };
        let sender = delivery.sender.ok_or_else(invalid)?;
        let signed = signed_bytes(subject, sender, &delivery.payload);
        key.verify_sig(&signed, &signature).map_err(|_| invalid())
    }

    fn note(&self, subject: &str, fault: &Fault, sender: Option<DatabaseId>) {
        let Fault { why, text } = fault;
        {
            let mut seen = self.seen.lock().expect("nothing panics under this lock");
            let messages = seen.as_ref().map_or(0, |seen| seen.messages) + 1;
            let last = format!("the last of {} {text}", stream_name(subject));
            *seen = Some(Seen { messages, last, at: Instant::now() });
        }
        let line = self.log_limit.next();
        let (Line::Write { left_out } | Line::WriteLast { left_out }) = line else { return };
        let is_dropped = self.mode == SignatureMode::Require;
        let (reason, sender) = (why.as_str(), sender.map(|sender| sender.to_string()));
        warn!(subject, reason, sender, is_dropped, left_out, "a message {text}");
        if matches!(line, Line::WriteLast { .. }) {
            warn!(subject, "more messages without a valid signature, not logged for a minute");
        }
    }

    /// Returns what came without a valid signature lately and what to do, in one line.
    pub(super) fn trouble(&self, peer: &str) -> Option<String> {
        let mut seen = self.seen.lock().expect("nothing panics under this lock");
        if seen.as_ref().is_some_and(|seen| seen.at.elapsed() >= FORGET_AFTER) {
            *seen = None;
        }
        let Seen { messages, last, .. } = seen.as_ref()?;
        let fate = if self.mode == SignatureMode::Require { " and were dropped" } else { "" };
        Some(format!(
            "{messages} batches of messages had no valid signature{fate}, {last}; see that every replica of the {peer} service signs (bus_signing_key_file) and that bus_verify_keys_file has the public key of each, else somebody else publishes at the broker: change its passwords"
        ))
    }
}

impl fmt::Debug for Signatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signatures").field("mode", &self.mode).finish_non_exhaustive()
    }
}

/// What a signature is over: the subject, a zero byte, the id of the sender's database, a zero byte,
/// and the payload. The first two contain no zero.
///
/// The sender is among it because the first database that is met becomes the peer (R31): in a
/// message that was copied with another sender, anybody could.
fn signed_bytes(subject: &str, sender: DatabaseId, payload: &[u8]) -> Vec<u8> {
    let sender = sender.to_string();
    [subject.as_bytes(), &[0], sender.as_bytes(), &[0], payload].concat()
}

/// Returns the id of the key and the signature. The id gets into the log, so it is nothing but an id.
fn parse(header: &str) -> Option<(&str, Vec<u8>)> {
    let (key_id, signature) = header.strip_prefix("v1;kid=")?.split_once(';')?;
    let is_id = key_id.len() == KEY_ID_DIGITS && key_id.bytes().all(|b| b.is_ascii_hexdigit());
    Some((key_id, URL_SAFE_NO_PAD.decode(signature).ok().filter(|_| is_id)?))
}
