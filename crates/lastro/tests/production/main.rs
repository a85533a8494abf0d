//! The production form and what can happen to its servers: PostgreSQL restarted, replaced, slow, cut off around a
//! COMMIT; a cluster of NATS that loses its leader. Two replicas of each service, on servers of the test's own.
#![forbid(unsafe_code)]
#![expect(dead_code, reason = "the client of the end-to-end suite can do more than is wanted here")]

use std::sync::Arc;

use testbed::{Nats, Postgres};

use form::{Databases, Form, Setting};
use load::{Load, stocked};
use random::Random;
use shop::Shop;

#[path = "../e2e/answer.rs"]
mod answer;
#[path = "../e2e/clocks.rs"]
mod clocks;
#[path = "../e2e/form.rs"]
mod form;
#[path = "../e2e/load.rs"]
mod load;
#[path = "../e2e/random.rs"]
mod random;
#[path = "../e2e/shop.rs"]
mod shop;

mod clock_jumps;
mod cluster;
mod migrations;
mod postgres;
mod replicas;
mod standby;
mod tls;

/// Units of each product: more than is ever ordered.
const STOCK: u32 = 1_000_000;
/// Orders that are accepted before, during and after each fault.
const ORDERS: u64 = 150;

/// The same database of the same server, seen through a proxy.
fn through(url: &str, server: &Postgres, port: u16) -> String {
    url.replace(&format!(":{}/", server.port()), &format!(":{port}/"))
}

/// What two replicas of each service need: a broker, and two databases on this server.
async fn setting_on(server: &Postgres) -> Setting {
    let databases = Databases { orders: server.fresh_database().await, inventory: server.fresh_database().await };
    Setting { broker: Some(Nats::start().await), databases: Some(databases), ..Setting::default() }
}

/// A shop of two replicas each, under the load of clients who repeat what was not done.
struct Busy {
    shop: Arc<Shop>,
    load: Load,
}

impl Busy {
    async fn at(setting: Setting, test: &str) -> Self {
        let shop = Arc::new(stocked(Shop::open_as(Form::Replicas, setting).await, STOCK).await);
        let load = Load::of_clients(true, &shop, &mut Random::seeded(test));
        let busy = Self { shop, load };
        busy.accepts_more().await;
        busy
    }

    async fn accepts_more(&self) {
        self.load.has_accepted(self.load.accepted() + ORDERS).await;
    }

    /// The same, where clients may not have been refused a single request either.
    async fn check_nothing_refused(self) {
        let refused = self.shop.metrics().await;
        let refused: Vec<_> = refused
            .lines()
            .filter(|line| {
                line.starts_with("http_server_request_duration_seconds_count") && line.contains(r#"status="5"#)
            })
            .collect();
        assert_eq!(refused, [""; 0]);
        self.check().await;
    }

    /// The fault is over: everything that was accepted is there and settles, and the audit finds nothing.
    async fn check(self) {
        self.accepts_more().await;
        let mut reported = self.load.end().await;
        reported.check(&self.shop).await;
        let metrics = self.shop.metrics().await;
        let mut anomalies = metrics.lines().filter(|line| line.starts_with("anomalies_total{"));
        assert!(anomalies.all(|line| line.ends_with(" 0")), "an anomaly");
    }
}
