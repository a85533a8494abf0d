//! A program that the bench starts: this executable in another process, so that the CPU time of the
//! load and of the services can be measured separately.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use platform::process::ProgramError;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::Instant;

use super::wire::Endpoint;

/// How long a program may take to become ready, and to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running program. Dropping it kills its process.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) name: &'static str,
    /// The time from the start of the process until it was ready.
    pub(super) ready_after: Duration,
    address: SocketAddr,
    pid: Pid,
    child: Child,
    /// The API key that it asks for, if it asks.
    key: Option<String>,
}

impl Program {
    /// Starts the program, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// The program did not become ready; the message has its last line.
    pub(super) async fn start(
        name: &'static str,
        mut command: Command,
    ) -> Result<Self, ProgramError> {
        let started = Instant::now();
        let mut child = command
            .spawn()
            .map_err(|error| ProgramError::failed(format!("cannot start {name}: {error}")))?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        let pid = pid.expect("a child that was not waited for has an id");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        match tokio::time::timeout(PATIENCE, address(&mut lines)).await {
            Ok(Ok(address)) => {
                let ready_after = started.elapsed();
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                Ok(Self { name, ready_after, address, pid, child, key: None })
            }
            Ok(Err(last)) => Err(ProgramError::failed(format!(
                "{name} did not become ready; its last line was: {last}"
            ))),
            Err(_) => Err(ProgramError::failed(format!(
                "{name} did not become ready within {PATIENCE:?}"
            ))),
        }
    }

    /// The same program, asked with this API key.
    pub(super) fn with_key(self, key: Option<String>) -> Self {
        Self { key, ..self }
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        let endpoint = Endpoint::at(self.address);
        match &self.key {
            Some(key) => endpoint.with_key(key),
            None => endpoint,
        }
    }

    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends SIGTERM.
    pub(super) fn terminate(&self) {
        // `ended` reports a program that has ended already.
        let _ = kill_process(self.pid, Signal::TERM);
    }

    /// Waits until the process has ended, and keeps it as a zombie, whose numbers in `/proc` can
    /// still be read.
    pub(super) async fn exited(&self) {
        let pid = self.pid;
        let waiting = tokio::task::spawn_blocking(move || {
            waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
        });
        // `ended` reports a program that does not stop.
        let _ = tokio::time::timeout(PATIENCE, waiting).await;
    }

    /// Waits for the end.
    ///
    /// # Errors
    ///
    /// The program died earlier, or did not stop in time.
    pub(super) async fn ended(&mut self) -> Result<(), ProgramError> {
        let Self { name, child, .. } = self;
        match tokio::time::timeout(PATIENCE, child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(ProgramError::failed(format!("{name} ended with {status}"))),
            Ok(Err(error)) => Err(ProgramError::failed(format!("cannot wait for {name}: {error}"))),
            Err(_) => Err(ProgramError::failed(format!("{name} did not stop within {PATIENCE:?}"))),
        }
    }
}

/// This executable with these arguments on any free port of the loopback. Its log can be read.
///
/// # Errors
///
/// The operating system does not say which file this executable is.
pub(super) fn command(words: &[&str], folder: &Path) -> Result<Command, ProgramError> {
    let mut command = Command::new(std::env::current_exe().map_err(ProgramError::failed)?);
    command.args(words).args(["--listen", "127.0.0.1:0"]).current_dir(folder);
    // The settings of this process must not configure that one.
    for (name, _) in std::env::vars_os() {
        if name == "RUST_LOG" || name.as_encoded_bytes().starts_with(b"LASTRO_") {
            command.env_remove(name);
        }
    }
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
