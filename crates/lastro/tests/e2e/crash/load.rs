//! Clients that order without a pause, and remember what they were told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use testbed::{PATIENCE, eventually};
use tokio::task::JoinSet;

use crate::answer::Answer;
use crate::random::Random;
use crate::shop::{JSON, Shop};

/// What is ordered; stocked before.
pub(super) const PRODUCTS: [&str; 3] = ["MUG", "TEE", "CUP"];
/// Clients that order one after the other.
const CLIENTS: u64 = 16;
/// A request without an answer is given up after this.
const CLIENT_PATIENCE: Duration = Duration::from_secs(10);

/// An order as it is sent, and as its page must show it for ever.
#[derive(Clone, Debug)]
pub(super) struct Content {
    customer_id: String,
    /// As JSON, in the spelling of the API.
    products: String,
}

impl Content {
    fn random(random: &mut Random) -> Self {
        let line = |random: &mut Random| {
            let product = PRODUCTS[usize::try_from(random.below(3)).expect("an index")];
            let (quantity, cents) = (1 + random.below(3), random.below(100_000));
            let price = format!("{}.{:02}", cents / 100, cents % 100);
            format!(r#"{{"product_id":"{product}","quantity":{quantity},"price":{price}}}"#)
        };
        let lines: Vec<_> = (0..=random.below(3)).map(|_| line(random)).collect();
        Self { customer_id: format!("C{}", random.below(1_000)), products: format!("[{}]", lines.join(",")) }
    }

    fn body(&self) -> String {
        format!(r#"{{"customer_id":"{}","products":{}}}"#, self.customer_id, self.products)
    }

    /// Whether the page of an order shows this one.
    pub(super) fn is_on(&self, page: &Answer) -> bool {
        let members = [format!(r#""customer_id":"{}""#, self.customer_id), format!(r#""products":{}"#, self.products)];
        page.status == 200 && members.iter().all(|member| page.text.contains(member))
    }
}

/// What clients were told, and what they still wonder.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// By id: what got its 200.
    pub(super) accepted: BTreeMap<String, Content>,
    /// Orders whose cancellation got its 200.
    pub(super) cancelled: Vec<String>,
    /// By key: what got no answer.
    pub(super) unanswered: BTreeMap<String, Content>,
}

impl Told {
    /// Repeats every order that got no answer, with its key. All must be accepted now.
    pub(super) async fn ask_again(&mut self, shop: &Shop) {
        for (key, content) in std::mem::take(&mut self.unanswered) {
            let id = place(shop, &key, &content).await.expect("a shop that runs answers");
            self.accepted.insert(id, content);
        }
    }
}

/// Orders that keep coming.
#[derive(Debug)]
pub(super) struct Load {
    clients: JoinSet<()>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    told: Mutex<Told>,
    accepted: AtomicU64,
    stopping: AtomicBool,
}

impl Shared {
    fn note(&self, change: impl FnOnce(&mut Told)) {
        change(&mut self.told.lock().expect("nothing panics under this lock"));
    }
}

impl Load {
    pub(super) fn on(shop: &Arc<Shop>, random: &mut Random) -> Self {
        let (mut clients, shared) = (JoinSet::new(), Arc::<Shared>::default());
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
    pub(super) async fn has_accepted(&self, orders: u64) {
        eventually(PATIENCE, &format!("{orders} orders are accepted"), || async {
            (self.shared.accepted.load(Ordering::Relaxed) >= orders).then_some(())
        })
        .await;
    }

    /// What all clients were told, once they have stopped: because they are told to, or because nobody answers.
    pub(super) async fn end(mut self) -> Told {
        self.shared.stopping.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("a client does not panic");
        }
        std::mem::take(&mut self.shared.told.lock().expect("nothing panics under this lock"))
    }
}

/// Places one order with a key of its own, and cancels every eighth. False: nobody answers any more.
async fn order_once(shop: &Shop, random: &mut Random, shared: &Shared) -> bool {
    let (content, key) = (Content::random(random), format!("K{:016x}", random.below(u64::MAX)));
    let Some(id) = place(shop, &key, &content).await else {
        shared.note(|told| drop(told.unanswered.insert(key, content)));
        return false;
    };
    shared.note(|told| drop(told.accepted.insert(id.clone(), content)));
    shared.accepted.fetch_add(1, Ordering::Relaxed);
    random.below(8) != 0 || cancel(shop, &id, shared).await
}

/// The id of the order, once it is accepted. None: no answer, or only that the shop is closing.
async fn place(shop: &Shop, key: &str, content: &Content) -> Option<String> {
    let headers = [JSON, ("idempotency-key", key)];
    let answer = patiently(shop.try_send("POST", "/api/orders", &headers, content.body())).await?;
    match answer.verdict().as_str() {
        "200" => Some(answer.text_at("/order_id")),
        "503 shutting_down" | "503 outcome_unknown" => None,
        _ => panic!("{answer:?}"),
    }
}

async fn cancel(shop: &Shop, id: &str, shared: &Shared) -> bool {
    let path = format!("/api/orders/{id}/cancel");
    let Some(answer) = patiently(shop.try_send("POST", &path, &[], "")).await else { return false };
    match answer.verdict().as_str() {
        "200" => shared.note(|told| told.cancelled.push(id.to_owned())),
        // It has been rejected meanwhile.
        "409 invalid_transition" => {}
        "503 shutting_down" | "503 outcome_unknown" => return false,
        _ => panic!("{answer:?}"),
    }
    true
}

async fn patiently(request: impl Future<Output = reqwest::Result<Answer>>) -> Option<Answer> {
    tokio::time::timeout(CLIENT_PATIENCE, request).await.ok()?.ok()
}
