use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use platform::audit::{Auditor, ReadBudget};
use platform::batcher::Batcher;
use platform::bus::ACK_WAIT;
use platform::bus::embedded::Embedded;
use platform::clock::{ManualClock, SystemClock, SystemIds};
use platform::journal::Tail;
use platform::pairing::DatabaseId;
use platform::quarantine::QuarantineTable;
use platform::relay::Relay;
use platform::telemetry;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use uuid::Uuid;
use web::feed::{Feed, Followed};
use web::program::Context;
use web::{Authenticator, Edge};

use super::*;
use crate::audit::InventoryAudit;
use crate::metrics::Metrics;
use crate::service::Commits;
use crate::store::laws::{START, cancel, fulfill, place};
use crate::store::sqlite::Sqlite;
use crate::store::{StockAuditStore, StockStore};

mod changes;
mod locations;
mod searches;

/// The service behind its edge, on an empty store.
pub(super) struct Api {
    pub(super) router: Router,
    pub(super) service: Arc<Service>,
    folder: tempfile::TempDir,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    pub(super) body: Value,
}

impl Api {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(ManualClock::at(START));
        let store =
            Sqlite::open(&folder.path().join("inventory.db"), clock.clone()).expect("a new file");
        let (audit, quarantine) = (Arc::new(store.audit()), store.quarantine_table());
        let store = Arc::new(store);
        Self::over(store.clone(), audit, store, quarantine, clock, folder)
    }

    fn over(
        store: Arc<dyn StockStore>,
        audit: Arc<dyn StockAuditStore>,
        feed: Arc<Sqlite>,
        quarantine: Arc<dyn QuarantineTable>,
        clock: Arc<ManualClock>,
        folder: tempfile::TempDir,
    ) -> Self {
        let ids = Arc::new(SystemIds::new(clock.clone()));
        let mut registry = Registry::default();
        let shared = telemetry::Metrics::new(&mut registry, "test");
        let metrics = Arc::new(Metrics::new(&mut registry, shared.clone()));
        let imports = metrics.imports.clone();
        let id = DatabaseId(Uuid::from_u128(2));
        let checks = Box::new(InventoryAudit::new(audit.clone(), ReadBudget::SHORT));
        let numbers = shared.audit.clone();
        let auditor = Auditor::new("inventory", checks, numbers, clock).state();
        let bus = Arc::new(Embedded::new(Arc::new(SystemClock), ACK_WAIT, id));
        let (outbox, _) = Relay::new(bus, contract::answers::ANSWERS_CHANNEL, Box::new(|_| {}));
        let tail = Arc::new(Tail::default());
        let commits =
            Arc::new(Commits { store: store.clone(), tail: tail.clone(), outbox, metrics });
        let (batcher, committer) = Batcher::new(commits, Arc::new(|_| {}));
        tokio::spawn(committer.run(CancellationToken::new()));
        let followed = Followed { database: id, journal: feed.journal(), tail };
        let context = Context::new(Arc::new(SystemClock), ids.clone());
        let service = Arc::new(Service {
            store,
            audit,
            auditor,
            quarantine,
            admin_log: feed.admin_log(),
            feed: Feed::new("inventory", StockEvents(feed), followed, &context),
            batcher,
            ids: ids.clone(),
            searches: Searches::default(),
            imports: Imports::new(imports, Authenticator::default(), CancellationToken::new()),
        });
        let router = Edge::new("inventory", shared, ids).wrap(routes(service.clone()).into());
        Self { router, service, folder }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_slice(&bytes).expect("JSON"),
        }
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send(
            Request::get(format!("/api/inventory{path}")).body(Body::empty()).expect("a request"),
        )
        .await
    }

    pub(super) async fn put(&self, path: &str, body: Value) -> Answer {
        self.write(Method::PUT, path, None, body).await
    }

    pub(super) async fn post(&self, path: &str, key: Option<&str>, body: Value) -> Answer {
        self.write(Method::POST, path, key, body).await
    }

    async fn write(&self, method: Method, path: &str, key: Option<&str>, body: Value) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("/api/inventory{path}"));
        request = request.header(header::CONTENT_TYPE, "application/json");
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        self.send(request.body(Body::from(body.to_string())).expect("a request")).await
    }

    pub(super) async fn receive(&self, product: &str, quantity: u32) -> Answer {
        self.put(&format!("/products/{product}"), json!({"name": product})).await;
        let body = json!({"kind": "receive", "quantity": quantity});
        self.post(&format!("/products/{product}/movements"), None, body).await
    }
}

