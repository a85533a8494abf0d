//! The services that the bench starts itself: this program in other processes, so that the CPU time
//! of the load and of the services can be measured separately.

use std::path::{Path, PathBuf};

use platform::config::BusUrl;
use platform::process::ProgramError;
use tempfile::TempDir;
use tokio::process::Command;

use super::program::{Program, command};
use super::wire::Endpoint;
use crate::serve::Databases;

/// Running services that belong to the bench. Dropping them kills their processes.
#[derive(Debug)]
pub(super) struct OwnServices {
    /// The program `lastro`, or the Order Service and the Inventory Service.
    programs: Vec<Program>,
    databases: Databases,
    /// The temporary folder of the data; none if the data is kept.
    _folder: Option<TempDir>,
}

impl OwnServices {
    /// Starts empty services: one process with an embedded bus, or two connected by a broker. The
    /// data is in `folder`, which must not contain data yet, or in a temporary folder.
    ///
    /// # Errors
    ///
    /// The folder contains data, or a program does not become ready.
    pub(super) async fn open(
        folder: Option<PathBuf>,
        bus: Option<BusUrl>,
    ) -> Result<Self, ProgramError> {
        let temporary = match folder {
            Some(_) => None,
            None => Some(tempfile::tempdir().map_err(ProgramError::failed)?),
        };
        let named = folder
            .as_deref()
            .or(temporary.as_ref().map(TempDir::path))
            .expect("one of the two is there");
        let folder = empty_folder(named)?;
        let programs = start_all(&folder, bus).await?;
        let databases = Databases::in_folder(&folder);
        Ok(Self { programs, databases, _folder: temporary })
    }

    /// The services in one line, for the report.
    pub(super) fn describe(&self) -> String {
        match self.programs.as_slice() {
            [_] => "its own lastro on an embedded bus".to_owned(),
            _ => "its own order-service and inventory-service, connected by NATS".to_owned(),
        }
    }

    pub(super) fn orders(&self) -> Endpoint {
        self.programs.first().expect("a program").endpoint()
    }

    pub(super) fn inventory(&self) -> Endpoint {
        self.programs.last().expect("a program").endpoint()
    }

    /// The processes by name, with the address of their metrics.
    pub(super) fn processes(&self) -> Vec<(String, Endpoint)> {
        self.programs.iter().map(|program| (program.name.to_owned(), program.endpoint())).collect()
    }

    pub(super) fn databases(&self) -> &Databases {
        &self.databases
    }

    /// Stops all programs in an orderly way.
    ///
    /// # Errors
    ///
    /// A program died earlier, or did not stop in time.
    pub(super) async fn close(mut self) -> Result<(), ProgramError> {
        for program in &self.programs {
            program.terminate();
        }
        for program in &mut self.programs {
            program.ended().await?;
        }
        Ok(())
    }
}

/// Creates the folder if it is missing, and returns its absolute path.
fn empty_folder(named: &Path) -> Result<PathBuf, ProgramError> {
    let folder = std::path::absolute(named).map_err(ProgramError::failed)?;
    if folder.join("orders.db").exists() {
        return Err(ProgramError::failed(format!(
            "{} already contains data; name a new folder for the bench",
            folder.display()
        )));
    }
    std::fs::create_dir_all(&folder).map_err(|error| {
        ProgramError::failed(format!("cannot use {}: {error}", folder.display()))
    })?;
    Ok(folder)
}

/// Starts one program with an embedded bus, or two on a broker.
async fn start_all(folder: &Path, bus: Option<BusUrl>) -> Result<Vec<Program>, ProgramError> {
    let Some(BusUrl::Nats(broker)) = bus else {
        let mut command = command(&[], folder)?;
        command.arg("--data-dir").arg(folder);
        return Ok(vec![Program::start("lastro", command).await?]);
    };
    let orders = alone("order-service", folder, "orders.db", &broker)?;
    let orders = Program::start("order-service", orders).await?;
    let inventory = alone("inventory-service", folder, "inventory.db", &broker)?;
    let inventory = Program::start("inventory-service", inventory).await?;
    Ok(vec![orders, inventory])
}

/// A single service on this file, connected by this broker.
fn alone(name: &str, folder: &Path, file: &str, broker: &str) -> Result<Command, ProgramError> {
    let mut command = command(&[name], folder)?;
    let url = format!("sqlite:{}", folder.join(file).display());
    // The broker's URL may contain a password, and every user sees the arguments of a process.
    command.args(["--database-url", &url]).env("LASTRO_BUS_URL", broker);
    Ok(command)
}
