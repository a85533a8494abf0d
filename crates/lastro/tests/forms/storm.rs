//! Both services on buses that deliver every message five times, shuffled and late, with old
//! messages in between.
//!
//! The test process assembles the services as the programs do, and wraps their buses.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use platform::bus::embedded::Embedded;
use platform::bus::nats::{AccessFiles, Broker};
use platform::bus::{ACK_WAIT, Bus};
use platform::config::DatabaseUrl;
use platform::pairing::Pairing;
use platform::process::{HttpSettings, ProgramError};
use platform::telemetry::Metrics;
use testbed::{Deployment, Environment, Form, Load, PATIENCE, Random, Storm, stocked};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use web::program::{Api, Process, Program};

use stormy_bus::StormyBus;

mod stormy_bus;

tried_on!(every form, on several threads:
    messages_that_are_shuffled_late_and_repeated_change_nothing_twice
);

async fn messages_that_are_shuffled_late_and_repeated_change_nothing_twice(form: Form) {
    let mut random = Random::seeded("storm");
    let folder = tempfile::tempdir().expect("a folder");
    let environment = Environment::of(form).await;
    let services = Services::start(form, folder.path(), &environment, &mut random).await;
    let addresses = services.addresses.clone();
    let shop = Deployment::within(folder, form, environment, addresses);
    let shop = Arc::new(stocked(shop, 300).await);
    let load = Load::on(&shop, &mut random);
    load.has_accepted(400).await;
    load.end().await.check(&shop).await;
    assert_eq!(shop.quarantined().await.concat(), [""; 0]);
    services.end().await;
}

/// The services of one deployment, which run in the test process.
struct Services {
    /// The addresses of the Order Services, and those of the Inventory Services; empty if they are
    /// the same.
    addresses: [Vec<SocketAddr>; 2],
    /// The storm on commands, and the storm on answers.
    storms: [Arc<Mutex<Storm>>; 2],
    running: JoinSet<Result<(), ProgramError>>,
    shutdown: CancellationToken,
}

impl Services {
    async fn start(
        form: Form,
        folder: &Path,
        environment: &Environment,
        random: &mut Random,
    ) -> Self {
        let mut services = Self {
            addresses: Default::default(),
            storms: std::array::from_fn(|_| Arc::new(Mutex::new(Storm::new(random.fork())))),
            running: JoinSet::new(),
            shutdown: CancellationToken::new(),
        };
        let urls = environment.database_urls(folder);
        let [orders, inventory] = urls.map(|url| url.parse::<DatabaseUrl>().expect("a URL"));
        for _ in 0..form.replicas() {
            let mut process = begin().await;
            let orders = orders::open_store(&orders, &mut process).await.expect("a store");
            let mut apart = if form.is_apart() { Some(begin().await) } else { None };
            let its_process = apart.as_mut().unwrap_or(&mut process);
            let inventory = inventory::open_store(&inventory, its_process).await.expect("a store");
            let pairings = [&orders.pairing, &inventory.pairing];
            let [of_orders, of_inventory] =
                services.buses(form, environment, &process.context.metrics, pairings).await;
            let mut api = build_orders(orders, of_orders, &mut process);
            if let Some(mut its_process) = apart {
                services.serve(0, process, api);
                let api = build_inventory(inventory, of_inventory, &mut its_process);
                services.serve(1, its_process, api);
            } else {
                api = api.merge(build_inventory(inventory, of_inventory, &mut process));
                services.serve(0, process, api);
            }
        }
        services
    }

    /// The buses of a pair of services.
    async fn buses(
        &self,
        form: Form,
        environment: &Environment,
        metrics: &Metrics,
        [orders, inventory]: [&Arc<Pairing>; 2],
    ) -> [Arc<dyn Bus>; 2] {
        let [orders, inventory]: [Arc<dyn Bus>; 2] = if form.has_broker() {
            let url = environment.bus_url();
            let join = async |service: Program, channels, pairing: &Arc<Pairing>| {
                let broker = Broker::at(&url, AccessFiles::default()).expect("an address");
                let pairing = pairing.clone();
                let joining = broker.join(service.name, pairing, channels, metrics.clone(), false);
                joining.await.expect("a bus")
            };
            let inventory = join(inventory::PROGRAM, inventory::CHANNELS, inventory).await;
            [Arc::new(join(orders::PROGRAM, orders::CHANNELS, orders).await), Arc::new(inventory)]
        } else {
            let clock = Arc::new(platform::clock::SystemClock);
            let bus = Embedded::new(clock, ACK_WAIT, orders.id());
            let inventory = bus.end_of(inventory.id());
            [Arc::new(bus), Arc::new(inventory)]
        };
        let [on_commands, on_answers] = self.storms.clone();
        [
            Arc::new(StormyBus { bus: orders, storm: on_commands }),
            Arc::new(StormyBus { bus: inventory, storm: on_answers }),
        ]
    }

    fn serve(&mut self, kind: usize, process: Process, api: Api) {
        self.addresses[kind].push(process.address().expect("an address"));
        self.running.spawn(process.serve(api, self.shutdown.clone()));
    }

    /// Stops the services in an orderly way. Fails the test if a service failed, or if there was no
    /// storm.
    async fn end(mut self) {
        self.shutdown.cancel();
        let ending = async {
            while let Some(ended) = self.running.join_next().await {
                ended.expect("no panic").expect("no failure");
            }
        };
        tokio::time::timeout(PATIENCE, ending).await.expect("they end");
        for storm in &self.storms {
            storm.lock().expect("nothing panics under this lock").must_have_raged();
        }
    }
}

const PROGRAM: Program = Program {
    name: "lastro",
    summary: "Both services, with a storm on their bus.",
    default_listen: "127.0.0.1:0",
};

async fn begin() -> Process {
    let listen = "127.0.0.1:0".parse().expect("an address");
    let http = HttpSettings::at(listen);
    Process::begin(PROGRAM, &http).await.expect("a free port")
}

fn build_orders(database: orders::Opened, bus: Arc<dyn Bus>, process: &mut Process) -> Api {
    let currency = orders::parse_currency(None).expect("a currency");
    let parts = orders::Dependencies { database, bus, audits: Vec::new(), currency };
    orders::build(parts, process)
}

fn build_inventory(database: inventory::Opened, bus: Arc<dyn Bus>, process: &mut Process) -> Api {
    inventory::build(inventory::Dependencies { database, bus }, process)
}
