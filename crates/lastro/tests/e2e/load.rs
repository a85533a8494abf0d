//! Clients that order without a pause, and remember what they were told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use testbed::{PATIENCE, eventually};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::answer::Answer;
use crate::random::Random;
use crate::shop::{JSON, Shop};

/// What is ordered; stocked before.
pub(crate) const PRODUCTS: [&str; 3] = ["MUG", "TEE", "CUP"];
/// Clients that order one after the other.
const CLIENTS: usize = 16;
/// How long after a fault everything may take to settle: the longest pause between two attempts, and some.
const SETTLE_PATIENCE: Duration = Duration::from_secs(240);
/// Before a request is repeated.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// A request without an answer is given up after this.
const CLIENT_PATIENCE: Duration = Duration::from_secs(30);

/// The same shop with so many units of each product.
pub(crate) async fn stocked(shop: Shop, units: u32) -> Shop {
    for product in PRODUCTS {
        shop.stock(product, units).await;
    }
    shop
}

/// Waits until every order that the shop knows has reached its outcome.
pub(crate) async fn nothing_in_flight(deadline: Duration, shop: &Shop) {
    eventually(deadline, "nothing is in flight", || async {
        for status in ["received", "cancelling", "fulfilling"] {
            let page = shop.get(&format!("/api/orders?limit=1&status={status}")).await.ok();
            if page["data"] != json!([]) {
                return None;
            }
        }
        Some(())
    })
    .await;
}

/// An order as it is sent, and as its page must show it for ever.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    customer_id: String,
    /// As JSON, in the spelling of the API.
    products: String,
}

