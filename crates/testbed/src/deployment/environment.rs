//! What the programs of a deployment are started with: broker, databases, network, clocks, disk.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::form::Form;
use super::{data_in, lastro, launch};
use crate::ports::Port;
use crate::{Clock, Disk, Launch, Nats, Proxy, fresh_database};

/// The programs with one service.
const SERVICES: [&str; 2] = ["order-service", "inventory-service"];

/// The URLs of two PostgreSQL databases.
#[derive(Clone, Debug)]
pub struct Databases {
    /// The database of the Order Service.
    pub orders: String,
    /// The database of the Inventory Service.
    pub inventory: String,
}

/// What surrounds the programs of a deployment. It stays when the programs are restarted.
#[derive(Debug, Default)]
pub struct Environment {
    /// The broker, in a form that has one.
    pub broker: Option<Nats>,
    /// The URL of the bus, if it differs from the broker's.
    pub bus_url: Option<String>,
    /// The folder of the files `order-service-bus-url` and `inventory-service-bus-url`, if each
    /// service has a user of its own at the broker.
    pub bus_url_files: Option<PathBuf>,
    /// Further variables of the programs with one service: the name of the program, the name of the
    /// variable, and its value.
    pub variables: Vec<(&'static str, &'static str, OsString)>,
    /// The ports for the metrics of one replica of each service, which stay when the programs are
    /// started again; `None` if they are served beside the API.
    pub metrics_ports: Option<[Port; 2]>,
    /// How many files and connections each program with one service may have open, if that is
    /// limited.
    pub open_files: Option<u64>,
    /// `None` if the data lies in files.
    pub databases: Option<Databases>,
    /// Whether the programs take the channel over from other databases.
    pub replaces_peer: bool,
    /// The proxy between the Inventory Service and the broker, if there is one.
    pub link: Option<Proxy>,
    /// The crash point at which the first replica of each service stops: `kill orders.committed 3`.
    pub fault: Option<String>,
    /// Clocks that the programs see: first those of the programs that take orders, then those of
    /// the Inventory Services.
    pub clocks: Vec<Clock>,
    /// A small disk that the programs see, if the test has one.
    pub disk: Option<Disk>,
}

impl Environment {
    /// The environment that a form needs, without faults.
    pub async fn of(form: Form) -> Self {
        let broker = if form.has_broker() { Some(Nats::start().await) } else { None };
        Self { broker, ..Self::of_databases(form).await }
    }

    /// The same with ports for the metrics of `order-service` and `inventory-service`, whose auditors
    /// take half of the time.
    #[must_use]
    pub fn watched(mut self) -> Self {
        for program in SERVICES {
            self.variables.push((program, "LASTRO_AUDIT_SHARE", "2".into()));
        }
        self.metrics_ports = Some([Port::free(), Port::free()]);
        self
    }

