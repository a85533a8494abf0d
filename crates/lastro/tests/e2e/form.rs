//! The forms in which the two services run, all of which owe the same behaviour.
//!
//! `LASTRO_TEST_FORM` names the one under test; `scripts/test` runs the suite over each.

use std::path::Path;
use std::time::Duration;

use testbed::{Launch, Nats, Program};

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

    /// A broker of the shop's own, if the form has one.
    pub(crate) async fn broker(self) -> Option<Nats> {
        if self == Self::Embedded { None } else { Some(Nats::start().await) }
    }
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
        broker: Option<&Nats>,
        how: impl FnOnce(Launch) -> Launch,
    ) -> Self {
        let url = broker.map(Nats::url);
        if form != Form::Processes {
            let bus = url.map(|url| ["--bus-url".to_owned(), url]).into_iter().flatten();
            let orders = how(crate::shop::launch(folder).args(bus)).serving().await;
            return Self { orders, inventory: None };
        }
        let url = url.expect("services apart have a broker");
        let orders = how(service("order-service", "orders.db", folder, &url));
        let shares_disk = orders.has_disk();
        let orders = orders.serving().await;
        let inventory = service("inventory-service", "inventory.db", folder, &url);
        let inventory = if shares_disk { inventory.beside(&orders) } else { inventory };
        Self { orders, inventory: Some(inventory.serving().await) }
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
        self.all().for_each(Program::kill);
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

    pub(crate) fn are_alive(&mut self) -> bool {
        self.all_mut().all(Program::is_alive)
    }

    pub(crate) fn log(&self) -> String {
        self.all().map(Program::log).collect()
    }

    /// **Units:** bytes, over all of them.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.all().map(Program::resident_bytes).sum()
    }
}

/// How one service alone is started.
pub(crate) fn service(name: &str, database: &str, folder: &Path, broker_url: &str) -> Launch {
    // Absolute: a working directory is not carried over to the disk of another program.
    let database = format!("sqlite:{}", data_in(folder).join(database).display());
    let launch = lastro(folder).args([name, "--listen", "127.0.0.1:0"]);
    launch.args(["--database-url", &database, "--bus-url", broker_url])
}
