//! How the keys of an issuer are fetched, kept and missed.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use futures_util::future::join_all;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use testbed::{PATIENCE, eventually};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// Lets time pass at once. A request that is under way would time out.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

impl Fixture {
    fn unknown(&self, n: usize) -> String {
        let header = json!({"alg": "ES256", "kid": format!("x{n}")});
        self.key.token_with(&header, &self.claims(&json!({})))
    }

    async fn becomes(&self, what: &str, holds: impl Fn(Option<&Health>) -> bool) {
        let holds = || async { holds(self.health().as_ref()).then_some(()) };
        eventually(PATIENCE, what, holds).await;
    }

    async fn becomes_degraded(&self, words: &str) {
        self.becomes(words, |health| is_degraded(health, words)).await;
    }

    async fn becomes_up(&self) {
        self.becomes("up", |health| health == Some(&Health::Up)).await;
    }

    async fn is_asked(&self, times: usize) {
        let asked = || async { (self.issuer.asked() >= times).then_some(()) };
        eventually(PATIENCE, "a fetch", asked).await;
    }
}

fn is_degraded(health: Option<&Health>, words: &str) -> bool {
    matches!(health, Some(Health::Degraded(why)) if why.contains(words))
}

#[tokio::test]
async fn unknown_keys_cause_one_fetch_a_minute_however_many_there_are() {
    let at = Fixture::new().await;
    // Real time passes while they are signed.
    let tokens: Vec<_> = (0..500).map(|n| at.unknown(n)).collect();
    let flood = async || {
        join_all(tokens.iter().map(|token| at.tokens.learn_key(token))).await;
        assert!(tokens.iter().all(|token| at.rejected(token) == Some(Rejected::UnknownKey)));
        at.issuer.asked()
    };
    assert_eq!(flood().await, 1);
    pass(30 * SECOND).await;
    assert_eq!(flood().await, 1);
    pass(30 * SECOND).await;
    assert_eq!(flood().await, 2);
    assert_eq!(flood().await, 2);
}

#[tokio::test]
async fn a_new_key_of_the_issuer_is_learnt_when_it_is_first_used() {
    let at = Fixture::new().await;
    pass(MINUTE).await;
    let new = IssuerKey::ed("k2");
    at.issuer.publish(vec![new.jwk()]);
    let new = new.token(&at.claims(&json!({})));
    assert_eq!(at.rejected(&new), Some(Rejected::UnknownKey));
    at.tokens.learn_key(&new).await;
    assert_eq!(at.rejected(&new), None);
    // The old key is not published any more.
    assert_eq!(at.rejected(&at.token(&json!({}))), Some(Rejected::UnknownKey));
}

#[tokio::test]
async fn keys_are_fetched_again_after_ten_minutes_without_being_asked_for() {
    let at = Fixture::new().await;
    pass(10 * MINUTE).await;
    at.is_asked(2).await;
}

#[tokio::test]
async fn a_request_whose_key_is_known_does_not_wait_for_an_issuer_that_hangs() {
    let at = Fixture::new().await;
    at.issuer.behave(Behaviour::Hangs);
    pass(MINUTE).await;
    let (unknown, good) = (at.unknown(1), at.token(&json!({})));
    let mut waiting = Box::pin(at.tokens.learn_key(&unknown));
    tokio::select! {
        () = &mut waiting => panic!("the fetch hangs"),
        () = at.is_asked(2) => {}
    }
    assert!(futures_util::FutureExt::now_or_never(at.tokens.learn_key(&good)).is_some());
    assert_eq!(at.rejected(&good), None);
    pass(fetch::PATIENCE).await;
    waiting.await;
    assert_eq!(at.rejected(&unknown), Some(Rejected::UnknownKey));
}

#[tokio::test]
async fn keys_stay_for_a_day_while_the_issuer_is_away() {
    let at = Fixture::new().await;
    let good = at.token(&json!({}));
    at.issuer.behave(Behaviour::IsAway);
    pass(10 * MINUTE).await;
    at.becomes_degraded(&at.issuer.jwks_url()).await;
    assert_eq!(at.rejected(&good), None);
    pass(24 * 60 * MINUTE - 11 * MINUTE).await;
    assert_eq!(at.rejected(&good), None);
    pass(2 * MINUTE).await;
    assert_eq!(at.rejected(&good), Some(Rejected::KeysUnavailable));
    assert_eq!(at.rejected(&at.unknown(1)), Some(Rejected::KeysUnavailable));
    at.issuer.behave(Behaviour::Answers);
    eventually(PATIENCE, "a fetch after the one that failed", || async {
        pass(MINUTE).await;
        at.tokens.learn_key(&good).await;
        at.rejected(&good).is_none().then_some(())
    })
    .await;
    at.becomes_up().await;
}

#[tokio::test]
async fn a_service_that_starts_before_its_issuer_finds_it_soon() {
    let at = Fixture::of(Behaviour::IsAway, |settings| settings).await;
    at.becomes_degraded("openid-configuration").await;
    let good = at.token(&json!({}));
    assert_eq!(at.rejected(&good), Some(Rejected::KeysUnavailable));
    at.issuer.behave(Behaviour::Answers);
    pass(10 * SECOND).await;
    at.becomes_up().await;
    assert_eq!(at.rejected(&good), None);
}

