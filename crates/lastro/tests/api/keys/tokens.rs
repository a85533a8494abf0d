//! Access tokens: staff sign in at an issuer, beside clients with keys.

use testbed::{AUDIENCE, Behaviour, Issuer, IssuerKey, base64url};

use super::*;

const LOCATIONS: &str = "/api/inventory/locations";

/// A shop that asks for these keys, or for tokens of this issuer.
async fn shop(keys: &Keys, issuer: &Issuer) -> Deployment {
    let (file, name) = (keys.file(), issuer.name());
    Deployment::open_with(move |launch| {
        launch
            .env("LASTRO_API_KEYS_FILE", &file)
            .env("LASTRO_OIDC_ISSUER", &name)
            .env("LASTRO_OIDC_AUDIENCE", AUDIENCE)
            .env("LASTRO_OIDC_ROLES", "clerk=stock:receive ledger:read;buyer=catalog:write")
            .env("LASTRO_ADDRESS_RATE", "1000000")
            .env("RUST_LOG", "debug")
    })
    .await
}

#[tokio::test]
async fn staff_do_what_their_roles_allow_and_are_named_in_histories_and_ledgers() {
    let (keys, key) = (Keys::new(), IssuerKey::rsa("k1"));
    let issuer = Issuer::with(&[&key]).await;
    let (till, till_id) = keys.create("orders:write,orders:read,orders:cancel", &[]).await;
    let shop = shop(&keys, &issuer).await;
    let token = |user: &str, scope: &str| key.token(&issuer.claims(user, scope));
    let till = Client::new(&shop, &till);
    let clerk = Client::new(&shop, &token("ana", "openid clerk"));
    let buyer = Client::new(&shop, &token("bea", "buyer keys:admin"));
    let agent = Client::new(&shop, &token("cai", "orders:cancel"));

    let product = "/api/inventory/products/MUG";
    let mug = json!({"name": "Mug"});
    let lacks = |refused: &Response, scope: &str| {
        assert_eq!((refused.status, text(refused, "required_scope").as_str()), (403, scope));
    };
    lacks(&clerk.send("PUT", product, &[], &mug).await, "catalog:write");
    lacks(&clerk.place("C1", &[]).await, "orders:write");
    assert_eq!(buyer.send("PUT", product, &[], &mug).await.status, 201);
    let movements = format!("{product}/movements");
    let receive = json!({"kind": "receive", "quantity": 9});
    lacks(&buyer.send("POST", &movements, &[], &receive).await, "stock:receive");
    assert_eq!(clerk.send("POST", &movements, &[], &receive).await.status, 201);
    let adjust = json!({"kind": "adjust", "quantity": 9, "reason": "found"});
    lacks(&clerk.send("POST", &movements, &[], &adjust).await, "stock:adjust");

    let placed = till.place("C1", &[WAIT]).await;
    let order = format!("/api/orders/{}", text(&placed, "order_id"));
    agent.send("POST", &format!("{order}/cancel"), &[WAIT], &Value::Null).await.ok();
    let named = |user: &str| format!("user:{}#{user}", issuer.name());
    let order = till.get(&order).await.ok();
    let entries = order["history"].as_array().expect("a history").iter();
    let actors: Vec<_> = entries.map(|entry| entry["actor"].as_str().expect("an actor")).collect();
    let (till, agent) = (format!("key:{till_id}"), named("cai"));
    assert_eq!(actors, [&till, "system", &agent, "system"]);
    let ledger = clerk.get(&movements).await.ok();
    let received = ledger["data"].as_array().expect("movements").last().expect("the receipt");
    assert_eq!(received["actor"], named("ana"));
    let log = buyer.get("/api/inventory/admin-log").await.ok();
    let mut entries = log["data"].as_array().expect("entries").iter();
    let put = entries.find(|entry| entry["action"] == "put_product").expect("the product");
    assert_eq!(put["actor"], named("bea"));
}

