//! The connections of a pool that wait for their next transaction.

use std::sync::Mutex;
use std::time::Duration;

use platform::failure::Failure;
use tokio_postgres::error::SqlState;

use super::connection::Connection;
use super::error::failure;
use super::server::Server;

/// A connection older than this is replaced: without writes, a service would not notice that the
/// primary was demoted.
const MAX_AGE: Duration = Duration::from_secs(60);

/// Idle connections to one server. A connection returns here only after a commit (R3).
#[derive(Debug)]
pub(super) struct Idle {
    server: Server,
    connections: Mutex<Vec<Connection>>,
}

impl Idle {
    pub(super) fn new(server: Server) -> Self {
        Self { server, connections: Mutex::default() }
    }

    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// Takes a connection that is good as far as is known.
    pub(super) fn take(&self) -> Option<Connection> {
        let mut connections = self.lock();
        connections.retain(|connection| {
            !connection.is_closed()
                && connection.age() < MAX_AGE
                && self.server.leads_to_primary(connection.made_at())
        });
        connections.pop()
    }

    pub(super) fn keep(&self, connection: Connection) {
        self.lock().push(connection);
    }

    /// Closes all of them.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// Returns what an error means for a transaction on one of the connections.
    pub(super) fn failed(&self, error: tokio_postgres::Error) -> Failure {
        if error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION) {
            self.server.was_demoted();
        }
        failure(error)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.connections.lock().expect("nothing panics under this lock")
    }
}