impl Content {
    pub(crate) fn random(random: &mut Random) -> Self {
        let line = |random: &mut Random| {
            let product = PRODUCTS[usize::try_from(random.below(3)).expect("an index")];
            let (quantity, cents) = (1 + random.below(3), random.below(100_000));
            let price = format!("{}.{:02}", cents / 100, cents % 100);
            format!(r#"{{"product_id":"{product}","quantity":{quantity},"price":{price}}}"#)
        };
        let lines: Vec<_> = (0..=random.below(3)).map(|_| line(random)).collect();
        Self { customer_id: format!("C{}", random.below(1_000)), products: format!("[{}]", lines.join(",")) }
    }

    pub(crate) fn body(&self) -> String {
        format!(r#"{{"customer_id":"{}","products":{}}}"#, self.customer_id, self.products)
    }

    /// Whether the page of an order shows this one.
    pub(crate) fn is_on(&self, page: &Answer) -> bool {
        let members = [format!(r#""customer_id":"{}""#, self.customer_id), format!(r#""products":{}"#, self.products)];
        page.status == 200 && members.iter().all(|member| page.text.contains(member))
    }
}

/// What clients were told, and what they still wonder.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// By id: what got its 200.
    pub(crate) accepted: BTreeMap<String, Content>,
    /// Orders whose cancellation got its 200.
    pub(crate) cancelled: BTreeSet<String>,
    /// By key: what got no answer.
    pub(crate) unanswered: BTreeMap<String, Content>,
}

impl Told {
    /// Repeats every order that got no answer, with its key. All must be accepted now.
    pub(crate) async fn ask_again(&mut self, shop: &Shop) {
        for (key, content) in std::mem::take(&mut self.unanswered) {
            let id = place(shop, &key, &content, false).await.expect("a shop that runs answers");
            self.accepted.insert(id, content);
        }
    }
}

impl Told {
    /// Waits until nothing is in flight. How many of the accepted orders have the outcome that they may have.
    pub(crate) async fn settle(&self, shop: &Arc<Shop>) -> usize {
        self.settle_within(SETTLE_PATIENCE, shop).await
    }

    /// The same, with a deadline of its own.
    pub(crate) async fn settle_within(&self, deadline: Duration, shop: &Arc<Shop>) -> usize {
        nothing_in_flight(deadline, shop).await;
        let settled = self.pages(shop).await.into_iter().filter(|(id, page)| {
            let outcomes =
                if self.cancelled.contains(id) { &["cancelled"][..] } else { &["confirmed", "rejected", "cancelled"] };
            outcomes.contains(&page.text_at("/status").as_str())
        });
        settled.count()
    }

    /// The accepted orders that are not there as they were sent.
    pub(crate) async fn lost(&self, shop: &Arc<Shop>) -> Vec<String> {
        let wrong =
            |(id, page): (String, Answer)| (!self.accepted[&id].is_on(&page)).then(|| format!("{id}: {page:?}"));
        self.pages(shop).await.into_iter().filter_map(wrong).collect()
    }

    /// The page of every accepted order, a few at a time.
    async fn pages(&self, shop: &Arc<Shop>) -> Vec<(String, Answer)> {
        let (places, mut pages) = (Arc::new(Semaphore::new(2 * CLIENTS)), JoinSet::new());
        for id in self.accepted.keys().cloned() {
            let (shop, places) = (shop.clone(), places.clone());
            pages.spawn(async move {
                let _place = places.acquire().await.expect("it is never closed");
                let page = shop.get(&format!("/api/orders/{id}")).await;
                (id, page)
            });
        }
        pages.join_all().await
    }

    /// What others were told as well.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.accepted.append(&mut other.accepted);
        self.cancelled.append(&mut other.cancelled);
        self.unanswered.append(&mut other.unanswered);
    }

    /// All that must hold once a fault is over: what was accepted is there and settles, and the audit finds nothing.
    pub(crate) async fn check(&mut self, shop: &Arc<Shop>) {
        self.ask_again(shop).await;
        assert_eq!((self.settle(shop).await, self.lost(shop).await), (self.accepted.len(), Vec::new()));
        let ended = shop.verify_with(SETTLE_PATIENCE, &["--settled"]).await;
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    }
}

/// Orders that keep coming.
#[derive(Debug)]
pub(crate) struct Load {
    clients: JoinSet<()>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    reported: Mutex<Told>,
    accepted: AtomicU64,
    stopping: AtomicBool,
    /// Whether a request that got no answer, or a 503, is repeated until it is told otherwise.
    stubborn: bool,
}

impl Shared {
    fn note(&self, change: impl FnOnce(&mut Told)) {
        change(&mut self.reported.lock().expect("nothing panics under this lock"));
    }
}

impl Load {
    /// Clients whom a shop without an answer puts off.
    pub(crate) fn on(shop: &Arc<Shop>, random: &mut Random) -> Self {
        Self::of_clients(false, shop, random)
    }

    /// If `stubborn`, clients who repeat, with the same key, what was not answered or answered with 503.
    pub(crate) fn of_clients(stubborn: bool, shop: &Arc<Shop>, random: &mut Random) -> Self {
        let (mut clients, shared) = (JoinSet::new(), Arc::new(Shared { stubborn, ..Shared::default() }));
        for _ in 0..CLIENTS {
            let (shop, shared, mut random) = (shop.clone(), shared.clone(), random.fork());
            clients.spawn(async move {
                let mut answered = true;
                while answered && !shared.stopping.load(Ordering::Relaxed) {
                    answered = order_once(&shop, &mut random, &shared).await;
                }
            });
        }
        Self { clients, shared }
    }

    /// Waits until so many orders are accepted.
    pub(crate) async fn has_accepted(&self, orders: u64) {
        eventually(PATIENCE, &format!("{orders} orders are accepted"), || async {
            (self.accepted() >= orders).then_some(())
        })
        .await;
    }

    /// How many orders have been accepted so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// What all clients were told, once they have stopped: because they are told to, or because nobody answers.
    pub(crate) async fn end(mut self) -> Told {
        self.shared.stopping.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("a client does not panic");
        }
        std::mem::take(&mut self.shared.reported.lock().expect("nothing panics under this lock"))
    }

    /// The same, where nothing may be refused or left without an answer.
    pub(crate) async fn end_with_nothing_refused(self) -> Told {
        let reported = self.end().await;
        assert!(reported.unanswered.is_empty(), "not accepted: {:?}", reported.unanswered);
        reported
    }
}

/// Places one order with a key of its own, and cancels every eighth. False: nobody answers any more.
async fn order_once(shop: &Shop, random: &mut Random, shared: &Shared) -> bool {
    let (content, key) = (Content::random(random), format!("K{:016x}", random.below(u64::MAX)));
    let mut placed = place(shop, &key, &content, shared.stubborn).await;
    while placed.is_none() && shared.stubborn && !shared.stopping.load(Ordering::Relaxed) {
        tokio::time::sleep(RETRY_PAUSE).await;
        placed = place(shop, &key, &content, true).await;
    }
    let Some(id) = placed else {
        shared.note(|reported| drop(reported.unanswered.insert(key, content)));
        return false;
    };
    shared.note(|reported| drop(reported.accepted.insert(id.clone(), content)));
    shared.accepted.fetch_add(1, Ordering::Relaxed);
    random.below(8) != 0 || cancel(shop, &id, shared).await || shared.stubborn
}

/// The id of the order, once it is accepted. None: no answer, or only that the shop is closing; with `any_503`, also that
/// it cannot now.
async fn place(shop: &Shop, key: &str, content: &Content, any_503: bool) -> Option<String> {
    let headers = [JSON, ("idempotency-key", key)];
    let answer = patiently(shop.try_send("POST", "/api/orders", &headers, content.body())).await?;
    match answer.verdict().as_str() {
        "200" => Some(answer.text_at("/order_id")),
        "503 shutting_down" | "503 outcome_unknown" => None,
        _ if any_503 && answer.status == 503 => None,
        _ => panic!("{answer:?}"),
    }
}

async fn cancel(shop: &Shop, id: &str, shared: &Shared) -> bool {
    let path = format!("/api/orders/{id}/cancel");
    let Some(answer) = patiently(shop.try_send("POST", &path, &[], "")).await else { return false };
    match answer.verdict().as_str() {
        "200" => shared.note(|reported| {
            reported.cancelled.insert(id.to_owned());
        }),
        // It has been rejected meanwhile.
        "409 invalid_transition" => {}
        "503 shutting_down" | "503 outcome_unknown" => return false,
        _ if shared.stubborn && answer.status == 503 => return false,
        _ => panic!("{answer:?}"),
    }
    true
}

async fn patiently(request: impl Future<Output = reqwest::Result<Answer>>) -> Option<Answer> {
    tokio::time::timeout(CLIENT_PATIENCE, request).await.ok()?.ok()
}
