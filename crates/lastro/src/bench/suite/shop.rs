//! The shops under measurement: both services in one of two forms, on data of their own.

use std::path::PathBuf;

use platform::config::DatabaseUrl;
use platform::process::ProgramError;
use tempfile::TempDir;
use tokio::process::Command;

use super::Suite;
use super::loader::{self, Filling, Reached};
use super::resources;
use super::servers::Nats;
use crate::bench::catalogue;
use crate::bench::program::{Program, command};
use crate::bench::wire::Endpoint;
use crate::serve::Databases;

/// Units of each product: more than any row orders.
const UNITS: u32 = 1_000_000;

/// How the services run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Both in one process on SQLite.
    Embedded,
    /// One process each, on PostgreSQL and NATS.
    Production,
}

impl Form {
    pub(super) const BOTH: [Self; 2] = [Self::Embedded, Self::Production];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Production => "production",
        }
    }
}

/// The data of a shop, which outlives its processes. Dropping it removes it, but for the databases
/// of the production form: [`discard`](Self::discard) it.
#[derive(Debug)]
pub(super) struct Data {
    pub(super) databases: Databases,
    folder: TempDir,
    /// The broker and the names of the databases, in the production form.
    production: Option<(Nats, [String; 2])>,
    /// The API key that `lastro` asks for, if it asks.
    key: Option<String>,
}

impl Data {
    /// Empty data of a form.
    pub(super) async fn new(suite: &mut Suite, form: Form) -> Result<Self, ProgramError> {
        let folder = tempfile::tempdir_in(suite.folder()).map_err(ProgramError::failed)?;
        if form == Form::Embedded {
            let databases = Databases::in_folder(folder.path());
            return Ok(Self { databases, folder, production: None, key: None });
        }
        let number = suite.next_number();
        let names = ["orders", "inventory"].map(|service| format!("{service}_{number}"));
        let postgres = suite.postgres();
        for name in &names {
            postgres.execute("postgres", &format!("CREATE DATABASE {name}")).await?;
        }
        let [orders, inventory] =
            names.each_ref().map(|name| DatabaseUrl::Postgres(postgres.url(name)));
        let nats = Nats::start(suite.installed(), folder.path()).await?;
        let databases = Databases { orders, inventory };
        Ok(Self { databases, folder, production: Some((nats, names)), key: None })
    }

    /// Empty data of the embedded form, and a key that its program asks for.
    pub(super) async fn with_key(suite: &mut Suite) -> Result<Self, ProgramError> {
        let data = Self::new(suite, Form::Embedded).await?;
        let key = crate::keys::create_for_all(&data.keys_file(), "lastro bench")?;
        Ok(Self { key: Some(key), ..data })
    }

    fn keys_file(&self) -> PathBuf {
        self.folder.path().join("keys.toml")
    }

    /// Data with stored orders.
    pub(super) async fn filled(
        suite: &mut Suite,
        form: Form,
        orders: u64,
        reached: Reached,
    ) -> Result<Self, ProgramError> {
        let data = Self::new(suite, form).await?;
        // The services migrate the databases when they start.
        Shop::open(&data, 1).await?.close().await?;
        let products = suite.scale.products;
        let filling = Filling { orders, reached, products, units: UNITS };
        suite.say(&format!("loading {orders} orders"));
        loader::fill(&data.databases, filling, &suite.stop).await?;
        Ok(data)
    }

    /// Removes the databases.
    pub(super) async fn discard(self, suite: &Suite) -> Result<(), ProgramError> {
        let Some((_, names)) = &self.production else { return Ok(()) };
        for name in names {
            suite
                .postgres()
                .execute("postgres", &format!("DROP DATABASE {name} WITH (FORCE)"))
                .await?;
        }
        Ok(())
    }

    fn command(&self, service: &str, database: &DatabaseUrl) -> Result<Command, ProgramError> {
        let mut command = command(&[service], self.folder.path())?;
        if let (DatabaseUrl::Postgres(url), Some((nats, _))) = (database, &self.production) {
            command.env("LASTRO_DATABASE_URL", url).env("LASTRO_BUS_URL", nats.url());
        }
        Ok(command)
    }

