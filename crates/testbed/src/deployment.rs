//! The two services deployed in one of their forms, in a folder of their own, and a client of their
//! API.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Client;
use reqwest::redirect::Policy;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::postgres::copy_of_database;
use crate::{Ended, Launch, PATIENCE, Proxy, Tool, eventually, postgres};
use environment::{Databases, Environment};
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
    /// The running programs.
    pub programs: Programs,
    /// The broker, databases, network, clocks and disk that the programs use.
    pub environment: Environment,
    /// Which programs there are and what joins them.
    pub form: Form,
    folder: TempDir,
    client: Client,
}

/// Starting and stopping.
impl Deployment {
    /// Opens a new and empty deployment in the form that `LASTRO_TEST_FORM` names, by default in
    /// one process.
    pub async fn open() -> Self {
        Self::open_with(|launch| launch).await
    }

    /// Opens a new deployment like [`Self::open`]; `how` changes how the programs that take orders
    /// are started.
    pub async fn open_with(how: impl Fn(Launch) -> Launch) -> Self {
        Self::in_form_with(Form::under_test(), how).await
    }

    /// Opens a new and empty deployment in this form.
    pub async fn in_form(form: Form) -> Self {
        Self::in_form_with(form, |launch| launch).await
    }

    /// Opens a new deployment in this form; `how` changes how the programs that take orders are
    /// started.
    pub async fn in_form_with(form: Form, how: impl Fn(Launch) -> Launch) -> Self {
        Self::start(form, Environment::of(form).await, folder(), how).await
    }

    /// Opens a deployment with a proxy between the Inventory Service and the broker, through which
    /// the test may cut the connection.
    ///
    /// # Panics
    ///
    /// Panics if the services are not separate processes.
    pub async fn in_form_with_link(form: Form) -> Self {
        assert!(form.is_apart(), "no network lies between the services of {form:?}");
        let mut environment = Environment::of(form).await;
        environment.link = Some(Proxy::to(environment.broker().port()).await);
        Self::open_as(form, environment).await
    }

    /// Opens a deployment whose first replicas stop at a crash point, for example `kill
    /// orders.committed 3` or `panic orders.committed 3`.
    pub async fn in_form_with_fault(form: Form, fault: &str) -> Self {
        let environment = Environment::of(form).await;
        Self::open_as(form, Environment { fault: Some(fault.to_owned()), ..environment }).await
    }

    /// Opens a deployment whose auditors take half of the time, so that a test can wait for them.
    pub async fn in_form_with_busy_auditors(form: Form) -> Self {
        Self::in_form_with(form, with_busy_auditors).await
    }

    /// Opens a new deployment in this form and environment.
    pub async fn open_as(form: Form, environment: Environment) -> Self {
        Self::start(form, environment, folder(), |launch| launch).await
    }

    /// Opens a deployment in an existing folder.
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

    /// A deployment whose services run inside the test process. `orders` are the addresses of the
    /// Order Services, `inventory` those of the Inventory Services; empty if the Order Services
    /// serve both APIs.
    pub fn within(
        folder: TempDir,
        form: Form,
        environment: Environment,
        [orders, inventory]: [Vec<SocketAddr>; 2],
    ) -> Self {
        let programs = Programs::within(orders, inventory);
        Self { programs, environment, form, folder, client: client() }
    }

    /// Starts the deployment on the same data after its programs were killed or have ended.
    pub async fn reopen(&mut self) {
        // A program that still runs holds locks on the files.
        self.programs.kill();
        self.programs.ended(PATIENCE).await;
        self.files_are_free(&FILES).await;
        let folder = self.folder.path();
        self.programs =
            Programs::start(self.form, folder, &self.environment, |launch| launch).await;
        self.client = client();
    }

    /// Stops the deployment, copies its databases, and starts it again. The copy has the same broker.
    pub async fn copied(&mut self) -> (TempDir, Environment) {
        self.programs.terminate();
        assert_eq!(self.programs.ended(PATIENCE).await, Some(0), "{}", self.programs.log());
        let (copy, databases) = match &self.environment.databases {
            None => (copy_of_data(self.folder.path()), None),
            Some(Databases { orders, inventory }) => {
                let orders = copy_of_database(orders).await;
                let inventory = copy_of_database(inventory).await;
                (folder(), Some(Databases { orders, inventory }))
            }
        };
        self.reopen().await;
        let bus_url = self.form.has_broker().then(|| self.environment.bus_url());
        (copy, Environment { bus_url, databases, ..Environment::default() })
    }

