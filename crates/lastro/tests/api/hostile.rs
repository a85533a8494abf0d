//! Requests that no honest client sends: they are refused with the right status and every fault by
//! name, and nothing of them is stored.

use serde_json::json;
use tokio::task::JoinSet;

use testbed::{Deployment, Headers, JSON, Response, order};

mod malformed;
mod values;

/// The three routes with the largest bodies.
const ROUTES: [(&str, &str); 3] = [
    ("POST", "/api/orders"),
    ("PUT", "/api/inventory/products/NEW"),
    ("POST", "/api/inventory/products/MUG/movements"),
];

/// A shop with five mugs, which must be unchanged when the test is over.
struct Wary {
    shop: Deployment,
    memory: u64,
}

/// The most by which memory may grow while hostile requests come in, however many.
const MAX_GROWTH_BYTES: u64 = 64 << 20;

impl Wary {
    async fn open() -> Self {
        let shop = Deployment::open().await;
        shop.stock("MUG", 5).await;
        let memory = shop.programs.resident_bytes();
        Self { shop, memory }
    }

    async fn send(
        &self,
        (method, path): (&str, &str),
        headers: Headers<'_>,
        body: impl Into<reqwest::Body>,
    ) -> Response {
        self.shop.send(method, path, headers, body).await
    }

    /// Checks that nothing was stored and that memory has hardly grown.
    async fn must_be_untouched(self) {
        assert!(!self.shop.programs.one_has_ended());
        let grown = self.shop.programs.resident_bytes().saturating_sub(self.memory);
        assert!(grown < MAX_GROWTH_BYTES, "memory has grown by {grown} bytes");
        assert_eq!(self.shop.column("/api/orders", "order_id").await, [""; 0]);
        assert_eq!(self.shop.column("/api/inventory/products", "product_id").await, ["MUG"]);
        assert_eq!(self.shop.pages("/api/inventory/products/MUG/movements").await.1, [1]);
        assert_eq!(self.shop.levels("MUG").await, [5, 0, 5]);
        self.shop.must_verify().await;
    }
}

#[tokio::test]
async fn hostile_orders_do_no_harm_to_their_neighbours_in_the_batch() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 100).await;
    let mut sending = JoinSet::new();
    let shop = std::sync::Arc::new(shop);
    for number in 0..100 {
        let shop = shop.clone();
        let body = match number % 4 {
            0 => order(&[("MUG", 1)]).to_string(),
            1 => order(&[("../MUG", 1)]).to_string(),
            2 => order(&[("MUG'; DROP TABLE orders; --", 1)]).to_string(),
            _ => json!({"customer_id": "\u{0}", "products": [{"product_id": "*", "quantity": -1, "price": "1"}]})
                .to_string(),
        };
        sending.spawn(async move {
            (number % 4, shop.send("POST", "/api/orders", &[JSON], body).await.verdict())
        });
    }
    for (kind, verdict) in sending.join_all().await {
        assert_eq!(verdict, if kind == 0 { "200" } else { "422 invalid_request" });
    }
    for id in shop.column("/api/orders", "order_id").await {
        shop.order_once(&id, "confirmed").await;
    }
    assert_eq!(shop.levels("MUG").await, [100, 25, 75]);
}
