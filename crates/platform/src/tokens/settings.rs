//! The settings of access tokens.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use http::Uri;
use serde::Deserialize;

use crate::config::{File, UsageError, is_loopback_host};
use crate::keys::{Scope, Scopes};

/// An issuer with a longer name leaves no room for the user in `actor`.
const MAX_ISSUER: usize = 150;
/// Nobody can revoke a token, so it must end soon.
const DEFAULT_MAX_LIFETIME_S: u32 = 15 * 60;
const MAX_LIFETIMES_S: std::ops::RangeInclusive<u32> = 60..=24 * 60 * 60;

/// How staff sign in, as flags and variables give it.
#[derive(Clone, Debug, Default, Args)]
pub struct OidcArgs {
    /// Accept access tokens of this OpenID Connect issuer, such as
    /// https://id.example.com/realms/shop
    #[arg(long, env = "LASTRO_OIDC_ISSUER", value_name = "URL")]
    pub oidc_issuer: Option<String>,
    /// The name of this API in tokens (`aud`)
    #[arg(long, env = "LASTRO_OIDC_AUDIENCE", value_name = "NAME")]
    pub oidc_audience: Option<String>,
    /// Where the issuer publishes its keys [default: what its discovery document says]
    #[arg(long, env = "LASTRO_OIDC_JWKS_URL", value_name = "URL")]
    pub oidc_jwks_url: Option<String>,
    /// Authorities that the issuer's certificate may lead to, instead of those of the system, in
    /// PEM
    #[arg(long, env = "LASTRO_OIDC_CA", value_name = "FILE")]
    pub oidc_ca: Option<PathBuf>,
    /// The claim with the roles or scopes of a user, such as realm_access.roles [default: scope]
    #[arg(long, env = "LASTRO_OIDC_SCOPE_CLAIM", value_name = "CLAIM")]
    pub oidc_scope_claim: Option<String>,
    /// What roles allow, such as "clerk=stock:read stock:receive;manager=stock:adjust"
    #[arg(long, env = "LASTRO_OIDC_ROLES", value_name = "ROLE=SCOPE …;…")]
    pub oidc_roles: Option<Roles>,
    /// The longest life of a token that is accepted [default: 900]
    #[arg(long, env = "LASTRO_OIDC_MAX_LIFETIME_S", value_name = "SECONDS")]
    pub oidc_max_lifetime_s: Option<u32>,
}

/// Whose tokens are accepted, and what they allow.
#[derive(Clone, Debug)]
pub struct TokenSettings {
    /// The issuer, exactly as its tokens name it.
    pub issuer: String,
    /// The name of this API, which must be among the audiences of a token.
    pub audience: String,
    /// Where the keys of the issuer are; `None` if its discovery document says it.
    pub jwks_url: Option<Uri>,
    /// A file with the authorities that are trusted instead of the system's.
    pub ca: Option<PathBuf>,
    /// The claim that holds roles or scopes.
    pub scope_claim: String,
    /// What roles allow.
    pub roles: Roles,
    /// The longest time between `iat` and `exp`.
    pub max_lifetime: Duration,
}

