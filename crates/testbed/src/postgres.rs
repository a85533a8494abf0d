//! Throwaway PostgreSQL databases and servers.

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio_postgres::{Client, NoTls};

use crate::ports::free_port;
use crate::{PATIENCE, eventually};

/// The address of the server that `scripts/with-servers` runs, as its superuser.
///
/// **Errors:** panics, with what to do, if there is none.
pub fn postgres_url() -> String {
    std::env::var("LASTRO_TEST_POSTGRES_URL").expect("a PostgreSQL; run it as: scripts/with-servers cargo test …")
}

/// A new and empty database on that server. It goes when the server goes.
pub async fn fresh_database() -> String {
    fresh_database_on(&postgres_url()).await
}

async fn fresh_database_on(url: &str) -> String {
    let name = format!("test_{:016x}", RandomState::new().hash_one(0));
    let operator = postgres(url).await;
    operator.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0")).await.expect("a new database");
    let (server, _) = url.rsplit_once('/').expect("a URL with a database");
    format!("{server}/{name}")
}

/// A connection of the test's own.
pub async fn postgres(url: &str) -> Client {
    try_postgres(url).await.expect("a connection")
}

async fn try_postgres(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // It ends with its client.
    tokio::spawn(connection);
    Ok(client)
}

/// A server on a port and in a folder of its own, which a test may stop, kill and replace by its standby.
///
/// **Shape:** dropping it kills it.
#[derive(Debug)]
pub struct Postgres {
    /// None while it is stopped.
    server: Option<Child>,
    port: u16,
    settings: Vec<String>,
    folder: TempDir,
}

impl Postgres {
    /// Starts one with these settings (`name=value`), and waits until it serves.
    pub async fn start(settings: &[&str]) -> Self {
        let folder = home();
        run(
            &["initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync", "-D"],
            &data(&folder),
        )
        .await;
        Self::serving(folder, settings).await
    }

    /// A standby that follows it from now on, with settings of its own.
    pub async fn standby(&self, settings: &[&str]) -> Self {
        let folder = home();
        let source = format!("--dbname={}", self.url("postgres"));
        run(
            &["pg_basebackup", "--write-recovery-conf", "--checkpoint=fast", "--no-sync", &source, "-D"],
            &data(&folder),
        )
        .await;
        Self::serving(folder, settings).await
    }

    async fn serving(folder: TempDir, settings: &[&str]) -> Self {
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut server = Self { server: None, port: free_port().await, settings, folder };
        server.resume().await;
        server
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// One of its databases, as its superuser.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// A new and empty database on it.
    pub async fn fresh_database(&self) -> String {
        fresh_database_on(&self.url("postgres")).await
    }

    /// Stops it in an orderly way, cutting everybody off, and starts it again.
    pub async fn restart_fast(&mut self) {
        self.stop(Signal::INT).await;
        self.resume().await;
    }

    /// Stops it without order, so that it has to recover, and starts it again.
    pub async fn restart_immediate(&mut self) {
        self.stop(Signal::QUIT).await;
        self.resume().await;
    }

    /// SIGKILL.
    pub async fn kill(&mut self) {
        self.stop(Signal::KILL).await;
    }

    async fn stop(&mut self, signal: Signal) {
        let mut server = self.server.take().expect("it runs");
        let pid = pid_of(&server).expect("it runs");
        kill_process(pid, signal).expect("a child that was not waited for can be signalled");
        server.wait().await.expect("a child can be waited for");
    }

    /// SIGSTOP to all of its processes: they hold their connections and answer nothing.
    pub fn pause(&self) {
        self.signal_all(Signal::STOP);
    }

    /// SIGCONT: goes on after a pause.
    pub fn go_on(&self) {
        self.signal_all(Signal::CONT);
    }

    fn signal_all(&self, signal: Signal) {
        let Some(postmaster) = self.server.as_ref().and_then(pid_of) else { return };
        // First the one that could start others.
        for pid in [postmaster].into_iter().chain(children_of(postmaster)) {
            // A process may have ended meanwhile.
            let _ = kill_process(pid, signal);
        }
    }

    /// Starts it again with what it stored, and waits until it serves.
    pub async fn resume(&mut self) {
        eventually(PATIENCE, "PostgreSQL starts", || {
            let runs = |child: &mut Child| child.try_wait().expect("a child can be asked").is_none();
            // What a killed server has left behind may hold the next one up for a moment.
            if !self.server.as_mut().is_some_and(runs) {
                self.server = Some(self.spawn());
            }
            let url = self.url("postgres");
            async move { try_postgres(&url).await.ok().map(drop) }
        })
        .await;
    }

    fn spawn(&self) -> Child {
        let log = std::fs::File::options().append(true).create(true).open(self.log_path()).expect("a log");
        let mut command = as_postgres("postgres");
        command.arg("-D").arg(data(&self.folder)).args(["-p", &self.port.to_string()]);
        command.args([
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
            "-c",
            "max_connections=300",
        ]);
        command.args(self.settings.iter().flat_map(|setting| ["-c", setting]));
        command.stdout(Stdio::null()).stderr(log);
        command.spawn().expect("postgres; run it as: scripts/with-servers cargo test …")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Writes a file where the server can read it, and it alone. Its path.
    pub async fn keep(&self, name: &str, text: &str) -> String {
        let path = data(&self.folder).join(name);
        std::fs::write(&path, text).expect("a file");
        if is_root() {
            run_plain("chown", &["postgres:", &path.display().to_string()]).await;
        }
        run_plain("chmod", &["600", &path.display().to_string()]).await;
        path.display().to_string()
    }
}

/// Processes that stand still would not notice that their server was killed.
impl Drop for Postgres {
    fn drop(&mut self) {
        self.go_on();
    }
}

fn pid_of(server: &Child) -> Option<Pid> {
    server.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw)
}

fn children_of(parent: Pid) -> impl Iterator<Item = Pid> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok().and_then(Pid::from_raw));
    pids.filter(move |pid| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
        // Behind the name: the state, and then the parent.
        let told = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        told.and_then(Pid::from_raw) == Some(parent)
    })
}

/// A folder in which the server's user may work.
fn home() -> TempDir {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().expect("a folder");
    let open = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
    open(folder.path(), 0o711).expect("permissions");
    let data = data(&folder);
    std::fs::create_dir(&data).expect("a folder");
    open(&data, 0o700).expect("permissions");
    if is_root() {
        let chowned = std::process::Command::new("chown").arg("postgres:").arg(&data).status();
        assert!(chowned.is_ok_and(|status| status.success()), "there is no user postgres");
    }
    folder
}

fn data(folder: &TempDir) -> PathBuf {
    folder.path().join("data")
}

/// PostgreSQL refuses to run as root.
fn as_postgres(program: &str) -> Command {
    let program = programs().join(program);
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.stdin(Stdio::null()).current_dir("/").kill_on_drop(true);
    command
}

/// Debian keeps the server's programs out of the path.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let number = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let newest = versions.map(|version| version.path()).max_by_key(number);
    newest.map(|version| version.join("bin")).unwrap_or_default()
}

async fn run(words: &[&str], folder: &Path) {
    let output = as_postgres(words[0]).args(&words[1..]).arg(folder).output().await;
    let output = output.unwrap_or_else(|error| panic!("{words:?} did not start: {error}"));
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

async fn run_plain(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().await;
    assert!(status.is_ok_and(|status| status.success()), "{program} {arguments:?}");
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
