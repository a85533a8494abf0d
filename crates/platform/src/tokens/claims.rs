//! What a token says, once its signature is verified.

use std::time::Duration;

use serde_json::{Map, Value};

use super::rejected::Rejected;
use super::settings::{Roles, TokenSettings};
use crate::clock::Timestamp;
use crate::keys::Scopes;

/// How far the clocks of the issuer and of the service may be apart.
pub(super) const LEEWAY: Duration = Duration::from_secs(60);
/// The longest name in histories and ledgers, in characters.
const MAX_ACTOR: usize = 200;

/// The claims of a token.
#[derive(Debug)]
pub(super) struct Claims(pub(super) Map<String, Value>);

impl Claims {
    /// Checks for whom the token is, from whom, and that it is valid now.
    ///
    /// # Errors
    ///
    /// The first reason against it.
    pub(super) fn check(&self, settings: &TokenSettings, now: Timestamp) -> Result<(), Rejected> {
        if self.text("iss") != Some(&settings.issuer) {
            return Err(Rejected::Issuer);
        }
        if !self.is_for(&settings.audience) {
            return Err(Rejected::Audience);
        }
        let expires = self.time("exp")?.ok_or(Rejected::Malformed)?;
        let issued = self.time("iat")?.ok_or(Rejected::Malformed)?;
        let not_before = self.time("nbf")?.unwrap_or(issued);
        if now >= expires.after(LEEWAY) {
            return Err(Rejected::Expired);
        }
        let ahead = now.after(LEEWAY);
        if ahead < not_before || ahead < issued {
            return Err(Rejected::NotYetValid);
        }
        if expires.since(issued) > settings.max_lifetime {
            return Err(Rejected::LivesTooLong);
        }
        Ok(())
    }

    /// The name of the user in histories. The standard has only ASCII in `sub` (OpenID Connect Core
    /// 1.0, section 2), and a control character or a blank could forge a line of a log.
    ///
    /// # Errors
    ///
    /// There is no `sub`, or the name does not fit.
    pub(super) fn actor(&self, issuer: &str) -> Result<String, Rejected> {
        let user = self.text("sub").ok_or(Rejected::Subject)?;
        let actor = format!("user:{issuer}#{user}");
        let is_plain = !user.is_empty() && user.bytes().all(|byte| byte.is_ascii_graphic());
        if is_plain && actor.len() <= MAX_ACTOR { Ok(actor) } else { Err(Rejected::Subject) }
    }

    /// What the user may do. The claim is a list, or a text with blanks between its values; unknown
    /// values allow nothing.
    pub(super) fn scopes(&self, claim: &str, roles: &Roles) -> Scopes {
        let allowed = |value: &str| roles.allowed(value).iter().collect::<Vec<_>>();
        match self.named(claim) {
            Some(Value::String(text)) => text.split_whitespace().flat_map(allowed).collect(),
            Some(Value::Array(values)) => {
                values.iter().filter_map(Value::as_str).flat_map(allowed).collect()
            }
            _ => Scopes::default(),
        }
    }

    /// A claim by its name, which may have dots itself, or by the names that lead to it.
    fn named(&self, name: &str) -> Option<&Value> {
        self.0.get(name).or_else(|| {
            let mut names = name.split('.');
            let first = self.0.get(names.next()?)?;
            names.try_fold(first, |value, name| value.get(name))
        })
    }

    fn is_for(&self, audience: &str) -> bool {
        match self.0.get("aud") {
            Some(Value::String(its)) => its == audience,
            Some(Value::Array(all)) => all.iter().any(|its| its.as_str() == Some(audience)),
            _ => false,
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// A time in whole seconds.
    fn time(&self, name: &str) -> Result<Option<Timestamp>, Rejected> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let micros = value.as_i64().and_then(|seconds| seconds.checked_mul(1_000_000));
        micros.map(|micros| Some(Timestamp(micros))).ok_or(Rejected::Malformed)
    }
}
