//! The throwaway servers of the suite: PostgreSQL and NATS on free ports of the loopback, in a
//! temporary folder. Dropping one ends it, so an error or Ctrl-C leaves nothing behind.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use platform::process::ProgramError;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::time::Instant;

pub(super) use installed::Installed;

mod installed;

/// How long a server may take to become ready.
const PATIENCE: Duration = Duration::from_secs(60);
/// The time between two looks at whether it is.
const PAUSE: Duration = Duration::from_millis(50);
/// How many ports are tried, because another program may take one meanwhile.
const ATTEMPTS: u32 = 5;

/// A server process.
#[derive(Debug)]
struct Server {
    child: Child,
    signal: Signal,
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // A server that has ended needs no signal.
        let _ = pid.map(|pid| kill_process(pid, self.signal));
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts a server that writes its log to a file. `signal` ends it.
    fn start(mut command: Command, log: &Path, signal: Signal) -> Result<Self, ProgramError> {
        let output = File::create(log).map_err(ProgramError::failed)?;
        let errors = output.try_clone().map_err(ProgramError::failed)?;
        let child = command.stdout(output).stderr(errors).spawn();
        let child = child.map_err(|error| failed(command.get_program(), &error.to_string()))?;
        Ok(Self { child, signal })
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }
}

fn failed(program: &OsStr, reason: &str) -> ProgramError {
    ProgramError::failed(format!("{} did not start: {reason}", program.display()))
}

/// The last line of a log.
fn last_line(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().last().unwrap_or("it said nothing").to_owned()
}

/// A PostgreSQL with the default settings.
#[derive(Debug)]
pub(super) struct Postgres {
    server: Server,
    installed: Installed,
    port: u16,
}

impl Postgres {
    /// Makes a cluster in the folder and starts it.
    ///
    /// # Errors
    ///
    /// The server does not start; the message has the last line of its log.
    pub(super) async fn start(installed: &Installed, folder: &Path) -> Result<Self, ProgramError> {
        open_to_all(folder)?;
        let home = folder.join("postgres");
        let all = DirBuilder::new().mode(0o777).create(&home);
        all.and_then(|()| std::fs::set_permissions(&home, PermissionsExt::from_mode(0o777)))
            .map_err(ProgramError::failed)?;
        let data = home.join("data");
        let mut initdb = installed.unprivileged("initdb");
        initdb.arg("-D").arg(&data);
        initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale"]);
        run(initdb).await?;
        let log = folder.join("postgres.log");
        for _ in 0..ATTEMPTS {
            let port = free_port()?;
            let mut command = installed.unprivileged("postgres");
            command.arg("-D").arg(&data).args(["-p", &port.to_string()]);
            command.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
            command.args(["-c", "max_connections=500"]);
            // An immediate shutdown: nobody needs the data any more.
            let server = Server::start(command, &log, Signal::QUIT)?;
            let mut postgres = Self { server, installed: installed.clone(), port };
            if postgres.is_ready().await {
                return Ok(postgres);
            }
        }
        Err(failed(OsStr::new("postgres"), &last_line(&log)))
    }

    /// Waits until the server answers; false if it has ended.
    async fn is_ready(&mut self) -> bool {
        let patience = Instant::now() + PATIENCE;
        while Instant::now() < patience && !self.server.has_ended() {
            if self.execute("postgres", "SELECT 1").await.is_ok() {
                return true;
            }
            tokio::time::sleep(PAUSE).await;
        }
        false
    }

    /// The URL of a database.
    pub(super) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Executes a statement in a database.
    ///
    /// # Errors
    ///
    /// The server refuses it.
    pub(super) async fn execute(&self, database: &str, sql: &str) -> Result<(), ProgramError> {
        let mut command = self.installed.command("psql");
        command.args(["-qX", "-v", "ON_ERROR_STOP=1", "-c", sql, &self.url(database)]);
        run(command).await.map(|_| ())
    }
}

/// Lets every user reach what is inside the folder.
fn open_to_all(folder: &Path) -> Result<(), ProgramError> {
    let passable = PermissionsExt::from_mode(0o711);
    std::fs::set_permissions(folder, passable).map_err(ProgramError::failed)
}

/// A port that is free now.
fn free_port() -> Result<u16, ProgramError> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(ProgramError::failed)?;
    Ok(listener.local_addr().map_err(ProgramError::failed)?.port())
}

/// Runs a program to its end, and returns what it printed. A program whose future is dropped is
/// killed.
///
/// # Errors
///
/// The program failed; the message has its last line.
pub(super) async fn run(command: Command) -> Result<String, ProgramError> {
    let mut command = tokio::process::Command::from(command);
    let output = command.kill_on_drop(true).output().await;
    let name = command.as_std().get_program().to_owned();
    let output = output.map_err(|error| failed(&name, &error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or("it said nothing");
    Err(ProgramError::failed(format!("{} failed: {last}", name.display())))
}

/// A NATS with JetStream.
#[derive(Debug)]
pub(super) struct Nats {
    _server: Server,
    url: String,
}

impl Nats {
    /// Starts a server whose data is in the folder.
    ///
    /// # Errors
    ///
    /// The server does not start; the message has the last line of its log.
    pub(super) async fn start(installed: &Installed, folder: &Path) -> Result<Self, ProgramError> {
        let mut command = installed.command("nats-server");
        // Port -1 means any free port; the file reports it.
        command.args(["-a", "127.0.0.1", "-p", "-1", "-js", "-sd"]).arg(folder);
        command.arg("--ports_file_dir").arg(folder);
        let log = folder.join("nats.log");
        let mut server = Server::start(command, &log, Signal::TERM)?;
        let ports = folder.join(format!("nats-server_{}.ports", server.child.id()));
        let patience = Instant::now() + PATIENCE;
        while Instant::now() < patience && !server.has_ended() {
            let text = std::fs::read_to_string(&ports).unwrap_or_default();
            let ports: Value = serde_json::from_str(&text).unwrap_or_default();
            if let Some(url) = ports["nats"][0].as_str() {
                return Ok(Self { _server: server, url: url.to_owned() });
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(failed(OsStr::new("nats-server"), &last_line(&log)))
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_fails_is_reported_with_its_last_line() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo first >&2; echo last >&2; exit 3"]);
        let error = run(command).await.expect_err("it fails");
        assert_eq!(error.to_string(), "sh failed: last");
    }
}
