//! Finds out who sent an access token.

use std::io;
use std::sync::Arc;

use jsonwebtoken::{Algorithm, decode_header};
use tokio_util::sync::CancellationToken;

use super::claims::Claims;
use super::issuer_keys::IssuerKeys;
use super::rejected::Rejected;
use super::settings::TokenSettings;
use super::users::Users;
use crate::clock::Clock;
use crate::config::UsageError;
use crate::keys::Principal;
use crate::readiness::Readiness;

/// The longest token. Those of people with many roles have a few KiB.
const MAX_BYTES: usize = 8 * 1024;
/// None of them is symmetric: whoever can verify a token cannot make one.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
/// The types of an access token; one without a type is accepted, too.
const TYPES: [&str; 3] = ["JWT", "at+jwt", "application/at+jwt"];

/// What stands in every token: the dot before its claims, and the beginning of a JSON object in
/// base64.
pub const TOKEN_MARK: &str = ".eyJ";

/// Whether a text has the form of a token: three parts with dots between them.
pub fn is_token(text: &str) -> bool {
    text.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// The tokens of one issuer.
#[derive(Debug)]
pub struct Tokens {
    settings: TokenSettings,
    keys: IssuerKeys,
    clock: Arc<dyn Clock>,
    users: Users,
}

impl Tokens {
    /// Accepts tokens by these settings, as soon as [`watch`](Self::watch) has fetched the keys.
    ///
    /// # Errors
    ///
    /// The file of authorities cannot be used.
    pub fn new(settings: TokenSettings, clock: Arc<dyn Clock>) -> Result<Self, UsageError> {
        Ok(Self { keys: IssuerKeys::new(&settings)?, settings, clock, users: Users::default() })
    }

    /// Finds out who sent a token.
    ///
    /// # Errors
    ///
    /// [`Rejected`] says why the token is not accepted.
    pub fn authenticate(&self, token: &str) -> Result<Arc<Principal>, Rejected> {
        let header = Header::read(token)?;
        let key = self.keys.find(&header.key_id)?;
        if header.algorithm != key.algorithm {
            return Err(Rejected::Algorithm);
        }
        let claims = Claims(key.verified(token).ok_or(Rejected::Signature)?);
        claims.check(&self.settings, self.clock.now())?;
        let actor: Arc<str> = claims.actor(&self.settings.issuer)?.into();
        Ok(Arc::new(Principal {
            scopes: claims.scopes(&self.settings.scope_claim, &self.settings.roles),
            limits: Some(self.users.limits(&actor)),
            actor: Some(actor),
            customer_id: None,
        }))
    }

    /// Waits for a fetch of the issuer's keys, if the token names one that is unknown. Requests
    /// whose key is known do not wait, and the others together cause one fetch a minute.
    pub async fn learn_key(&self, token: &str) {
        if let Ok(header) = Header::read(token) {
            self.keys.learn(&header.key_id).await;
        }
    }

    /// Keeps the keys of the issuer fresh.
    ///
    /// # Errors
    ///
    /// Never; workers return errors.
    pub async fn watch(
        self: Arc<Self>,
        readiness: Readiness,
        stop: CancellationToken,
    ) -> io::Result<()> {
        self.keys.watch(readiness, stop).await
    }
}

/// The header of a token, which is not verified yet.
struct Header {
    algorithm: Algorithm,
    key_id: String,
}

impl Header {
    fn read(token: &str) -> Result<Self, Rejected> {
        if token.len() > MAX_BYTES {
            return Err(Rejected::TooLarge);
        }
        if !is_token(token) {
            return Err(Rejected::Malformed);
        }
        // An algorithm that the library does not know, such as `none`, is malformed for it.
        let header = decode_header(token).map_err(|_| Rejected::Malformed)?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(Rejected::Algorithm);
        }
        let is_known = |its: &String| TYPES.iter().any(|known| its.eq_ignore_ascii_case(known));
        let is_foreign = !header.typ.as_ref().is_none_or(is_known);
        let brings_a_key = header.jku.is_some() || header.x5u.is_some() || header.jwk.is_some();
        if is_foreign || brings_a_key || header.crit.is_some() {
            return Err(Rejected::Header);
        }
        let key_id = header.kid.ok_or(Rejected::UnknownKey)?;
        Ok(Self { algorithm: header.alg, key_id })
    }
}
