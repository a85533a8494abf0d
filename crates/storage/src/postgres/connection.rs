//! One connection: its statements, and the task that drives it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{poll_fn, try_join_all};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_postgres::error::Severity;
use tokio_postgres::types::ToSql;
use tokio_postgres::{
    AsyncMessage, Client, Config, Error, Row, SimpleQueryMessage, SimpleQueryRow, Statement,
};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::warn;

/// The server's time, of this very moment.
pub(super) const NOW: &str =
    "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now";

/// Dropping it closes the socket at once, whatever is under way on it; the server then rolls back.
pub(super) struct Connection {
    client: Client,
    statements: Mutex<HashMap<String, Statement>>,
    /// The server has warned since this was last taken.
    warned: Arc<AtomicBool>,
    /// When its making began.
    made_at: Instant,
    driver: AbortHandle,
}

impl Connection {
    pub(super) async fn open(config: &Config, tls: MakeRustlsConnect) -> Result<Self, Error> {
        let made_at = Instant::now();
        let (client, mut connection) = config.connect(tls).await?;
        let warned = Arc::new(AtomicBool::new(false));
        let notes = warned.clone();
        let driver = tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await
            {
                if let AsyncMessage::Notice(notice) = message
                    // Not its text, which is in the language of the server.
                    && notice.parsed_severity() == Some(Severity::Warning)
                {
                    notes.store(true, Ordering::SeqCst);
                    let code = notice.code().code();
                    warn!(code, notice = notice.message(), "the database sent a warning");
                }
            }
        });
        Ok(Self {
            client,
            statements: Mutex::default(),
            warned,
            made_at,
            driver: driver.abort_handle(),
        })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    pub(super) fn made_at(&self) -> Instant {
        self.made_at
    }

    pub(super) fn age(&self) -> Duration {
        self.made_at.elapsed()
    }

    /// Whether the server has warned since this was last asked.
    pub(super) fn take_warning(&self) -> bool {
        self.warned.swap(false, Ordering::SeqCst)
    }

    /// Statements without parameters or results, separated by semicolons.
    pub(super) async fn batch(&self, sql: &str) -> Result<(), Error> {
        self.client.batch_execute(sql).await
    }

    /// Statements without parameters, separated by semicolons. Returns the last row, as texts.
    pub(super) async fn texts(&self, sql: &str) -> Result<Option<SimpleQueryRow>, Error> {
        let messages = self.client.simple_query(sql).await?;
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        Ok(rows.last())
    }

    /// Prepares all of these, so that from then on each is sent the moment it is asked for.
    pub(super) async fn prepare(&self, statements: &[&'static str]) -> Result<(), Error> {
        try_join_all(statements.iter().map(|sql| self.statement(sql))).await.map(|_| ())
    }

    pub(super) async fn query(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        let statement = self.statement(sql).await?;
        self.client.query(&statement, parameters).await
    }

    /// How many rows it wrote.
    pub(super) async fn execute(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Error> {
        let statement = self.statement(sql).await?;
        self.client.execute(&statement, parameters).await
    }

    async fn statement(&self, sql: &str) -> Result<Statement, Error> {
        if let Some(known) =
            self.statements.lock().expect("nothing panics under this lock").get(sql)
        {
            return Ok(known.clone());
        }
        let statement = self.client.prepare(sql).await?;
        let mut statements = self.statements.lock().expect("nothing panics under this lock");
        Ok(statements.entry(sql.to_owned()).or_insert(statement).clone())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}
