//! The forms in which the two services run, all of which owe the same behaviour.
//!
//! `LASTRO_TEST_FORM` names the one under test; `scripts/test` runs the suite over each.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use platform::clock::Timestamp;
use serde_json::Value;
use testbed::{Clock, Disk, Launch, Nats, PATIENCE, Program, Proxy, fresh_database};

use crate::shop::{data_in, lastro};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `lastro`: one process, and a queue in its memory between the services.
    Embedded,
    /// `lastro` with a broker between its services.
    Broker,
    /// `order-service` and `inventory-service` with a broker between them.
    Processes,
    /// The same on PostgreSQL.
    Postgres,
    /// Two of each, on PostgreSQL.
    Replicas,
}

impl Form {
    pub(crate) fn under_test() -> Self {
        match std::env::var("LASTRO_TEST_FORM").as_deref() {
            Err(_) | Ok("" | "embedded") => Self::Embedded,
            Ok("broker") => Self::Broker,
            Ok("processes") => Self::Processes,
            Ok("postgres") => Self::Postgres,
            Ok("replicas") => Self::Replicas,
            Ok(other) => panic!("LASTRO_TEST_FORM={other} is none of embedded, broker, processes, postgres, replicas"),
        }
    }

    /// The form under test if it is `as_wanted`, else two processes that keep their data in files.
    pub(crate) fn that(as_wanted: impl FnOnce(Self) -> bool) -> Self {
        let form = Self::under_test();
        if as_wanted(form) { form } else { Self::Processes }
    }

    pub(crate) fn has_broker(self) -> bool {
        self != Self::Embedded
    }

    /// Whether the data lies in files.
    pub(crate) fn has_files(self) -> bool {
        !matches!(self, Self::Postgres | Self::Replicas)
    }

    /// How many programs a shop consists of.
    pub(crate) fn programs(self) -> usize {
        if self.is_apart() { 2 * self.replicas() } else { 1 }
    }

    /// Whether the services are processes of their own.
    pub(crate) fn is_apart(self) -> bool {
        !matches!(self, Self::Embedded | Self::Broker)
    }

    /// How many programs there are of each kind.
    pub(crate) fn replicas(self) -> usize {
        if self == Self::Replicas { 2 } else { 1 }
    }
}

/// The URLs of two PostgreSQL databases.
#[derive(Clone, Debug)]
pub(crate) struct Databases {
    pub(crate) orders: String,
    pub(crate) inventory: String,
}

/// What the programs of a shop are started with.
#[derive(Debug, Default)]
pub(crate) struct Setting {
    pub(crate) broker: Option<Nats>,
    /// Where the bus is, if it is no single broker.
    pub(crate) bus_url: Option<String>,
    /// None where the data lies in files.
    pub(crate) databases: Option<Databases>,
    /// What lies between the Inventory Service and the broker, in a form that has both.
    pub(crate) link: Option<Proxy>,
    /// What the programs are told to suffer; see `platform::fault`.
    pub(crate) fault: Option<String>,
    /// Clocks that the programs see: those that take orders first, then those of the Inventory Service.
    pub(crate) clocks: Vec<Clock>,
    /// A disk that they see, if the test has one.
    pub(crate) disk: Option<Disk>,
}

/// The programs of one shop, all of them serving.
#[derive(Debug)]
pub(crate) struct Programs {
    /// Where orders are placed; in a form of one process, everything.
    pub(crate) orders: Vec<Program>,
    /// The Inventory Service, if it is a process of its own.
    inventory: Vec<Program>,
    /// Requests so far, which go to the replicas in turn.
    turn: AtomicUsize,
}

impl Programs {
    /// Starts them in `folder`. What `how` changes concerns the programs that take orders.
    pub(crate) async fn start(form: Form, folder: &Path, setting: &Setting, how: impl Fn(Launch) -> Launch) -> Self {
        let (mut orders, mut inventory) = (Vec::new(), Vec::new());
        for number in 0..form.replicas() {
            orders.push(how(setting.taking_orders(form, folder, number)).serving().await);
            if form.is_apart() {
                inventory.push(setting.keeping_stock(form, folder, number).serving().await);
            }
        }
        Self { orders, inventory, turn: AtomicUsize::new(0) }
    }

