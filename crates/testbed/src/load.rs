//! Clients that place orders without a pause and record the answers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::content::{patiently, place};
use crate::{Content, Deployment, PATIENCE, PRODUCTS, Random, Record, eventually};

/// The number of clients that place orders side by side.
const CLIENTS: usize = 16;
/// The pause before a request is repeated.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Stocks the deployment with this many units of each product.
pub async fn stocked(shop: Deployment, units: u32) -> Deployment {
    for product in PRODUCTS {
        shop.stock(product, units).await;
    }
    shop
}

/// Clients that place one order after the other until they are stopped.
#[derive(Debug)]
pub struct Load {
    clients: JoinSet<()>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    record: Mutex<Record>,
    accepted: AtomicU64,
    stopping: AtomicBool,
    /// Whether clients repeat a request that got no answer or a 503.
    stubborn: bool,
}

impl Shared {
    fn note(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.record.lock().expect("nothing panics under this lock"));
    }
}

impl Load {
    /// Starts clients that give up on a request that is not answered.
    pub fn on(shop: &Arc<Deployment>, random: &mut Random) -> Self {
        Self::of_clients(false, shop, random)
    }

    /// Starts clients. If `stubborn`, they repeat a request that got no answer or a 503, with the
    /// same key.
    pub fn of_clients(stubborn: bool, shop: &Arc<Deployment>, random: &mut Random) -> Self {
        let mut clients = JoinSet::new();
        let shared = Arc::new(Shared { stubborn, ..Shared::default() });
        for _ in 0..CLIENTS {
            let shop = shop.clone();
            let shared = shared.clone();
            let mut random = random.fork();
            clients.spawn(async move {
                let mut answered = true;
                while answered && !shared.stopping.load(Ordering::Relaxed) {
                    answered = order_once(&shop, &mut random, &shared).await;
                }
            });
        }
        Self { clients, shared }
    }

    /// Waits until this many orders are accepted.
    pub async fn has_accepted(&self, orders: u64) {
        eventually(PATIENCE, &format!("{orders} orders are accepted"), || async {
            (self.accepted() >= orders).then_some(())
        })
        .await;
    }

    /// The number of orders accepted so far.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// What the clients have recorded so far.
    pub fn so_far(&self) -> Record {
        self.shared.record.lock().expect("nothing panics under this lock").clone()
    }

    /// Stops the clients and returns their record.
    pub async fn end(mut self) -> Record {
        self.shared.stopping.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("a client does not panic");
        }
        std::mem::take(&mut self.shared.record.lock().expect("nothing panics under this lock"))
    }

    /// Stops the clients and returns their record. Fails the test if a request was refused or not
    /// answered.
    pub async fn end_with_nothing_refused(self) -> Record {
        let record = self.end().await;
        assert!(record.unanswered.is_empty(), "not accepted: {:?}", record.unanswered);
        record
    }
}

/// Places one order with its own key, and cancels one order in eight. Returns false if there was no
/// answer.
async fn order_once(shop: &Deployment, random: &mut Random, shared: &Shared) -> bool {
    let content = Content::random(random);
    let key = format!("K{:016x}", random.below(u64::MAX));
    let mut placed = place(shop, &key, &content, shared.stubborn).await;
    while placed.is_none() && shared.stubborn && !shared.stopping.load(Ordering::Relaxed) {
        tokio::time::sleep(RETRY_PAUSE).await;
        placed = place(shop, &key, &content, true).await;
    }
    let Some(id) = placed else {
        shared.note(|record| drop(record.unanswered.insert(key, content)));
        return false;
    };
    shared.note(|record| drop(record.accepted.insert(id.clone(), content)));
    shared.accepted.fetch_add(1, Ordering::Relaxed);
    random.below(8) != 0 || cancel(shop, &id, shared).await || shared.stubborn
}

async fn cancel(shop: &Deployment, id: &str, shared: &Shared) -> bool {
    let path = format!("/api/orders/{id}/cancel");
    let Some(answer) = patiently(shop.try_send("POST", &path, &[], "")).await else { return false };
    match answer.verdict().as_str() {
        "200" => shared.note(|record| {
            record.cancelled.insert(id.to_owned());
        }),
        // The order was rejected in the meantime.
        "409 invalid_transition" => {}
        "503 shutting_down" | "503 outcome_unknown" => return false,
        _ if shared.stubborn && answer.status == 503 => return false,
        _ => panic!("{answer:?}"),
    }
    true
}
