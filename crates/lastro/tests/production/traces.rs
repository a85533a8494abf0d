//! Traces: one from a client's request through both services, and a collector that is away.

use std::ffi::OsString;
use std::time::Duration;

use serde_json::json;
use testbed::{
    CollectedSpan, Collector, Deployment, Environment, Form, PATIENCE, WAIT, eventually, order,
};

const SERVICES: [&str; 2] = ["order-service", "inventory-service"];
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
/// How long a shutdown may take (R19).
const SHUTDOWN: Duration = Duration::from_secs(30);

/// Both services on PostgreSQL and NATS, with these variables.
async fn shop_with(variables: &[(&'static str, String)]) -> Deployment {
    let of_service = |service| {
        variables.iter().map(move |(name, value)| (service, *name, OsString::from(value)))
    };
    let variables = SERVICES.into_iter().flat_map(of_service).collect();
    let environment = Environment { variables, ..Environment::of(Form::Postgres).await };
    let shop = Deployment::open_as(Form::Postgres, environment).await;
    shop.stock("MUG", 100_000).await;
    shop
}

/// A shop that exports its spans to this endpoint soon after they end.
async fn shop_exporting_to(url: String) -> Deployment {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", url);
    let log = ("RUST_LOG", "info,web=debug".to_owned());
    let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=shop".to_owned());
    shop_with(&[endpoint, ("OTEL_BSP_SCHEDULE_DELAY", "50".to_owned()), log, headers]).await
}

/// Places an order and waits for its outcome. Returns its id, and the traces that its history names.
async fn placed(shop: &Deployment, traceparent: Option<&str>) -> (String, Vec<Option<String>>) {
    let sent = traceparent.map(|traceparent| ("traceparent", traceparent));
    let headers: Vec<_> = [WAIT].into_iter().chain(sent).collect();
    let answer = shop.post_with("/api/orders", &headers, &order(&[("MUG", 1)])).await;
    let id = answer.text_at("/order_id");
    assert_eq!(answer.text_at("/status"), "confirmed");
    let traces = traces_of(shop, &id).await;
    (id, traces)
}

async fn traces_of(shop: &Deployment, id: &str) -> Vec<Option<String>> {
    let order = shop.order(id).await;
    let history = order["history"].as_array().expect("a history");
    history.iter().map(|entry| entry["trace_id"].as_str().map(str::to_owned)).collect()
}

/// Follows an order's trace from the span of its request to its settlement, and checks each step.
async fn follow(collector: &Collector, trace_id: &str, id: &str) -> CollectedSpan {
    let request = collector.span(trace_id, "POST /api/orders").await;
    assert_eq!(request.attributes["http.response.status_code"], "200");
    let mut parent = request.clone();
    for (service, kind, name) in [
        ("order-service", "Producer", "publish lastro.inventory.commands"),
        ("inventory-service", "Consumer", "process lastro.inventory.commands"),
        ("inventory-service", "Producer", "publish lastro.orders.answers"),
        ("order-service", "Consumer", "process lastro.orders.answers"),
    ] {
        let span = collector.span(trace_id, name).await;
        assert_eq!((span.service.as_str(), span.kind.as_str()), (service, kind), "{span:?}");
        assert_eq!(span.parent_span_id, parent.span_id, "{span:?}");
        assert_eq!((&*span.attributes["messaging.system"], span.failed), ("nats", false));
        assert_eq!(span.attributes["lastro.order_id"], id);
        parent = span;
    }
    for (decision, of, commit) in [
        ("decide place", "POST /api/orders", "commit orders"),
        ("decide allocate", "process lastro.inventory.commands", "commit inventory"),
        ("settle", "process lastro.orders.answers", "commit orders"),
    ] {
        let span = collector.span(trace_id, decision).await;
        assert_eq!(span.parent_span_id, collector.span(trace_id, of).await.span_id, "{span:?}");
        assert_eq!(span.attributes["lastro.order_id"], id);
        let [batch] = &span.links[..] else { panic!("one link: {span:?}") };
        let batch = collector.span_with_id(batch).await;
        assert_eq!((batch.name.as_str(), batch.parent_span_id.as_str()), (commit, ""));
        assert!(batch.trace_id != trace_id && batch.links.contains(&span.span_id), "{batch:?}");
        assert_eq!(batch.attributes["db.system.name"], "postgresql");
        assert!(batch.attributes.contains_key("lastro.commit.commands"), "{batch:?}");
    }
    request
}

#[tokio::test]
async fn one_trace_leads_from_the_request_through_both_services_to_the_settlement() {
    let collector = Collector::start().await;
    let shop = shop_exporting_to(collector.url()).await;
    // A trace that the service begins: what the order's history names is what the collector has.
    let (id, traces) = placed(&shop, None).await;
    let [Some(trace_id), None] = &traces[..] else { panic!("of the request only: {traces:?}") };
    let request = follow(&collector, trace_id, &id).await;
    assert_eq!((request.kind.as_str(), request.parent_span_id.as_str()), ("Server", ""));
    assert_eq!(request.attributes["http.route"], "/api/orders");

    // A trace of the client.
    let client = format!("00-{TRACE}-{SPAN}-01");
    let (id, traces) = placed(&shop, Some(&client)).await;
    assert_eq!(traces, [Some(TRACE.to_owned()), None]);
    let request = follow(&collector, TRACE, &id).await;
    assert_eq!(request.parent_span_id, SPAN);
    // A later change of the order has a trace of its own, and the history names both.
    let path = format!("/api/orders/{id}/cancel");
    shop.post_with(&path, &[WAIT], &json!({"reason": "too late"})).await.ok();
    let traces = traces_of(&shop, &id).await;
    let [Some(_), None, Some(cancel), None] = &traces[..] else { panic!("{traces:?}") };
    let request = collector.span(cancel, "POST /api/orders/{order_id}/cancel").await;
    let publish = collector.span(cancel, "publish lastro.inventory.commands").await;
    assert_eq!(publish.parent_span_id, request.span_id);
    collector.span(cancel, "settle").await;

    // A problem document and the log name the trace.
    let headers = [("traceparent", client.as_str())];
    let refused = shop.send("GET", "/api/orders/no-id", &headers, "").await;
    assert_eq!(refused.text_at("/trace_id"), TRACE);
    let span = collector.span(TRACE, "GET /api/orders/{order_id}").await;
    assert_eq!(span.attributes["http.response.status_code"], refused.status.to_string());
    assert_eq!(span.attributes["lastro.request_id"], refused.text_at("/request_id"));
    assert!(shop.programs.log().contains(&format!("\"trace_id\":\"{TRACE}\"")));

    // Nothing tells of the customer, and every request carries the headers of the settings.
    for span in collector.spans() {
        let tells = span.attributes.values().any(|value| value.contains("C1"));
        assert!(!tells, "{span:?}");
    }
    assert!(collector.headers().iter().all(|head| head.contains("\r\nx-tenant: shop\r\n")));
}

#[tokio::test]
async fn an_order_that_is_not_paid_in_time_expires_in_a_trace_of_its_own() {
    let collector = Collector::start().await;
    let shop = shop_exporting_to(collector.url()).await;
    let id = shop.reserved(&[("MUG", 1)]).await;
    shop.let_deadlines_pass().await;
    shop.order_once(&id, "expired").await;
    let traces = traces_of(&shop, &id).await;
    let [Some(placed), None, Some(expired), None] = &traces[..] else { panic!("{traces:?}") };
    assert_ne!(placed, expired);
    let root = collector.span(expired, "expire").await;
    assert_eq!((root.parent_span_id.as_str(), root.failed), ("", false));
    for (name, parent) in [
        ("decide expire", "expire"),
        ("publish lastro.inventory.commands", "expire"),
        ("decide allocate", "process lastro.inventory.commands"),
        ("settle", "process lastro.orders.answers"),
    ] {
        let span = collector.span(expired, name).await;
        assert_eq!(span.attributes["lastro.order_id"], id, "{span:?}");
        let parent = collector.span(expired, parent).await;
        assert_eq!(span.parent_span_id, parent.span_id, "{span:?}");
    }
}

/// The client decides: its trace goes on through both services, and is not exported.
#[tokio::test]
async fn a_trace_that_the_client_does_not_want_exported_is_not() {
    let collector = Collector::start().await;
    let shop = shop_exporting_to(collector.url()).await;
    let client = format!("00-{TRACE}-{SPAN}-00");
    let (_, traces) = placed(&shop, Some(&client)).await;
    assert_eq!(traces, [None, None]);
    let (_, traces) = placed(&shop, None).await;
    let trace_id = traces[0].as_deref().expect("a trace");
    // What was settled before is exported before.
    collector.span(trace_id, "settle").await;
    assert!(collector.spans().iter().all(|span| span.trace_id != TRACE));
}

#[tokio::test]
async fn without_an_endpoint_a_trace_of_the_client_goes_on_and_no_other_begins() {
    let shop = shop_with(&[]).await;
    let (_, traces) = placed(&shop, Some(&format!("00-{TRACE}-{SPAN}-01"))).await;
    assert_eq!(traces, [Some(TRACE.to_owned()), None]);
    let (_, traces) = placed(&shop, None).await;
    assert_eq!(traces, [None, None]);
    let refused = shop.get("/api/orders/no-id").await;
    assert_eq!(refused.json().get("trace_id"), None);
    assert!(!shop.programs.log().contains("spans"), "{}", shop.programs.log());
}

#[tokio::test]
async fn a_collector_that_is_away_costs_spans_and_no_order() {
    // Nothing listens there.
    let away = Collector::start().await.url();
    let queue = ("OTEL_BSP_MAX_QUEUE_SIZE", "64".to_owned());
    let delay = ("OTEL_BSP_SCHEDULE_DELAY", "10".to_owned());
    let timeout = ("OTEL_EXPORTER_OTLP_TIMEOUT", "100".to_owned());
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", away);
    let mut shop = shop_with(&[endpoint, queue, delay, timeout]).await;
    for _ in 0..20 {
        placed(&shop, None).await;
    }
    let lines = |log: &str| log.matches("spans are lost").count();
    eventually(PATIENCE, "both services tell of it", async || {
        (lines(&shop.programs.log()) >= SERVICES.len()).then_some(())
    })
    .await;
    shop.must_verify().await;
    shop.programs.terminate();
    assert_eq!(shop.programs.ended(SHUTDOWN).await, Some(0), "{}", shop.programs.log());
    // This test takes less than a minute.
    assert_eq!(lines(&shop.programs.log()), SERVICES.len(), "{}", shop.programs.log());
}

#[tokio::test]
async fn what_was_not_exported_yet_is_exported_at_the_shutdown() {
    let collector = Collector::start().await;
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
    let delay = ("OTEL_BSP_SCHEDULE_DELAY", "600000".to_owned());
    let mut shop = shop_with(&[endpoint, delay]).await;
    let (id, traces) = placed(&shop, None).await;
    let trace_id = traces[0].clone().expect("a trace");
    assert!(collector.spans().is_empty());
    shop.programs.terminate();
    assert_eq!(shop.programs.ended(SHUTDOWN).await, Some(0), "{}", shop.programs.log());
    follow(&collector, &trace_id, &id).await;
}

#[tokio::test]
async fn a_collector_that_hangs_does_not_hold_up_the_shutdown() {
    let collector = Collector::start().await;
    collector.hang();
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
    let mut shop = shop_with(&[endpoint]).await;
    placed(&shop, None).await;
    shop.programs.terminate();
    assert_eq!(shop.programs.ended(SHUTDOWN).await, Some(0), "{}", shop.programs.log());
    let log = shop.programs.log();
    assert_eq!(log.matches("the last spans were not exported in time").count(), 2, "{log}");
}
