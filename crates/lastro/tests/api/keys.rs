//! API keys: who is let in, who is told what, and who did it.

use std::path::PathBuf;

use futures_util::future::join_all;
use serde_json::{Value, json};
use testbed::{Deployment, Ended, JSON, PATIENCE, Response, WAIT, eventually, lastro, order};

mod changes;
mod matrix;
mod streams;
mod tables;
mod tokens;

/// Keys in a file of their own, as `lastro keys` makes them.
pub(crate) struct Keys {
    folder: tempfile::TempDir,
}

impl Keys {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("keys.toml")
    }

    async fn run(&self, args: &[&str]) -> Ended {
        let file = self.file();
        let args = [&["keys", "--file", file.to_str().expect("text")], args].concat();
        lastro(self.folder.path()).args(args).to_end().await
    }

    /// Makes a key, and returns it with its id.
    pub(crate) async fn create(&self, scopes: &str, more: &[&str]) -> (String, String) {
        let args = [&["create", "--name", "test", "--scope", scopes][..], more].concat();
        let made = self.run(&args).await;
        assert!(made.code == Some(0), "{made:?}");
        let key = made.stdout.trim().to_owned();
        let id = key.split('_').nth(2).expect("an id").to_owned();
        (key, id)
    }

    /// A shop that asks for these keys and has this many mugs.
    async fn shop_with_mugs(&self, units: u32) -> Deployment {
        let (clerk, _) = self.create("catalog:write,stock:receive", &[]).await;
        let shop = self.shop().await;
        let clerk = Client::new(&shop, &clerk);
        let product = "/api/inventory/products/MUG";
        clerk.send("PUT", product, &[], &json!({"name": "Mug"})).await.ok();
        let receive = json!({"kind": "receive", "quantity": units});
        clerk.send("POST", &format!("{product}/movements"), &[], &receive).await.ok();
        shop
    }

    /// A shop that asks for these keys, and that lets a test try many others.
    async fn shop(&self) -> Deployment {
        let file = self.file();
        Deployment::open_with(move |launch| {
            let launch = launch.env("LASTRO_API_KEYS_FILE", &file);
            launch.env("LASTRO_ADDRESS_RATE", "1000000")
        })
        .await
    }
}

/// A client with a key.
struct Client<'a> {
    shop: &'a Deployment,
    authorization: String,
}

impl<'a> Client<'a> {
    fn new(shop: &'a Deployment, key: &str) -> Self {
        Self { shop, authorization: format!("Bearer {key}") }
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        more: &[(&str, &str)],
        body: &Value,
    ) -> Response {
        let own = [JSON, ("authorization", &self.authorization)];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.shop.send(method, path, &[&own[..], more].concat(), body).await
    }

    async fn get(&self, path: &str) -> Response {
        self.send("GET", path, &[], &Value::Null).await
    }

    async fn place(&self, customer: &str, more: &[(&str, &str)]) -> Response {
        let order = json!({"customer_id": customer, "products": order(&[("MUG", 1)])["products"]});
        self.send("POST", "/api/orders", more, &order).await
    }
}

/// Waits until the services have felt a change of the file: they look every two seconds.
async fn becomes(what: &str, holds: impl AsyncFn() -> bool) {
    eventually(PATIENCE, what, || async { holds().await.then_some(()) }).await;
}

fn text(answer: &Response, member: &str) -> String {
    answer.json()[member].as_str().unwrap_or_else(|| panic!("{member} in {answer:?}")).to_owned()
}

#[tokio::test]
async fn a_key_that_is_revoked_is_refused_soon_also_on_an_open_connection() {
    let keys = Keys::new();
    let (key, id) = keys.create("stock:read", &[]).await;
    let (other, _) = keys.create("stock:read", &[]).await;
    let shop = keys.shop().await;
    let (client, other) = (Client::new(&shop, &key), Client::new(&shop, &other));
    assert_eq!(client.get("/api/inventory/locations").await.status, 200);
    keys.run(&["revoke", &id]).await;
    let refused = async || client.get("/api/inventory/locations").await.status == 401;
    becomes("the key is refused", refused).await;
    assert_eq!(other.get("/api/inventory/locations").await.status, 200);
}