    /// How they are started.
    pub(crate) fn launches(form: Form, folder: &Path, setting: &Setting) -> Vec<Launch> {
        let orders = (0..form.replicas()).map(|number| setting.taking_orders(form, folder, number));
        let apart = if form.is_apart() { form.replicas() } else { 0 };
        let inventory = (0..apart).map(|number| setting.keeping_stock(form, folder, number));
        orders.chain(inventory).collect()
    }

    /// Starts again what has ended.
    pub(crate) async fn restart_ended(&mut self, form: Form, folder: &Path, setting: &Setting) {
        for (number, program) in self.orders.iter_mut().enumerate().filter(|(_, program)| !program.is_running()) {
            *program = setting.taking_orders(form, folder, number).serving().await;
        }
        for (number, program) in self.inventory.iter_mut().enumerate().filter(|(_, program)| !program.is_running()) {
            *program = setting.keeping_stock(form, folder, number).serving().await;
        }
    }

    /// The time at which each has logged its last line, on the clock that it sees.
    pub(crate) fn last_told(&self) -> Vec<Timestamp> {
        let reported = |program: &Program| {
            let log = program.log();
            let line: Value = serde_json::from_str(log.lines().last()?).ok()?;
            Timestamp::parse_rfc3339(line["timestamp"].as_str()?)
        };
        self.all().map(|program| reported(program).expect("a line with a time")).collect()
    }

    fn all(&self) -> impl Iterator<Item = &Program> {
        self.orders.iter().chain(&self.inventory)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Program> {
        self.orders.iter_mut().chain(&mut self.inventory)
    }

    /// Where a path is answered, as a gateway would know: by a replica that runs, each in its turn.
    pub(crate) fn address_of(&self, path: &str) -> SocketAddr {
        let apart = path.starts_with("/api/inventory") && !self.inventory.is_empty();
        let replicas = if apart { &self.inventory } else { &self.orders };
        let mut running: Vec<_> = replicas.iter().filter(|program| program.is_running()).collect();
        if running.is_empty() {
            running = replicas.iter().collect();
        }
        running[self.turn.fetch_add(1, Ordering::Relaxed) % running.len()].address()
    }

    /// Of those that run, the Order Service and the Inventory Service, which may be one program.
    pub(crate) fn addresses(&self) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        let running = |program: &&Program| program.is_running();
        let of = |programs: &[Program]| programs.iter().filter(running).map(Program::address).collect();
        (of(&self.orders), of(&self.inventory))
    }

    /// SIGKILL to all, at the same instant.
    pub(crate) fn kill(&self) {
        self.all().filter(|program| program.is_running()).for_each(Program::kill);
    }

    /// SIGKILL to every Inventory Service. False: it is no process of its own.
    pub(crate) fn kill_inventory(&self) -> bool {
        self.inventory.iter().filter(|program| program.is_running()).for_each(Program::kill);
        !self.inventory.is_empty()
    }

    /// SIGTERM to all.
    pub(crate) fn terminate(&self) {
        self.all().for_each(Program::terminate);
    }

    /// The worst exit code, once all have ended; None if a signal ended one.
    pub(crate) async fn ended(&mut self, deadline: Duration) -> Option<i32> {
        let mut worst = Some(0);
        for program in self.all_mut() {
            worst = program.ended(deadline).await.zip(worst).map(|(code, worst)| code.max(worst));
        }
        worst
    }

    /// Whether one of them has ended, by whatever.
    pub(crate) fn one_has_ended(&self) -> bool {
        self.all().any(|program| !program.is_running())
    }

    /// The exit codes of those that have ended; None if a signal did it.
    pub(crate) async fn exit_codes_of_ended(&mut self) -> Vec<Option<i32>> {
        let mut codes = Vec::new();
        for program in self.all_mut().filter(|program| !program.is_running()) {
            codes.push(program.ended(PATIENCE).await);
        }
        codes
    }

    pub(crate) fn log(&self) -> String {
        self.all().map(Program::log).collect()
    }

