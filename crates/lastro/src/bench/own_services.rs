//! The services that the bench starts itself: this program in other processes, so that the CPU time
//! of the load and of the services can be measured separately.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use platform::config::BusUrl;
use platform::process::ProgramError;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use super::wire::Endpoint;
use crate::serve::Databases;

/// How long a program may take to become ready, and to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// Running services that belong to the bench. Dropping them kills their processes.
#[derive(Debug)]
pub(super) struct OwnServices {
    /// The program `lastro`, or the Order Service and the Inventory Service.
    programs: Vec<Program>,
    databases: Databases,
    /// The temporary folder of the data; none if the data is kept.
    _folder: Option<TempDir>,
}

#[derive(Debug)]
struct Program {
    name: &'static str,
    address: SocketAddr,
    child: Child,
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
        Endpoint::at(self.programs.first().expect("a program").address)
    }

    pub(super) fn inventory(&self) -> Endpoint {
        Endpoint::at(self.programs.last().expect("a program").address)
    }

    /// The processes by name, with the address of their metrics.
    pub(super) fn processes(&self) -> Vec<(String, Endpoint)> {
        self.programs
            .iter()
            .map(|program| (program.name.to_owned(), Endpoint::at(program.address)))
            .collect()
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
        return Ok(vec![Program::start("lastro", &[], folder, None).await?]);
    };
    let alone = Some(("orders.db", &*broker));
    let orders = Program::start("order-service", &["order-service"], folder, alone).await?;
    let alone = Some(("inventory.db", &*broker));
    let inventory =
        Program::start("inventory-service", &["inventory-service"], folder, alone).await?;
    Ok(vec![orders, inventory])
}

impl Program {
    /// Starts this program with these arguments on any free port, and waits until it is ready.
    /// `alone` is for a single service: the file of its data, and the URL of its broker.
    async fn start(
        name: &'static str,
        words: &[&str],
        folder: &Path,
        alone: Option<(&str, &str)>,
    ) -> Result<Self, ProgramError> {
        let mut command = command(words, folder, alone)?;
        let mut child = command
            .spawn()
            .map_err(|error| ProgramError::failed(format!("cannot start {name}: {error}")))?;
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        match tokio::time::timeout(PATIENCE, address(&mut lines)).await {
            Ok(Ok(address)) => {
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                Ok(Self { name, address, child })
            }
            Ok(Err(last)) => Err(ProgramError::failed(format!(
                "{name} did not become ready; its last line was: {last}"
            ))),
            Err(_) => Err(ProgramError::failed(format!(
                "{name} did not become ready within {PATIENCE:?}"
            ))),
        }
    }

    /// Sends SIGTERM.
    fn terminate(&self) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        // `ended` reports a program that has ended already.
        let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
    }

    async fn ended(&mut self) -> Result<(), ProgramError> {
        let Self { name, child, .. } = self;
        match tokio::time::timeout(PATIENCE, child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(ProgramError::failed(format!("{name} ended with {status}"))),
            Ok(Err(error)) => Err(ProgramError::failed(format!("cannot wait for {name}: {error}"))),
            Err(_) => Err(ProgramError::failed(format!("{name} did not stop within {PATIENCE:?}"))),
        }
    }
}

/// This program with these arguments, see [`Program::start`]. Its log can be read.
fn command(
    words: &[&str],
    folder: &Path,
    alone: Option<(&str, &str)>,
) -> Result<Command, ProgramError> {
    let mut command = Command::new(std::env::current_exe().map_err(ProgramError::failed)?);
    command.args(words).args(["--listen", "127.0.0.1:0"]).current_dir(folder);
    // The settings of this process must not configure that one.
    for (name, _) in std::env::vars_os() {
        if name == "RUST_LOG" || name.as_encoded_bytes().starts_with(b"LASTRO_") {
            command.env_remove(name);
        }
    }
    match alone {
        None => command.arg("--data-dir").arg(folder),
        // The broker's URL may contain a password, and every user sees the arguments of a process.
        Some((file, broker)) => {
            let url = format!("sqlite:{}", folder.join(file).display());
            command.args(["--database-url", &url]).env("LASTRO_BUS_URL", broker)
        }
    };
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    // Ctrl-C on a terminal must reach the bench only, which still needs the services then.
    command.process_group(0);
    Ok(command)
}

/// Reads log lines up to "… is ready" and returns the address in that line, or the last line if the
/// log ends before.
async fn address(lines: &mut Lines<BufReader<ChildStderr>>) -> Result<SocketAddr, String> {
    let mut last = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        let event: Value = serde_json::from_str(&line).unwrap_or_default();
        if event["message"].as_str().is_some_and(|message| message.ends_with(" is ready")) {
            let address = event["address"].as_str().and_then(|address| address.parse().ok());
            return address.ok_or(line);
        }
        last = line;
    }
    Err(last)
}