#[tokio::test]
async fn a_file_that_says_something_wrong_keeps_the_keys_and_shows_in_readyz() {
    let keys = Keys::new();
    let (key, _) = keys.create("stock:read,ops:read", &[]).await;
    let shop = keys.shop().await;
    let client = Client::new(&shop, &key);
    std::fs::write(keys.file(), "keys = \"none\"").expect("written");
    let seen = async || {
        let ready = client.get("/readyz").await;
        ready.text.contains("\"degraded\"") && ready.text.contains("keys.toml")
    };
    becomes("readyz says so", seen).await;
    assert_eq!(client.get("/api/inventory/locations").await.status, 200);
    // Everybody sees that it is degraded, and only who may see it, why.
    assert_eq!(shop.get("/readyz").await.text, r#"{"status":"degraded"}"#);
}

#[tokio::test]
async fn a_file_that_every_user_may_read_is_told_once_at_the_start() {
    let keys = Keys::new();
    keys.create("stock:read", &[]).await;
    let told = async || {
        let shop = keys.shop().await;
        shop.programs.log().matches("every user of this machine may read").count()
    };
    assert_eq!(told().await, 0);
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(keys.file(), open).expect("permissions");
    assert_eq!(told().await, 1);
}

#[tokio::test]
async fn a_rotated_key_has_two_secrets_for_a_while() {
    let keys = Keys::new();
    let (old, id) = keys.create("stock:read", &[]).await;
    let new = keys.run(&["rotate", &id, "--overlap", "1h"]).await.stdout.trim().to_owned();
    let shop = keys.shop().await;
    for key in [&old, &new] {
        assert_eq!(Client::new(&shop, key).get("/api/inventory/locations").await.status, 200);
    }
    keys.run(&["rotate", &id, "--overlap", "0s"]).await;
    let (old, new) = (Client::new(&shop, &old), Client::new(&shop, &new));
    let refused = async || {
        old.get("/api/inventory/locations").await.status == 401
            && new.get("/api/inventory/locations").await.status == 401
    };
    becomes("both are refused", refused).await;
    let list = keys.run(&["list"]).await.stdout;
    assert!(list.contains(&id) && list.contains("stock:read") && list.contains("valid"), "{list}");
}

#[tokio::test]
async fn a_client_without_a_key_learns_nothing_about_routes_and_bodies() {
    let keys = Keys::new();
    keys.create("orders:write", &[]).await;
    let shop = keys.shop().await;
    let too_large = "x".repeat(300_000);
    for (method, path, headers, body) in [
        ("POST", "/api/orders", &[][..], ""),
        ("POST", "/api/orders", &[("content-type", "text/plain")], "x"),
        ("POST", "/api/orders", &[JSON], "{"),
        ("POST", "/api/orders", &[JSON], too_large.as_str()),
        ("PATCH", "/api/orders", &[], ""),
        ("GET", "/api/orders/0197a9c4-0000-7000-8000-000000000000", &[], ""),
        ("GET", "/api/nothing", &[], ""),
        ("GET", "/metrics", &[], ""),
    ] {
        let refused = shop.send(method, path, headers, body.to_owned()).await;
        assert_eq!(refused.verdict(), "401 unauthenticated", "{method} {path}");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer realm=\"lastro\""));
        let closed = refused.header("connection") == Some("close");
        assert_eq!(closed, !body.is_empty(), "the next request is not what is left of the body");
    }
    for path in ["/livez", "/readyz", "/", "/docs", "/openapi.json", "/asyncapi.json", "/version"] {
        assert_eq!(shop.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn an_idempotency_key_belongs_to_the_client_that_sent_it() {
    let keys = Keys::new();
    let (one, _) = keys.create("orders:write", &[]).await;
    let (two, _) = keys.create("orders:write", &[]).await;
    let shop = keys.shop().await;
    let (one, two) = (Client::new(&shop, &one), Client::new(&shop, &two));
    let key = [("idempotency-key", "K")];
    let first = one.place("C1", &key).await;
    let others = two.place("C2", &key).await;
    let again = one.place("C1", &key).await;
    assert_eq!([first.status, others.status, again.status], [200; 3]);
    assert_eq!(text(&first, "order_id"), text(&again, "order_id"));
    assert_ne!(text(&first, "order_id"), text(&others, "order_id"));
    assert_eq!(one.place("C2", &key).await.verdict(), "422 idempotency_key_reused");
}

#[tokio::test]
async fn histories_and_ledgers_name_the_key_that_did_it() {
    let keys = Keys::new();
    let (till, till_id) = keys.create("orders:write,orders:cancel,orders:read", &[]).await;
    let (staff, staff_id) = keys.create("catalog:write,stock:receive,ledger:read", &[]).await;
    let (admin, _) = keys.create("keys:admin", &[]).await;
    let shop = keys.shop().await;
    let [till, staff, admin] = [till, staff, admin].map(|key| Client::new(&shop, &key));
    let product = "/api/inventory/products/MUG";
    assert_eq!(staff.send("PUT", product, &[], &json!({"name": "Mug"})).await.status, 201);
    let movements = format!("{product}/movements");
    let receive = json!({"kind": "receive", "quantity": 9});
    assert_eq!(staff.send("POST", &movements, &[], &receive).await.status, 201);
    let placed = till.place("C1", &[WAIT]).await;
    let order = format!("/api/orders/{}", text(&placed, "order_id"));
    till.send("POST", &format!("{order}/cancel"), &[WAIT], &Value::Null).await.ok();

    let order = till.get(&order).await.ok();
    let entries = order["history"].as_array().expect("a history").iter();
    let actors: Vec<_> = entries.map(|entry| entry["actor"].as_str().expect("an actor")).collect();
    let till = format!("key:{till_id}");
    assert_eq!(actors, [&till, "system", &till, "system"]);
    let ledger = staff.get(&movements).await.ok();
    let received = ledger["data"].as_array().expect("movements").last().expect("the receipt");
    assert_eq!(received["actor"], format!("key:{staff_id}"));
    let log = admin.get("/api/inventory/admin-log").await.ok();
    let [entry] = log["data"].as_array().expect("entries").as_slice() else { panic!("{log}") };
    assert_eq!((&entry["action"], &entry["subject"]), (&json!("put_product"), &json!("MUG")));
    assert_eq!((&entry["actor"], &entry["address"]), (&received["actor"], &json!("127.0.0.1")));
    assert_eq!((&entry["before"], &entry["after"]["name"]), (&Value::Null, &json!("Mug")));
    // A client cannot say that it is somebody else.
    let forged = json!({"kind": "receive", "quantity": 9, "actor": "key:other"});
    let refused = staff.send("POST", &movements, &[], &forged).await;
    assert_eq!(refused.verdict(), "422 invalid_request");
}

#[tokio::test]
async fn the_admin_log_has_who_asked_for_what_only_an_administrator_may_do() {
    let keys = Keys::new();
    let (till, till_id) = keys.create("orders:write,stock:read,stock:receive", &[]).await;
    let (own, own_id) = keys.create("stock:read", &["--customer", "C1"]).await;
    let (admin, _) = keys.create("keys:admin", &[]).await;
    let shop = keys.shop().await;
    let [till, own, admin] = [till, own, admin].map(|key| Client::new(&shop, &key));
    let till_asks = async |method: &str, path: &str, body: Value| {
        till.send(method, path, &[("x-request-id", "probe-1")], &body).await
    };
    let location = "/api/inventory/locations/moon";
    let put = json!({"name": "Moon", "priority": 0});
    assert_eq!(till_asks("PUT", location, put.clone()).await.status, 403);
    let movements = "/api/inventory/products/MUG/movements";
    let adjust = json!({"kind": "adjust", "quantity": 9, "reason": "because"});
    assert_eq!(till_asks("POST", movements, adjust).await.status, 403);
    assert_eq!(own.send("PUT", location, &[], &put).await.status, 403);
    // Not of an administrator, and of nobody who is known.
    assert_eq!(till_asks("GET", "/api/orders", Value::Null).await.status, 403);
    assert_eq!(Client::new(&shop, "x").send("PUT", location, &[], &put).await.status, 401);
    let expected = [
        (own_id, format!("PUT {location}"), Value::Null),
        (till_id.clone(), format!("POST {movements}"), json!("stock:adjust")),
        (till_id, format!("PUT {location}"), json!("locations:write")),
    ];
    becomes("the log has all three", async || {
        let log = admin.get("/api/inventory/admin-log").await.ok();
        let entries = log["data"].as_array().expect("entries");
        let matches = |(entry, (id, request, scope)): (&Value, &(String, String, Value))| {
            entry["action"] == "refused"
                && entry["actor"] == format!("key:{id}")
                && entry["subject"] == *request
                && entry["after"]["required_scope"] == *scope
                && entry["address"] == "127.0.0.1"
        };
        entries.len() == 3 && entries.iter().zip(&expected).all(matches)
    })
    .await;
    let log = admin.get("/api/inventory/admin-log").await.ok();
    assert_eq!(log["data"][2]["request_id"], "probe-1");
    // The Order Service has a log of its own.
    let retry = "/api/orders/pending/0197a9c4-0000-7000-8000-000000000000/retry";
    assert_eq!(till_asks("POST", retry, Value::Null).await.status, 403);
    let of_orders = "/api/orders/admin-log";
    becomes("the log of orders has it", async || {
        let log = admin.get(of_orders).await.ok();
        let entries = log["data"].as_array().expect("entries");
        entries.len() == 1 && entries[0]["subject"] == format!("POST {retry}")
    })
    .await;
    let log = admin.get(of_orders).await.ok();
    assert_eq!(log["data"][0]["action"], "refused");
    assert_eq!(log["data"][0]["after"]["required_scope"], "ops:write");
}

#[tokio::test]
async fn the_key_of_one_customer_finds_and_changes_no_orders_of_others() {
    let keys = Keys::new();
    let all = "orders:write,orders:read,orders:cancel";
    let (own, _) = keys.create(all, &["--customer", "C1"]).await;
    let (shops, _) = keys.create(all, &[]).await;
    let shop = keys.shop().await;
    let (own, shops) = (Client::new(&shop, &own), Client::new(&shop, &shops));
    let mine = text(&own.place("C1", &[]).await, "order_id");
    let others = text(&shops.place("C2", &[]).await, "order_id");
    assert_eq!(own.place("C2", &[]).await.verdict(), "403 forbidden");
    assert_eq!(own.get(&format!("/api/orders/{mine}")).await.status, 200);
    assert_eq!(own.get(&format!("/api/orders/{others}")).await.verdict(), "404 order_not_found");
    let cancel = format!("/api/orders/{others}/cancel");
    let refused = own.send("POST", &cancel, &[], &Value::Null).await;
    assert_eq!(refused.verdict(), "404 order_not_found");
    let listed = |list: Value| list["data"].as_array().expect("orders").len();
    assert_eq!(listed(own.get("/api/orders").await.ok()), 1);
    assert_eq!(listed(own.get("/api/orders?customer_id=C1").await.ok()), 1);
    assert_eq!(listed(own.get("/api/orders?customer_id=C2").await.ok()), 0);
    assert_eq!(listed(shops.get("/api/orders").await.ok()), 2);
}

#[tokio::test]
async fn a_key_and_an_address_get_no_more_than_their_rate_and_are_told_so() {
    let keys = Keys::new();
    let slow = ["--rate", "1", "--burst", "2"];
    let (slow, _) = keys.create("stock:read", &slow).await;
    let (fast, _) = keys.create("stock:read", &[]).await;
    let file = keys.file();
    let shop = Deployment::open_with(|launch| {
        let launch = launch.env("LASTRO_API_KEYS_FILE", &file);
        launch.env("LASTRO_ADDRESS_RATE", "1").env("LASTRO_ADDRESS_BURST", "60")
    })
    .await;
    let (slow, fast) = (Client::new(&shop, &slow), Client::new(&shop, &fast));
    let refused_after = async |client: &Client<'_>, most: usize| {
        for n in 0..=most {
            let answer = client.get("/api/inventory/locations").await;
            if answer.status == 429 {
                return Some((n, answer));
            }
        }
        None
    };
    let (admitted, refused) = refused_after(&slow, 100).await.expect("a limit");
    assert!(admitted >= 2, "{admitted}");
    assert_eq!(refused.verdict(), "429 rate_limited");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.header("ratelimit-policy"), Some("\"read\";q=1;w=1"));
    assert_eq!(refused.header("ratelimit"), Some("\"read\";r=0;t=1"));
    // Who tries keys is stopped soon, and a client with a valid key at the same address is not.
    let (wrong, _) = Keys::new().create("stock:read", &[]).await;
    let (admitted, _) = refused_after(&Client::new(&shop, &wrong), 100).await.expect("a limit");
    assert!((3..30).contains(&admitted), "{admitted}");
    assert!(refused_after(&fast, 100).await.is_none());
    // Nor are the probes.
    for path in ["/livez", "/readyz"] {
        assert_eq!(shop.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn the_searches_of_a_key_are_limited_and_its_other_requests_are_not() {
    let keys = Keys::new();
    let (key, _) = keys.create("stock:read", &[]).await;
    let shop = keys.shop().await;
    let client = Client::new(&shop, &key);
    let searched = async || client.get("/api/inventory/products?q=mug").await.verdict();
    let answers = join_all((0..200).map(|_| searched())).await;
    assert!(answers.iter().any(|answer| answer == "429 rate_limited"), "{answers:?}");
    assert_eq!(client.get("/api/inventory/products").await.status, 200);
    let admitted = async || searched().await == "200";
    becomes("searches are admitted again", admitted).await;
}

#[tokio::test]
async fn the_tool_says_what_is_wrong_in_one_line() {
    let keys = Keys::new();
    for (args, words) in [
        (&["list"][..], "keys.toml: "),
        (&["revoke", "4fT9xQ2mLp0a"], "no key has the id 4fT9xQ2mLp0a"),
        (&["revoke", "x"], "12 letters and digits"),
        (&["create", "--name", "x", "--scope", "all"], "orders:write"),
        (
            &["create", "--name", "x", "--scope", "stock:adjust", "--customer", "C1"],
            "cannot have the scope stock:adjust",
        ),
    ] {
        let ended = keys.run(args).await;
        assert!(ended.code != Some(0) && ended.stderr.contains(words), "{args:?}: {ended:?}");
    }
    let shop = lastro(keys.folder.path()).args(["--api-keys-file", "keys.toml", "--no-auth"]);
    shop.to_end().await.must_be_refused(2, &["api_keys_file and no_auth"]);
    std::fs::write(keys.file(), "").expect("written");
    let shop = lastro(keys.folder.path()).args(["--api-keys-file", "keys.toml"]);
    shop.to_end().await.must_be_refused(1, &["keys.toml", "lastro keys create"]);
}

/// The secret is looked for in all that the program says, and in what others can see of it.
#[tokio::test]
async fn a_key_is_in_no_log_answer_metric_or_argument() {
    let keys = Keys::new();
    let (key, id) = keys.create("ops:read,orders:write,orders:read", &[]).await;
    let (wrong, _) = Keys::new().create("ops:read", &[]).await;
    let file = keys.file();
    let shop = Deployment::open_with(|launch| {
        launch.env("LASTRO_API_KEYS_FILE", &file).env("RUST_LOG", "debug")
    })
    .await;
    let mut said = Vec::new();
    for sent in [&key, &wrong] {
        let client = Client::new(&shop, sent);
        for path in [
            "/api/orders",
            "/metrics",
            "/readyz",
            &format!("/api/orders?q={sent}"),
            &format!("/{sent}"),
        ] {
            said.push(client.get(path).await.text);
        }
        let path = format!("/api/orders/{sent}/cancel");
        said.push(client.send("POST", &path, &[], &json!({"reason": "x"})).await.text);
        said.push(client.place("C1", &[]).await.text);
    }
    let program = &shop.programs.orders[0];
    // Two paths for each of the two keys.
    let logged = async || program.log().matches("(a path with a credential)").count() >= 4;
    becomes("the last request is logged", logged).await;
    said.push(program.log());
    said.push(std::fs::read_to_string(&file).expect("the file"));
    let arguments = std::fs::read(format!("/proc/{}/cmdline", program.pid())).expect("it runs");
    said.push(String::from_utf8_lossy(&arguments).into_owned());
    said.push(keys.run(&["list"]).await.stdout);
    said.push(keys.run(&["--help"]).await.stdout);
    for secret in [&key, &wrong] {
        let secret = secret.split('_').nth(3).expect("a secret");
        let found = said.iter().find(|text| text.contains(&secret[..43]));
        assert!(found.is_none(), "{found:?}");
    }
    assert!(said.iter().any(|text| text.contains(&id)), "the id may be shown");
}
