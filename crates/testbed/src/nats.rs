//! A throwaway NATS server with JetStream, which a test may stop, starve and wipe.

use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::ports::Port;
use crate::{PATIENCE, eventually};

const MAX_ATTEMPTS: u32 = 50;
/// The server's settings file, in its folder.
const SETTINGS: &str = "nats.conf";

/// The address of the server that `scripts/with-servers` runs, for tests that leave it running.
///
/// # Panics
///
/// Panics with an instruction if there is no such server.
pub fn nats_url() -> String {
    std::env::var("LASTRO_TEST_NATS_URL")
        .expect("a NATS server; run it as: scripts/with-servers cargo test …")
}

/// A server with its own port and folder, which it keeps across restarts.
///
/// Dropping it kills the server.
#[derive(Debug)]
pub struct Nats {
    /// `None` while the server is stopped.
    server: Option<Child>,
    port: Port,
    /// The port for the other servers of its cluster.
    _route: Option<Port>,
    /// Arguments beside those for the port and the folder.
    arguments: Vec<String>,
    folder: TempDir,
}

impl Nats {
    /// Starts a server and waits until it serves.
    pub async fn start() -> Self {
        Self::start_with(tempfile::tempdir().expect("a folder"), Vec::new()).await
    }

    /// Starts a server that forbids publishing on a subject.
    pub async fn start_without(subject: &str) -> Self {
        Self::start_with_settings(&format!(
            "no_auth_user: all\nauthorization: {{ users: [
                 {{ user: all, password: all, permissions: {{ publish: {{ deny: [\"{subject}\"] }} }} }}
             ] }}\n"
        ))
        .await
    }

    /// Starts a server with settings in the syntax of its settings file.
    pub async fn start_with_settings(settings: &str) -> Self {
        Self::start_in(tempfile::tempdir().expect("a folder"), settings).await
    }

    /// Starts a server with settings that may include files of this folder.
    pub async fn start_in(folder: TempDir, settings: &str) -> Self {
        let file = folder.path().join(SETTINGS);
        std::fs::write(&file, settings).expect("a file");
        Self::start_with(folder, vec!["-c".to_owned(), file.display().to_string()]).await
    }

    /// Replaces the settings of a server that was started with some, from its next start on.
    pub fn change_settings(&self, settings: &str) {
        std::fs::write(self.folder.path().join(SETTINGS), settings).expect("a file");
    }

    async fn start_with(mut folder: TempDir, arguments: Vec<String>) -> Self {
        for _ in 0..MAX_ATTEMPTS {
            let port = Port::free();
            let mut nats =
                Self { server: None, port, _route: None, arguments: arguments.clone(), folder };
            if nats.try_start().await {
                return nats;
            }
            folder = nats.folder;
        }
        panic!("nats-server found no free port");
    }

    /// Starts three servers that replicate one another's streams.
    pub async fn cluster() -> [Self; 3] {
        let routes = [Port::free(), Port::free(), Port::free()];
        let all =
            routes.each_ref().map(|route| format!("nats://127.0.0.1:{}", route.number)).join(",");
        let mut servers = Vec::new();
        for (number, route) in (1..).zip(routes) {
            let own = format!("nats://127.0.0.1:{}", route.number);
            let name = format!("n{number}");
            let arguments = [
                "--server_name",
                &name,
                "--cluster_name",
                "test",
                "--cluster",
                &own,
                "--routes",
                &all,
            ];
            let arguments = arguments.map(str::to_owned).to_vec();
            let folder = tempfile::tempdir().expect("a folder");
            let mut server =
                Self { server: None, port: Port::free(), _route: Some(route), arguments, folder };
            assert!(server.try_start().await, "nats-server does not start");
            servers.push(server);
        }
        servers.try_into().expect("three")
    }

    /// The folder of the server's files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port())
    }

    pub fn port(&self) -> u16 {
        self.port.number
    }

    /// Sends SIGKILL. The stored messages stay.
    pub async fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().await.expect("a child can be killed");
        }
    }

    /// Starts the server again with its stored messages.
    pub async fn restart(&mut self) {
        self.kill().await;
        assert!(self.try_start().await, "nats-server does not start again");
    }

    /// Starts the server again with nothing stored: streams, consumers and messages are gone.
    pub async fn wipe(&mut self) {
        self.kill().await;
        std::fs::remove_dir_all(self.folder.path().join("store")).expect("its store");
        assert!(self.try_start().await, "nats-server does not start again");
    }

    /// Starts the server again without the messages of a stream. The stream's consumers keep their
    /// positions.
    pub async fn lose_messages_of(&mut self, stream: &str) {
        // The server writes the positions of its consumers only at an orderly end.
        self.signal(Signal::TERM);
        let mut server = self.server.take().expect("it runs");
        server.wait().await.expect("a child can be waited for");
        let messages = format!("store/jetstream/$G/streams/{stream}/msgs");
        std::fs::remove_dir_all(self.folder.path().join(messages)).expect("its messages");
        assert!(self.try_start().await, "nats-server does not start again");
    }

    /// Removes the files of a stream's messages while the server runs.
    pub fn remove_files_of(&self, stream: &str) {
        let files = format!("store/jetstream/$G/streams/{stream}/msgs");
        std::fs::remove_dir_all(self.folder.path().join(files)).expect("its files");
    }

    /// Sends SIGSTOP: the server holds its connections and answers nothing.
    pub async fn pause(&self) {
        self.signal(Signal::STOP);
        // The server's threads stop one after the other and answer until then.
        let pid = self.server.as_ref().and_then(Child::id).expect("it runs");
        eventually(PATIENCE, "nats-server stands still", || async {
            stands_still(pid).then_some(())
        })
        .await;
    }

    /// Sends SIGCONT: the server continues after a pause.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = self.server.as_ref().and_then(Child::id).and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.and_then(Pid::from_raw).expect("it runs");
        kill_process(pid, signal).expect("a child that was not waited for can be signalled");
    }

    /// Starts the server. Returns false if the server ended at once, for example because its port
    /// was taken.
    async fn try_start(&mut self) -> bool {
        let store = self.folder.path().join("store");
        let mut command = Command::new("nats-server");
        // Debian keeps `nats-server` in a folder that is only in root's path.
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin")).stdin(Stdio::null()).kill_on_drop(true);
        command
            .args(["-a", "127.0.0.1", "-p", &self.port().to_string(), "-js", "-sd"])
            .arg(store)
            .args(&self.arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut server =
            command.spawn().expect("nats-server; run it as: scripts/with-servers cargo test …");
        let port = self.port();
        let serving = eventually(PATIENCE, "nats-server serves", || {
            let has_ended = server.try_wait().expect("a child can be asked").is_some();
            async move { if has_ended { Some(false) } else { greets(port).await.then_some(true) } }
        })
        .await;
        self.server = serving.then_some(server);
        serving
    }
}

/// Whether every thread of a process is stopped.
fn stands_still(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("its threads");
    threads.filter_map(Result::ok).all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    })
}

/// Whether a server with JetStream greets at this port.
async fn greets(port: u16) -> bool {
    let Ok(stream) = TcpStream::connect(("127.0.0.1", port)).await else { return false };
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await.is_ok() && line.contains("\"jetstream\":true")
}