    /// The addresses of the metrics of each program, in an environment that is
    /// [watched](Self::watched).
    ///
    /// # Panics
    ///
    /// Panics if it is not.
    pub fn metrics(&self) -> [(&'static str, SocketAddr); 2] {
        let [orders, inventory] = self.metrics_ports.as_ref().expect("it is watched");
        let address = |port: &Port| SocketAddr::from(([127, 0, 0, 1], port.number));
        let [its, other] = SERVICES;
        [(its, address(orders)), (other, address(inventory))]
    }

    /// The databases that a form needs, without a broker.
    pub async fn of_databases(form: Form) -> Self {
        let databases = if form.has_files() {
            None
        } else {
            let orders = fresh_database().await;
            let inventory = fresh_database().await;
            Some(Databases { orders, inventory })
        };
        Self { databases, ..Self::default() }
    }

    /// The broker.
    ///
    /// # Panics
    ///
    /// Panics if the form has none.
    pub fn broker(&self) -> &Nats {
        self.broker.as_ref().expect("the form has a broker")
    }

    /// The URL of the bus, in a form that has a broker.
    pub fn bus_url(&self) -> String {
        self.bus_url.clone().unwrap_or_else(|| self.broker().url())
    }

    /// The arguments that tell a tool where the data is.
    pub fn data_arguments(&self) -> Vec<&str> {
        match &self.databases {
            None => vec!["--data-dir", "data"],
            Some(Databases { orders, inventory }) => {
                vec!["--orders-database-url", orders, "--inventory-database-url", inventory]
            }
        }
    }

    /// The URLs of both databases of a deployment in `folder`: that of orders first.
    pub fn database_urls(&self, folder: &Path) -> [String; 2] {
        match &self.databases {
            Some(Databases { orders, inventory }) => [orders.clone(), inventory.clone()],
            None => ["orders.db", "inventory.db"]
                .map(|file| format!("sqlite:{}", data_in(folder).join(file).display())),
        }
    }

    /// How the program that takes orders is started, by the number of its replica.
    pub(crate) fn taking_orders(&self, form: Form, folder: &Path, number: usize) -> Launch {
        let launch = if form.is_apart() { self.orders(folder) } else { self.whole(folder) };
        self.apply(number, number, launch)
    }

    /// How an Inventory Service in a process of its own is started, by the number of its replica.
    pub(crate) fn keeping_stock(&self, form: Form, folder: &Path, number: usize) -> Launch {
        self.apply(number, form.replicas() + number, self.inventory(folder))
    }

    /// How `lastro` is started, with both services in one program.
    fn whole(&self, folder: &Path) -> Launch {
        let has_bus = self.broker.is_some() || self.bus_url.is_some();
        let url = has_bus.then(|| ["--bus-url".to_owned(), self.bus_url()]);
        launch(folder).args(url.into_iter().flatten())
    }

    fn orders(&self, folder: &Path) -> Launch {
        let [database, _] = self.database_urls(folder);
        self.service("order-service", &database, folder, &self.bus_url())
    }

    fn inventory(&self, folder: &Path) -> Launch {
        let link = self.link.as_ref().map(|link| format!("nats://127.0.0.1:{}", link.port()));
        let [_, database] = self.database_urls(folder);
        let bus = link.unwrap_or_else(|| self.bus_url());
        self.service("inventory-service", &database, folder, &bus)
    }

    /// How a program with one service is started.
    fn service(&self, name: &str, database_url: &str, folder: &Path, bus_url: &str) -> Launch {
        let launch = lastro(folder).args([name, "--listen", "127.0.0.1:0"]);
        let limit = self.open_files.into_iter();
        let launch = limit.fold(launch, |launch, files| launch.with_open_files(files, files));
        let launch = launch.args(["--database-url", database_url]);
        let its_own = self.variables.iter().filter(|(program, ..)| *program == name);
        let launch =
            its_own.fold(launch, |launch, (_, variable, value)| launch.env(variable, value));
        let launch = match &self.metrics_ports {
            Some(_) => {
                let its = self.metrics().into_iter().find(|(program, _)| *program == name);
                let (_, address) = its.expect("a program with one service");
                launch.env("LASTRO_METRICS_LISTEN", address.to_string())
            }
            None => launch,
        };
        match &self.bus_url_files {
            Some(files) => launch.env("LASTRO_BUS_URL_FILE", files.join(format!("{name}-bus-url"))),
            None => launch.args(["--bus-url", bus_url]),
        }
    }

    /// Gives a program its clock, and the fault if the program is the first replica of its service.
    fn apply(&self, number: usize, clock: usize, launch: Launch) -> Launch {
        let fault = self.fault.iter().filter(|_| number == 0);
        let launch = fault.fold(launch, |launch, fault| launch.env("LASTRO_FAULT", fault));
        let launch = match self.replaces_peer {
            true => launch.env("LASTRO_REPLACE_PEER", "true"),
            false => launch,
        };
        let launch = self.clocks.get(clock).into_iter().fold(launch, |launch, clock| {
            // Each request is logged at the time that the program's clock shows.
            let level = "info,async_nats=error,web::edge=debug";
            clock.seen_by(launch).env("RUST_LOG", level)
        });
        self.sees_disk(launch)
    }

    /// Makes a program see the disk, if there is one.
    pub(crate) fn sees_disk(&self, launch: Launch) -> Launch {
        self.disk.iter().fold(launch, Launch::on)
    }
}
