//! The forms in which the two services run, all of which owe the same behaviour.
//!
//! `LASTRO_TEST_FORM` names the one under test; `scripts/test` runs the suite over each.

use std::path::Path;
use std::time::Duration;

use testbed::{Launch, Nats, PATIENCE, Program, Proxy};

use crate::shop::{data_in, lastro};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `lastro`: one process, and a queue in its memory between the services.
    Embedded,
    /// `lastro` with a broker between its services.
    Broker,
    /// `order-service` and `inventory-service` with a broker between them.
    Processes,
}

impl Form {
    pub(crate) fn under_test() -> Self {
        match std::env::var("LASTRO_TEST_FORM").as_deref() {
            Err(_) | Ok("" | "embedded") => Self::Embedded,
            Ok("broker") => Self::Broker,
            Ok("processes") => Self::Processes,
            Ok(other) => panic!("LASTRO_TEST_FORM={other} is none of embedded, broker, processes"),
        }
    }

    pub(crate) fn has_broker(self) -> bool {
        self != Self::Embedded
    }
}

/// What the programs of a shop are started with.
#[derive(Debug, Default)]
pub(crate) struct Setting {
    pub(crate) broker: Option<Nats>,
    /// What lies between the Inventory Service and the broker, in a form that has both.
    pub(crate) link: Option<Proxy>,
    /// What the programs are told to suffer; see `platform::fault`.
    pub(crate) fault: Option<String>,
}

/// The programs of one shop, all of them serving.
#[derive(Debug)]
pub(crate) struct Programs {
    /// Where orders are placed; in most forms, everything.
    pub(crate) orders: Program,
    /// The Inventory Service, if it is a process of its own.
    pub(crate) inventory: Option<Program>,
}

impl Programs {
    /// Starts them in `folder`. What `how` changes concerns the program that takes orders.
    pub(crate) async fn start(
        form: Form,
        folder: &Path,
        setting: &Setting,
        how: impl FnOnce(Launch) -> Launch,
    ) -> Self {
        if form != Form::Processes {
            let orders = how(setting.whole(folder)).serving().await;
            return Self { orders, inventory: None };
        }
        let orders = how(setting.orders(folder));
        let shares_disk = orders.has_disk();
        let orders = orders.serving().await;
        let inventory = setting.inventory(folder);
        let inventory = if shares_disk { inventory.beside(&orders) } else { inventory };
        Self { orders, inventory: Some(inventory.serving().await) }
    }

    /// Starts again what has ended.
    pub(crate) async fn restart_ended(&mut self, form: Form, folder: &Path, setting: &Setting) {
        if !self.orders.is_running() {
            let whole = form != Form::Processes;
            let orders = if whole { setting.whole(folder) } else { setting.orders(folder) };
            self.orders = orders.serving().await;
        }
        if self.inventory.as_ref().is_some_and(|inventory| !inventory.is_running()) {
            self.inventory = Some(setting.inventory(folder).serving().await);
        }
    }

    fn all(&self) -> impl Iterator<Item = &Program> {
        [&self.orders].into_iter().chain(&self.inventory)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Program> {
        [&mut self.orders].into_iter().chain(&mut self.inventory)
    }

    /// Where a path is answered, as a gateway would know.
    pub(crate) fn address_of(&self, path: &str) -> std::net::SocketAddr {
        let inventory = self.inventory.as_ref().filter(|_| path.starts_with("/api/inventory"));
        inventory.unwrap_or(&self.orders).address()
    }

    /// Every address, that of the orders first.
    pub(crate) fn addresses(&self) -> Vec<std::net::SocketAddr> {
        self.all().map(Program::address).collect()
    }

    /// SIGKILL to all, at the same instant.
    pub(crate) fn kill(&self) {
        self.all().filter(|program| program.is_running()).for_each(Program::kill);
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

    /// **Units:** bytes, over all of them.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.all().map(Program::resident_bytes).sum()
    }
}

impl Setting {
    /// What a form needs, and nothing wrong with it.
    pub(crate) async fn of(form: Form) -> Self {
        let broker = if form.has_broker() { Some(Nats::start().await) } else { None };
        Self { broker, ..Self::default() }
    }

    pub(crate) fn broker(&self) -> &Nats {
        self.broker.as_ref().expect("the form has a broker")
    }

    /// Both services in one program.
    fn whole(&self, folder: &Path) -> Launch {
        let url = self.broker.as_ref().map(|broker| ["--bus-url".to_owned(), broker.url()]);
        self.apply(crate::shop::launch(folder).args(url.into_iter().flatten()))
    }

    fn orders(&self, folder: &Path) -> Launch {
        self.apply(service("order-service", "orders.db", folder, &self.broker().url()))
    }

    fn inventory(&self, folder: &Path) -> Launch {
        let link = self.link.as_ref().map(|link| format!("nats://127.0.0.1:{}", link.port()));
        let url = link.unwrap_or_else(|| self.broker().url());
        self.apply(service("inventory-service", "inventory.db", folder, &url))
    }

    fn apply(&self, launch: Launch) -> Launch {
        self.fault.iter().fold(launch, |launch, fault| launch.env("LASTRO_FAULT", fault))
    }
}

/// How one service alone is started.
fn service(name: &str, database: &str, folder: &Path, broker_url: &str) -> Launch {
    // Absolute: a working directory is not carried over to the disk of another program.
    let database = format!("sqlite:{}", data_in(folder).join(database).display());
    let launch = lastro(folder).args([name, "--listen", "127.0.0.1:0"]);
    launch.args(["--database-url", &database, "--bus-url", broker_url])
}
