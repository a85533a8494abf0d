//! The two services deployed in one of their forms, in a folder of their own, and a client of them.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Client;
use reqwest::redirect::Policy;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::{Ended, Launch, PATIENCE, Proxy, Tool, eventually, postgres};
use environment::Environment;
use form::Form;
use programs::Programs;

mod audits;
pub(crate) mod client;
pub(crate) mod environment;
pub(crate) mod form;
pub(crate) mod programs;

/// The databases of a deployment that has files.
const FILES: [&str; 2] = ["orders.db", "inventory.db"];

/// The services in one form, started by the test, with a client of their API.
///
/// Dropping it kills the programs.
#[derive(Debug)]
pub struct Deployment {
    /// What runs.
    pub programs: Programs,
    /// What it runs on.
    pub environment: Environment,
    /// How it is put together.
    pub form: Form,
    folder: TempDir,
    client: Client,
}

/// Starting and stopping.
impl Deployment {
    /// A new and empty one in the form that `LASTRO_TEST_FORM` names, one process unless it is set.
    pub async fn open() -> Self {
        Self::open_with(|launch| launch).await
    }

    /// The same, started in the test's own way.
    pub async fn open_with(how: impl Fn(Launch) -> Launch) -> Self {
        Self::in_form_with(Form::under_test(), how).await
    }

    /// A new and empty one in this form.
    pub async fn in_form(form: Form) -> Self {
        Self::in_form_with(form, |launch| launch).await
    }

    /// The same; `how` changes how the programs that take orders are started.
    pub async fn in_form_with(form: Form, how: impl Fn(Launch) -> Launch) -> Self {
        Self::start(form, Environment::of(form).await, folder(), how).await
    }

    /// One with a stretch of network between Inventory and the broker, which the test may cut.
    ///
    /// # Panics
    ///
    /// If the services are not processes of their own.
    pub async fn in_form_with_link(form: Form) -> Self {
        assert!(form.is_apart(), "no network lies between the services of {form:?}");
        let mut environment = Environment::of(form).await;
        environment.link = Some(Proxy::to(environment.broker().port()).await);
        Self::open_as(form, environment).await
    }

    /// One whose first replicas stop at a crash point: `kill orders.committed 3`, `panic …`.
    pub async fn in_form_with_fault(form: Form, fault: &str) -> Self {
        let environment = Environment::of(form).await;
        Self::open_as(form, Environment { fault: Some(fault.to_owned()), ..environment }).await
    }

    /// One whose auditors take half of the time, so that a test may wait for them.
    pub async fn in_form_with_busy_auditors(form: Form) -> Self {
        Self::in_form_with(form, with_busy_auditors).await
    }

    /// In a form and an environment of the test's own.
    pub async fn open_as(form: Form, environment: Environment) -> Self {
        Self::start(form, environment, folder(), |launch| launch).await
    }

    /// The same in a folder that exists.
    pub async fn open_in(folder: TempDir, form: Form, environment: Environment) -> Self {
        Self::start(form, environment, folder, |launch| launch).await
    }

    async fn start(
        form: Form,
        environment: Environment,
        folder: TempDir,
        how: impl Fn(Launch) -> Launch,
    ) -> Self {
        let programs = Programs::start(form, folder.path(), &environment, how).await;
        Self { programs, environment, form, folder, client: client() }
    }

    /// Services that the test process itself runs in `folder`: those that take orders at `orders`,
    /// and the Inventory Services at `inventory` unless they are the same.
    pub fn within(
        folder: TempDir,
        form: Form,
        environment: Environment,
        [orders, inventory]: [Vec<SocketAddr>; 2],
    ) -> Self {
        let programs = Programs::within(orders, inventory);
        Self { programs, environment, form, folder, client: client() }
    }

    /// Starts it again on the same data, after it was killed or has ended.
    pub async fn reopen(&mut self) {
        // A program that still runs holds the files.
        self.programs.kill();
        self.programs.ended(PATIENCE).await;
        self.files_are_free(&FILES).await;
        let folder = self.folder.path();
        self.programs =
            Programs::start(self.form, folder, &self.environment, |launch| launch).await;
        self.client = client();
    }

    /// How its programs are started again, after they were killed: those that take orders first.
    pub fn launches(&self) -> Vec<Launch> {
        Programs::launches(self.form, self.folder.path(), &self.environment)
    }

    /// Starts only those programs again that have ended.
    pub async fn restart_ended(&mut self) {
        self.files_are_free(&self.programs.files_of_ended(self.form)).await;
        self.programs.restart_ended(self.form, self.folder.path(), &self.environment).await;
        self.client = client();
    }

    /// Waits until no process holds these files. On a busy machine the kernel may take back the locks
    /// of a killed process a moment after it has reported its end.
    async fn files_are_free(&self, files: &[&str]) {
        for file in files {
            let lock = data_in(self.folder.path()).join(format!("{file}.lock"));
            // PostgreSQL has none, and a disk of the programs' own is not seen here.
            let Ok(lock) = File::open(lock) else { continue };
            eventually(PATIENCE, &format!("{file} is free"), async || {
                lock.try_lock().ok()?;
                lock.unlock().ok()
            })
            .await;
        }
    }

    /// Ends it in an orderly way; its files can be read then.
    pub async fn close(mut self) -> TempDir {
        self.programs.terminate();
        assert_eq!(self.programs.ended(PATIENCE).await, Some(0), "{}", self.programs.log());
        self.folder
    }