#[tokio::test]
async fn tokens_and_keys_that_are_wrong_get_one_answer() {
    let (keys, key) = (Keys::new(), IssuerKey::ec("k1"));
    let issuer = Issuer::with(&[&key]).await;
    let (own, _) = keys.create("stock:read", &[]).await;
    let (wrong, _) = Keys::new().create("stock:read", &[]).await;
    let shop = shop(&keys, &issuer).await;
    let good = key.token(&issuer.claims("ana", "stock:read"));
    for credential in [&good, &own] {
        assert_eq!(Client::new(&shop, credential).get(LOCATIONS).await.status, 200);
    }
    let claims = |name: &str, value: Value| {
        let mut claims = issuer.claims("ana", "stock:read");
        claims[name] = value;
        key.token(&claims)
    };
    let unsigned = [json!({"alg": "none", "kid": "k1"}), issuer.claims("ana", "stock:read")];
    let unsigned = unsigned.map(|part| base64url(part.to_string())).join(".");
    let refused = async |headers: &[(&str, &str)], path: &str| {
        let refused = shop.send("GET", path, headers, String::new()).await;
        let challenge = refused.header("www-authenticate").expect("a challenge").to_owned();
        assert_eq!(challenge, "Bearer realm=\"lastro\", error=\"invalid_token\"");
        assert_eq!(refused.verdict(), "401 unauthenticated", "{headers:?}");
        text(&refused, "detail")
    };
    let detail = refused(&[("authorization", "Bearer x")], LOCATIONS).await;
    for sent in [
        claims("aud", json!("account")),
        claims("iss", json!("https://other.example")),
        claims("exp", json!(1_700_000_000)),
        claims("sub", Value::Null),
        IssuerKey::ec("k1").token(&issuer.claims("ana", "stock:read")),
        IssuerKey::ec("k2").token(&issuer.claims("ana", "stock:read")),
        format!("{unsigned}."),
        format!("{good}{}", "x".repeat(9000)),
        "a.b.c".to_owned(),
        wrong,
    ] {
        let authorization = format!("Bearer {sent}");
        assert_eq!(refused(&[("authorization", &authorization)], LOCATIONS).await, detail);
    }
    let [token, key] = [&good, &own].map(|sent| format!("Bearer {sent}"));
    let [token, key] = [("authorization", token.as_str()), ("authorization", key.as_str())];
    for twice in [[token, token], [token, key], [key, token]] {
        assert_eq!(refused(&twice, LOCATIONS).await, detail);
    }
    let in_url = format!("{LOCATIONS}?access_token={good}");
    assert!(refused(&[key], &in_url).await.contains("must not be in the URL"));
}

