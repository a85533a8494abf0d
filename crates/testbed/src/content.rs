//! What a client orders, and how it places the order.

use std::time::Duration;

use crate::deployment::client::JSON;
use crate::{Deployment, Random, Response};

/// The products that clients order.
pub const PRODUCTS: [&str; 3] = ["MUG", "TEE", "CUP"];
/// A client gives up on a request without an answer after this time.
const CLIENT_PATIENCE: Duration = Duration::from_secs(30);

/// An order as a client sends it, and as the API must always show it.
#[derive(Clone, Debug)]
pub struct Content {
    customer_id: String,
    /// JSON, spelled as the API spells it.
    products: String,
}

impl Content {
    /// An order of a random product of [`PRODUCTS`].
    pub fn random(random: &mut Random) -> Self {
        let line = |random: &mut Random| {
            let product = PRODUCTS[random.index(PRODUCTS.len())];
            let quantity = 1 + random.below(3);
            let cents = random.below(100_000);
            let price = format!("{}.{:02}", cents / 100, cents % 100);
            format!(r#"{{"product_id":"{product}","quantity":{quantity},"price":{price}}}"#)
        };
        let lines: Vec<_> = (0..=random.below(3)).map(|_| line(random)).collect();
        Self {
            customer_id: format!("C{}", random.below(1_000)),
            products: format!("[{}]", lines.join(",")),
        }
    }

    /// The body of the request.
    pub fn body(&self) -> String {
        format!(r#"{{"customer_id":"{}","products":{}}}"#, self.customer_id, self.products)
    }

    /// Whether the API shows exactly this order.
    pub fn is_on(&self, page: &Response) -> bool {
        let members = [
            format!(r#""customer_id":"{}""#, self.customer_id),
            format!(r#""products":{}"#, self.products),
        ];
        page.status == 200 && members.iter().all(|member| page.text.contains(member))
    }
}

/// Places an order and returns its id once it is accepted. Returns `None` if there was no answer,
/// or only an answer that leaves open whether the order is accepted; with `any_503`, also if the
/// order was refused with any 503.
pub(crate) async fn place(
    shop: &Deployment,
    key: &str,
    content: &Content,
    any_503: bool,
) -> Option<String> {
    let headers = [JSON, ("idempotency-key", key)];
    let answer = patiently(shop.try_send("POST", "/api/orders", &headers, content.body())).await?;
    match answer.verdict().as_str() {
        "200" => Some(answer.text_at("/order_id")),
        "503 shutting_down" | "503 outcome_unknown" => None,
        _ if any_503 && answer.status == 503 => None,
        _ => panic!("{answer:?}"),
    }
}

/// The response, or `None` if there is none within [`CLIENT_PATIENCE`].
pub(crate) async fn patiently(
    request: impl Future<Output = reqwest::Result<Response>>,
) -> Option<Response> {
    tokio::time::timeout(CLIENT_PATIENCE, request).await.ok()?.ok()
}