    /// Kills it and leaves its files as they are.
    pub fn into_folder(self) -> TempDir {
        self.folder
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// The audit, and the databases behind the services' backs.
impl Deployment {
    /// Runs `lastro verify` beside it.
    pub async fn verify(&self) -> Ended {
        self.verify_with(PATIENCE, &[]).await
    }

    /// The same with more arguments, and a deadline for data that may be much.
    pub async fn verify_with(&self, deadline: Duration, arguments: &[&str]) -> Ended {
        let verify = lastro(self.folder.path()).args(["verify"]);
        let verify = self.environment.sees_disk(verify.args(self.environment.data_arguments()));
        verify.args(arguments.iter().copied()).to_end_within(deadline).await
    }

    /// Runs `lastro verify --watch` beside it.
    pub fn watch(&self, arguments: &[&str]) -> Tool {
        let watch = lastro(self.folder.path()).args(["verify", "--watch"]);
        let watch = watch.args(self.environment.data_arguments());
        with_busy_auditors(watch.args(arguments.iter().copied())).talking()
    }

    /// Fails the test if the audit finds anything.
    pub async fn must_verify(&self) {
        let ended = self.verify().await;
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    }

    /// Keeps the Inventory Service from answering while the result lives, by a lock in its
    /// database.
    pub async fn hold_inventory(&self) -> Held {
        if let Some(databases) = &self.environment.databases {
            let client = postgres(&databases.inventory).await;
            let lock = "BEGIN; LOCK TABLE products IN EXCLUSIVE MODE";
            client.batch_execute(lock).await.expect("the lock");
            return Held::Server { _client: client };
        }
        let connection = self.open_file("inventory.db");
        connection.busy_timeout(PATIENCE).expect("a timeout");
        connection.execute_batch("BEGIN IMMEDIATE").expect("the lock");
        Held::File { _connection: connection }
    }

    /// The kinds of the messages that both services have set aside: those of orders first.
    pub async fn quarantined(&self) -> [Vec<String>; 2] {
        const KINDS: &str = "SELECT kind FROM quarantine ORDER BY kind";
        if let Some(databases) = &self.environment.databases {
            let kinds = async |url: &str| {
                let rows = postgres(url).await.query(KINDS, &[]).await.expect("rows");
                rows.iter().map(|row| row.get("kind")).collect()
            };
            return [kinds(&databases.orders).await, kinds(&databases.inventory).await];
        }
        FILES.map(|file| {
            let connection = self.open_file(file);
            let mut statement = connection.prepare(KINDS).expect("a table");
            let kinds = statement.query_map([], |row| row.get("kind")).expect("rows");
            kinds.collect::<Result<_, _>>().expect("texts")
        })
    }

    fn open_file(&self, name: &str) -> Connection {
        Connection::open(data_in(self.folder.path()).join(name)).expect("the database")
    }
}

/// Holds a lock in a database.
#[derive(Debug)]
pub enum Held {
    /// In a SQLite file.
    File {
        /// Holds it.
        _connection: Connection,
    },
    /// On a PostgreSQL server.
    Server {
        /// Holds it.
        _client: tokio_postgres::Client,
    },
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// How `lastro` is started in `folder` to serve, with its data in `folder/data`.
pub fn launch(folder: &Path) -> Launch {
    lastro(folder).args(["--listen", "127.0.0.1:0", "--data-dir", "data"])
}

/// Auditors take half of the time, and not a fiftieth: a test waits for them.
pub fn with_busy_auditors(launch: Launch) -> Launch {
    launch.env("LASTRO_AUDIT_SHARE", "2")
}

/// `lastro` in `folder`, without arguments.
pub fn lastro(folder: &Path) -> Launch {
    Launch::of(program_under_test(), folder)
}

/// The program `lastro` that Cargo has built together with the running test.
///
/// # Panics
///
/// If it is not there, because the test was built without it.
pub fn program_under_test() -> PathBuf {
    // Tests lie in `deps`, and programs in the folder above.
    let test = std::env::current_exe().expect("the path of the running test");
    let program = test.ancestors().nth(2).map(|folder| folder.join("lastro")).unwrap_or_default();
    assert!(program.exists(), "{} is missing; build it: cargo test -p lastro", program.display());
    program
}

/// Where `lastro` keeps its data if it was started in `folder` by [`launch`].
pub fn data_in(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// A copy of all data files of a deployment that is closed, in a folder of its own.
pub fn copy_of_data(folder: &Path) -> TempDir {
    let copy = self::folder();
    std::fs::create_dir(data_in(copy.path())).expect("a folder");
    for file in std::fs::read_dir(data_in(folder)).expect("the files") {
        let file = file.expect("a file");
        let to = data_in(copy.path()).join(file.file_name());
        std::fs::copy(file.path(), to).expect("a copy");
    }
    copy
}

/// Runs `lastro verify` on the files in `folder/data`.
pub async fn verify(folder: &Path, arguments: &[&str]) -> Ended {
    let verify = lastro(folder).args(["verify", "--data-dir", "data"]);
    verify.args(arguments.iter().copied()).to_end().await
}

/// A service closes a connection that has idled for 10 s, perhaps just as a request is on its way.
/// So the client uses none that has idled for half of that.
fn client() -> Client {
    let builder = Client::builder().no_proxy().redirect(Policy::none());
    let builder = builder.timeout(Duration::from_secs(60));
    builder.pool_idle_timeout(Duration::from_secs(5)).build().expect("a client")
}
