//! What clients record of their requests, and what a deployment must show for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::content::place;
use crate::{Content, Deployment, Response, eventually};

/// How long everything may take to settle after a fault: a little more than the longest pause
/// between two attempts.
const SETTLE_PATIENCE: Duration = Duration::from_secs(240);
/// How many orders are read at the same time.
const READERS: usize = 32;

/// What clients record of their requests: what was accepted, and what was not answered.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The accepted orders, by id.
    pub accepted: BTreeMap<String, Content>,
    /// The ids of orders whose cancellation was accepted.
    pub cancelled: BTreeSet<String>,
    /// Orders without an answer, by idempotency key.
    pub unanswered: BTreeMap<String, Content>,
}

impl Record {
    /// Repeats every order that got no answer, with its key. Each must be accepted now.
    pub async fn ask_again(&mut self, shop: &Deployment) {
        for (key, content) in std::mem::take(&mut self.unanswered) {
            let id = place(shop, &key, &content, false)
                .await
                .expect("an answer: nothing is wrong any more");
            self.accepted.insert(id, content);
        }
    }

    /// Waits until nothing is in flight. Checks the outcomes of the accepted orders, and returns
    /// how many have an outcome that the record allows.
    pub async fn settle(&self, shop: &Arc<Deployment>) -> usize {
        self.settle_within(SETTLE_PATIENCE, shop).await
    }

    /// Does what [`Self::settle`] does, within a deadline.
    pub async fn settle_within(&self, deadline: Duration, shop: &Arc<Deployment>) -> usize {
        nothing_in_flight(deadline, shop).await;
        let settled = self.pages(shop).await.into_iter().filter(|(id, page)| {
            let outcomes = if self.cancelled.contains(id) {
                &["cancelled"][..]
            } else {
                &["confirmed", "rejected", "cancelled"]
            };
            outcomes.contains(&page.text_at("/status").as_str())
        });
        settled.count()
    }

    /// The accepted orders that are missing or differ from what was sent.
    pub async fn lost(&self, shop: &Arc<Deployment>) -> Vec<String> {
        let wrong = |(id, page): (String, Response)| {
            (!self.accepted[&id].is_on(&page)).then(|| format!("{id}: {page:?}"))
        };
        self.pages(shop).await.into_iter().filter_map(wrong).collect()
    }

    /// Reads every accepted order, a few at a time.
    async fn pages(&self, shop: &Arc<Deployment>) -> Vec<(String, Response)> {
        let slots = Arc::new(Semaphore::new(READERS));
        let mut pages = JoinSet::new();
        for id in self.accepted.keys().cloned() {
            let shop = shop.clone();
            let slots = slots.clone();
            pages.spawn(async move {
                let _slot = slots.acquire().await.expect("it is never closed");
                let page = shop.get(&format!("/api/orders/{id}")).await;
                (id, page)
            });
        }
        pages.join_all().await
    }

    /// Adds what other clients recorded.
    pub fn append(&mut self, mut other: Self) {
        self.accepted.append(&mut other.accepted);
        self.cancelled.append(&mut other.cancelled);
        self.unanswered.append(&mut other.unanswered);
    }

    /// Checks what must hold once a fault is over: every accepted order is there as it was sent and
    /// settles, and the audit finds nothing.
    pub async fn check(&mut self, shop: &Arc<Deployment>) {
        self.ask_again(shop).await;
        assert_eq!(
            (self.settle(shop).await, self.lost(shop).await),
            (self.accepted.len(), Vec::new())
        );
        let ended = shop.verify_with(SETTLE_PATIENCE, &["--settled"]).await;
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    }
}

/// Waits until every order has reached its outcome.
pub async fn nothing_in_flight(deadline: Duration, shop: &Deployment) {
    eventually(deadline, "nothing is in flight", || async {
        let pending = shop.get("/api/orders/pending?limit=1").await.ok();
        (pending["data"] == json!([])).then_some(())
    })
    .await;
}
