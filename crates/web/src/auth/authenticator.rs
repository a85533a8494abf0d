//! Who sends a request: the API keys and the access tokens that a service accepts.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderMap, Uri, header};
use platform::keys::{self, KEY_PREFIX, Keyring, Principal};
use platform::tokens::{self, TOKEN_MARK, Tokens, is_token};
use tokio::time::Instant;
use tracing::info;

use crate::problem::{Code, Problem};

/// Rejected keys and tokens are logged at most this often: anybody can send them.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// Why it is not known who sends a request.
#[derive(Debug)]
pub(super) enum Denied {
    /// Its token is signed with a key that a fetch from the issuer may bring.
    AwaitsKey,
    Refused(Problem),
}

impl From<Problem> for Denied {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

/// What proves who a client is. The default one asks nobody.
#[derive(Clone, Debug, Default)]
pub struct Authenticator {
    pub(super) keys: Option<Arc<Keyring>>,
    tokens: Option<Arc<Tokens>>,
    last_logged: Arc<Mutex<Option<Instant>>>,
}

impl Authenticator {
    /// Asks for one of these keys or tokens. Without either, clients are not asked who they are.
    pub(crate) fn new(keys: Option<Arc<Keyring>>, tokens: Option<Arc<Tokens>>) -> Self {
        Self { keys, tokens, last_logged: Arc::default() }
    }

    /// Whether clients are asked who they are.
    pub(super) fn asks(&self) -> bool {
        self.keys.is_some() || self.tokens.is_some()
    }

    /// Waits for the keys of the issuer, if the request has a token that is signed with a new one.
    pub(crate) async fn learn_key(&self, headers: &HeaderMap) {
        if let Some(tokens) = &self.tokens
            && let Some(sent) = bearer(headers).filter(|sent| is_token(sent))
        {
            tokens.learn_key(sent).await;
        }
    }

    /// Finds out who sends a request, which may wait for a key of the issuer or not.
    ///
    /// # Errors
    ///
    /// - [`Denied::AwaitsKey`] if it may wait, and its token is signed with an unknown key.
    /// - 401 `unauthenticated` without a valid key or token.
    /// - 503 `storage_unavailable` if what verifies it could not be read for too long.
    pub(super) fn identify(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        may_wait: bool,
    ) -> Result<Arc<Principal>, Denied> {
        if uri.query().is_some_and(has_credential) {
            let detail = "a key or token must not be in the URL, where logs show it; send it as Authorization: Bearer, and revoke the key";
            return Err(Problem::unauthenticated(true, detail).into());
        }
        let Some(sent) = bearer(headers) else {
            let is_sent = headers.contains_key(header::AUTHORIZATION);
            return Err(Problem::unauthenticated(is_sent, self.needs()).into());
        };
        match (&self.keys, &self.tokens) {
            (_, Some(tokens)) if is_token(sent) => self.of_token(tokens, sent, may_wait),
            (Some(keys), _) => Ok(self.of_key(keys, sent)?),
            _ => {
                if self.may_log() {
                    let reason = tokens::Rejected::Malformed;
                    info!(?reason, "a request with a wrong access token was refused");
                }
                Err(Problem::unauthenticated(true, self.needs()).into())
            }
        }
    }

    /// Whether what a client sent is still accepted, and allows what it allowed before. It asks no
    /// database.
    pub(super) fn still_accepts(&self, sent: &str, before: &Principal) -> bool {
        let now = match (&self.keys, &self.tokens) {
            (_, Some(tokens)) if is_token(sent) => tokens.authenticate(sent).ok(),
            (Some(keys), _) => keys.authenticate(sent).ok(),
            _ => None,
        };
        now.is_some_and(|now| {
            now.actor == before.actor
                && now.scopes == before.scopes
                && now.customer_id == before.customer_id
        })
    }

    fn of_key(&self, keys: &Keyring, sent: &str) -> Result<Arc<Principal>, Problem> {
        keys.authenticate(sent).map_err(|rejected| match rejected {
            keys::Rejected::KeysUnavailable => {
                Problem::new(Code::STORAGE_UNAVAILABLE, "the API keys cannot be read now")
            }
            reason => {
                if self.may_log() {
                    let is_key = reason != keys::Rejected::Malformed;
                    let id = sent.split('_').nth(2).filter(|id| is_key && id.len() == 12);
                    info!(?reason, key_id = id, "a request with a wrong API key was refused");
                }
                Problem::unauthenticated(true, self.needs())
            }
        })
    }

    fn of_token(
        &self,
        tokens: &Tokens,
        sent: &str,
        may_wait: bool,
    ) -> Result<Arc<Principal>, Denied> {
        use tokens::Rejected;
        tokens.authenticate(sent).map_err(|rejected| match rejected {
            Rejected::UnknownKey | Rejected::KeysUnavailable if may_wait => Denied::AwaitsKey,
            Rejected::KeysUnavailable => {
                let detail = "the keys of the token issuer cannot be fetched now";
                Problem::new(Code::STORAGE_UNAVAILABLE, detail).into()
            }
            reason => {
                if self.may_log() {
                    info!(?reason, "a request with a wrong access token was refused");
                }
                Problem::unauthenticated(true, self.needs()).into()
            }
        })
    }

    /// One text for all reasons.
    pub(super) fn needs(&self) -> &'static str {
        match (&self.keys, &self.tokens) {
            (_, None) => "send a valid API key as Authorization: Bearer",
            (None, Some(_)) => "send a valid access token as Authorization: Bearer",
            (Some(_), Some(_)) => "send a valid API key or access token as Authorization: Bearer",
        }
    }

    /// The log tells an operator what clients are not told.
    fn may_log(&self) -> bool {
        let now = Instant::now();
        let mut last = self.last_logged.lock().expect("nothing panics under this lock");
        let may = last.is_none_or(|last| now - last >= LOG_EVERY);
        if may {
            *last = Some(now);
        }
        may
    }
}

/// Whether a key or a token is in a part of a URL, where it must not be.
pub(crate) fn has_credential(text: &str) -> bool {
    text.contains(KEY_PREFIX) || text.contains(TOKEN_MARK)
}

/// The credential of a request that has exactly one `Authorization: Bearer`.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, another) = (values.next()?, values.next());
    let (scheme, credential) = value.to_str().ok()?.split_once(' ')?;
    (another.is_none() && scheme.eq_ignore_ascii_case("bearer")).then(|| credential.trim())
}
