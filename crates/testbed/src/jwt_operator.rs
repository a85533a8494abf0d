//! The operator of a broker that lets in whoever shows a JWT: users in an account, and their
//! `.creds` files.

use nkeys::KeyPair;
use serde_json::{Value, json};

use crate::issuer::base64url;

/// An operator with one account.
#[derive(Debug)]
pub struct JwtOperator {
    operator: KeyPair,
    account: KeyPair,
}

/// What a user shows to the broker.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The token that the account has signed.
    pub jwt: String,
    /// The seed of the user's key, which is secret.
    pub seed: String,
}

impl JwtOperator {
    /// Makes the keys of both.
    pub fn generate() -> Self {
        Self { operator: KeyPair::new_operator(), account: KeyPair::new_account() }
    }

    /// The settings of a broker that trusts this operator.
    pub fn settings(&self) -> String {
        let operator = json!({"type": "operator", "version": 2});
        let operator = token(&self.operator, &self.operator, "operator", &operator);
        let no_stored_messages = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "conn": -1,
            "leaf": -1, "wildcards": true,
        });
        let mut limits = no_stored_messages.clone();
        for limit in ["mem_storage", "disk_storage", "streams", "consumer"] {
            limits[limit] = json!(-1);
        }
        let account = |key: &KeyPair, name, limits: Value| {
            let claims = json!({"limits": limits, "type": "account", "version": 2});
            format!("{}: {}", key.public_key(), token(&self.operator, key, name, &claims))
        };
        // JetStream needs it.
        let system = KeyPair::new_account();
        format!(
            "operator: {operator}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{\n{}\n{}\n}}\n",
            system.public_key(),
            account(&system, "system", no_stored_messages),
            account(&self.account, "shop", limits),
        )
    }

    /// Makes a user that may do everything in the account.
    pub fn user(&self, name: &str) -> Credentials {
        let user = KeyPair::new_user();
        let claims = json!({
            "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1, "type": "user",
            "version": 2,
        });
        let jwt = token(&self.account, &user, name, &claims);
        Credentials { jwt, seed: user.seed().expect("a seed") }
    }
}

impl Credentials {
    /// The text of the `.creds` file.
    pub fn file(&self) -> String {
        let Self { jwt, seed } = self;
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }
}

/// A JWT of NATS about `subject`, signed by `issuer`.
fn token(issuer: &KeyPair, subject: &KeyPair, name: &str, claims: &Value) -> String {
    let part = |value: &Value| base64url(value.to_string());
    let header = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let body = json!({
        "jti": name, "iat": 1, "iss": issuer.public_key(), "name": name,
        "sub": subject.public_key(), "nats": claims,
    });
    let signed = format!("{}.{}", part(&header), part(&body));
    let signature = issuer.sign(signed.as_bytes()).expect("an issuer has a seed");
    format!("{signed}.{}", base64url(signature))
}
