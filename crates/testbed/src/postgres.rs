//! Throwaway PostgreSQL databases and servers.

use std::ffi::{OsStr, OsString};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio_postgres::{Client, NoTls};

use crate::launch::is_root;
use crate::ports::Port;
use crate::{Clock, Disk, PATIENCE, eventually};

/// The address of the server that `scripts/with-servers` runs, as its superuser.
///
/// **Errors:** panics, with what to do, if there is none.
pub fn postgres_url() -> String {
    std::env::var("LASTRO_TEST_POSTGRES_URL")
        .expect("a PostgreSQL; run it as: scripts/with-servers cargo test …")
}

/// A new and empty database on that server. It goes when the server goes.
pub async fn fresh_database() -> String {
    fresh_database_on(&postgres_url(), "").await
}

/// **Shape:** `place` is nothing, or the clause that says where.
async fn fresh_database_on(url: &str, place: &str) -> String {
    let name = format!("test_{:016x}", RandomState::new().hash_one(0));
    let operator = postgres(url).await;
    operator
        .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0{place}"))
        .await
        .expect("a new database");
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

/// What is put around a server: words before its own, and its environment.
type Surroundings = (Vec<OsString>, Vec<(&'static str, OsString)>);

/// A server on a port and in a folder of its own, which a test may stop, kill and replace by its
/// standby.
///
/// **Shape:** dropping it kills it.
#[derive(Debug)]
pub struct Postgres {
    /// None while it is stopped.
    server: Option<Child>,
    port: Port,
    settings: Vec<String>,
    surroundings: Surroundings,
    folder: TempDir,
}

impl Postgres {
    /// Starts one with these settings (`name=value`), and waits until it serves.
    pub async fn start(settings: &[&str]) -> Self {
        Self::serving(cluster().await, settings, Default::default()).await
    }

    /// Starts one that sees a clock of the test's own.
    pub async fn start_by(clock: &Clock) -> Self {
        Self::serving(cluster().await, &[], (Vec::new(), clock.environment().into())).await
    }

    /// Starts one that sees this disk, and has a tablespace `small` there.
    ///
    /// **Errors:** panics without root: who mounts a disk without it looks like root, as whom PostgreSQL refuses to run.
    pub async fn start_with_small_disk(disk: &Disk) -> Self {
        assert!(is_root(), "a PostgreSQL on a disk of its own takes root");
        let server = Self::serving(cluster().await, &[], (disk.entrance(), Vec::new())).await;
        let folder = disk.seen_from_outside("tablespace");
        std::fs::create_dir(&folder).expect("a folder on the disk");
        run_plain("chown", &["postgres:", &folder.display().to_string()]).await;
        let location = disk.mount_point().join("tablespace");
        let create = format!("CREATE TABLESPACE small LOCATION '{}'", location.display());
        postgres(&server.url("postgres")).await.batch_execute(&create).await.expect("a tablespace");
        server
    }

    /// A new and empty database in its tablespace `small`.
    pub async fn fresh_database_on_small_disk(&self) -> String {
        fresh_database_on(&self.url("postgres"), " TABLESPACE small").await
    }

    /// A standby that follows it from now on, with settings of its own.
    pub async fn standby(&self, settings: &[&str]) -> Self {
        let folder = home();
        let source = format!("--dbname={}", self.url("postgres"));
        run(
            &[
                "pg_basebackup",
                "--write-recovery-conf",
                "--checkpoint=fast",
                "--no-sync",
                &source,
                "-D",
            ],
            &data(&folder),
        )
        .await;
        Self::serving(folder, settings, Default::default()).await
    }

    async fn serving(folder: TempDir, settings: &[&str], surroundings: Surroundings) -> Self {
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut server = Self { server: None, port: Port::free(), settings, surroundings, folder };
        server.resume().await;
        server
    }

    pub fn port(&self) -> u16 {
        self.port.number
    }

    /// One of its databases, as its superuser.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port())
    }

    /// A new and empty database on it.
    pub async fn fresh_database(&self) -> String {
        fresh_database_on(&self.url("postgres"), "").await
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
            let runs =
                |child: &mut Child| child.try_wait().expect("a child can be asked").is_none();
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
        let log = std::fs::File::options()
            .append(true)
            .create(true)
            .open(self.log_path())
            .expect("a log");
        let mut command = as_postgres_within(&self.surroundings, "postgres");
        command.arg("-D").arg(data(&self.folder)).args(["-p", &self.port().to_string()]);
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
    let pids = processes
        .filter_map(|process| process.file_name().to_str()?.parse().ok().and_then(Pid::from_raw));
    pids.filter(move |pid| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))
            .unwrap_or_default();
        // Behind the name: the state, and then the parent.
        let reported =
            stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        reported.and_then(Pid::from_raw) == Some(parent)
    })
}

/// A new and empty one that no server runs on yet.
async fn cluster() -> TempDir {
    let folder = home();
    let initdb =
        ["initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync", "-D"];
    run(&initdb, &data(&folder)).await;
    folder
}

/// A folder in which the server's user may work.
fn home() -> TempDir {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().expect("a folder");
    let open =
        |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
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

fn as_postgres(program: &str) -> Command {
    as_postgres_within(&Surroundings::default(), program)
}

/// PostgreSQL refuses to run as root.
fn as_postgres_within((around, environment): &Surroundings, program: &str) -> Command {
    let mut words = around.clone();
    if is_root() {
        words.extend(
            ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
                .map(OsString::from),
        );
    }
    // Not earlier: what sees another clock keeps it in memory that belongs to its user.
    words.push("env".into());
    for (name, value) in environment {
        words.push([OsStr::new(name), OsStr::new("="), value].into_iter().collect());
    }
    words.push(programs().join(program).into());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).current_dir("/").kill_on_drop(true);
    command
}

/// Debian keeps the server's programs out of the path.
fn programs() -> PathBuf {
    let versions =
        std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let number =
        |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
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
