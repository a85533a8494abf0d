//! Each alert with its runbook: a test causes the fault, sees the deployed rule fire in a
//! Prometheus, does what the section of `docs/operations.md` says, and sees it clear. The rules look
//! back on seconds instead of minutes and hours, and fire at once.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use testbed::{Deployment, Environment, Form, Prometheus, order};
use tokio::time::interval;

mod broker;
mod credentials;
mod database;
mod files;
mod messages;
mod programs;

/// Alerts that no test of this folder causes, and why.
const UNTRIED: [(&str, &str); 0] = [];
/// The tests of this folder.
const TESTS: [&str; 6] = [
    include_str!("runbooks/broker.rs"),
    include_str!("runbooks/credentials.rs"),
    include_str!("runbooks/database.rs"),
    include_str!("runbooks/files.rs"),
    include_str!("runbooks/messages.rs"),
    include_str!("runbooks/programs.rs"),
];
const BETWEEN_ARRIVALS: Duration = Duration::from_millis(50);
const RULES: &str = include_str!("../../../../deploy/observability/alerts.yml");

#[test]
fn every_alert_is_caused_and_cleared_by_a_test_or_says_why_not() {
    let rules = RULES.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let rules: BTreeSet<&str> = rules.collect();
    assert!(rules.len() >= 20, "the rules are found: {rules:?}");
    let tests = TESTS.concat();
    let is_tried = |alert: &&str| {
        ["fires", "clears"].iter().all(|step| tests.contains(&format!(".{step}(\"{alert}\")")))
    };
    let tried: BTreeSet<&str> = rules.iter().copied().filter(is_tried).collect();
    let untried: BTreeSet<&str> = UNTRIED.iter().map(|(alert, _)| *alert).collect();
    assert_eq!(rules.difference(&tried).copied().collect::<BTreeSet<_>>(), untried);
}

/// A deployment that a Prometheus watches.
struct Watched {
    shop: Deployment,
    prometheus: Prometheus,
}

impl Watched {
    /// Both services in a process each. Both reach the broker, and no alert fires.
    async fn open(form: Form, environment: Environment) -> Self {
        let shop = Deployment::open_as(form, environment.watched()).await;
        shop.stock("MUG", 10_000).await;
        shop.confirmed(&[("MUG", 1)]).await;
        let prometheus = Prometheus::of(&shop.environment.metrics()).await;
        Self { shop, prometheus }
    }

    async fn with_files() -> Self {
        Self::open(Form::Processes, Environment::of(Form::Processes).await).await
    }

    async fn fires(&self, alert: &str) {
        self.prometheus.fires(alert).await;
    }

    async fn clears(&self, alert: &str) {
        self.prometheus.clears(alert).await;
    }

    /// Places orders side by side; they may be refused.
    async fn place(&self, orders: usize) {
        let mug = order(&[("MUG", 1)]);
        join_all((0..orders).map(|_| self.shop.place(&mug))).await;
    }

    /// Places orders without end, at a rate that depends on no answer; they may be refused.
    async fn keep_placing(&self) {
        let mug = order(&[("MUG", 1)]);
        let place = |()| async {
            self.shop.place(&mug).await;
        };
        let arrivals = stream::unfold(interval(BETWEEN_ARRIVALS), async |mut next| {
            next.tick().await;
            Some(((), next))
        });
        arrivals.for_each_concurrent(None, place).await;
    }
}
