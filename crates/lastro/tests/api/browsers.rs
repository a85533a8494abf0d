//! What browsers send for pages of other sites, and what those pages get.

use testbed::{Deployment, JSON, Response, order};

const OWN: &str = "https://shop.example.com";

async fn shop_of(origins: &str) -> Deployment {
    Deployment::open_with(|launch| {
        launch
            .env("LASTRO_CORS_ORIGINS", origins)
            .env("LASTRO_ALLOWED_HOSTS", "orders.example.com,lastro.example.com")
    })
    .await
}

async fn preflight(shop: &Deployment, origin: &str) -> Response {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type,idempotency-key,prefer"),
    ];
    shop.send("OPTIONS", "/api/orders", &headers, "").await
}

fn list(response: &Response, header: &str) -> Vec<String> {
    let values = response.header(header).unwrap_or_default();
    values.split(',').map(|value| value.trim().to_ascii_lowercase()).collect()
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_places_an_order_and_reads_the_answer() {
    let shop = shop_of(&format!("http://localhost:5173,{OWN}")).await;
    let allowed = preflight(&shop, OWN).await;
    assert_eq!(allowed.status, 200);
    assert_eq!(allowed.header("access-control-allow-origin"), Some(OWN));
    assert!(list(&allowed, "access-control-allow-methods").contains(&"post".to_owned()));
    let headers = list(&allowed, "access-control-allow-headers");
    for name in ["content-type", "idempotency-key", "prefer", "authorization"] {
        assert!(headers.contains(&name.to_owned()), "{name} is not in {headers:?}");
    }
    assert_eq!(allowed.header("access-control-allow-credentials"), None);

    let sent = [JSON, ("origin", OWN), ("sec-fetch-site", "cross-site")];
    let placed = shop.send("POST", "/api/orders", &sent, order(&[("MUG", 1)]).to_string()).await;
    assert_eq!(placed.status, 200, "{placed:?}");
    assert_eq!(placed.header("access-control-allow-origin"), Some(OWN));
    assert!(list(&placed, "access-control-expose-headers").contains(&"location".to_owned()));
    assert!(list(&placed, "vary").contains(&"origin".to_owned()));
    // A page can read why it was refused.
    let refused = shop.send("POST", "/api/orders", &sent, "{}").await;
    assert_eq!(refused.verdict(), "422 invalid_request");
    assert_eq!(refused.header("access-control-allow-origin"), Some(OWN));
}

#[tokio::test]
async fn a_page_of_another_origin_changes_nothing_and_reads_nothing() {
    let shop = shop_of(OWN).await;
    for origin in ["https://evil.example", "http://shop.example.com", "null"] {
        let refused = preflight(&shop, origin).await;
        assert_eq!(refused.header("access-control-allow-origin"), None, "{origin}");
        let sent = [JSON, ("origin", origin), ("sec-fetch-site", "cross-site")];
        let answer =
            shop.send("POST", "/api/orders", &sent, order(&[("MUG", 1)]).to_string()).await;
        assert_eq!(answer.verdict(), "403 cross_site_request", "{origin}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
    }
    assert_eq!(shop.column("/api/orders", "order_id").await, [""; 0]);
}

#[tokio::test]
async fn a_name_answers_on_a_loopback_address_if_it_is_allowed() {
    let shop = shop_of(OWN).await;
    for (host, status) in [
        ("localhost", 200),
        ("orders.example.com", 200),
        ("LASTRO.example.com:443", 200),
        ("rebound.example.net", 421),
        ("example.com", 421),
    ] {
        let answer = shop.send("GET", "/api/orders", &[("host", host)], "").await;
        assert_eq!(answer.status, status, "{host}");
    }
}

#[tokio::test]
async fn without_origins_a_preflight_is_a_method_that_is_not_there() {
    let shop = Deployment::open().await;
    assert_eq!(preflight(&shop, OWN).await.verdict(), "405 method_not_allowed");
}
