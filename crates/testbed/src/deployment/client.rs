//! The requests that a client can send to a deployment. Only these methods and [`Response`] know
//! the API.

use std::collections::BTreeMap;

use reqwest::{Body, Method};
use serde_json::{Value, json};

use super::Deployment;
use crate::{EventStream, PATIENCE, Response, eventually};

/// Headers of a request.
pub type Headers<'a> = &'a [(&'a str, &'a str)];

/// The header of a JSON body.
pub const JSON: (&str, &str) = ("content-type", "application/json");
/// Waits for the outcome, as long as the API allows; every outcome comes sooner.
pub const WAIT: (&str, &str) = ("prefer", "wait=30");

/// Requests.
impl Deployment {
    /// Sends any request.
    ///
    /// # Errors
    ///
    /// Fails if no response came. The request may have been carried out.
    pub async fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: Headers<'_>,
        body: impl Into<Body>,
    ) -> reqwest::Result<Response> {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request =
            self.client.request(method, format!("http://{}{path}", self.programs.address_of(path)));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Response::of(request.body(body).send().await?).await
    }

    /// Sends any request, which must be answered.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: Headers<'_>,
        body: impl Into<Body>,
    ) -> Response {
        let answer = self.try_send(method, path, headers, body).await;
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"))
    }

    /// Sends a GET, which must be answered.
    pub async fn get(&self, path: &str) -> Response {
        self.send("GET", path, &[], "").await
    }

    /// Opens a stream of server-sent events.
    ///
    /// # Errors
    ///
    /// Fails if no response came.
    pub async fn try_stream(
        &self,
        path: &str,
        headers: Headers<'_>,
    ) -> reqwest::Result<EventStream> {
        let url = format!("http://{}{path}", self.programs.address_of(path));
        let mut request = self.client.get(url).header("accept", "text/event-stream");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Ok(EventStream::of(request.timeout(PATIENCE).send().await?))
    }

    /// Opens a stream of server-sent events, which must be answered with one.
    pub async fn stream(&self, path: &str, headers: Headers<'_>) -> EventStream {
        let stream = self.try_stream(path, headers).await.expect("an answer");
        assert_eq!(stream.status(), 200, "{stream:?}");
        stream
    }

    /// Sends a GET for `path` to each program.
    pub async fn get_each(&self, path: &str) -> Vec<Response> {
        let mut answers = Vec::new();
        let (orders, inventory) = self.programs.addresses();
        for address in orders.into_iter().chain(inventory) {
            let answer =
                self.client.get(format!("http://{address}{path}")).send().await.expect("an answer");
            answers.push(Response::of(answer).await.expect("a whole answer"));
        }
        answers
    }

    /// The metrics of all programs. Integers of the same name are summed.
    pub async fn metrics(&self) -> String {
        let texts: String =
            self.get_each("/metrics").await.into_iter().map(|answer| answer.text).collect();
        let mut lines = Vec::new();
        let mut sums = BTreeMap::<_, u64>::new();
        for line in texts.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').expect("a name and a value");
            match value.parse::<u64>() {
                Ok(value) => *sums.entry(name).or_default() += value,
                Err(_) => lines.push(line.to_owned()),
            }
        }
        lines.extend(sums.into_iter().map(|(name, sum)| format!("{name} {sum}")));
        lines.join("\n")
    }

    /// The description of the whole API, merged from those of the programs.
    pub async fn description(&self) -> Value {
        let parts = self.get_each("/openapi.json").await.into_iter().map(|answer| answer.ok());
        parts.reduce(merge).expect("a program")
    }

    /// Sends a PUT with a JSON body.
    pub async fn put(&self, path: &str, body: &Value) -> Response {
        self.send("PUT", path, &[JSON], body.to_string()).await
    }

    /// Sends a POST with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Response {
        self.post_with(path, &[], body).await
    }

    /// Sends a POST with a JSON body and further headers.
    pub async fn post_with(&self, path: &str, headers: Headers<'_>, body: &Value) -> Response {
        let headers: Vec<_> = [JSON].iter().chain(headers).copied().collect();
        self.send("POST", path, &headers, body.to_string()).await
    }
}

/// Every operation of an API description, named like `GET /api/orders`.
pub fn operations(api: &Value) -> Vec<(String, &Value)> {
    let paths = api["paths"].as_object().expect("paths");
    let of_path = |(path, item): (&String, &'_ Value)| -> Vec<String> {
        item.as_object()
            .expect("methods")
            .keys()
            .map(|method| format!("{} {path}", method.to_uppercase()))
            .collect()
    };
    let named = paths.iter().flat_map(|(path, item)| of_path((path, item)));
    let bodies = paths.values().flat_map(|item| item.as_object().expect("methods").values());
    named.zip(bodies).collect()
}

/// Merges objects member by member and lists as sets. Of other values, keeps the first.
fn merge(one: Value, other: Value) -> Value {
    match (one, other) {
        (Value::Array(mut one), Value::Array(other)) => {
            let new: Vec<_> = other.into_iter().filter(|item| !one.contains(item)).collect();
            one.extend(new);
            Value::Array(one)
        }
        (Value::Object(mut one), Value::Object(other)) => {
            for (name, value) in other {
                let merged = match one.remove(&name) {
                    Some(known) => merge(known, value),
                    None => value,
                };
                one.insert(name, merged);
            }
            Value::Object(one)
        }
        (one, _) => one,
    }
}

/// Orders.
impl Deployment {
    /// Places an order.
    pub async fn place(&self, order: &Value) -> Response {
        self.post("/api/orders", order).await
    }

