//! One world: two databases, a broker, replicas that live and die, and what is known of all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use contract::OrderId;
use platform::clock::{Clock, Timestamp};
use platform::quarantine::Quarantined;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::books::Books;
use crate::broker::Broker;
use crate::cells;
use crate::config::{Config, Fault};
use crate::executor::Executor;
use crate::history::History;
use crate::invariants;
use crate::node::{Error, Node, NodeClock, Service, any_error};
use crate::random::Random;
use crate::states::{Violation, broken};
use crate::trace::Trace;
use crate::wrappers::Wrappers;

/// The databases, which are nodes of their own: all replicas of a service share one.
#[derive(Debug)]
pub(crate) struct Stores {
    pub(crate) orders: Arc<dyn orders::store::Store>,
    pub(crate) inventory: Arc<dyn inventory::store::Store>,
}

pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) wrappers: Wrappers,
    pub(crate) executor: Executor,
    pub(crate) broker: Broker,
    pub(crate) stores: Stores,
    /// For whatever is no fault: how long things take, and what clients do.
    pub(crate) random: Random,
    trace: Trace,
    books: Mutex<Books>,
    began: Instant,
    /// Whether each fault happens, each with a sequence of its own.
    chances: BTreeMap<Fault, Random>,
    /// No faults any more.
    calm: AtomicBool,
    /// Since the world began, in milliseconds: when something was last committed or sent.
    active_at: AtomicI64,
    database_clock: Arc<NodeClock>,
    known: Mutex<Known>,
    history: Mutex<History>,
    unlocked: Notify,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "World {}", self.config)
    }
}

/// What changes.
#[derive(Default)]
struct Known {
    broker_is_away: bool,
    cut_off: BTreeSet<Node>,
    routers: BTreeMap<Node, Router>,
    lives: BTreeMap<Node, u64>,
    clocks: BTreeMap<Node, Arc<NodeClock>>,
    listeners: Vec<(String, mpsc::Sender<Vec<u8>>)>,
    repairs: Repairs,
    /// Rows of a service's database that a transaction has which is not over.
    locked: BTreeSet<(Service, String)>,
    /// Bytes of garbage that nobody has set aside yet.
    garbage: BTreeSet<Vec<u8>>,
    violation: Option<Violation>,
}

/// How often the system healed itself. Self-healing hides bugs: in a world without the fault that it is for, none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Repairs {
    /// Commands that the sweeper sent.
    pub(crate) resent: usize,
    /// Consumers that the watchdog made anew.
    pub(crate) watchdog: usize,
    pub(crate) malformed: usize,
    pub(crate) anomalies: usize,
    /// Messages that could not be executed even alone.
    pub(crate) poisoned: usize,
}

impl World {
    /// A world without replicas yet, its databases in `folder`.
    pub(crate) fn new(config: Config, wrappers: Wrappers, folder: &Path, keeps_trace: bool) -> Arc<Self> {
        let began = Instant::now();
        let clock = Arc::new(NodeClock::new(began, Error::Offset(0)));
        let shared: Arc<dyn Clock> = clock.clone();
        let of_orders = orders::store::sqlite::Sqlite::open_inline(&folder.join("orders.db"), shared.clone());
        let of_stock = inventory::store::sqlite::Sqlite::open_inline(&folder.join("inventory.db"), shared);
        let stores = Stores {
            orders: Arc::new(of_orders.expect("a new file")),
            inventory: Arc::new(of_stock.expect("a new file")),
        };
        let seed = config.seed;
        Arc::new(Self {
            executor: Executor::default(),
            broker: Broker::new(Random::of(seed, "broker")),
            stores,
            random: Random::of(seed, "world"),
            trace: Trace::new(began, keeps_trace),
            books: Mutex::new(Books::open(folder).expect("the files are there")),
            began,
            chances: Fault::ALL.iter().map(|fault| (*fault, Random::of(seed, &format!("{fault:?}")))).collect(),
            calm: AtomicBool::new(false),
            active_at: AtomicI64::new(0),
            database_clock: clock,
            known: Mutex::default(),
            history: Mutex::default(),
            unlocked: Notify::new(),
            config,
            wrappers,
        })
    }

    pub(crate) fn nodes(&self) -> Vec<Node> {
        let of = |service, count| (1..=count).map(move |number| Node { service, number });
        let orders = of(Service::Orders, self.config.order_services);
        orders.chain(of(Service::Inventory, self.config.inventory_services)).collect()
    }

