//! What a program tells about itself: its API, its health, its numbers.

use serde_json::{Value, json};
use testbed::{PATIENCE, eventually};

use crate::form::Form;
use crate::golden;
use crate::shop::Shop;

#[tokio::test]
async fn the_committed_description_of_the_api_is_the_one_that_is_served() {
    let shop = Shop::open().await;
    let served = shop.get_each("/openapi.json").await;
    assert!(served.iter().all(|answer| answer.header("content-type") == Some("application/json")));
    if let [whole] = &served[..] {
        golden::check("openapi.json", &format!("{}\n", whole.text.trim_end()));
    }
    let (committed, reported): (Value, _) =
        (golden::read("openapi.json").parse().expect("JSON"), shop.description().await);
    for part in ["paths", "components"] {
        assert_eq!(reported[part], committed[part], "{part}");
    }
}

#[tokio::test]
async fn the_description_is_openapi_3_1_and_complete_in_itself() {
    let shop = Shop::open().await;
    let api = shop.description().await;
    assert!(api["openapi"].as_str().is_some_and(|version| version.starts_with("3.1.")), "{}", api["openapi"]);
    assert_eq!(api["info"]["version"], env!("CARGO_PKG_VERSION"));
    let mut references = Vec::new();
    collect_references(&api, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("a reference within the document");
        assert!(api.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    let operations: Vec<_> =
        operations(&api).into_iter().map(|(_, operation)| operation["operationId"].to_string()).collect();
    let distinct: std::collections::BTreeSet<_> = operations.iter().collect();
    assert_eq!(distinct.len(), operations.len(), "an operation's id is its own: {operations:?}");
}

fn collect_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|member| collect_references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, found)),
        _ => {}
    }
}

/// Every operation of the API, named `GET /api/orders`.
pub(crate) fn operations(api: &Value) -> Vec<(String, &Value)> {
    let paths = api["paths"].as_object().expect("paths");
    let of_path = |(path, item): (&String, &'_ Value)| -> Vec<String> {
        item.as_object().expect("methods").keys().map(|method| format!("{} {path}", method.to_uppercase())).collect()
    };
    let named = paths.iter().flat_map(|(path, item)| of_path((path, item)));
    let bodies = paths.values().flat_map(|item| item.as_object().expect("methods").values());
    named.zip(bodies).collect()
}

#[tokio::test]
async fn the_page_of_the_api_needs_nothing_from_elsewhere() {
    let shop = Shop::open().await;
    let page = shop.get("/docs").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let links = page.text.split(['"', '\'']).filter(|part| part.starts_with("docs/"));
    let links: Vec<_> = links.collect();
    assert_eq!(links.len(), 3, "{links:?}");
    for link in links {
        let file = shop.get(&format!("/{link}")).await;
        assert_eq!(file.status, 200, "{link}");
        assert!(!file.text.is_empty(), "{link}");
    }
    assert!(!page.text.contains("://"), "{}", page.text);
}

#[tokio::test]
async fn the_probes_answer() {
    let shop = Shop::open().await;
    for alive in shop.get_each("/livez").await {
        assert_eq!(alive.ok(), json!({"status": "alive"}));
    }
    let (orders, inventory) = shop.programs.addresses();
    let (names, mut checks) = if Form::under_test().is_apart() {
        let names = [vec!["order-service"; orders.len()], vec!["inventory-service"; inventory.len()]].concat();
        (names, [["bus", "bus", "inventory database", "orders database"].repeat(orders.len())].concat())
    } else {
        (vec!["lastro"], vec!["bus", "inventory database", "orders database"])
    };
    checks.sort_unstable();
    for (name, version) in names.iter().zip(shop.get_each("/version").await) {
        assert_eq!(version.ok(), json!({"name": name, "version": env!("CARGO_PKG_VERSION")}));
    }
    eventually(PATIENCE, "everything is up", || async {
        let ready: Vec<_> = shop.get_each("/readyz").await.into_iter().map(|answer| answer.ok()).collect();
        let reported = ready.iter().flat_map(|ready| ready["checks"].as_array().expect("checks"));
        let mut reported: Vec<_> = reported.map(|check| check["name"].as_str().expect("a name")).collect();
        reported.sort_unstable();
        (reported == checks && ready.iter().all(|ready| ready["status"] == "ready")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_numbers_follow_what_happens() {
    let shop = Shop::open().await;
    shop.stock("MUG", 1).await;
    shop.settle(&[("MUG", 1)]).await;
    shop.settle(&[("MUG", 1)]).await;
    let answer = shop.get("/metrics").await;
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("application/openmetrics-text")));
    assert!(answer.text.ends_with("# EOF\n"));
    let version = format!(r#"build_info{{version="{}"}} 1"#, env!("CARGO_PKG_VERSION"));
    assert!(answer.text.lines().any(|line| line == version), "{version} is not in\n{}", answer.text);
    for reported in [
        "orders_placed_total 2",
        r#"orders_settled_total{outcome="confirmed"} 1"#,
        r#"orders_settled_total{outcome="rejected"} 1"#,
        "order_settle_seconds_count 2",
        r#"stock_reservations_total{outcome="reserved"} 1"#,
        r#"stock_reservations_total{outcome="rejected"} 1"#,
        r#"http_server_request_duration_seconds_count{service="orders",method="POST",route="/api/orders",status="200"} 2"#,
    ] {
        eventually(PATIENCE, reported, || async {
            shop.metrics().await.lines().any(|line| line == reported).then_some(())
        })
        .await;
    }
    let metrics = shop.metrics().await;
    for name in [
        "commands_pending",
        "commands_oldest_age_seconds",
        "batch_size_bucket",
        "order_waits_ended_total",
        "anomalies_total",
        "audit_violations_total",
        "audit_rows_total",
        "audit_rounds_total",
        "audit_failures_total",
        "audit_last_round_timestamp_seconds",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
    ] {
        assert!(metrics.lines().any(|line| line.starts_with(name)), "{name} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn every_answer_names_its_request_and_follows_the_traces_of_the_client() {
    let shop = Shop::open().await;
    let named = shop.send("GET", "/api/orders", &[("x-request-id", "my-request-1")], "").await;
    assert_eq!(named.header("x-request-id"), Some("my-request-1"));
    let (one, another) = (shop.get("/nowhere").await, shop.get("/nowhere").await);
    assert!(one.header("x-request-id").is_some() && one.header("x-request-id") != another.header("x-request-id"));
    assert_eq!(one.header("x-content-type-options"), Some("nosniff"));
}
