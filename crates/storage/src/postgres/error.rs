//! What an error of PostgreSQL means: for a program that opens a database, and for a transaction.

use std::sync::Arc;

use platform::config::UsageError;
use platform::failure::Failure;
use tokio_postgres::error::SqlState;

/// Why a database was not opened. One line each, for the operator; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No connection could be made. It may pass.
    #[error("cannot reach {server}: {reason}")]
    Unreachable {
        /// The name of the database, without secrets.
        server: String,
        /// The cause, for an operator.
        reason: String,
    },
    /// The server's settings make commits not durable (R1).
    #[error("{server} does not commit durably: {reason}; change these settings of the server")]
    Unsafe {
        /// The name of the database, without secrets.
        server: String,
        /// The cause, for an operator.
        reason: String,
    },
    /// The server is a standby or is read-only. It may pass.
    #[error("{server} is read-only: {reason}")]
    ReadOnly {
        /// The name of the database, without secrets.
        server: String,
        /// The cause, for an operator.
        reason: String,
    },
    /// The server refused a statement or the login.
    #[error("cannot use {server}: {reason}")]
    Unusable {
        /// The name of the database, without secrets.
        server: String,
        /// The cause, for an operator.
        reason: String,
    },
    /// The server speaks no TLS, or is not who it should be.
    #[error(
        "cannot trust {server}: {reason}; the server needs ssl = on and a certificate for the host of the URL, from an authority that this machine knows or that sslrootcert=FILE names"
    )]
    Untrusted {
        /// The name of the database, without secrets.
        server: String,
        /// The cause, for an operator.
        reason: String,
    },
    /// A pooler shares the server's sessions between clients.
    #[error(
        "{server} is behind a pooler that pools transactions or statements ({reason}); let it pool sessions (pool_mode = session), or connect to the server itself"
    )]
    Pooled {
        /// The name of the database, without secrets.
        server: String,
        /// The cause, for an operator.
        reason: String,
    },
    /// The search path does not lead to the tables of the service.
    #[error(
        "{server} has the tables of this service in the schema {schema:?}, and search_path={search_path} does not lead there; set it back: ALTER ROLE … SET search_path = {schema:?}"
    )]
    Elsewhere {
        /// The name of the database, without secrets.
        server: String,
        /// The schema with the tables.
        schema: String,
        /// The search path.
        search_path: String,
    },
    /// The schema is missing or old, and this role may not change it.
    #[error(
        "{server} has no up-to-date schema and this role may not create it; run `migrate` as its owner ({reason})"
    )]
    NotMigrated {
        /// The name of the database, without secrets.
        server: String,
        /// The cause, for an operator.
        reason: String,
    },
    /// A role that should get privileges must not have them.
    #[error("{server}: {reason}")]
    Role {
        /// The name of the database, without secrets.
        server: String,
        /// What is wrong with the role, and what to do.
        reason: String,
    },
    /// A newer program has changed the schema.
    #[error(
        "{server} was written by a newer version of Lastro (schema {found}, this program knows {known})"
    )]
    Newer {
        /// The name of the database, without secrets.
        server: String,
        /// The number of the newest step that was applied.
        found: i64,
        /// The number of the newest step that this program knows.
        known: i64,
    },
    /// A migration differs from the one that was applied.
    #[error(
        "{server}: migration {number} differs from the one that was applied; use the database of this service, or restore it from a backup"
    )]
    Changed {
        /// The name of the database, without secrets.
        server: String,
        /// The number of the migration.
        number: i64,
    },
    /// The URL is malformed.
    #[error(transparent)]
    Usage(#[from] UsageError),
}

impl OpenError {
    /// Whether it may be over in a moment, as it is when a server starts or a standby takes over.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::ReadOnly { .. })
    }
}

/// No connection could be made: nothing was done, and an operator may have to act.
impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::Unavailable(Arc::new(error))
    }
}

/// Returns what an error means for its transaction, which has not been asked to commit (R4, R18).
pub fn failure(error: tokio_postgres::Error) -> Failure {
    let Some(state) = error.code().cloned() else {
        return match std::error::Error::source(&error) {
            // The connection is gone, and the transaction with it.
            _ if error.is_closed() => Failure::Unavailable(Arc::new(error)),
            Some(source) if source.is::<std::io::Error>() => Failure::Unavailable(Arc::new(error)),
            // A parameter or a column of another type than the schema says: about this batch.
            _ => Failure::suspect(error),
        };
    };
    let cause = Arc::new(error);
    match state {
        SqlState::T_R_SERIALIZATION_FAILURE
        | SqlState::T_R_DEADLOCK_DETECTED
        | SqlState::LOCK_NOT_AVAILABLE
        // Another statement of the transaction has failed, and its error is the cause.
        | SqlState::IN_FAILED_SQL_TRANSACTION => Failure::Busy(cause),
        SqlState::DISK_FULL => Failure::Full(cause),
        SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => Failure::Fatal(cause),
        state if is_about_the_server(&state) => Failure::Unavailable(cause),
        _ => Failure::Suspect(cause),
    }
}

/// Whether an error is about the server and not about the batch, so that a new connection or a
/// later retry may succeed.
fn is_about_the_server(state: &SqlState) -> bool {
    let class = state.code().get(..2).unwrap_or_default();
    // The connection failed.
    matches!(class, "08")
        // Statements and cursors of the session are gone, or their plans no longer fit the tables:
        // somebody reset it or changed the schema, or a pooler in between has mixed sessions up.
        || matches!(class, "0A" | "26" | "34")
        // It ended a transaction that was idle or took too long, or was demoted: a new connection
        // finds the other primary.
        || matches!(class, "25")
        // The server refuses access, has another schema, or is not in the required state.
        || matches!(class, "42" | "55" | "72")
        // The server has no free connection, is stopping, failed, or is misconfigured.
        || matches!(class, "53" | "57" | "58" | "F0" | "XX")
}

/// What an error of COMMIT itself means (R4).
pub(super) fn fate(error: tokio_postgres::Error) -> Failure {
    // A server that goes away may have committed before it did: only what it says about the
    // transaction is about that.
    let aborted = error.code().is_some_and(|state| {
        matches!(state.code().get(..2), Some("22" | "23" | "40" | "53"))
            && *state != SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
    });
    if aborted { failure(error) } else { Failure::Unknown(Arc::new(error)) }
}

pub(super) fn chain(error: &dyn std::error::Error) -> String {
    platform::failure::Chain(error).to_string()
}