    /// Whether a fault happens here and now.
    pub(crate) fn chance(&self, fault: Fault) -> bool {
        if self.calm.load(Ordering::Relaxed) {
            return false;
        }
        // What stops a whole process happens at every call of a port: more seldom, or nothing else would happen.
        let rarity = match fault {
            Fault::Crashes | Fault::DiskErrors => 8,
            Fault::Slowness => 3,
            _ => 1,
        };
        let per_mille = self.config.per_mille(fault);
        per_mille > 0 && self.chances[&fault].below(1000 * rarity) < per_mille
    }

    /// Faults stop: what is broken is whole again. Clocks stay as wrong as they are, and none stands still.
    pub(crate) fn calm_down(&self) {
        self.trace(|| "faults stop".to_owned());
        self.calm.store(true, Ordering::Relaxed);
        let mut known = self.known();
        known.broker_is_away = false;
        known.cut_off.clear();
        known.clocks.values().chain([&self.database_clock]).for_each(|clock| clock.start());
        drop(known);
        self.broker.stirred.notify_waiters();
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    pub(crate) fn trace(&self, event: impl FnOnce() -> String) {
        let age = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.active_at.store(age, Ordering::Relaxed);
        self.trace.write(&event());
    }

    /// Of something that does not keep the world awake.
    pub(crate) fn note(&self, event: impl FnOnce() -> String) {
        self.trace.write(&event());
    }

    pub(crate) fn story(&self) -> &Trace {
        &self.trace
    }

    pub(crate) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// A pause, longer the longer nothing has happened: idle days are to pass quickly.
    pub(crate) fn stretch(&self, pause: Duration) -> Duration {
        let active_at = u64::try_from(self.active_at.load(Ordering::Relaxed)).unwrap_or(0);
        let idle = self.began.elapsed().saturating_sub(Duration::from_millis(active_at));
        if idle < Duration::from_secs(20) { pause } else { pause.max(idle / 8) }
    }

    /// How long a message is under way.
    pub(crate) fn transit(&self) -> Duration {
        if !self.chance(Fault::Delays) {
            return self.random.millis(0..=4);
        }
        let longest = *self.random.pick(&[300, 3_000, 30_000, 24 * 3_600_000]);
        self.random.millis(0..=longest)
    }

    /// A process dies where it stands, and starts again after a while.
    pub(crate) fn crash(self: &Arc<Self>, node: Node, place: &str) {
        self.trace(|| format!("{node} dies: {place}"));
        self.executor.kill(node);
        self.known().routers.remove(&node);
        let (world, pause) = (self.clone(), self.random.millis(10..=*self.random.pick(&[100, 2_000, 30_000])));
        self.executor.spawn(None, async move {
            tokio::time::sleep(pause).await;
            crate::boot::boot(&world, node);
        });
    }

    pub(crate) fn next_life(&self, node: Node) -> u64 {
        let mut known = self.known();
        let life = known.lives.entry(node).or_default();
        *life += 1;
        *life
    }

    pub(crate) fn clock_of(&self, node: Node) -> Arc<NodeClock> {
        let mut known = self.known();
        let error = || {
            if !self.config.has(Fault::Clocks) {
                return Error::Offset(0);
            }
            any_error(&self.chances[&Fault::Clocks], crate::node::BEGINNING)
        };
        known.clocks.entry(node).or_insert_with(|| Arc::new(NodeClock::new(self.began, error()))).clone()
    }

    /// Some clock is wrong in another way from now on.
    pub(crate) fn disturb_a_clock(&self) {
        let random = &self.chances[&Fault::Clocks];
        let now = Timestamp(self.database_clock.now().0);
        let error = any_error(random, now);
        let clocks: Vec<_> =
            self.known().clocks.iter().map(|(node, clock)| (node.to_string(), clock.clone())).collect();
        let database = ("the databases".to_owned(), self.database_clock.clone());
        let (whose, clock) = if random.chance(300) { &database } else { random.pick(&clocks) };
        self.note(|| format!("the clock of {whose}: {error:?}"));
        clock.set(error);
    }

    pub(crate) fn serves(&self, node: Node, router: Router) {
        self.known().routers.insert(node, router);
    }

    pub(crate) fn router(&self, node: Node) -> Option<Router> {
        self.known().routers.get(&node).cloned()
    }

    pub(crate) fn can_reach_broker(&self, node: Node) -> bool {
        let known = self.known();
        !known.broker_is_away && !known.cut_off.contains(&node)
    }

    /// The broker is away for everybody, or for one.
    pub(crate) fn cut(&self, from: Option<Node>) {
        let mut known = self.known();
        match from {
            Some(node) => drop(known.cut_off.insert(node)),
            None => known.broker_is_away = true,
        }
        drop(known);
        self.broker.stirred.notify_waiters();
    }

    pub(crate) fn mend(&self, from: Option<Node>) {
        let mut known = self.known();
        match from {
            Some(node) => drop(known.cut_off.remove(&node)),
            None => known.broker_is_away = false,
        }
    }

    pub(crate) fn listen(&self, subject: &str, listener: mpsc::Sender<Vec<u8>>) {
        self.known().listeners.push((subject.to_owned(), listener));
    }

    pub(crate) fn whisper(&self, subject: &str, word: &[u8]) {
        self.known().listeners.retain(|(its, listener)| {
            its != subject || !matches!(listener.try_send(word.to_vec()), Err(mpsc::error::TrySendError::Closed(_)))
        });
    }

    pub(crate) fn repaired(&self, count: impl FnOnce(&mut Repairs)) {
        count(&mut self.known().repairs);
    }

    pub(crate) fn repairs(&self) -> Repairs {
        self.known().repairs
    }

    pub(crate) fn expect_aside(&self, garbage: Vec<u8>) {
        self.known().garbage.insert(garbage);
    }

    /// How much garbage was sent that nobody has set aside since.
    pub(crate) fn garbage_left(&self) -> usize {
        self.known().garbage.len()
    }

    /// These are committed to what a service has set aside.
    pub(crate) fn set_aside(&self, service: Service, entries: &[Quarantined]) {
        for entry in entries {
            if !self.books().has_set_aside(service, entry) {
                self.demand(broken::<()>("R16", format!("{entry:?} was set aside and is not there")));
            }
            self.trace(|| format!("set aside: {} {:?}, {}", entry.kind, entry.subject, entry.reason));
            let mut known = self.known();
            match entry.kind {
                "malformed" => {
                    known.repairs.malformed += 1;
                    known.garbage.remove(&entry.bytes);
                }
                "anomaly" => known.repairs.anomalies += 1,
                _ => known.repairs.poisoned += 1,
            }
        }
    }

    pub(crate) fn lock(&self, service: Service, rows: &[String]) {
        self.known().locked.extend(rows.iter().map(|row| (service, row.clone())));
    }

    pub(crate) fn unlock(&self, service: Service, rows: &[String]) {
        self.known().locked.retain(|(its, row)| *its != service || !rows.contains(row));
        self.unlocked.notify_waiters();
    }

    pub(crate) async fn until_unlocked(&self, service: Service, rows: &[String]) {
        loop {
            let unlocked = self.unlocked.notified();
            let is_locked = rows.iter().any(|row| self.known().locked.contains(&(service, row.clone())));
            if !is_locked {
                return;
            }
            unlocked.await;
        }
    }

    pub(crate) fn reached(&self, mark: &'static str) {
        cells::mark(mark);
    }

    /// After a commit: what it touched is looked at, in both databases at one moment.
    pub(crate) fn check_orders(&self, order_ids: impl Iterator<Item = OrderId>) {
        let books = self.books();
        for order_id in order_ids.collect::<BTreeSet<_>>() {
            self.demand(invariants::check_order(&books, order_id));
        }
    }

    pub(crate) fn check_stock(&self) {
        self.demand(invariants::check_stock(&self.books()));
    }

    /// The first violation is the one that counts: the world ends with it.
    pub(crate) fn demand<T>(&self, result: Result<T, Violation>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(violation) => {
                self.trace(|| format!("{} is violated: {}", violation.promise, violation.what));
                self.known().violation.get_or_insert(violation);
                None
            }
        }
    }

    pub(crate) fn violation(&self) -> Option<Violation> {
        self.known().violation.clone()
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.known().violation.is_some()
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("nothing panics under this lock")
    }

    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().expect("nothing panics under this lock")
    }

    /// Lets go of all that holds the world itself.
    pub(crate) fn dismantle(&self) {
        self.executor.clear();
        let known = std::mem::take(&mut *self.known());
        drop(known);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("nothing panics under this lock")
    }
}
