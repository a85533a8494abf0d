//! The public keys of an issuer (RFC 7517).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;
use serde_json::{Map, Value};

/// An issuer has a few keys; more would be a mistake.
const MAX_KEYS: usize = 100;

/// The keys of an issuer by their id (`kid`).
pub(super) type KeysById = HashMap<String, Arc<VerificationKey>>;

/// A key that verifies signatures of one algorithm.
pub(super) struct VerificationKey {
    pub(super) algorithm: Algorithm,
    key: DecodingKey,
    validation: Validation,
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerificationKey")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl VerificationKey {
    /// The key, if it is one that signs tokens here. Its type decides about the algorithm, and never
    /// the token.
    fn of(jwk: &Jwk) -> Option<Self> {
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            AlgorithmParameters::EllipticCurve(its) if its.curve == EllipticCurve::P256 => {
                Algorithm::ES256
            }
            AlgorithmParameters::OctetKeyPair(its) if its.curve == EllipticCurve::Ed25519 => {
                Algorithm::EdDSA
            }
            _ => return None,
        };
        let its = &jwk.common;
        let signs = its.public_key_use.as_ref().is_none_or(|its| *its == PublicKeyUse::Signature);
        let verifies = |operations: &Vec<_>| operations.contains(&KeyOperations::Verify);
        let fits = its.key_algorithm.is_none_or(|its| its == algorithm.into());
        if !signs || !fits || !its.key_operations.as_ref().is_none_or(verifies) {
            return None;
        }
        // The claims are checked elsewhere, by the clock of the service.
        let mut validation = Validation::new(algorithm);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        Some(Self { algorithm, key: DecodingKey::from_jwk(jwk).ok()?, validation })
    }

    /// The claims of a token; `None` if this key has not signed it.
    pub(super) fn verified(&self, token: &str) -> Option<Map<String, Value>> {
        decode(token, &self.key, &self.validation).ok().map(|token| token.claims)
    }
}

/// Reads a set of keys. Those of other kinds and uses are left out.
///
/// # Errors
///
/// What is wrong, if there is no key to use.
pub(super) fn read(document: &[u8]) -> Result<KeysById, String> {
    #[derive(Deserialize)]
    struct KeySet {
        keys: Vec<Value>,
    }
    let set: KeySet = serde_json::from_slice(document)
        .map_err(|error| format!("the answer is not a set of keys: {error}"))?;
    if set.keys.len() > MAX_KEYS {
        return Err(format!("there are {} keys; at most {MAX_KEYS} are read", set.keys.len()));
    }
    let mut keys = KeysById::new();
    for value in set.keys {
        let Ok(jwk) = serde_json::from_value::<Jwk>(value) else { continue };
        let Some(id) = jwk.common.key_id.clone() else { continue };
        if let Some(key) = VerificationKey::of(&jwk) {
            keys.entry(id).or_insert_with(|| Arc::new(key));
        }
    }
    if keys.is_empty() {
        return Err("there is no key with a kid for RS256, ES256 or EdDSA".to_owned());
    }
    Ok(keys)
}
