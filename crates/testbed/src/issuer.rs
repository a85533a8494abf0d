//! An issuer of access tokens: keys that sign them, and a server that publishes the keys.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The name of the API in the tokens.
pub const AUDIENCE: &str = "lastro";

const DISCOVERY: &str = "/realms/shop/.well-known/openid-configuration";
const KEYS: &str = "/realms/shop/keys";

/// Encodes as the parts of a token are.
pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key of an issuer.
#[derive(Debug)]
pub struct IssuerKey {
    /// Its name in the header of a token.
    pub id: String,
    pair: Pair,
}

#[derive(Debug)]
enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ec(Box<EcdsaKeyPair>),
    Ed(Box<Ed25519KeyPair>),
}

impl IssuerKey {
    pub fn rsa(id: &str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
        Self { id: id.to_owned(), pair: Pair::Rsa(Box::new(pair)) }
    }

    pub fn ec(id: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        Self { id: id.to_owned(), pair: Pair::Ec(Box::new(pair)) }
    }

    pub fn ed(id: &str) -> Self {
        let pair = Ed25519KeyPair::generate().expect("a key");
        Self { id: id.to_owned(), pair: Pair::Ed(Box::new(pair)) }
    }

    /// The algorithm of its signatures.
    pub fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::Ec(_) => "ES256",
            Pair::Ed(_) => "EdDSA",
        }
    }

    /// The bytes of the public key.
    pub fn public(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Rsa(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ec(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ed(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    /// The public key as the issuer publishes it.
    pub fn jwk(&self) -> Value {
        let public = self.public();
        let mut jwk = match &self.pair {
            Pair::Rsa(pair) => {
                let modulus = pair.public_key().modulus().big_endian_without_leading_zero();
                let exponent = pair.public_key().exponent().big_endian_without_leading_zero();
                json!({"kty": "RSA", "n": base64url(modulus), "e": base64url(exponent)})
            }
            Pair::Ec(_) => {
                let (x, y) = public[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y)})
            }
            Pair::Ed(_) => json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(public)}),
        };
        jwk["kid"] = json!(self.id);
        jwk["use"] = json!("sig");
        jwk
    }

    /// A token with the usual header.
    pub fn token(&self, claims: &Value) -> String {
        self.token_with(&json!({"alg": self.algorithm(), "typ": "JWT", "kid": self.id}), claims)
    }

    /// A token with this header, signed by this key whatever the header says.
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        let parts = [header, claims].map(|part| base64url(part.to_string()));
        let message = parts.join(".");
        format!("{message}.{}", base64url(self.sign(message.as_bytes())))
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let random = SystemRandom::new();
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).expect("signed");
                signature
            }
            Pair::Ec(pair) => {
                pair.sign(&SystemRandom::new(), message).expect("signed").as_ref().to_vec()
            }
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

/// How an issuer answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    #[default]
    Answers,
    /// It closes every connection.
    IsAway,
    /// It takes requests and does not answer.
    Hangs,
    /// It names another place for each document, which has it.
    Redirects,
    /// It answers with more than anybody reads.
    Floods,
    /// It says that it is another issuer.
    IsAnother,
    /// Its keys are at another place.
    HasMoved,
}

#[derive(Debug, Default)]
struct State {
    keys: Vec<Value>,
    behaviour: Behaviour,
    asked: usize,
}

/// A server that publishes keys, at `http://127.0.0.1:PORT/realms/shop`.
///
/// Dropping it stops it.
#[derive(Debug)]
pub struct Issuer {
    port: u16,
    state: Arc<Mutex<State>>,
    _accepting: JoinSet<()>,
}

impl Issuer {
    /// An issuer that publishes these keys.
    pub async fn with(keys: &[&IssuerKey]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let state: Arc<Mutex<State>> = Arc::default();
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, port, state.clone()));
        let issuer = Self { port, state, _accepting: accepting };
        issuer.publish(keys.iter().map(|key| key.jwk()).collect());
        issuer
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The name of the issuer.
    pub fn name(&self) -> String {
        name(self.port)
    }

    /// Where its keys are.
    pub fn jwks_url(&self) -> String {
        format!("http://127.0.0.1:{}{KEYS}", self.port)
    }

    /// Publishes these keys instead of the others.
    pub fn publish(&self, keys: Vec<Value>) {
        self.state.lock().expect("no panic").keys = keys;
    }

    pub fn behave(&self, behaviour: Behaviour) {
        self.state.lock().expect("no panic").behaviour = behaviour;
    }

    /// How often it was asked for its keys.
    pub fn asked(&self) -> usize {
        self.state.lock().expect("no panic").asked
    }

    /// The claims of a token for a user with these scopes, which is valid for five minutes.
    #[expect(clippy::disallowed_methods, reason = "the programs under test run by this clock")]
    pub fn claims(&self, user: &str, scope: &str) -> Value {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs();
        json!({
            "iss": self.name(),
            "aud": AUDIENCE,
            "sub": user,
            "scope": scope,
            "iat": now,
            "exp": now + 300,
        })
    }
}

fn name(port: u16) -> String {
    format!("http://127.0.0.1:{port}/realms/shop")
}

async fn accept(listener: TcpListener, port: u16, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        connections.spawn(answer(stream, port, state.clone()));
        while connections.try_join_next().is_some() {}
    }
}

/// Answers one request, and closes the connection.
async fn answer(mut stream: TcpStream, port: u16, state: Arc<Mutex<State>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if state.lock().expect("no panic").behaviour == Behaviour::IsAway {
            return;
        }
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8_lossy(&head);
    let path = head.split(' ').nth(1).unwrap_or_default();
    let behaviour = {
        let mut state = state.lock().expect("no panic");
        state.asked += usize::from(path.starts_with(KEYS));
        state.behaviour
    };
    let (status, extra, body) = match behaviour {
        Behaviour::IsAway => return,
        Behaviour::Hangs => {
            tokio::time::sleep(Duration::from_secs(600)).await;
            return;
        }
        Behaviour::Redirects if !path.ends_with("?moved") => {
            ("302 Found", format!("location: {path}?moved\r\n"), String::new())
        }
        Behaviour::Floods => ("200 OK", String::new(), " ".repeat(10_000_000)),
        _ => match document(path, port, behaviour, &state) {
            Some(document) => ("200 OK", String::new(), document.to_string()),
            None => ("404 Not Found", String::new(), String::new()),
        },
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{extra}connection: close\r\n\r\n"
    );
    // The client may have gone away.
    let _ = stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await;
    let _ = stream.shutdown().await;
}

fn document(path: &str, port: u16, behaviour: Behaviour, state: &Mutex<State>) -> Option<Value> {
    let path = path.trim_end_matches("?moved");
    match path {
        DISCOVERY => {
            let another = if behaviour == Behaviour::IsAnother { "-2" } else { "" };
            let keys = format!("http://127.0.0.1:{port}{}", keys_at(behaviour));
            Some(json!({"issuer": format!("{}{another}", name(port)), "jwks_uri": keys}))
        }
        _ if path == keys_at(behaviour) => {
            Some(json!({"keys": state.lock().expect("no panic").keys}))
        }
        _ => None,
    }
}

fn keys_at(behaviour: Behaviour) -> &'static str {
    if behaviour == Behaviour::HasMoved { "/realms/shop/keys-2" } else { KEYS }
}
