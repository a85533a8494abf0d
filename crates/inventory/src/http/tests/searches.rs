use async_trait::async_trait;
use contract::{OrderId, ProductId};
use inventory_core::decide::{DecideInventory, DecidedInventory, InventoryCommand};
use inventory_core::reservation::Reservation;
use inventory_core::stock::{Location, Movement, ProductStock};
use platform::failure::Failure;
use platform::quarantine::Quarantined;
use testbed::{PATIENCE, eventually};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::super::searches::{RUNNING, WAITING};
use super::*;
use crate::store::{HolderFilter, HolderPage, MovementFilter, ProductFilter};

/// A store with as many readers as the smallest engine has. A search keeps its reader until the
/// test lets it go on.
#[derive(Debug)]
struct Slow {
    store: Arc<Sqlite>,
    readers: Semaphore,
    /// A permit for each search that may end.
    may_end: Semaphore,
}

impl Slow {
    async fn read<T>(&self, reading: impl Future<Output = T>) -> T {
        let _reader = self.readers.acquire().await.expect("never closed");
        reading.await
    }

    fn searching(&self) -> usize {
        4 - self.readers.available_permits()
    }
}

#[async_trait]
impl StockStore for Slow {
    async fn run(
        &self,
        batch: Arc<[InventoryCommand]>,
        decide: DecideInventory,
    ) -> Result<Vec<DecidedInventory>, Failure> {
        self.store.run(batch, decide).await
    }

    async fn quarantine(&self, entries: Vec<Quarantined>) -> Result<usize, Failure> {
        self.store.quarantine(entries).await
    }

    async fn product(&self, product_id: ProductId) -> Result<Option<ProductStock>, Failure> {
        self.read(self.store.product(product_id)).await
    }

    async fn products(&self, filter: ProductFilter) -> Result<Vec<ProductStock>, Failure> {
        let is_search = filter.is_search();
        self.read(async {
            if is_search {
                self.may_end.acquire().await.expect("never closed").forget();
            }
            self.store.products(filter).await
        })
        .await
    }

    async fn movements(&self, filter: MovementFilter) -> Result<Vec<Movement>, Failure> {
        self.read(self.store.movements(filter)).await
    }

    async fn reservation(&self, order_id: OrderId) -> Result<Option<Reservation>, Failure> {
        self.read(self.store.reservation(order_id)).await
    }

    async fn holders(&self, filter: HolderFilter) -> Result<Option<HolderPage>, Failure> {
        self.store.holders(filter).await
    }

    async fn locations(&self) -> Result<Vec<Location>, Failure> {
        self.read(self.store.locations()).await
    }
}

/// A shop with one product, in which no search ends.
async fn slow_shop() -> (Arc<Api>, Arc<Slow>) {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(ManualClock::at(START));
    let store = Sqlite::open(&folder.path().join("inventory.db"), clock.clone());
    let store = store.expect("a new file");
    let (audit, quarantine) = (Arc::new(store.audit()), store.quarantine_table());
    let store = Arc::new(store);
    let slow =
        Slow { store: store.clone(), readers: Semaphore::new(4), may_end: Semaphore::new(0) };
    let slow = Arc::new(slow);
    let api = Api::over(slow.clone(), audit, store, quarantine, clock, folder);
    api.receive("MUG", 5).await;
    (Arc::new(api), slow)
}

/// Sends one search after the other, of both kinds. Each runs or waits before the next is sent.
async fn search(api: &Arc<Api>, slow: &Arc<Slow>, searches: usize) -> Vec<JoinHandle<StatusCode>> {
    let mut sent = Vec::new();
    for n in 0..searches {
        let query = if n % 2 == 0 { "q=mug" } else { "low_stock=true&limit=5" };
        let its_api = api.clone();
        sent.push(tokio::spawn(
            async move { its_api.get(&format!("/products?{query}")).await.status },
        ));
        eventually(PATIENCE, "the search runs or waits", async || {
            let room = api.service.searches.room_left();
            (slow.searching() == (n + 1).min(RUNNING) && room == RUNNING + WAITING - n - 1)
                .then_some(())
        })
        .await;
    }
    sent
}

#[tokio::test]
async fn look_ups_go_on_while_searches_are_saturated_and_one_more_is_refused_at_once() {
    let (api, slow) = slow_shop().await;
    let sent = search(&api, &slow, RUNNING + WAITING).await;
    let refused = api.get("/products?q=mug").await;
    assert_eq!(refused.problem(), (503, "overloaded", Vec::new()));
    assert!(refused.headers.contains_key(header::RETRY_AFTER));
    assert!(sent.iter().all(|search| !search.is_finished()));
    for path in [
        "/products/MUG",
        "/products",
        "/products?q=&limit=1",
        "/products?ids=MUG&q=m&low_stock=false",
        "/products/MUG/movements",
        "/locations",
    ] {
        let found = tokio::time::timeout(PATIENCE, api.get(path)).await.expect(path);
        assert_eq!(found.status, StatusCode::OK, "{path}");
    }
    slow.may_end.add_permits(RUNNING + WAITING);
    for search in sent {
        assert_eq!(search.await.expect("no panic"), StatusCode::OK);
    }
    slow.may_end.add_permits(1);
    assert_eq!(api.get("/products?q=mug").await.ids("product_id"), ["MUG"], "there is room again");
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_its_search_in_the_lane_until_it_ends() {
    let (api, slow) = slow_shop().await;
    for search in search(&api, &slow, RUNNING).await {
        search.abort();
        assert!(search.await.is_err(), "it was given up");
    }
    assert_eq!((slow.searching(), api.service.searches.room_left()), (RUNNING, WAITING));
    slow.may_end.add_permits(RUNNING);
    eventually(PATIENCE, "the searches have ended", async || {
        (api.service.searches.room_left() == RUNNING + WAITING).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_search_whose_turn_does_not_come_is_refused() {
    let (api, slow) = slow_shop().await;
    let mut sent = search(&api, &slow, RUNNING + 1).await;
    // Nothing else happens, so the clock goes on to the end of the wait.
    tokio::time::pause();
    let last = sent.pop().expect("it was sent");
    assert_eq!(last.await.expect("no panic"), StatusCode::SERVICE_UNAVAILABLE);
    assert!(sent.iter().all(|search| !search.is_finished()));
}
