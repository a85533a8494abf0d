//! Where a database is, and connections to it that are safe to promise durability on (R1).

use std::error::Error;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use platform::config::UsageError;
use platform::pairing::DatabaseId;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Config;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::error::SqlState;
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::warn;

use super::address::Address;
use super::connection::{Connection, NOW};
use super::error::{OpenError, chain};
use super::session::{self, Refusal};

/// How long a connection may take to be made.
const CONNECT_WAIT: Duration = Duration::from_secs(3);
/// How long a program that starts waits for its database to be there.
const START_PATIENCE: Duration = Duration::from_secs(30);
const START_PAUSE: Duration = Duration::from_millis(200);
/// A peer that answers nothing for so long is taken for gone.
const SILENCE: Duration = Duration::from_secs(10);
/// How often it is checked whether another host has become the primary, while a commit does not
/// end.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Transactions on the primary, and only if its commits are durable.
    Write,
    /// Snapshots, also of the primary, so that a client reads its own writes.
    Read,
    /// Snapshots on any host.
    Audit,
}

/// A database on a server; where several hosts are named, on whichever of them is the primary.
#[derive(Clone)]
pub struct Server {
    /// The same database on each of the hosts, in the order in which they are named.
    hosts: Vec<Config>,
    tls: MakeRustlsConnect,
    /// For people: without its secrets.
    name: String,
    primary: Arc<Mutex<Primary>>,
    /// The schema with the service's tables, once it is known. No later connection uses another.
    schema: Arc<OnceLock<String>>,
    /// The database with these tables, once it is known (R31).
    database: Arc<OnceLock<DatabaseId>>,
}

