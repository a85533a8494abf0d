//! What each program reports about itself: its part of the API, its health, its metrics.

use serde_json::{Value, json};
use testbed::{Deployment, Form, PATIENCE, eventually, golden};

/// The checks of `/readyz`, over all programs.
const CHECKS: [&str; 4] = ["inventory bus", "inventory database", "orders bus", "orders database"];

tried_on!(every form:
    the_committed_description_of_the_api_is_the_one_that_is_served
    the_probes_answer
    the_numbers_follow_what_happens
);

async fn the_committed_description_of_the_api_is_the_one_that_is_served(form: Form) {
    let shop = Deployment::in_form(form).await;
    let served = shop.get_each("/openapi.json").await;
    assert!(served.iter().all(|answer| answer.header("content-type") == Some("application/json")));
    if let [whole] = &served[..] {
        golden::check("openapi.json", &format!("{}\n", whole.text.trim_end()));
    }
    let mut committed: Value = golden::read("openapi.json").parse().expect("JSON");
    let mut served = shop.description().await;
    // Two programs list their own codes after the common ones, one program lists all by status.
    for description in [&mut committed, &mut served] {
        for list in ["Code", "FaultCode"] {
            let codes = &mut description["components"]["schemas"][list]["enum"];
            codes.as_array_mut().expect("a list").sort_by_key(ToString::to_string);
        }
    }
    for part in ["paths", "components"] {
        assert_eq!(served[part], committed[part], "{part}");
    }
}

async fn the_probes_answer(form: Form) {
    let shop = Deployment::in_form(form).await;
    for alive in shop.get_each("/livez").await {
        assert_eq!(alive.ok(), json!({"status": "alive"}));
    }
    let (orders, inventory) = shop.programs.addresses();
    let (names, mut checks) = if form.is_apart() {
        let names =
            [vec!["order-service"; orders.len()], vec!["inventory-service"; inventory.len()]]
                .concat();
        (names, CHECKS.repeat(orders.len()))
    } else {
        (vec!["lastro"], CHECKS.to_vec())
    };
    if !form.has_files() {
        checks.extend(
            ["inventory database writes", "orders database writes"].repeat(form.replicas()),
        );
    }
    checks.sort_unstable();
    for (name, version) in names.iter().zip(shop.get_each("/version").await) {
        assert_eq!(version.ok(), json!({"name": name, "version": env!("CARGO_PKG_VERSION")}));
    }
    eventually(PATIENCE, "everything is up", || async {
        let ready: Vec<_> =
            shop.get_each("/readyz").await.into_iter().map(|answer| answer.ok()).collect();
        let reported = ready.iter().flat_map(|ready| ready["checks"].as_array().expect("checks"));
        let mut reported: Vec<_> =
            reported.map(|check| check["name"].as_str().expect("a name")).collect();
        reported.sort_unstable();
        (reported == checks && ready.iter().all(|ready| ready["status"] == "ready")).then_some(())
    })
    .await;
}

async fn the_numbers_follow_what_happens(form: Form) {
    let shop = Deployment::in_form(form).await;
    shop.stock("MUG", 1).await;
    shop.settle(&[("MUG", 1)]).await;
    shop.settle(&[("MUG", 1)]).await;
    let answer = shop.get("/metrics").await;
    assert!(
        answer
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("application/openmetrics-text"))
    );
    assert!(answer.text.ends_with("# EOF\n"));
    let version = format!(r#"build_info{{version="{}"}} 1"#, env!("CARGO_PKG_VERSION"));
    assert!(
        answer.text.lines().any(|line| line == version),
        "{version} is not in\n{}",
        answer.text
    );
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
        "orders_refund_due",
        "batch_size_bucket",
        "order_waits_ended_total",
        "anomalies_total",
        "import_rows_total",
        "audit_violations_total",
        "audit_rows_total",
        "audit_rounds_total",
        "audit_failures_total",
        "audit_last_round_timestamp_seconds",
        "feed_streams",
        "feed_events_sent_total",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
    ] {
        assert!(metrics.lines().any(|line| line.starts_with(name)), "{name} is not in\n{metrics}");
    }
    let has_logs = metrics.lines().any(|line| line.starts_with("sqlite_log_bytes{"));
    assert_eq!(has_logs, form.has_files(), "{metrics}");
}
