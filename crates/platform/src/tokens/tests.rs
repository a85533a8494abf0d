use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use testbed::{AUDIENCE, Behaviour, Issuer, IssuerKey, base64url};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::clock::{Clock, ManualClock, Timestamp};
use crate::config::File;
use crate::keys::{Principal, Scope};
use crate::readiness::{Health, Readiness};

mod keys;

const NOW_S: i64 = 1_795_804_200;
const SECOND: Duration = Duration::from_secs(1);

/// An issuer, and a service that accepts its tokens.
struct Fixture {
    issuer: Issuer,
    key: IssuerKey,
    clock: Arc<ManualClock>,
    tokens: Arc<Tokens>,
    readiness: Readiness,
    _stop: tokio_util::sync::DropGuard,
}

fn settings(issuer: &Issuer) -> TokenSettings {
    let args = OidcArgs {
        oidc_issuer: Some(issuer.name()),
        oidc_audience: Some(AUDIENCE.to_owned()),
        oidc_roles: Some("clerk=stock:read stock:receive".parse().expect("roles")),
        ..OidcArgs::default()
    };
    args.resolve(&File::default()).expect("settings").expect("an issuer")
}

impl Fixture {
    /// A service that knows the keys of the issuer.
    async fn new() -> Self {
        let at = Self::with(|settings| settings).await;
        at.tokens.learn_key(&at.token(&json!({}))).await;
        at
    }

    async fn with(change: impl Fn(TokenSettings) -> TokenSettings) -> Self {
        Self::of(Behaviour::Answers, change).await
    }

    async fn of(behaviour: Behaviour, change: impl Fn(TokenSettings) -> TokenSettings) -> Self {
        let key = IssuerKey::ec("k1");
        let issuer = Issuer::with(&[&key]).await;
        issuer.behave(behaviour);
        let clock = Arc::new(ManualClock::at(Timestamp(NOW_S * 1_000_000)));
        let settings = change(settings(&issuer));
        let tokens = Arc::new(Tokens::new(settings, clock.clone()).expect("settings"));
        let (readiness, stop) = (Readiness::default(), CancellationToken::new());
        tokio::spawn(tokens.clone().watch(readiness.clone(), stop.clone()));
        Self { issuer, key, clock, tokens, readiness, _stop: stop.drop_guard() }
    }

    /// The claims of a good token, with these instead. `null` takes one away.
    fn claims(&self, other: &Value) -> Value {
        let mut claims = json!({
            "iss": self.issuer.name(),
            "aud": AUDIENCE,
            "sub": "ana",
            "scope": "clerk",
            "iat": NOW_S,
            "exp": NOW_S + 300,
        });
        let claims_of = claims.as_object_mut().expect("an object");
        for (name, value) in other.as_object().expect("an object") {
            match value.is_null() {
                true => drop(claims_of.remove(name)),
                false => drop(claims_of.insert(name.clone(), value.clone())),
            }
        }
        claims
    }

    fn token(&self, other: &Value) -> String {
        self.key.token(&self.claims(other))
    }

    fn tried(&self, token: &str) -> Result<Arc<Principal>, Rejected> {
        self.tokens.authenticate(token)
    }

    fn rejected(&self, token: &str) -> Option<Rejected> {
        self.tried(token).err()
    }

    fn health(&self) -> Option<Health> {
        self.readiness.snapshot().checks.first().map(|(_, health)| health.clone())
    }
}

#[tokio::test]
async fn a_token_of_each_algorithm_names_its_user_and_what_they_may_do() {
    let at = Fixture::with(|settings| settings).await;
    let keys = [IssuerKey::rsa("r"), IssuerKey::ec("e"), IssuerKey::ed("d")];
    at.issuer.publish(keys.iter().map(IssuerKey::jwk).collect());
    for key in &keys {
        for header in [
            json!({"alg": key.algorithm(), "kid": key.id}),
            json!({"alg": key.algorithm(), "kid": key.id, "typ": "JWT"}),
            json!({"alg": key.algorithm(), "kid": key.id, "typ": "at+jwt", "x5t": "abc"}),
        ] {
            let token = key.token_with(&header, &at.claims(&json!({})));
            at.tokens.learn_key(&token).await;
            let principal = at.tried(&token).unwrap_or_else(|why| panic!("{header}: {why:?}"));
            let actor = format!("user:{}#ana", at.issuer.name());
            assert_eq!(principal.actor.as_deref(), Some(actor.as_str()));
            let scopes: Vec<_> = principal.scopes.iter().collect();
            assert_eq!(scopes, [Scope::StockRead, Scope::StockReceive]);
            assert_eq!(principal.customer_id, None);
        }
    }
}