/// What all connections have found out about where the primary is.
#[derive(Debug, Default)]
struct Primary {
    /// Which of the hosts was it last.
    host: Option<usize>,
    /// Connections from before may lead to a demoted primary.
    since: Option<Instant>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Server {
    /// Parses a URL in libpq's syntax. `name` is shown to people instead of it, and `program` is
    /// the application name that the server shows.
    ///
    /// `sslmode` is `disable`, the default for this machine, or `verify-full`, the default for all
    /// others; `require` and `verify-ca` are treated as `verify-full`. The roots are those of the
    /// system, or of the file `sslrootcert`.
    ///
    /// # Errors
    ///
    /// Returns an error if the URL is malformed, has another `sslmode`, would send a password over
    /// the network in the clear, or names a file of roots that cannot be read.
    pub fn at(url: &str, name: &str, program: &str) -> Result<Self, UsageError> {
        let Address { mut hosts, tls } = Address::parse(url)
            .map_err(|reason| UsageError(format!("{name} cannot be used: {reason}")))?;
        for config in &mut hosts {
            config.application_name(program).connect_timeout(CONNECT_WAIT);
            config
                .keepalives_idle(SILENCE)
                .keepalives_interval(Duration::from_secs(2))
                .tcp_user_timeout(SILENCE);
        }
        Ok(Self {
            hosts,
            tls,
            name: name.to_owned(),
            primary: Arc::default(),
            schema: Arc::default(),
            database: Arc::default(),
        })
    }

    /// Returns the name for people, without secrets.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A new connection with the `statements` prepared.
    ///
    /// # Errors
    ///
    /// Nothing was done. For [`Access::Write`] also that the server would not keep what it
    /// confirms.
    pub(super) async fn connect(
        &self,
        access: Access,
        statements: &[&'static str],
    ) -> Result<Connection, OpenError> {
        let mut refused = Vec::new();
        // One after the other, each with its own timeout, so that a host that accepts connections
        // and does not answer does not block the next one.
        for (number, host) in self.hosts.iter().enumerate() {
            match self.connect_to(host, access, statements).await {
                Ok(connection) => {
                    if access != Access::Audit {
                        self.found_primary(number, connection.made_at());
                    }
                    return Ok(connection);
                }
                Err(error) => refused.push(error),
            }
        }
        // What can pass is worth waiting for, whatever the others say.
        let best = refused.iter().position(OpenError::may_pass).unwrap_or(0);
        Err(refused.swap_remove(best))
    }

    /// A connection, once there is a database to connect to.
    pub(super) async fn connect_patiently(
        &self,
        access: Access,
        statements: &[&'static str],
    ) -> Result<Connection, OpenError> {
        let deadline = Instant::now() + START_PATIENCE;
        let mut failed = false;
        loop {
            match self.connect(access, statements).await {
                Err(error) if error.may_pass() && Instant::now() < deadline => {
                    if !std::mem::replace(&mut failed, true) {
                        warn!(server = self.name, %error, "database not available yet, retrying");
                    }
                    sleep(START_PAUSE).await;
                }
                result => return result,
            }
        }
    }

    async fn connect_to(
        &self,
        host: &Config,
        access: Access,
        statements: &[&'static str],
    ) -> Result<Connection, OpenError> {
        let mut config = host.clone();
        if access != Access::Audit {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        let connecting = async {
            let connection = Connection::open(&config, self.tls.clone())
                .await
                .map_err(|error| self.refused(&error))?;
            let database = self.database.get().copied();
            session::begin(&connection, self.schema(), database, access == Access::Write)
                .await
                .map_err(|refusal| self.refused_session(refusal))?;
            connection.prepare(&[NOW]).await.map_err(|error| self.unusable(&error))?;
            connection.prepare(statements).await.map_err(|error| self.unusable(&error))?;
            Ok(connection)
        };
        timeout(CONNECT_WAIT, connecting).await.map_err(|elapsed| self.unreachable(&elapsed))?
    }

    /// Notes that the primary was demoted: connections that were made before must not be used
    /// again.
    pub(super) fn was_demoted(&self) {
        self.primary().since = Some(Instant::now());
    }

    /// Whether a connection that was made then leads to the primary, as far as is known.
    pub(super) fn leads_to_primary(&self, made_at: Instant) -> bool {
        self.primary().since.is_none_or(|since| made_at >= since)
    }

    /// Ends when the primary is another than it was when a connection was made.
    pub(super) async fn has_moved_since(&self, made_at: Instant) {
        while self.leads_to_primary(made_at) {
            sleep(LOOK_AGAIN).await;
            if self.hosts.len() > 1 {
                // Connecting finds out.
                let _ = self.connect(Access::Write, &[]).await;
            }
        }
    }

    fn found_primary(&self, host: usize, made_at: Instant) {
        let mut primary = self.primary();
        if primary.host.replace(host).is_some_and(|before| before != host) {
            primary.since = primary.since.max(Some(made_at));
        }
    }

    fn primary(&self) -> std::sync::MutexGuard<'_, Primary> {
        self.primary.lock().expect("nothing panics under this lock")
    }

    #[cfg(test)]
    pub(super) fn tls(&self) -> MakeRustlsConnect {
        self.tls.clone()
    }

    /// The schema with the service's tables, once it is known.
    pub(super) fn schema(&self) -> Option<&str> {
        self.schema.get().map(String::as_str)
    }

    /// Notes the schema with the service's tables. The first one stays.
    pub(super) fn found_schema(&self, schema: String) {
        let _ = self.schema.set(schema);
    }

    /// Notes which database this is. The first one stays.
    pub(super) fn found_database(&self, id: DatabaseId) {
        let _ = self.database.set(id);
    }

    /// A connection that was made, and is not one that a service can work on.
    fn refused_session(&self, refusal: Refusal) -> OpenError {
        let server = self.name.clone();
        match refusal {
            Refusal::Engine(error) => self.unusable(&error),
            Refusal::ReadOnly(reason) => OpenError::ReadOnly { server, reason },
            Refusal::Unsafe(reason) => OpenError::Unsafe { server, reason },
            Refusal::Pooled(reason) => OpenError::Pooled { server, reason },
            Refusal::Unusable(reason) => OpenError::Unusable { server, reason },
        }
    }

    /// A connection that was not made.
    fn refused(&self, error: &tokio_postgres::Error) -> OpenError {
        match error.code().map(|state| state.code().get(..2)) {
            // The role or the database (28, 3D) is misconfigured.
            Some(Some("28" | "3D")) => self.unusable(error),
            // So are the trusted certificates.
            None if is_about_trust(error) => {
                OpenError::Untrusted { server: self.name.clone(), reason: chain(error) }
            }
            _ => self.unreachable(error),
        }
    }

    fn unreachable(&self, error: &dyn Error) -> OpenError {
        OpenError::Unreachable { server: self.name.clone(), reason: chain(error) }
    }

    /// Of a connection that was made; one that was lost again could not be reached.
    pub(super) fn unusable(&self, error: &tokio_postgres::Error) -> OpenError {
        let server = self.name.clone();
        let state = error.code().map_or("", |state| state.code());
        match state.get(..2) {
            _ if error.is_closed() => self.unreachable(error),
            _ if is_of_pooler(error) => OpenError::Pooled { server, reason: chain(error) },
            Some("08" | "57") => self.unreachable(error),
            _ if state == "42501" => OpenError::NotMigrated { server, reason: chain(error) },
            _ => OpenError::Unusable { server, reason: chain(error) },
        }
    }
}

/// Whether a pooler in between has given this session the server's session of somebody else: its
/// prepared statements are there already, or those that it prepared are gone.
fn is_of_pooler(error: &tokio_postgres::Error) -> bool {
    let state = error.code();
    state == Some(&SqlState::DUPLICATE_PSTATEMENT)
        || state == Some(&SqlState::INVALID_SQL_STATEMENT_NAME)
}

/// Whether the server is not who it should be, or speaks no TLS.
fn is_about_trust(error: &tokio_postgres::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        let within = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if within.is_some_and(|error| error.is::<rustls::Error>())
            || error.to_string().contains("support TLS")
        {
            return true;
        }
        cause = error.source();
    }
    false
}
