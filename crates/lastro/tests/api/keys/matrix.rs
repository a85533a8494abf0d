//! Who may use which route: `access.txt`, in the folder of these tests. A new route is not in it.

use std::collections::BTreeSet;

use platform::keys::{Scope, Scopes};
use serde_json::{Value, json};
use testbed::{Deployment, golden, operations};

use super::{Client, Keys};

/// The bodies of requests whose scope depends on what they say.
const KINDS: [&str; 6] = ["receive", "adjust", "count", "quarantine", "unquarantine", "write_off"];

/// Every operation, with a body where the scope depends on it.
async fn requests(shop: &Deployment) -> Vec<(String, Value)> {
    let api = shop.description().await;
    let own = [
        "/livez",
        "/readyz",
        "/metrics",
        "/",
        "/version",
        "/openapi.json",
        "/asyncapi.json",
        "/docs",
    ];
    let own = own.map(|path| (format!("GET {path}"), Value::Null));
    let of_api = operations(&api).into_iter().map(|(name, _)| name).flat_map(|name| {
        let is_movement = name.starts_with("POST") && name.ends_with("/movements");
        let body = |kind: &str| json!({"kind": kind, "quantity": 1, "reason": "x"});
        let kinds = KINDS.iter().filter(|_| is_movement);
        let of_kinds: Vec<_> = kinds.map(|kind| (format!("{name} {kind}"), body(kind))).collect();
        if is_movement { of_kinds } else { vec![(name, Value::Null)] }
    });
    own.into_iter().chain(of_api).collect()
}

/// Whether the request is let in, or refused with this status. The handler may refuse it for other
/// reasons.
async fn is_let_in(client: &Client<'_>, name: &str, body: &Value, refusal: u16) -> bool {
    let mut words = name.split(' ');
    let (method, path) = (words.next().expect("a method"), words.next().expect("a path"));
    let path = path.replace("{order_id}", "0197a9c4-0000-7000-8000-000000000000");
    let path = path.replace("{id}", &"0".repeat(64)).replace("{shipment_id}", "1");
    let path = path.replace("{product_id}", "MUG").replace("{location_id}", "main");
    let status = client.send(method, &path, &[], body).await.status;
    assert!(status == refusal || ![401, 403].contains(&status), "{name}: {status}");
    status != refusal
}

#[tokio::test]
async fn every_route_asks_for_the_scopes_that_the_table_says_and_for_no_others() {
    let keys = Keys::new();
    let ended = keys.create("stock:read", &["--expires", "0s"]).await.0;
    let (revoked, id) = keys.create(&every_scope(), &[]).await;
    keys.run(&["revoke", &id]).await;
    let wrong = Keys::new().create(&every_scope(), &[]).await.0;
    let mut single = Vec::new();
    for scope in Scope::ALL {
        single.push((scope, keys.create(scope.as_str(), &[]).await.0));
    }
    let all = keys.create(&every_scope(), &[]).await.0;
    let customers: Vec<_> = Scope::OF_A_CUSTOMER.iter().map(|scope| scope.as_str()).collect();
    let of_customer = keys.create(&customers.join(","), &["--customer", "C1"]).await.0;
    let shop = keys.shop().await;

    let mut lines = Vec::new();
    for (name, body) in requests(&shop).await {
        let without = ["", "x", &ended, &revoked, &wrong];
        let mut open = BTreeSet::new();
        for key in without {
            open.insert(is_let_in(&Client::new(&shop, key), &name, &body, 401).await);
        }
        assert_eq!(open.len(), 1, "{name}: what is no valid key opens all or nothing");
        let mut scopes = BTreeSet::new();
        for (scope, key) in &single {
            if is_let_in(&Client::new(&shop, key), &name, &body, 403).await {
                scopes.insert(*scope);
            }
        }
        assert!(
            is_let_in(&Client::new(&shop, &all), &name, &body, 403).await,
            "{name}: all scopes"
        );
        let customer = is_let_in(&Client::new(&shop, &of_customer), &name, &body, 403).await;
        let who = match (open.contains(&true), scopes.len()) {
            (true, _) => "everybody".to_owned(),
            (false, 0) => "only several scopes together".to_owned(),
            (false, _) => scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(", "),
        };
        let customer = if customer { "yes" } else { "no" };
        lines.push(format!("{name:<62} | {who:<28} | {customer}"));
    }
    let head = "# Who is let in, per request: a valid key with one of the scopes, or everybody; and whether the key of one\n\
                # customer is. Written by the test beside it, with LASTRO_BLESS=1.\n\
                #\n# request | who | the key of one customer\n\n";
    golden::check(
        "crates/lastro/tests/api/access.txt",
        &(head.to_owned() + &lines.join("\n") + "\n"),
    );
}

fn every_scope() -> String {
    Scopes::all().iter().map(Scope::as_str).collect::<Vec<_>>().join(",")
}
