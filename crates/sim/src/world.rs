//! One world: two databases, a broker, replicas that crash and start again, and the monitor of all
//! of them.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::FutureExt;
use inventory::store::{StockAuditStore, StockFeedStore, StockStore};
use orders::store::{OrderAuditStore, OrderFeedStore, OrderStore};
use platform::admin::AdminLog;
use platform::clock::Clock;
use platform::failure::Failure;
use platform::journal::Journal;
use platform::pairing::Pairing;
use platform::quarantine::QuarantineTable;
use tokio::time::Instant;

use crate::audit_reads::{OrderReads, StockReads};
use crate::broker::Broker;
use crate::clocks::Clocks;
use crate::config::{Config, Fault};
use crate::executor::Executor;
use crate::faults::Faults;
use crate::history::History;
use crate::locks::Locks;
use crate::monitor::Monitor;
use crate::network::Network;
use crate::node::{Node, Service};
use crate::published::Published;
use crate::random::Random;
use crate::repairs::RepairCounter;
use crate::replicas::Replicas;
use crate::trace::Trace;
use crate::version::Versions;
use crate::wrappers::Wrappers;

/// Starts a replica.
pub(crate) type Boot = fn(&Arc<World>, Node);

/// The databases. All replicas of a service share one.
#[derive(Debug)]
pub(crate) struct Stores {
    pub(crate) orders: Arc<dyn OrderStore>,
    pub(crate) orders_audit: Arc<dyn OrderAuditStore>,
    pub(crate) orders_feed: Arc<dyn OrderFeedStore>,
    pub(crate) orders_journal: Arc<dyn Journal>,
    pub(crate) inventory: Arc<dyn StockStore>,
    pub(crate) inventory_audit: Arc<dyn StockAuditStore>,
    pub(crate) inventory_feed: Arc<dyn StockFeedStore>,
    pub(crate) inventory_journal: Arc<dyn Journal>,
    pub(crate) orders_quarantine: Arc<dyn QuarantineTable>,
    pub(crate) inventory_quarantine: Arc<dyn QuarantineTable>,
    pub(crate) orders_admin_log: Arc<dyn AdminLog>,
    pub(crate) inventory_admin_log: Arc<dyn AdminLog>,
    orders_pairing: Arc<Pairing>,
    inventory_pairing: Arc<Pairing>,
}

pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) wrappers: Wrappers,
    pub(crate) executor: Executor,
    pub(crate) stores: Stores,
    pub(crate) locks: Locks,
    pub(crate) broker: Broker,
    pub(crate) published: Published,
    pub(crate) network: Network,
    pub(crate) replicas: Replicas,
    pub(crate) clocks: Clocks,
    pub(crate) faults: Faults,
    /// Decides everything that is not a fault: how long things take, and what clients do.
    pub(crate) random: Random,
    pub(crate) trace: Arc<Trace>,
    pub(crate) monitor: Monitor,
    pub(crate) repairs: RepairCounter,
    history: Mutex<History>,
    boot: Boot,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "World {}", self.config)
    }
}

impl World {
    /// A world without running replicas, its databases in `folder`.
    pub(crate) fn new(
        config: Config,
        wrappers: Wrappers,
        boot: Boot,
        folder: &Path,
        keeps_trace: bool,
    ) -> Arc<Self> {
        let began = Instant::now();
        let clocks = Clocks::new(&config, began);
        let versions = Versions::default();
        let stores = Stores::open(folder, clocks.databases(), &versions);
        (wrappers.databases)(folder);
        let trace = Arc::new(Trace::new(began, keeps_trace));
        Arc::new(Self {
            wrappers,
            executor: Executor::default(),
            stores,
            locks: Locks::default(),
            broker: Broker::new(Random::of(config.seed, "broker")),
            published: Published::default(),
            network: Network::default(),
            replicas: Replicas::default(),
            clocks,
            faults: Faults::new(&config),
            random: Random::of(config.seed, "world"),
            monitor: Monitor::new(folder, trace.clone(), versions),
            trace,
            repairs: RepairCounter::default(),
            history: Mutex::default(),
            boot,
            config,
        })
    }