impl Answer {
    pub(super) fn ids(&self, member: &str) -> Vec<&str> {
        let rows = self.body["data"].as_array().expect("a list");
        rows.iter().map(|row| row[member].as_str().expect("an id")).collect()
    }

    /// The status and code of a problem, and `position code` of its faults.
    fn problem(&self) -> (u16, &str, Vec<String>) {
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json");
        let position = |fault: &Value| {
            fault["pointer"]
                .as_str()
                .or(fault["parameter"].as_str())
                .expect("a position")
                .to_owned()
        };
        let faults = self.body["errors"].as_array().expect("a list").iter();
        let faults = faults.map(|fault| {
            format!("{} {}", position(fault), fault["code"].as_str().expect("a code"))
        });
        (self.status.as_u16(), self.body["code"].as_str().expect("a code"), faults.collect())
    }
}

const NOW: &str = "2026-11-27T18:30:00.000000Z";

#[tokio::test]
async fn a_product_is_made_replaced_and_read_back() {
    let api = Api::new().await;
    let made = api.put("/products/789", json!({"name": "Mug", "low_stock_at": 3})).await;
    let expected = json!({
        "product_id": "789", "name": "Mug", "low_stock_at": 3, "on_hand": 0, "reserved": 0,
        "quarantined": 0, "available": 0,
        "locations": [], "created_at": NOW, "updated_at": NOW,
    });
    assert_eq!((made.status, &made.body), (StatusCode::CREATED, &expected));
    let replaced = api.put("/products/789", json!({"name": "Cup"})).await;
    assert_eq!((replaced.status, &replaced.body["low_stock_at"]), (StatusCode::OK, &Value::Null));

    api.receive("789", 5).await;
    api.service.batcher.submit(place(1, &[("789", 2)])).await.expect("a reservation");
    let read = api.get("/products/789").await;
    let level = json!([{"location_id": "main", "on_hand": 5, "reserved": 2, "quarantined": 0, "available": 3}]);
    assert_eq!(
        (read.status, &read.body["available"], &read.body["locations"]),
        (StatusCode::OK, &json!(3), &level)
    );
}

#[tokio::test]
async fn a_movement_is_answered_with_its_ledger_entry() {
    let api = Api::new().await;
    let received = api.receive("789", 5).await;
    let expected = json!({
        "product_id": "789", "location_id": "main", "seq": 1, "kind": "receive", "on_hand_delta": 5,
        "reserved_delta": 0, "quarantined_delta": 0, "on_hand": 5, "reserved": 0, "quarantined": 0, "available": 5,
        "order_id": null, "reference": null, "reason": null, "actor": null, "created_at": NOW,
    });
    assert_eq!((received.status, received.body), (StatusCode::CREATED, expected));
    assert!(!received.headers.contains_key("Idempotent-Replayed"));
    let count = json!({"kind": "count", "quantity": 7, "reason": "stocktaking", "reference": "S-1", "expected_on_hand": 5});
    let counted = api.post("/products/789/movements", None, count).await.body;
    assert_eq!(
        (&counted["on_hand_delta"], &counted["reason"], &counted["reference"]),
        (&json!(2), &json!("stocktaking"), &json!("S-1"))
    );
}