#[tokio::test]
async fn a_known_key_of_the_issuer_needs_no_issuer() {
    let (keys, key) = (Keys::new(), IssuerKey::ed("k1"));
    let issuer = Issuer::with(&[&key]).await;
    keys.create("stock:read", &[]).await;
    let shop = shop(&keys, &issuer).await;
    for user in ["ana", "bia"] {
        let token = key.token(&issuer.claims(user, "stock:read"));
        assert_eq!(Client::new(&shop, &token).get(LOCATIONS).await.status, 200);
        issuer.behave(Behaviour::IsAway);
    }
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn without_the_keys_of_the_issuer_tokens_get_503_and_clients_with_keys_do_not_notice() {
    let (keys, key) = (Keys::new(), IssuerKey::ec("k1"));
    let issuer = Issuer::with(&[&key]).await;
    issuer.behave(Behaviour::IsAway);
    let (own, _) = keys.create("stock:read,ops:read", &[]).await;
    let shop = shop(&keys, &issuer).await;
    let token = Client::new(&shop, &key.token(&issuer.claims("ana", "stock:read")));
    let refused = token.get(LOCATIONS).await;
    assert_eq!(refused.verdict(), "503 storage_unavailable");
    assert!(refused.header("retry-after").is_some());
    let own = Client::new(&shop, &own);
    assert_eq!(own.get(LOCATIONS).await.status, 200);
    let ready = own.get("/readyz").await;
    assert!(ready.status == 200 && ready.text.contains("token issuer"), "{ready:?}");
    let log = shop.programs.log();
    assert!(log.contains("cannot be fetched; none is known"), "{log}");
    issuer.behave(Behaviour::Answers);
    becomes("tokens are accepted", async || token.get(LOCATIONS).await.status == 200).await;
}

#[tokio::test]
async fn a_token_is_in_no_log_answer_or_metric() {
    let (keys, key) = (Keys::new(), IssuerKey::ec("k1"));
    let issuer = Issuer::with(&[&key]).await;
    keys.create("stock:read", &[]).await;
    let shop = shop(&keys, &issuer).await;
    let good = key.token(&issuer.claims("ana", "ops:read orders:write orders:read"));
    let wrong = IssuerKey::ec("k1").token(&issuer.claims("c4nary", "ops:read"));
    let mut said = Vec::new();
    for sent in [&good, &wrong] {
        let client = Client::new(&shop, sent);
        for path in ["/api/orders", "/metrics", "/readyz", &format!("/api/orders?q={sent}")] {
            said.push(client.get(path).await.text);
        }
        said.push(client.place("C1", &[]).await.text);
        said.push(client.get(&format!("/{sent}")).await.text);
    }
    let program = &shop.programs.orders[0];
    let logged = async || program.log().matches("(a path with a credential)").count() >= 2;
    becomes("the last request is logged", logged).await;
    said.push(program.log());
    assert!(program.log().contains("wrong access token"), "the reason is in the log");
    for part in [&good, &wrong].into_iter().flat_map(|token| token.split('.').skip(1)) {
        let found = said.iter().find(|text| text.contains(part));
        assert!(found.is_none(), "{found:?}");
    }
    assert!(!said.iter().any(|text| text.contains("c4nary")), "nothing unverified is shown");
}

#[tokio::test]
async fn what_is_wrong_in_the_settings_of_an_issuer_is_told_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let issuer = ["--oidc-issuer", "https://id.example.com", "--oidc-audience", "lastro"];
    for (args, words) in [
        (&["--oidc-issuer", "https://id.example.com"][..], "oidc_audience"),
        (&["--oidc-issuer", "http://id.example.com", "--oidc-audience", "x"], "https://"),
        (&["--oidc-roles", "clerk=stock:all"], "stock:all"),
        (&["--oidc-scope-claim", "roles"], "oidc_issuer"),
        (&[&issuer[..], &["--no-auth"]].concat(), "oidc_issuer and no_auth"),
        (&[&issuer[..], &["--oidc-ca", "absent.pem"]].concat(), "oidc_ca=absent.pem: No such file"),
    ] {
        let ended = lastro(folder.path()).args(args.iter().copied()).to_end().await;
        assert_eq!(ended.code, Some(2), "{args:?}: {ended:?}");
        assert!(ended.stderr.contains(words), "{args:?}: {ended:?}");
    }
    let settings = folder.path().join("lastro.toml");
    std::fs::write(
        &settings,
        "listen = \"127.0.0.1:0\"\n\n[oidc_roles]\nclerk = [\"stock:all\"]\n",
    )
    .expect("written");
    let ended = lastro(folder.path()).to_end().await;
    ended.must_be_refused(2, &["lastro.toml, line 3", "stock:all"]);
}

#[tokio::test]
async fn tokens_alone_are_enough_for_an_open_address_and_roles_may_be_a_table() {
    let key = IssuerKey::ec("k1");
    let issuer = Issuer::with(&[&key]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let settings = format!(
        "listen = \"0.0.0.0:0\"\noidc_issuer = \"{}\"\noidc_audience = \"{AUDIENCE}\"\noidc_jwks_url = \"{}\"\noidc_scope_claim = \"realm_access.roles\"\n\n[oidc_roles]\nclerk = [\"stock:read\"]\n",
        issuer.name(),
        issuer.jwks_url(),
    );
    std::fs::write(folder.path().join("lastro.toml"), settings).expect("written");
    let mut program = lastro(folder.path()).args(["--data-dir", "data"]).serving().await;
    let url = format!("http://127.0.0.1:{}{LOCATIONS}", program.address().port());
    let mut claims = issuer.claims("ana", "");
    claims["realm_access"] = json!({"roles": ["clerk", "offline_access"]});
    let client = reqwest::Client::new();
    for (token, status) in [
        (key.token(&claims), 200),
        (key.token(&issuer.claims("ana", "stock:read")), 403),
        ("lsk_test_x".to_owned(), 401),
    ] {
        let answer = client.get(&url).bearer_auth(token).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), status);
    }
    program.terminate();
    assert_eq!(program.ended(PATIENCE).await, Some(0));
}