    async fn start_lastro(&self) -> Result<Program, ProgramError> {
        let mut command = command(&[], self.folder.path())?;
        command.arg("--data-dir").arg(self.folder.path());
        if self.key.is_some() {
            command.arg("--api-keys-file").arg(self.keys_file());
        }
        let program = Program::start("lastro", command).await?;
        Ok(program.with_key(self.key.clone()))
    }

    /// Starts a replica of the Order Service.
    pub(super) async fn start_orders(&self) -> Result<Program, ProgramError> {
        let command = self.command("order-service", &self.databases.orders)?;
        Program::start("order-service", command).await
    }

    /// Starts a replica of the Inventory Service.
    pub(super) async fn start_inventory(&self) -> Result<Program, ProgramError> {
        let command = self.command("inventory-service", &self.databases.inventory)?;
        Program::start("inventory-service", command).await
    }
}

/// Running services. Dropping it kills their processes.
#[derive(Debug)]
pub(super) struct Shop {
    /// The program `lastro`, or the replicas of the Order Service.
    pub(super) orders: Vec<Program>,
    /// The replicas of the Inventory Service, where it is a process of its own.
    pub(super) inventory: Vec<Program>,
}

impl Shop {
    /// Starts the services on the data, with this number of replicas.
    ///
    /// # Errors
    ///
    /// A program does not become ready.
    pub(super) async fn open(data: &Data, replicas: usize) -> Result<Self, ProgramError> {
        let mut shop = Self { orders: Vec::new(), inventory: Vec::new() };
        if data.production.is_none() {
            shop.orders.push(data.start_lastro().await?);
            return Ok(shop);
        }
        for _ in 0..replicas {
            shop.orders.push(data.start_orders().await?);
            shop.inventory.push(data.start_inventory().await?);
        }
        Ok(shop)
    }

    /// Starts the services on new data, with products in stock.
    ///
    /// # Errors
    ///
    /// A program does not become ready, or refuses a product.
    pub(super) async fn stocked(
        suite: &mut Suite,
        form: Form,
        replicas: usize,
    ) -> Result<(Data, Self), ProgramError> {
        let data = Data::new(suite, form).await?;
        let shop = Self::on(&data, suite, replicas).await?;
        Ok((data, shop))
    }

    /// Starts the services on this empty data, with products in stock.
    ///
    /// # Errors
    ///
    /// As [`stocked`](Self::stocked).
    pub(super) async fn on(
        data: &Data,
        suite: &Suite,
        replicas: usize,
    ) -> Result<Self, ProgramError> {
        let shop = Self::open(data, replicas).await?;
        let inventory = shop.inventory.first().unwrap_or(&shop.orders[0]);
        let scale = &suite.scale;
        catalogue::stock(&inventory.endpoint(), scale.products, UNITS.into(), scale.locations)
            .await?;
        Ok(shop)
    }

    /// Where orders are placed.
    pub(super) fn entrances(&self) -> Vec<Endpoint> {
        self.orders.iter().map(Program::endpoint).collect()
    }

    /// The processes by name, with the address of their metrics.
    pub(super) fn processes(&self) -> Vec<(String, Endpoint)> {
        let all = self.orders.iter().chain(&self.inventory);
        all.map(|program| (program.name.to_owned(), program.endpoint())).collect()
    }

    /// Stops all programs in an orderly way. Returns the bytes that they wrote in their lives, with
    /// what they wrote at the end.
    ///
    /// # Errors
    ///
    /// A program died earlier, or did not stop in time.
    pub(super) async fn close(self) -> Result<u64, ProgramError> {
        let Self { mut orders, mut inventory } = self;
        let mut written = 0;
        for program in orders.iter().chain(&inventory) {
            program.terminate();
        }
        for program in orders.iter_mut().chain(&mut inventory) {
            program.exited().await;
            written += resources::written_bytes(program.pid())?;
            program.ended().await?;
        }
        Ok(written)
    }
}

/// The null server.
///
/// # Errors
///
/// It does not become ready.
pub(super) async fn null_server(folder: PathBuf) -> Result<Program, ProgramError> {
    Program::start("null-server", command(&["null-server"], &folder)?).await
}
