//! The production form and the faults of its servers: PostgreSQL restarted, replaced, slow, cut off
//! around a COMMIT; a NATS cluster that loses its leader. Two replicas of each service, on servers
//! of the test's own.
#![forbid(unsafe_code)]

use std::sync::Arc;

use testbed::{Databases, Deployment, Environment, Form, Load, Nats, Postgres, Random, stocked};

mod backups;
mod clock_jumps;
mod cluster;
mod credentials;
mod feed;
mod keys;
mod migrations;
mod payments;
mod permissions;
mod postgres;
mod privileges;
mod repair;
mod replicas;
mod runbooks;
mod signatures;
mod standby;
mod tls;
mod traces;

/// Units of each product: more than is ever ordered.
const STOCK: u32 = 1_000_000;
/// The number of orders that are accepted before, during and after each fault.
const ORDERS: u64 = 150;

/// The same database of the same server, seen through a proxy.
fn through(url: &str, server: &Postgres, port: u16) -> String {
    url.replace(&format!(":{}/", server.port()), &format!(":{port}/"))
}

/// What two replicas of each service need: a broker, and two databases on this server.
async fn environment_on(server: &Postgres) -> Environment {
    let databases = Databases {
        orders: server.fresh_database().await,
        inventory: server.fresh_database().await,
    };
    Environment {
        broker: Some(Nats::start().await),
        databases: Some(databases),
        ..Environment::default()
    }
}

/// A shop with two replicas of each service, under the load of clients that repeat failed requests.
struct Busy {
    shop: Arc<Deployment>,
    load: Load,
}

impl Busy {
    async fn at(environment: Environment, test: &str) -> Self {
        let shop =
            Arc::new(stocked(Deployment::open_as(Form::Replicas, environment).await, STOCK).await);
        let load = Load::of_clients(true, &shop, &mut Random::seeded(test));
        let busy = Self { shop, load };
        busy.accepts_more().await;
        busy
    }

    async fn accepts_more(&self) {
        self.load.has_accepted(self.load.accepted() + ORDERS).await;
    }

    /// Checks like [`Self::check`], and that no request was refused.
    async fn check_nothing_refused(self) {
        let refused = self.shop.metrics().await;
        let refused: Vec<_> = refused
            .lines()
            .filter(|line| {
                line.starts_with("http_server_request_duration_seconds_count")
                    && line.contains(r#"status="5"#)
            })
            .collect();
        assert_eq!(refused, [""; 0]);
        self.check().await;
    }

    /// Checks after the fault that every accepted order is there and settles, and that the audit
    /// finds nothing.
    async fn check(self) {
        self.accepts_more().await;
        let mut record = self.load.end().await;
        record.check(&self.shop).await;
        let metrics = self.shop.metrics().await;
        let mut anomalies = metrics.lines().filter(|line| line.starts_with("anomalies_total{"));
        assert!(anomalies.all(|line| line.ends_with(" 0")), "an anomaly");
    }
}