    /// Messages must have come again and again, in both directions.
    pub(crate) fn must_have_been_in_a_storm(&self) {
        let log = self.log();
        for channel in [contract::commands::COMMANDS_CHANNEL, contract::answers::ANSWERS_CHANNEL] {
            assert!(log.contains(&format!("a storm on {channel}: ")), "{log}");
        }
    }

    /// **Units:** bytes, over all of them.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.all().map(Program::resident_bytes).sum()
    }
}

impl Setting {
    /// What a form needs, and nothing wrong with it.
    pub(crate) async fn of(form: Form) -> Self {
        let broker = if form.has_broker() { Some(Nats::start().await) } else { None };
        let databases = if form.has_files() {
            None
        } else {
            Some(Databases { orders: fresh_database().await, inventory: fresh_database().await })
        };
        Self { broker, databases, ..Self::default() }
    }

    pub(crate) fn broker(&self) -> &Nats {
        self.broker.as_ref().expect("the form has a broker")
    }

    fn bus_url(&self) -> String {
        self.bus_url.clone().unwrap_or_else(|| self.broker().url())
    }

    /// How a tool is told where the data is.
    pub(crate) fn places(&self) -> Vec<&str> {
        match &self.databases {
            None => vec!["--data-dir", "data"],
            Some(Databases { orders, inventory }) => {
                vec!["--orders-database-url", orders, "--inventory-database-url", inventory]
            }
        }
    }

    /// A program that takes orders, by its number.
    fn taking_orders(&self, form: Form, folder: &Path, number: usize) -> Launch {
        let launch = if form.is_apart() { self.orders(folder) } else { self.whole(folder) };
        self.apply(number, number, launch)
    }

    /// An Inventory Service that is a process of its own.
    fn keeping_stock(&self, form: Form, folder: &Path, number: usize) -> Launch {
        self.apply(number, form.replicas() + number, self.inventory(folder))
    }

    /// Both services in one program.
    fn whole(&self, folder: &Path) -> Launch {
        let url = self.broker.as_ref().map(|broker| ["--bus-url".to_owned(), broker.url()]);
        crate::shop::launch(folder).args(url.into_iter().flatten())
    }

    fn orders(&self, folder: &Path) -> Launch {
        let database = self.databases.as_ref().map(|databases| databases.orders.clone());
        let database = database.unwrap_or_else(|| file(folder, "orders.db"));
        service("order-service", &database, folder, &self.bus_url())
    }

    fn inventory(&self, folder: &Path) -> Launch {
        let link = self.link.as_ref().map(|link| format!("nats://127.0.0.1:{}", link.port()));
        let url = link.unwrap_or_else(|| self.bus_url());
        let database = self.databases.as_ref().map(|databases| databases.inventory.clone());
        let database = database.unwrap_or_else(|| file(folder, "inventory.db"));
        service("inventory-service", &database, folder, &url)
    }

    /// What the first replica of a service dies of, the others live through. A storm is for all.
    fn apply(&self, number: usize, clock: usize, launch: Launch) -> Launch {
        let fault = self.fault.iter().filter(|fault| number == 0 || *fault == "storm");
        let launch = fault.fold(launch, |launch, fault| launch.env("LASTRO_FAULT", fault));
        let launch = self.clocks.get(clock).into_iter().fold(launch, |launch, clock| {
            // Each request is a line, whose time tells what clock the program sees.
            clock.seen_by(launch).env("RUST_LOG", "info,async_nats=error,web::edge=debug")
        });
        self.sees_disk(launch)
    }

    /// A program, on the disk if there is one.
    pub(crate) fn sees_disk(&self, launch: Launch) -> Launch {
        self.disk.iter().fold(launch, Launch::on)
    }
}

/// The URL of a file.
fn file(folder: &Path, name: &str) -> String {
    format!("sqlite:{}", data_in(folder).join(name).display())
}

/// How one service alone is started.
fn service(name: &str, database_url: &str, folder: &Path, broker_url: &str) -> Launch {
    let launch = lastro(folder).args([name, "--listen", "127.0.0.1:0"]);
    launch.args(["--database-url", database_url, "--bus-url", broker_url])
}