#[tokio::test]
async fn a_key_moves_stock_once_and_belongs_to_one_request() {
    let api = Api::new().await;
    api.receive("789", 5).await;
    let body = json!({"kind": "adjust", "quantity": -2, "reason": "broken"});
    let first = api.post("/products/789/movements", Some("K"), body.clone()).await;
    let again = api.post("/products/789/movements", Some("K"), body).await;
    assert_eq!((first.status, again.status), (StatusCode::CREATED, StatusCode::CREATED));
    assert_eq!(first.body, again.body);
    assert_eq!(again.headers["Idempotent-Replayed"], "true");
    assert_eq!(api.get("/products/789").await.body["on_hand"], 3);

    let other = json!({"kind": "adjust", "quantity": -1, "reason": "broken"});
    let reused = api.post("/products/789/movements", Some("K"), other).await;
    assert_eq!(reused.problem(), (422, "idempotency_key_reused", vec![]));
    let bad = api.post("/products/789/movements", Some("a b"), json!({})).await;
    assert_eq!(
        bad.problem(),
        (422, "invalid_request", vec!["Idempotency-Key bad_format".to_owned()])
    );
}

#[tokio::test]
async fn every_refusal_has_its_problem() {
    let api = Api::new().await;
    api.receive("789", 5).await;
    api.service.batcher.submit(place(1, &[("789", 4)])).await.expect("a reservation");
    let elsewhere = json!({"kind": "receive", "quantity": 1, "location_id": "NOWHERE"});
    let unknown = vec!["/location_id unknown_location".to_owned()];
    for (path, body, expected) in [
        (
            "/products/790/movements",
            json!({"kind": "receive", "quantity": 1}),
            (404, "product_not_found", vec![]),
        ),
        (
            "/products/../movements",
            json!({"kind": "receive", "quantity": 1}),
            (404, "product_not_found", vec![]),
        ),
        ("/products/789/movements", elsewhere, (422, "invalid_request", unknown)),
        ("/products/789/movements", count(9, Some(4)), (409, "stock_changed", vec![])),
        ("/products/789/movements", count(3, None), (409, "below_reserved", vec![])),
    ] {
        assert_eq!(api.post(path, None, body).await.problem(), expected, "{path}");
    }
    let out_of_range = refused(Refusal::OutOfRange);
    assert_eq!(out_of_range.faults[0].code, FaultCode::OUT_OF_RANGE);
}

fn count(quantity: i64, expected: Option<i64>) -> Value {
    json!({"kind": "count", "quantity": quantity, "reason": "x", "expected_on_hand": expected})
}

#[tokio::test]
async fn an_invalid_request_is_refused_with_every_fault() {
    let api = Api::new().await;
    let product = api.put("/products/789", json!({"low_stock_at": -1, "colour": "red"})).await;
    let faults = ["/colour unknown_field", "/low_stock_at out_of_range", "/name required"]
        .map(str::to_owned);
    let mut problem = product.problem();
    problem.2.sort_unstable();
    assert_eq!(problem, (422, "invalid_request", faults.to_vec()));
    let name = api.put("/products/.x", json!({"name": "x"})).await;
    assert_eq!(name.problem(), (422, "invalid_request", vec!["product_id bad_format".to_owned()]));
    let location = api.put("/locations/SHOP", json!({"name": " ", "priority": 1_000_001})).await;
    let faults = ["/name out_of_range", "/priority out_of_range"].map(str::to_owned);
    assert_eq!(location.problem(), (422, "invalid_request", faults.to_vec()));
    let query = api.get("/products?low_stock=maybe&ids=a,,b&limit=0&colour=red").await;
    let faults =
        ["low_stock bad_format", "ids bad_format", "limit out_of_range", "colour unknown_field"]
            .map(str::to_owned);
    assert_eq!(query.problem(), (422, "invalid_request", faults.to_vec()));
}

#[tokio::test]
async fn a_missing_resource_is_not_found() {
    let api = Api::new().await;
    for (path, code) in [
        ("/products/790", "product_not_found"),
        ("/products/..", "product_not_found"),
        ("/products/790/movements", "product_not_found"),
        ("/products/%00/movements", "product_not_found"),
        ("/reservations/01939c5e-6f70-7abc-8def-0123456789ab", "reservation_not_found"),
        ("/reservations/7", "reservation_not_found"),
        ("/nothing", "not_found"),
    ] {
        assert_eq!(api.get(path).await.problem(), (404, code, vec![]), "{path}");
    }
}