impl OidcArgs {
    /// Resolves the settings: flag > environment > file > default. Returns `None` if no tokens are
    /// accepted.
    ///
    /// # Errors
    ///
    /// A value cannot be used, or there are settings without an issuer and an audience.
    pub fn resolve(&self, file: &File) -> Result<Option<TokenSettings>, UsageError> {
        let issuer = file.or(self.oidc_issuer.clone(), "oidc_issuer")?;
        let audience = file.or(self.oidc_audience.clone(), "oidc_audience")?;
        let jwks_url: Option<String> = file.or(self.oidc_jwks_url.clone(), "oidc_jwks_url")?;
        let ca = file.or(self.oidc_ca.clone(), "oidc_ca")?;
        let claim: Option<String> = file.or(self.oidc_scope_claim.clone(), "oidc_scope_claim")?;
        let roles = file.or(self.oidc_roles.clone(), "oidc_roles")?;
        let life = file.or(self.oidc_max_lifetime_s, "oidc_max_lifetime_s")?;
        let (issuer, audience) = match (issuer, audience) {
            (Some(issuer), Some(audience)) => (check_issuer(issuer)?, audience),
            (None, None) => {
                let nothing = jwks_url.is_none() && ca.is_none() && claim.is_none();
                if nothing && roles.is_none() && life.is_none() {
                    return Ok(None);
                }
                return Err(usage("the other oidc settings need oidc_issuer and oidc_audience"));
            }
            _ => return Err(usage("oidc_issuer and oidc_audience need each other")),
        };
        if audience.trim().is_empty() {
            return Err(usage("oidc_audience must be the name of this API in tokens"));
        }
        let life = life.unwrap_or(DEFAULT_MAX_LIFETIME_S);
        if !MAX_LIFETIMES_S.contains(&life) {
            return Err(usage("oidc_max_lifetime_s must be 60 to 86400"));
        }
        Ok(Some(TokenSettings {
            issuer,
            audience,
            jwks_url: jwks_url.map(|url| secure_url("oidc_jwks_url", &url)).transpose()?,
            ca,
            scope_claim: claim.unwrap_or_else(|| "scope".to_owned()),
            roles: roles.unwrap_or_default(),
            max_lifetime: Duration::from_secs(life.into()),
        }))
    }
}

fn check_issuer(issuer: String) -> Result<String, UsageError> {
    let url = secure_url("oidc_issuer", &issuer)?;
    if issuer.len() > MAX_ISSUER || url.query().is_some() {
        let line = format!("oidc_issuer must have at most {MAX_ISSUER} characters and no query");
        return Err(UsageError(line));
    }
    Ok(issuer)
}

/// A URL whose answers nobody on the way can change: https, or http on this machine, for trials. A
/// user or a password in it is not quoted.
pub(super) fn secure_url(name: &str, text: &str) -> Result<Uri, UsageError> {
    if text.contains(['@', '#']) {
        return Err(UsageError(format!("{name}: the URL must have no user and no fragment")));
    }
    let wrong = |why: &str| UsageError(format!("{name}: {text:?} {why}"));
    let url: Uri = text.parse().map_err(|_| wrong("is not a URL"))?;
    let (Some(scheme), Some(authority)) = (url.scheme_str(), url.authority()) else {
        return Err(wrong("is not a URL"));
    };
    match scheme {
        "https" => Ok(url),
        "http" if is_loopback_host(authority.host()) => Ok(url),
        _ => Err(wrong("must begin with https:// (http:// only for this machine)")),
    }
}

fn usage(line: &str) -> UsageError {
    UsageError(line.to_owned())
}

/// What the roles of an issuer allow. The name of a scope allows that scope, unless it is listed as
/// a role.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "BTreeMap<String, Vec<Scope>>")]
pub struct Roles(BTreeMap<String, Scopes>);

impl Roles {
    /// What one value of the scope claim allows; nothing if it is unknown.
    pub fn allowed(&self, value: &str) -> Scopes {
        let role = self.0.get(value).copied();
        role.unwrap_or_else(|| value.parse::<Scope>().into_iter().collect())
    }
}

impl From<BTreeMap<String, Vec<Scope>>> for Roles {
    fn from(roles: BTreeMap<String, Vec<Scope>>) -> Self {
        let scopes = |scopes: Vec<Scope>| scopes.into_iter().collect();
        Self(roles.into_iter().map(|(role, allowed)| (role, scopes(allowed))).collect())
    }
}

impl FromStr for Roles {
    type Err = UsageError;

    fn from_str(text: &str) -> Result<Self, UsageError> {
        let mut roles = BTreeMap::new();
        for entry in text.split(';').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (role, scopes) = entry.split_once('=').ok_or_else(|| {
                UsageError(format!(
                    "{entry:?} is not a role and its scopes, such as clerk=stock:read"
                ))
            })?;
            let scopes = scopes.split_whitespace().map(str::parse::<Scope>);
            let scopes: Result<Vec<_>, _> = scopes.collect();
            let scopes = scopes.map_err(|error| UsageError(error.to_string()))?;
            if roles.insert(role.trim().to_owned(), scopes).is_some() {
                return Err(UsageError(format!("the role {:?} is there twice", role.trim())));
            }
        }
        Ok(roles.into())
    }
}

#[cfg(test)]
mod tests;