#[tokio::test]
async fn a_token_whose_claims_do_not_fit_is_refused() {
    let at = Fixture::new().await;
    assert_eq!(at.rejected(&at.token(&json!({"aud": ["account", AUDIENCE]}))), None);
    let of_length = |length: usize| "x".repeat(length - "user:".len() - 1 - at.issuer.name().len());
    assert_eq!(at.rejected(&at.token(&json!({"sub": of_length(200)}))), None);
    let (ahead, name) = (NOW_S + 61, at.issuer.name());
    for (claims, reason) in [
        (json!({"iss": format!("{name}/")}), Rejected::Issuer),
        (json!({"iss": null}), Rejected::Issuer),
        (json!({"iss": [name]}), Rejected::Issuer),
        (json!({"aud": "account"}), Rejected::Audience),
        (json!({"aud": ["account", "lastro2"]}), Rejected::Audience),
        (json!({"aud": null}), Rejected::Audience),
        (json!({"exp": null}), Rejected::Malformed),
        (json!({"exp": "1795804500"}), Rejected::Malformed),
        (json!({"exp": i64::MAX}), Rejected::Malformed),
        (json!({"iat": null}), Rejected::Malformed),
        (json!({"nbf": 1.5}), Rejected::Malformed),
        (json!({"iat": ahead, "exp": ahead + 9}), Rejected::NotYetValid),
        (json!({"nbf": ahead}), Rejected::NotYetValid),
        (json!({"exp": NOW_S + 901}), Rejected::LivesTooLong),
        (json!({"sub": null}), Rejected::Subject),
        (json!({"sub": ""}), Rejected::Subject),
        (json!({"sub": 7}), Rejected::Subject),
        (json!({"sub": "ana\nroot"}), Rejected::Subject),
        (json!({"sub": "ana root"}), Rejected::Subject),
        (json!({"sub": "an\u{202e}a"}), Rejected::Subject),
        (json!({"sub": of_length(201)}), Rejected::Subject),
    ] {
        assert_eq!(at.rejected(&at.token(&claims)), Some(reason), "{claims}");
    }
    assert_eq!(at.rejected(&at.token(&json!({"exp": NOW_S + 900}))), None);
}

#[tokio::test]
async fn a_token_whose_header_does_not_fit_is_refused_before_its_signature_counts() {
    let at = Fixture::new().await;
    let claims = at.claims(&json!({}));
    for (header, reason) in [
        (json!({"alg": "none", "kid": "k1"}), Rejected::Malformed),
        (json!({"alg": "ES512", "kid": "k1"}), Rejected::Malformed),
        (json!({"kid": "k1"}), Rejected::Malformed),
        (json!({"alg": "ES384", "kid": "k1"}), Rejected::Algorithm),
        (json!({"alg": "PS256", "kid": "k1"}), Rejected::Algorithm),
        (json!({"alg": "RS256", "kid": "k1"}), Rejected::Algorithm),
        (json!({"alg": "EdDSA", "kid": "k1"}), Rejected::Algorithm),
        (json!({"alg": "ES256"}), Rejected::UnknownKey),
        (json!({"alg": "ES256", "kid": "k2"}), Rejected::UnknownKey),
        (json!({"alg": "ES256", "kid": "k1", "typ": "dpop+jwt"}), Rejected::Header),
        (json!({"alg": "ES256", "kid": "k1", "crit": ["exp"]}), Rejected::Header),
        (json!({"alg": "ES256", "kid": "k1", "crit": ["b64"], "b64": true}), Rejected::Header),
        (json!({"alg": "ES256", "kid": "k1", "jku": "https://evil"}), Rejected::Header),
        (json!({"alg": "ES256", "kid": "k1", "x5u": "https://evil"}), Rejected::Header),
        (json!({"alg": "ES256", "kid": "k1", "jwk": at.key.jwk()}), Rejected::Header),
    ] {
        let token = at.key.token_with(&header, &claims);
        assert_eq!(at.rejected(&token), Some(reason), "{header}");
    }
}