#[tokio::test]
async fn products_are_listed_page_by_page_and_narrowed() {
    let api = Api::new().await;
    for (id, name, mark) in
        [("A", "Blue mug", json!(3)), ("B", "Red mug", Value::Null), ("C", "Cap", json!(0))]
    {
        api.put(&format!("/products/{id}"), json!({"name": name, "low_stock_at": mark})).await;
    }
    let first = api.get("/products?limit=2").await;
    assert_eq!(first.ids("product_id"), ["A", "B"]);
    let cursor = first.body["next_cursor"].as_str().expect("a next page").to_owned();
    let second = api.get(&format!("/products?limit=2&cursor={cursor}")).await;
    assert_eq!((second.ids("product_id"), &second.body["next_cursor"]), (vec!["C"], &Value::Null));
    for (query, expected) in [
        ("q=MUG", vec!["A", "B"]),
        ("ids=C,A", vec!["A", "C"]),
        ("low_stock=true", vec!["A", "C"]),
        ("low_stock=false", vec!["A", "B", "C"]),
    ] {
        assert_eq!(
            api.get(&format!("/products?{query}")).await.ids("product_id"),
            expected,
            "{query}"
        );
    }
    assert_eq!(
        api.get("/products?cursor=garbage").await.problem(),
        (400, "invalid_cursor", vec![])
    );
}