#[tokio::test]
async fn an_answer_that_cannot_be_used_changes_nothing_and_readyz_says_why() {
    let at = Fixture::new().await;
    let good = at.token(&json!({}));
    for (behaviour, words) in [
        (Behaviour::Hangs, "no answer within 5s"),
        (Behaviour::IsAway, "http://127.0.0.1:"),
        (Behaviour::Redirects, "302 Found"),
        (Behaviour::Floods, "length limit exceeded"),
    ] {
        at.issuer.behave(behaviour);
        pass(10 * MINUTE).await;
        if behaviour == Behaviour::Hangs {
            at.is_asked(2).await;
            pass(fetch::PATIENCE).await;
        }
        at.becomes_degraded(words).await;
        assert_eq!(at.rejected(&good), None, "{behaviour:?}");
    }
}

#[tokio::test]
async fn an_issuer_whose_keys_have_moved_is_asked_again_where_they_are() {
    let at = Fixture::new().await;
    at.issuer.behave(Behaviour::HasMoved);
    pass(10 * MINUTE).await;
    at.becomes_degraded("404 Not Found").await;
    pass(MINUTE).await;
    at.becomes_up().await;
}

#[tokio::test]
async fn a_discovery_document_of_another_issuer_is_not_believed() {
    let at = Fixture::of(Behaviour::IsAnother, |settings| settings).await;
    at.becomes_degraded("and oidc_issuer is").await;
    assert_eq!(at.issuer.asked(), 0);
}

#[test]
fn keys_that_sign_no_tokens_are_left_out() {
    let key = IssuerKey::ec("k1");
    let with = |name: &str, value: Value| {
        let mut jwk = key.jwk();
        jwk[name] = value;
        jwk
    };
    let read = |keys: Vec<Value>| jwk::read(json!({"keys": keys}).to_string().as_bytes());
    let unusable = [
        json!({}),
        json!({"kty": "new", "kid": "k1"}),
        json!({"kty": "oct", "kid": "k1", "k": "c2VjcmV0"}),
        with("use", json!("enc")),
        with("alg", json!("ES384")),
        with("alg", json!("HS256")),
        with("alg", json!("ES512")),
        with("crv", json!("P-384")),
        with("crv", json!("Ed25519")),
        with("key_ops", json!(["encrypt"])),
        with("kid", Value::Null),
        with("x", json!("*")),
    ];
    for jwk in unusable.clone() {
        let line = read(vec![jwk.clone()]).expect_err("no key").clone();
        assert!(line.starts_with("there is no key"), "{jwk}: {line}");
    }
    for usable in [
        key.jwk(),
        with("alg", json!("ES256")),
        with("use", Value::Null),
        with("key_ops", json!(["verify"])),
    ] {
        // What cannot be used does not spoil the rest.
        let keys = [&unusable[..], std::slice::from_ref(&usable)].concat();
        assert_eq!(read(keys).map(|keys| keys.len()), Ok(1), "{usable}");
    }
    let many = (0..101).map(|n| with("kid", json!(n.to_string()))).collect();
    assert!(read(many).expect_err("too many").contains("101 keys"));
    assert!(jwk::read(b"<html>").expect_err("no JSON").contains("not a set of keys"));
}

/// The issuer at another port, over TLS. Returns its address and the authority of its certificate.
async fn encrypted(issuer: &Issuer) -> (SocketAddr, String) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).expect("a certificate").pem();
    let signer = rcgen::Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &signer).expect("a certificate");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a certificate and its key");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let port = issuer.port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut issuer = TcpStream::connect(("127.0.0.1", port)).await.expect("the issuer");
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut issuer).await;
        }
    });
    (address, authority)
}

#[tokio::test]
async fn an_issuer_is_known_by_its_certificate() {
    let issuer = Issuer::with(&[&IssuerKey::ec("k1")]).await;
    let (address, authority) = encrypted(&issuer).await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), authority).expect("written");
    let with = |ca: Option<&Path>| {
        let url = format!("https://{address}/realms/shop/keys").parse().expect("a URL");
        let ca = ca.map(ToOwned::to_owned);
        let settings = TokenSettings { jwks_url: Some(url), ca, ..settings(&issuer) };
        Tokens::new(settings, Arc::new(ManualClock::at(Timestamp(0))))
    };
    for (ca, is_known) in [(Some(file.path()), true), (None, false)] {
        let tokens = Arc::new(with(ca).expect("settings"));
        let (readiness, stop) = (Readiness::default(), CancellationToken::new());
        tokio::spawn(tokens.watch(readiness.clone(), stop.clone()));
        let _stop = stop.drop_guard();
        let check = || async { readiness.snapshot().checks.first().cloned() };
        let (_, health) = eventually(PATIENCE, "a fetch", check).await;
        assert_eq!(health == Health::Up, is_known, "{health:?}");
        assert!(is_known || is_degraded(Some(&health), "certificate"), "{health:?}");
    }
    std::fs::write(file.path(), "no certificate").expect("written");
    let line = with(Some(file.path())).expect_err("no authority").to_string();
    assert!(line.starts_with("oidc_ca=") && line.contains("no certificates in PEM"), "{line}");
    // Whoever may add an authority can be the issuer.
    let for_all = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(file.path(), for_all).expect("permissions");
    let line = with(Some(file.path())).expect_err("it can be changed").to_string();
    assert!(line.starts_with("oidc_ca=") && line.contains("chmod go-w"), "{line}");
}
