//! Throwaway PostgreSQL databases and servers.

use std::ffi::{OsStr, OsString};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use crate::ports::Port;
use crate::user::is_root;
use crate::{Clock, Disk, PATIENCE, eventually};

/// The address of the server that `scripts/with-servers` runs, as its superuser.
///
/// # Panics
///
/// Panics with an instruction if there is no such server.
pub fn postgres_url() -> String {
    std::env::var("LASTRO_TEST_POSTGRES_URL")
        .expect("a PostgreSQL; run it as: scripts/with-servers cargo test …")
}

/// Creates an empty database on the server of [`postgres_url`]. It disappears with the server.
pub async fn fresh_database() -> String {
    fresh_database_on(&postgres_url(), "").await
}

/// Copies a database that nobody uses, on the same server.
pub async fn copy_of_database(url: &str) -> String {
    let (server, original) = url.rsplit_once('/').expect("a URL with a database");
    let name = format!("test_{:016x}", RandomState::new().hash_one(0));
    let operator = postgres(&postgres_url()).await;
    let copy = format!("CREATE DATABASE {name} TEMPLATE {original}");
    // The server may not have noticed yet that the programs are gone.
    eventually(PATIENCE, "the database is copied", async || {
        operator.batch_execute(&copy).await.ok()
    })
    .await;
    format!("{server}/{name}")
}

/// Creates an empty database; `tablespace` is empty or a `TABLESPACE` clause.
async fn fresh_database_on(url: &str, tablespace: &str) -> String {
    let name = format!("test_{:016x}", RandomState::new().hash_one(0));
    let operator = postgres(url).await;
    operator
        .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0{tablespace}"))
        .await
        .expect("a new database");
    let (server, _) = url.rsplit_once('/').expect("a URL with a database");
    format!("{server}/{name}")
}

/// The URL of a database as seen by a role that may log in and nothing else, which is created if it
/// is not there.
pub async fn as_role(url: &str, role: &str) -> String {
    let created = postgres(url).await.batch_execute(&format!("CREATE ROLE {role} LOGIN")).await;
    if let Err(error) = created {
        // Another test has created it, or does so at the same time.
        let there = [SqlState::DUPLICATE_OBJECT, SqlState::UNIQUE_VIOLATION];
        assert!(error.code().is_some_and(|code| there.contains(code)), "{role}: {error:?}");
    }
    url.replace("//postgres@", &format!("//{role}@"))
}

/// A connection of the test's own.
pub async fn postgres(url: &str) -> Client {
    try_postgres(url).await.expect("a connection")
}

async fn try_postgres(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // The connection ends with its client.
    tokio::spawn(connection);
    Ok(client)
}

/// Publishes all tables, and checks that the server lets each of them change then.
pub async fn must_be_ready_for_publication(url: &str) {
    let operator = postgres(url).await;
    let publish = "CREATE PUBLICATION everything FOR ALL TABLES";
    operator.batch_execute(publish).await.expect("a publication");
    let unnamed = "SELECT relname FROM pg_class
         WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relreplident <> 'f'
           AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = pg_class.oid AND indisprimary)";
    let unnamed = operator.query(unnamed, &[]).await.expect("tables");
    let unnamed: Vec<String> = unnamed.iter().map(|row| row.get("relname")).collect();
    assert!(unnamed.is_empty(), "no key names the rows of {unnamed:?}");
}