#[tokio::test]
async fn the_ledger_is_listed_newest_first_and_its_cursors_belong_to_it() {
    let api = Api::new().await;
    api.put("/locations/SHOP", json!({"name": "Shop"})).await;
    api.receive("789", 5).await;
    for (location, quantity) in [("SHOP", 1), ("main", 2), ("SHOP", 3)] {
        let body = json!({"kind": "receive", "quantity": quantity, "location_id": location});
        api.post("/products/789/movements", None, body).await;
    }
    let page = api.get("/products/789/movements?limit=3").await;
    assert_eq!(page.body["data"].as_array().expect("a list").len(), 3);
    let cursor = page.body["next_cursor"].as_str().expect("a next page").to_owned();
    let rest = api.get(&format!("/products/789/movements?limit=3&cursor={cursor}")).await;
    assert_eq!(
        (rest.body["data"].as_array().map(Vec::len), &rest.body["next_cursor"]),
        (Some(1), &Value::Null)
    );
    let elsewhere =
        api.get(&format!("/products/789/movements?location_id=SHOP&cursor={cursor}")).await;
    assert_eq!(elsewhere.problem(), (400, "invalid_cursor", vec![]));
    let shop = api.get("/products/789/movements?location_id=SHOP").await;
    let seqs: Vec<_> = shop.body["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| row["seq"].clone())
        .collect();
    assert_eq!(seqs, [json!(2), json!(1)]);

    api.put("/products/790", json!({"name": "Never moved"})).await;
    assert_eq!(
        api.get("/products/790/movements").await.body,
        json!({"data": [], "next_cursor": null})
    );
}

#[tokio::test]
async fn a_reservation_shows_what_is_held_or_what_was_short() {
    let api = Api::new().await;
    api.receive("789", 5).await;
    for command in [place(1, &[("789", 2)]), place(2, &[("789", 4), ("790", 1)])] {
        api.service.batcher.submit(command).await.expect("a decision");
    }
    let mut held = api.get(&reservation(1)).await.body;
    let movements = held["movements"].take();
    assert_eq!((&movements[0]["kind"], &movements[0]["seq"]), (&json!("reserve"), &json!(2)));
    assert_eq!(movements.as_array().map(Vec::len), Some(1));
    let expected = json!({
        "order_id": "00000000-0000-0000-0000-000000000001", "state": "reserved", "revision": 1,
        "allocations": [{"product_id": "789", "location_id": "main", "quantity": 2}], "shortages": [],
        "returns": [], "movements": null, "created_at": NOW, "updated_at": NOW,
    });
    assert_eq!(held, expected);
    let short = api.get(&reservation(2)).await.body;
    let expected = json!([
        {"product_id": "789", "requested": 4, "available": 3, "reason": "out_of_stock"},
        {"product_id": "790", "requested": 1, "available": 0, "reason": "unknown_product"},
    ]);
    assert_eq!((&short["state"], &short["shortages"]), (&json!("rejected"), &expected));
    assert_eq!(short["movements"], json!([]));
}

fn reservation(n: u32) -> String {
    format!("/reservations/00000000-0000-0000-0000-00000000000{n}")
}

#[tokio::test]
async fn a_reservation_keeps_what_was_promised_and_what_was_short_after_a_release() {
    let api = Api::new().await;
    api.receive("789", 5).await;
    let (one, many) = ([("789", 1)], [("789", 9)]);
    for command in [
        place(1, &one),
        fulfill(1, &one),
        place(2, &one),
        cancel(2, &one),
        place(3, &many),
        cancel(3, &many),
        cancel(4, &one),
    ] {
        api.service.batcher.submit(command).await.expect("a decision");
    }
    let allocated = json!([{"product_id": "789", "location_id": "main", "quantity": 1}]);
    let short =
        json!([{"product_id": "789", "requested": 9, "available": 4, "reason": "out_of_stock"}]);
    for (n, state, allocations, shortages) in [
        (1, "shipped", &allocated, &json!([])),
        (2, "released", &allocated, &json!([])),
        (3, "released", &json!([]), &short),
        (4, "released", &json!([]), &json!([])),
    ] {
        let body = api.get(&reservation(n)).await.body;
        assert_eq!((&body["state"], &body["allocations"]), (&json!(state), allocations), "{n}");
        assert_eq!(&body["shortages"], shortages, "{n}");
    }
}

/// One damaged row costs what reads it, and nothing else (R17).
#[tokio::test]
async fn a_damaged_row_answers_500_and_its_neighbours_go_on() {
    let api = Api::new().await;
    api.receive("789", 5).await;
    api.receive("790", 5).await;
    let two = vec![place(1, &[("789", 2)]), place(2, &[("789", 1)])];
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    assert!(api.service.batcher.submit_all(two, deadline).await.iter().all(Result::is_ok));
    let file = api.folder.path().join("inventory.db");
    let damage = "UPDATE reservations SET allocations = '[7]'
                  WHERE order_id = x'00000000000000000000000000000001';
                  UPDATE movements SET kind = 'lost' WHERE movement_no = 2";
    testbed::write_past(&file, damage);
    for path in [&reservation(1), "/products/790/movements"] {
        assert_eq!(api.get(path).await.problem(), (500, "internal", vec![]), "{path}");
    }
    for path in [&reservation(2), "/products/789/movements", "/products/790", "/locations"] {
        assert_eq!(api.get(path).await.status, StatusCode::OK, "{path}");
    }
    // A batch of both orders: one of them is set aside.
    let both = vec![cancel(1, &[("789", 2)]), cancel(2, &[("789", 1)]), place(3, &[("789", 1)])];
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    let done = api.service.batcher.submit_all(both, deadline).await;
    assert_eq!(done.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!(api.get(&reservation(2)).await.body["state"], "released");
}

#[tokio::test]
async fn the_description_names_every_route_and_every_shape() {
    let (_, description) = routes(Api::new().await.service).split_for_parts();
    let description = serde_json::to_value(description).expect("JSON");
    let paths: Vec<_> =
        description["paths"].as_object().expect("paths").keys().map(String::as_str).collect();
    let expected = [
        "admin-log",
        "audit",
        "events",
        "import",
        "locations",
        "locations/{location_id}",
        "products",
        "products/{product_id}",
        "products/{product_id}/holders",
        "products/{product_id}/movements",
        "quarantine",
        "quarantine/{id}",
        "quarantine/{id}/discard",
        "reservations/{order_id}",
    ];
    assert_eq!(paths, expected.map(|path| format!("/api/inventory/{path}")));
    for shape in [
        "Product",
        "Movement",
        "Reservation",
        "Location",
        "Problem",
        "NewProduct",
        "NewMovement",
        "NewLocation",
        "NewCountRow",
        "ImportLine",
    ] {
        assert!(description["components"]["schemas"][shape].is_object(), "{shape}");
    }
}