    /// How the programs are started after they were killed: the programs that take orders first.
    pub fn launches(&self) -> Vec<Launch> {
        launches(self.form, self.folder.path(), &self.environment)
    }

    /// Starts only the programs that have ended.
    pub async fn restart_ended(&mut self) {
        // A process that was killed loses its connections a moment before it ends.
        eventually(PATIENCE, "a program has ended", async || {
            self.programs.one_has_ended().then_some(())
        })
        .await;
        self.files_are_free(&self.programs.files_of_ended(self.form)).await;
        self.programs.restart_ended(self.form, self.folder.path(), &self.environment).await;
        self.client = client();
    }

    /// Waits until no process holds these files. On a busy machine the kernel may take back the
    /// locks of a killed process a moment after it has reported its end.
    async fn files_are_free(&self, files: &[&str]) {
        for file in files.iter().flat_map(|file| [format!("{file}.lock"), (*file).to_owned()]) {
            // PostgreSQL has none, and a disk of the programs' own is not seen here.
            let Ok(lock) = File::open(data_in(self.folder.path()).join(&file)) else { continue };
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

    /// Kills the programs and leaves their files as they are.
    pub fn into_folder(self) -> TempDir {
        self.folder
    }

    /// The folder of the deployment's files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// The audit, and direct access to the services' databases.
impl Deployment {
    /// Runs `lastro verify` while the deployment runs.
    pub async fn verify(&self) -> Ended {
        self.verify_with(PATIENCE, &[]).await
    }

    /// Runs `lastro verify` with further arguments, and a deadline that allows for much data.
    pub async fn verify_with(&self, deadline: Duration, arguments: &[&str]) -> Ended {
        let verify = lastro(self.folder.path()).args(["verify"]);
        let verify = self.environment.sees_disk(verify.args(self.environment.data_arguments()));
        verify.args(arguments.iter().copied()).to_end_within(deadline).await
    }

    /// Runs `lastro verify --watch` while the deployment runs.
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

    /// Stops the Inventory Service from answering, by a lock in its database, until the result is
    /// dropped.
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

    /// The kinds of the messages in quarantine: those of the Order Service first.
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

/// Holds a lock in a database until it is dropped.
#[derive(Debug)]
pub enum Held {
    /// In a SQLite file.
    File {
        /// The lock lasts as long as this connection.
        _connection: Connection,
    },
    /// On a PostgreSQL server.
    Server {
        /// The lock lasts as long as this connection.
        _client: tokio_postgres::Client,
    },
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// How `lastro serve` is started in `folder`, with its data in `folder/data`.
pub fn launch(folder: &Path) -> Launch {
    lastro(folder).args(["--listen", "127.0.0.1:0", "--data-dir", "data"])
}

/// Gives the auditors half of the time instead of a fiftieth, because a test waits for them.
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
/// Panics if the program is missing, because the test was built without it.
pub fn program_under_test() -> PathBuf {
    // Cargo puts tests into `deps`, and programs into the folder above.
    let test = std::env::current_exe().expect("the path of the running test");
    let program = test.ancestors().nth(2).map(|folder| folder.join("lastro")).unwrap_or_default();
    assert!(program.exists(), "{} is missing; build it: cargo test -p lastro", program.display());
    program
}

/// The data folder of a `lastro` that [`launch`] started in `folder`.
pub fn data_in(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// How the programs of a deployment are started: the programs that take orders first.
pub fn launches(form: Form, folder: &Path, environment: &Environment) -> Vec<Launch> {
    Programs::launches(form, folder, environment)
}

/// Copies all data files of a closed deployment into a folder of their own.
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

/// A client that reuses a connection only within the first 5 s of idling. A service closes a
/// connection after 10 s, perhaps just as a request is on its way.
fn client() -> Client {
    let builder = Client::builder().no_proxy().redirect(Policy::none());
    let builder = builder.timeout(Duration::from_secs(60));
    builder.pool_idle_timeout(Duration::from_secs(5)).build().expect("a client")
}
