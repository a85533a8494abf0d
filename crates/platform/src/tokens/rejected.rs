//! The reasons against a token.

/// Why a token is not accepted. Clients are not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// It is longer than 8 KiB.
    TooLarge,
    /// It is not a JWT, lacks `exp` or `iat`, or has a time that is none.
    Malformed,
    /// Its header says something that must not be there: a type of another kind of token, an
    /// extension, or where a key is.
    Header,
    /// Its algorithm is not accepted, or is not that of its key.
    Algorithm,
    /// It names no key, or one that the issuer does not publish.
    UnknownKey,
    /// Its key has not signed it.
    Signature,
    /// It is from another issuer.
    Issuer,
    /// It is for another API.
    Audience,
    /// It has expired.
    Expired,
    /// It is not valid yet.
    NotYetValid,
    /// It is valid for longer than `oidc_max_lifetime_s`.
    LivesTooLong,
    /// Its `sub` is missing, has characters beyond visible ASCII, or makes `actor` too long.
    Subject,
    /// The keys of the issuer could not be fetched for too long. A retry may succeed.
    KeysUnavailable,
}