/// Words before a server's command line, and its environment.
type Surroundings = (Vec<OsString>, Vec<(&'static str, OsString)>);

/// A server with its own port and folder, which a test may stop, kill and replace by its standby.
///
/// Dropping it kills the server.
#[derive(Debug)]
pub struct Postgres {
    /// `None` while the server is stopped.
    server: Option<Child>,
    port: Port,
    settings: Vec<String>,
    surroundings: Surroundings,
    folder: TempDir,
}

impl Postgres {
    /// Starts a server with these settings (`name=value`), and waits until it serves.
    pub async fn start(settings: &[&str]) -> Self {
        Self::serving(cluster().await, settings, Default::default()).await
    }

    /// Starts a server that sees the test's clock.
    pub async fn start_by(clock: &Clock) -> Self {
        Self::serving(cluster().await, &[], (Vec::new(), clock.environment().into())).await
    }

    /// Starts a server that sees this disk and has the tablespace `small` on it.
    ///
    /// # Panics
    ///
    /// Panics without root: mounting a disk without root takes a user namespace, in which the user
    /// looks like root, and PostgreSQL refuses to run as root.
    pub async fn start_with_small_disk(disk: &Disk) -> Self {
        assert!(is_root(), "a PostgreSQL server on its own disk needs root");
        let server = Self::serving(cluster().await, &[], (disk.entrance(), Vec::new())).await;
        let folder = disk.seen_from_outside("tablespace");
        std::fs::create_dir(&folder).expect("a folder on the disk");
        run_plain("chown", &["postgres:", &folder.display().to_string()]).await;
        let location = disk.mount_point().join("tablespace");
        let create = format!("CREATE TABLESPACE small LOCATION '{}'", location.display());
        postgres(&server.url("postgres")).await.batch_execute(&create).await.expect("a tablespace");
        server
    }

    /// Creates an empty database in the tablespace `small`.
    pub async fn fresh_database_on_small_disk(&self) -> String {
        fresh_database_on(&self.url("postgres"), " TABLESPACE small").await
    }

    /// Starts a standby that follows this server from now on, with its own settings.
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

    /// Starts a server that copies each part of its log that is complete into an archive.
    pub async fn start_archiving() -> Self {
        let folder = cluster().await;
        let archive = archive(&folder);
        std::fs::create_dir(&archive).expect("a folder");
        if is_root() {
            run_plain("chown", &["postgres:", &archive.display().to_string()]).await;
        }
        let command = format!("archive_command=cp %p {}/%f", archive.display());
        Self::serving(folder, &["archive_mode=on", &command], Default::default()).await
    }

    /// Copies the files of the running server, as the start of a restore.
    pub async fn base_backup(&self) -> TempDir {
        let folder = home();
        let source = format!("--dbname={}", self.url("postgres"));
        let words = ["pg_basebackup", "--checkpoint=fast", "--no-sync", &source, "-D"];
        run(&words, &data(&folder)).await;
        folder
    }

    /// Starts a server on a base backup, and rolls it forward along this server's archive up to a
    /// named restore point.
    pub async fn restored(&self, base: TempDir, point: &str) -> Self {
        let signal = data(&base).join("recovery.signal");
        std::fs::write(&signal, "").expect("a file");
        if is_root() {
            run_plain("chown", &["postgres:", &signal.display().to_string()]).await;
        }
        let restore = format!("restore_command=cp {}/%f %p", archive(&self.folder).display());
        let target = format!("recovery_target_name={point}");
        let settings = [&*restore, &target, "recovery_target_action=promote"];
        let server = Self::serving(base, &settings, Default::default()).await;
        server.accepts_writes().await;
        server
    }

    /// Waits until the server is a primary.
    pub async fn accepts_writes(&self) {
        let operator = postgres(&self.url("postgres")).await;
        eventually(PATIENCE, "the server accepts writes", async || {
            let row = operator.query_one("SELECT pg_is_in_recovery()", &[]).await.ok()?;
            (!row.get::<_, bool>(0)).then_some(())
        })
        .await;
    }

    /// Ends a part of the log, and waits until the archive has it.
    pub async fn archived(&self) {
        let operator = postgres(&self.url("postgres")).await;
        let end = "SELECT pg_walfile_name(pg_switch_wal())";
        let row = operator.query_one(end, &[]).await.expect("the end of a part");
        let part = archive(&self.folder).join(row.get::<_, String>(0));
        eventually(PATIENCE, "the log is archived", async || part.exists().then_some(())).await;
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

    /// The URL of a database of this server, as its superuser.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port())
    }

    /// Creates an empty database on this server.
    pub async fn fresh_database(&self) -> String {
        fresh_database_on(&self.url("postgres"), "").await
    }

    /// Stops the server in an orderly way, which closes all connections, and starts it again.
    pub async fn restart_fast(&mut self) {
        self.stop(Signal::INT).await;
        self.resume().await;
    }

    /// Stops the server without an orderly shutdown, so that it has to recover, and starts it
    /// again.
    pub async fn restart_immediate(&mut self) {
        self.stop(Signal::QUIT).await;
        self.resume().await;
    }

    /// Sends SIGKILL.
    pub async fn kill(&mut self) {
        self.stop(Signal::KILL).await;
    }

    async fn stop(&mut self, signal: Signal) {
        let mut server = self.server.take().expect("it runs");
        let pid = pid_of(&server).expect("it runs");
        kill_process(pid, signal).expect("a child that was not waited for can be signalled");
        server.wait().await.expect("a child can be waited for");
    }

    /// Sends SIGSTOP to all processes of the server: they hold their connections and answer
    /// nothing.
    pub fn pause(&self) {
        self.signal_all(Signal::STOP);
    }

    /// Sends SIGCONT: the server continues after a pause.
    pub fn go_on(&self) {
        self.signal_all(Signal::CONT);
    }

    fn signal_all(&self, signal: Signal) {
        let Some(postmaster) = self.server.as_ref().and_then(pid_of) else { return };
        // The postmaster first, which could start others.
        for pid in [postmaster].into_iter().chain(children_of(postmaster)) {
            // The process may have ended in the meantime.
            let _ = kill_process(pid, signal);
        }
    }

    /// Starts the server again with its stored data, and waits until it serves.
    pub async fn resume(&mut self) {
        eventually(PATIENCE, "PostgreSQL starts", || {
            let runs =
                |child: &mut Child| child.try_wait().expect("a child can be asked").is_none();
            // What a killed server has left behind may hold up the next server for a moment.
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

    /// Everything that the server has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Writes a file that only the server can read, and returns its path.
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

/// A stopped process would not notice that its server was killed.
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
        // The state follows the name, and then the parent.
        let reported =
            stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        reported.and_then(Pid::from_raw) == Some(parent)
    })
}

/// Initializes the files of a server.
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

/// Where the server puts its log.
fn archive(folder: &TempDir) -> PathBuf {
    folder.path().join("archive")
}

fn as_postgres(program: &str) -> Command {
    as_postgres_within(&Surroundings::default(), program)
}

/// Runs a program as the user `postgres` if this process is root: PostgreSQL refuses to run as
/// root.
fn as_postgres_within((around, environment): &Surroundings, program: &str) -> Command {
    let mut words = around.clone();
    if is_root() {
        words.extend(
            ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
                .map(OsString::from),
        );
    }
    // The environment follows `setpriv`: libfaketime keeps its state in memory that belongs to the
    // user.
    words.push("env".into());
    for (name, value) in environment {
        words.push([OsStr::new(name), OsStr::new("="), value].into_iter().collect());
    }
    words.push(programs().join(program).into());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).current_dir("/").kill_on_drop(true);
    command
}

/// The folder of the server's programs, which Debian keeps out of the path.
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