#[tokio::test]
async fn a_token_that_the_issuer_did_not_sign_is_refused() {
    let at = Fixture::new().await;
    let good = at.token(&json!({}));
    let (message, signature) = good.rsplit_once('.').expect("three parts");
    let (header, _) = message.split_once('.').expect("three parts");
    let admin = base64url(at.claims(&json!({"scope": "keys:admin"})).to_string());
    for (token, reason) in [
        (format!("{header}.{admin}.{signature}"), Rejected::Signature),
        (format!("{message}."), Rejected::Signature),
        (format!("{message}.{signature}{signature}"), Rejected::Signature),
        (format!("{message}.*"), Rejected::Signature),
        // Another key under the same name.
        (IssuerKey::ec("k1").token(&at.claims(&json!({}))), Rejected::Signature),
        (message.to_owned(), Rejected::Malformed),
        (format!("{good}.{signature}"), Rejected::Malformed),
        ("a.b.c".to_owned(), Rejected::Malformed),
        ("..".to_owned(), Rejected::Malformed),
        (format!("{good}{}", "x".repeat(1 << 20)), Rejected::TooLarge),
        (format!("{}.e30.x", "x".repeat(8 * 1024)), Rejected::TooLarge),
    ] {
        assert_eq!(at.rejected(&token), Some(reason), "{}", &token[..token.len().min(200)]);
    }
    // Whoever takes the public key for a secret could let anybody sign.
    for alg in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        let header = Header { kid: Some("k1".to_owned()), ..Header::new(alg) };
        let secret = EncodingKey::from_secret(&at.key.public()).expect("a secret");
        let token = encode(&header, &at.claims(&json!({})), &secret).expect("a token");
        assert_eq!(at.rejected(&token), Some(Rejected::Algorithm));
    }
}

#[tokio::test]
async fn a_token_is_valid_from_its_first_to_its_last_second_and_a_minute_around() {
    let at = Fixture::new().await;
    let token = at.token(&json!({"iat": NOW_S, "nbf": NOW_S + 100, "exp": NOW_S + 300}));
    let step = Duration::from_micros(1);
    let until = |second: i64| {
        let wanted = Timestamp((NOW_S + second) * 1_000_000);
        at.clock.advance(wanted.since(at.clock.now()));
    };
    assert_eq!(at.rejected(&token), Some(Rejected::NotYetValid));
    until(40);
    assert_eq!(at.rejected(&token), None);
    until(360);
    assert_eq!(at.rejected(&token), Some(Rejected::Expired));
    let again = at.token(&json!({"iat": NOW_S, "exp": NOW_S + 310}));
    at.clock.advance(10 * SECOND - step);
    assert_eq!(at.rejected(&again), None);
    at.clock.advance(step);
    assert_eq!(at.rejected(&again), Some(Rejected::Expired));
}

#[tokio::test]
async fn roles_are_found_wherever_an_issuer_writes_them() {
    let found = async |claim: &str, claims: Value| {
        let at =
            Fixture::with(|settings| TokenSettings { scope_claim: claim.to_owned(), ..settings });
        let at = at.await;
        let token = at.token(&claims);
        at.tokens.learn_key(&token).await;
        at.tried(&token).expect("a good token").scopes.iter().collect::<Vec<_>>()
    };
    let clerk = vec![Scope::StockRead, Scope::StockReceive];
    for (claim, claims) in [
        ("scope", json!({"scope": "openid  clerk profile"})),
        ("scope", json!({"scope": "stock:read stock:receive stock:everything"})),
        ("scp", json!({"scp": ["clerk", 7, null, "openid"]})),
        ("realm_access.roles", json!({"realm_access": {"roles": ["offline_access", "clerk"]}})),
        ("resource_access.a.b.roles", json!({"resource_access": {"a": {"b": {"roles": "clerk"}}}})),
        ("https://shop.example/roles", json!({"https://shop.example/roles": ["clerk"]})),
    ] {
        assert_eq!(found(claim, claims.clone()).await, clerk, "{claim} {claims}");
    }
    for (claim, claims) in [
        ("scope", json!({"scope": null})),
        ("scope", json!({"scope": {"clerk": true}})),
        ("scope", json!({"scope": "Clerk clerk,manager clerks"})),
        ("realm_access.roles", json!({"realm_access": ["clerk"]})),
        ("realm_access.roles", json!({"scope": "keys:admin"})),
    ] {
        assert_eq!(found(claim, claims.clone()).await, [], "{claim} {claims}");
    }
}

#[tokio::test]
async fn what_a_user_has_used_they_have_used_with_their_next_token_too() {
    let at = Fixture::new().await;
    let limits = |claims: Value| {
        let principal = at.tried(&at.token(&claims)).expect("a good token");
        principal.limits.clone().expect("limits")
    };
    let (first, other) = (limits(json!({})), limits(json!({"sub": "bea"})));
    assert!(Arc::ptr_eq(&first, &limits(json!({"scope": "", "exp": NOW_S + 301}))));
    assert!(!Arc::ptr_eq(&first, &other));
}

#[tokio::test]
async fn a_token_is_in_no_debug_text() {
    let at = Fixture::new().await;
    let token = at.token(&json!({}));
    let principal = at.tried(&token).expect("a good token");
    let text = format!("{:?} {principal:?}", at.tokens);
    assert!(!text.contains(&token) && !text.contains(token.split('.').nth(1).expect("claims")));
}