    pub(crate) fn nodes(&self) -> Vec<Node> {
        let of = |service, count| (1..=count).map(move |number| Node { service, number });
        let orders = of(Service::Orders, self.config.order_services);
        orders.chain(of(Service::Inventory, self.config.inventory_services)).collect()
    }

    /// Which database a service has, and which one its peer.
    pub(crate) fn pairing(&self, service: Service) -> &Arc<Pairing> {
        match service {
            Service::Orders => &self.stores.orders_pairing,
            Service::Inventory => &self.stores.inventory_pairing,
        }
    }

    /// The clients' requests and answers.
    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().expect("nothing panics under this lock")
    }

    /// How long a message is in transit.
    pub(crate) fn transit(&self) -> Duration {
        if !self.faults.happens(Fault::Delays) {
            return self.random.millis(0..=4);
        }
        let longest = *self.random.pick(&[300, 3_000, 30_000, 24 * 3_600_000]);
        self.random.millis(0..=longest)
    }

    pub(crate) fn boot(self: &Arc<Self>, node: Node) {
        (self.boot)(self, node);
    }

    /// Kills a process wherever it is, and starts it again after a while.
    pub(crate) fn crash(self: &Arc<Self>, node: Node, point: &str) {
        self.trace.event(|| format!("{node} dies: {point}"));
        self.executor.kill(node);
        self.replicas.remove(node);
        let longest = *self.random.pick(&[100, 2_000, 30_000]);
        let pause = self.random.millis(10..=longest);
        let world = self.clone();
        self.executor.spawn(None, async move {
            tokio::time::sleep(pause).await;
            world.boot(node);
        });
    }

    /// Ends all faults: everything works again.
    pub(crate) fn stop_faults(&self) {
        self.trace.event(|| "faults stop".to_owned());
        self.faults.stop();
        self.network.mend_all();
        self.clocks.start_all();
        self.broker.stirred.notify_waiters();
    }

    /// Drops everything that holds the world itself.
    pub(crate) fn dismantle(&self) {
        self.executor.clear();
        self.replicas.clear();
        self.network.clear();
    }
}

impl Stores {
    fn open(folder: &Path, clock: Arc<dyn Clock>, versions: &Versions) -> Self {
        use inventory::store::sqlite::Sqlite as StockFile;
        use orders::store::sqlite::Sqlite as OrdersFile;
        let orders = OrdersFile::open_inline(&folder.join("orders.db"), clock.clone());
        let inventory = StockFile::open_inline(&folder.join("inventory.db"), clock);
        let orders = orders.expect("a new file");
        let inventory = inventory.expect("a new file");
        let orders_pairing = at_once(orders.pairing());
        let inventory_pairing = at_once(inventory.pairing());
        for (one, other) in
            [(&orders_pairing, &inventory_pairing), (&inventory_pairing, &orders_pairing)]
        {
            assert!(at_once(one.meet(other.id())), "a new database takes the first one");
        }
        let orders_audit = OrderReads::new(Arc::new(orders.audit()), &versions.orders);
        let inventory_audit = StockReads::new(Arc::new(inventory.audit()), &versions.inventory);
        let (orders, inventory) = (Arc::new(orders), Arc::new(inventory));
        Self {
            orders_pairing,
            inventory_pairing,
            orders_quarantine: orders.quarantine_table(),
            inventory_quarantine: inventory.quarantine_table(),
            orders_admin_log: orders.admin_log(),
            inventory_admin_log: inventory.admin_log(),
            orders_audit: Arc::new(orders_audit),
            orders_journal: orders.journal(),
            orders_feed: orders.clone(),
            orders,
            inventory_audit: Arc::new(inventory_audit),
            inventory_journal: inventory.journal(),
            inventory_feed: inventory.clone(),
            inventory,
        }
    }
}

/// The result of a call of a database that does everything where it is called.
fn at_once<T>(call: impl Future<Output = Result<T, Failure>>) -> T {
    call.now_or_never().expect("nothing is waited for").expect("a new file")
}
