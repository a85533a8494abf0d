//! Access tokens of an OpenID Connect issuer: how staff sign in.
//!
//! A token is a signed JWT (RFC 7519, RFC 9068). A service knows the issuer and its public keys, so
//! it asks nobody when a request comes.

pub use rejected::Rejected;
pub use settings::{OidcArgs, Roles, TokenSettings};
pub use verifier::{TOKEN_MARK, Tokens, is_token};

mod claims;
mod fetch;
mod issuer_keys;
mod jwk;
mod rejected;
mod settings;
#[cfg(test)]
mod tests;
mod users;
mod verifier;