    /// Places an order of these products and waits for its outcome. Returns the order's id and
    /// status.
    pub async fn settle(&self, products: &[(&str, u32)]) -> (String, String) {
        let answer = self.post_with("/api/orders", &[WAIT], &order(products)).await;
        (answer.text_at("/order_id"), answer.text_at("/status"))
    }

    /// Places an order, which must be confirmed, and returns its id.
    pub async fn confirmed(&self, products: &[(&str, u32)]) -> String {
        let (id, status) = self.settle(products).await;
        assert_eq!(status, "confirmed");
        id
    }

    /// The order as the API shows it.
    pub async fn order(&self, id: &str) -> Value {
        self.get(&format!("/api/orders/{id}")).await.ok()
    }

    /// Waits until the order has this status, and returns the order.
    pub async fn order_once(&self, id: &str, status: &str) -> Value {
        eventually(PATIENCE, &format!("order {id} is {status}"), || async {
            Some(self.order(id).await).filter(|order| order["status"] == status)
        })
        .await
    }

    /// Asks to `cancel` or `fulfill` the order and waits for the outcome.
    pub async fn ask(&self, id: &str, action: &str) -> Response {
        self.send("POST", &format!("/api/orders/{id}/{action}"), &[WAIT], "").await
    }
}

/// Changes of orders.
impl Deployment {
    /// Places an order that waits for its payment, which must be reserved, and returns its id.
    pub async fn reserved(&self, products: &[(&str, u32)]) -> String {
        let answer = self.post_with("/api/orders", &[WAIT], &with_payment(products)).await;
        assert_eq!(answer.text_at("/status"), "reserved", "{answer:?}");
        answer.text_at("/order_id")
    }

    /// Records a payment of what the order costs, and waits for the outcome.
    pub async fn pay(&self, id: &str, reference: &str) -> Response {
        let payment = json!({"reference": reference});
        self.post_with(&format!("/api/orders/{id}/pay"), &[WAIT], &payment).await
    }

    /// Lets the deadlines of all orders pass that wait for their payment; there must be some.
    pub async fn let_deadlines_pass(&self) {
        self.write_past("orders", "UPDATE payment_deadlines SET next_attempt_at = 0", &[]).await;
    }

    /// Asks for `cancellations`, `shipments` or `returns` of the order, and waits for the outcome.
    pub async fn change(&self, id: &str, what: &str, key: &str, body: &Value) -> Response {
        let headers = [("idempotency-key", key), WAIT];
        self.post_with(&format!("/api/orders/{id}/{what}"), &headers, body).await
    }
}

/// The body of an order like [`order`] that waits ten minutes for its payment.
pub fn with_payment(products: &[(&str, u32)]) -> Value {
    let mut body = order(products);
    body["payment"] = json!({"within_s": 600});
    body
}

/// The body of an order of these products, each at a price of 10.00.
pub fn order(products: &[(&str, u32)]) -> Value {
    let line = |(product_id, quantity): &(&str, u32)| json!({"product_id": product_id, "quantity": quantity, "price": 10});
    json!({"customer_id": "C1", "products": products.iter().map(line).collect::<Vec<_>>()})
}

/// Stock.
impl Deployment {
    /// Creates a product and, unless `units` is 0, receives that many units at the location `main`.
    pub async fn stock(&self, product_id: &str, units: u32) {
        self.put(&format!("/api/inventory/products/{product_id}"), &json!({"name": product_id}))
            .await
            .ok();
        if units > 0 {
            self.receive(product_id, "main", units).await;
        }
    }

    /// Receives units at a location.
    pub async fn receive(&self, product_id: &str, location_id: &str, units: u32) {
        let movement = json!({"kind": "receive", "quantity": units, "location_id": location_id});
        self.move_stock(product_id, &movement).await.ok();
    }

    /// Records a movement of stock.
    pub async fn move_stock(&self, product_id: &str, movement: &Value) -> Response {
        self.post(&format!("/api/inventory/products/{product_id}/movements"), movement).await
    }

    /// On hand, reserved and available, summed over all locations.
    pub async fn levels(&self, product_id: &str) -> [i64; 3] {
        let product = self.get(&format!("/api/inventory/products/{product_id}")).await.ok();
        ["on_hand", "reserved", "available"]
            .map(|name| product[name].as_i64().expect("a number of units"))
    }

    /// What is available, summed over all locations.
    pub async fn available(&self, product_id: &str) -> i64 {
        self.levels(product_id).await[2]
    }
}

/// Lists.
impl Deployment {
    /// All items of a list, read page by page, and the sizes of the pages.
    pub async fn pages(&self, path: &str) -> (Vec<Value>, Vec<usize>) {
        let mut rows = Vec::new();
        let mut sizes = Vec::new();
        let mut cursor = None::<String>;
        loop {
            let joint = if path.contains('?') { '&' } else { '?' };
            let from = cursor.map(|cursor| format!("{joint}cursor={cursor}")).unwrap_or_default();
            let page = self.get(&format!("{path}{from}")).await.ok();
            let data = page["data"].as_array().expect("a list");
            sizes.push(data.len());
            rows.extend(data.iter().cloned());
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                return (rows, sizes);
            }
        }
    }

    /// One member of every item of a list.
    pub async fn column(&self, path: &str, name: &str) -> Vec<String> {
        let (rows, _) = self.pages(path).await;
        rows.iter().map(|row| row[name].as_str().expect("a text").to_owned()).collect()
    }
}
