//! The description of the API, the page that shows it, and the headers of every response.

use serde_json::Value;
use testbed::{Deployment, operations};

#[tokio::test]
async fn the_description_is_openapi_3_1_and_complete_in_itself() {
    let shop = Deployment::open().await;
    let api = shop.description().await;
    assert!(
        api["openapi"].as_str().is_some_and(|version| version.starts_with("3.1.")),
        "{}",
        api["openapi"]
    );
    assert_eq!(api["info"]["version"], env!("CARGO_PKG_VERSION"));
    let mut references = Vec::new();
    collect_references(&api, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("a reference within the document");
        assert!(api.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    let operations: Vec<_> = operations(&api)
        .into_iter()
        .map(|(_, operation)| operation["operationId"].to_string())
        .collect();
    for (name, operation) in testbed::operations(&api) {
        for (status, response) in operation["responses"].as_object().expect("responses") {
            let description = response["description"].as_str();
            assert!(description.is_some_and(|text| !text.is_empty()), "{name:?} {status}");
        }
    }
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

#[tokio::test]
async fn the_page_of_the_api_needs_nothing_from_elsewhere() {
    let shop = Deployment::open().await;
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
async fn every_answer_names_its_request_and_follows_the_traces_of_the_client() {
    let shop = Deployment::open().await;
    let named = shop.send("GET", "/api/orders", &[("x-request-id", "my-request-1")], "").await;
    assert_eq!(named.header("x-request-id"), Some("my-request-1"));
    let (one, another) = (shop.get("/nowhere").await, shop.get("/nowhere").await);
    assert!(
        one.header("x-request-id").is_some()
            && one.header("x-request-id") != another.header("x-request-id")
    );
    assert_eq!(one.header("x-content-type-options"), Some("nosniff"));
}
