//! `POST /api/inventory/import`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::HeaderMap;
use inventory_core::admin::Requester;
use platform::keys::Principal;
use tokio_util::sync::CancellationToken;
use web::body::{Parsed, text_not_blank};
use web::problem::{Code, Fault, FaultCode, Problem, WriteProblems};
use web::{Access, Authenticator, Lines, Query, Unreadable, Upload, idempotency_key};

use crate::metrics::ImportMetrics;
use crate::service::Service;
use answer::{ImportLine, NewCountRow};
use rows::{MEDIA_TYPES, Rows};
use task::{Import, Terms};

mod answer;
mod command;
mod rehearsal;
mod rows;
mod task;
#[cfg(test)]
mod tests;

pub use rows::{Counted, Row, RowFault};

/// The largest file, in bytes.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// The most rows of a file: each is remembered, so that none is counted twice.
const MAX_ROWS: u64 = 1_000_000;
/// How many imports a process carries out at the same time.
const MAX_IMPORTS: usize = 2;
/// When a client that found no place may come back, in seconds.
const RETRY_S: u32 = 5;
/// How long a file may take to arrive and to be counted.
const MAX_DURATION: Duration = Duration::from_secs(30 * 60);

/// What the imports of a process share.
#[derive(Clone, Debug)]
pub(crate) struct Imports {
    running: Running,
    pub(super) metrics: ImportMetrics,
    /// Tells whether a client is still let in.
    authenticator: Authenticator,
    /// Cancelled when the shutdown begins.
    stopping: CancellationToken,
}

/// The clients whose imports are running.
type Running = Arc<Mutex<BTreeSet<String>>>;

/// A place among the imports of a process, until it is dropped.
#[derive(Debug)]
struct Place {
    client: String,
    running: Running,
}

impl Imports {
    pub(crate) fn new(
        metrics: ImportMetrics,
        authenticator: Authenticator,
        stopping: CancellationToken,
    ) -> Self {
        Self { running: Running::default(), metrics, authenticator, stopping }
    }

    /// Takes a place. A client has one at most, so that a slow one does not keep others away.
    fn place(&self, client: &str) -> Result<Place, Problem> {
        let mut running = self.running();
        is_free(&running, client)?;
        running.insert(client.to_owned());
        Ok(Place { client: client.to_owned(), running: self.running.clone() })
    }

    fn running(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.running.lock().expect("nothing panics under this lock")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.running.lock().expect("nothing panics under this lock").remove(&self.client);
    }
}

/// # Errors
///
/// 429 `rate_limited` if the client has a place, or 503 `overloaded` if there is none.
fn is_free(running: &BTreeSet<String>, client: &str) -> Result<(), Problem> {
    if running.contains(client) {
        let detail = "another import of this client is running; wait for its end";
        return Err(Problem::new(Code::RATE_LIMITED, detail).retry_after(RETRY_S));
    }
    if running.len() >= MAX_IMPORTS {
        let detail = format!("{MAX_IMPORTS} imports are running, which is the maximum");
        return Err(Problem::new(Code::OVERLOADED, detail).retry_after(RETRY_S));
    }
    Ok(())
}

/// Count stock from a file
///
/// Each row of the file is what a count of a product at a location has found. A product that does
/// not exist is created, if the row has a name; another name replaces the one that the product has.
/// Its `low_stock_at` is kept. Rows are counted while the file arrives, and the answer has a line
/// for each row, in order. A row that is refused changes nothing and does not stop the rows after
/// it. The last line says how many rows there were; without a last line with `"done": true`, the
/// import was not finished.
///
/// An import that is repeated with the same `Idempotency-Key`, file and reason counts no row twice:
/// after an interruption, the same request finishes it. A row is recognized by its line.
///
/// CSV has a header with the columns `product_id`, `quantity` and, if wanted, `name` and
/// `location_id`, in any order; commas or semicolons separate the cells (RFC 4180, UTF-8). NDJSON
/// has one object per line. A row has at most 8 KiB, a file 64 MiB and 1 000 000 rows, and names a
/// product at a location once; a row that cannot be read does not count. With `dry_run=true`, the
/// answer says what would be counted, and nothing is written. A client runs one import at a time. An
/// import stops when its key is revoked.
#[utoipa::path(
    post, path = "/api/inventory/import", tag = "inventory", operation_id = "importStock",
    request_body(content((String = "text/csv", example = "product_id,name,quantity,location_id\n789,Blue mug,12,main\n"), (NewCountRow = "application/x-ndjson"))),
    params(
        ("reason" = Option<String>, Query, min_length = 1, max_length = 200, description = "Why the stock was counted; required unless `dry_run`"),
        ("dry_run" = Option<bool>, Query, description = "`true`: nothing is written"),
        ("Idempotency-Key" = Option<String>, Header, description = "1–255 visible ASCII characters; required unless `dry_run`. The movements have it as their `reference`"),
    ),
    responses(
        (status = 200, description = "A line for each row, and a last line", body = ImportLine, content_type = "application/x-ndjson"),
        (status = 400, description = "`incomplete_body`: The body did not arrive completely", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "`body_too_large`: The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`: The media type of the body is not supported", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_request` with every fault of the parameters or of the header", body = Problem, content_type = "application/problem+json"),
        WriteProblems,
    ),
)]
pub(super) async fn import(
    State(service): State<Arc<Service>>,
    Extension(client): Extension<Arc<Principal>>,
    requester: web::Requester,
    query: Query,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let access = Access::of(&service.imports.authenticator, &parts.headers, &client);
    let request_id = requester.request_id.clone().unwrap_or_default();
    let (media_type, mut upload) = begin(&parts.headers, body).await?;
    let mut rows = Rows::of(media_type);
    let asker = asker(&requester);
    let ready = match ready(&service, &asker, &client, requester, query, &parts.headers) {
        // Until the columns are known, nothing is held but a connection.
        Ok(terms) => match header(&mut rows, &mut upload).await {
            Ok(digest) => service.imports.place(&asker).map(|place| (terms, digest, place)),
            Err(problem) => Err(problem),
        },
        Err(problem) => Err(problem),
    };
    let (terms, digest, place) = match ready {
        Ok(ready) => ready,
        Err(problem) => {
            upload.refuse().await;
            return Err(problem);
        }
    };
    let (lines, response) = Lines::begin(place);
    // A task of its own: it goes on reading while the client does not read the answer.
    let import = Import::new(service, terms, request_id, access, upload, (rows, digest));
    tokio::spawn(import.run(lines));
    Ok(response)
}

async fn begin(headers: &HeaderMap, body: Body) -> Result<(&'static str, Upload), Problem> {
    Upload::begin(headers, body, &MEDIA_TYPES, MAX_BYTES, MAX_DURATION).await
}

/// The client that has a place: the one with a key, or else the address.
fn asker(requester: &web::Requester) -> String {
    let web::Requester { actor, address, .. } = requester;
    actor.as_ref().or(address.as_ref()).cloned().unwrap_or_default()
}

/// Reads the parameters. A client that would find no place is refused before its file is read.
fn ready(
    service: &Service,
    asker: &str,
    client: &Principal,
    requester: web::Requester,
    mut query: Query,
    headers: &HeaderMap,
) -> Result<Terms, Problem> {
    let reason = query.optional("reason", reason);
    let dry_run = query.optional("dry_run", super::products::boolean).unwrap_or(false);
    query.finish()?;
    let key = idempotency_key(headers, client)?;
    let terms = Terms::new(dry_run, reason, key, super::requester(requester))?;
    is_free(&service.imports.running(), asker)?;
    Ok(terms)
}

/// Reads until the columns of the file are known, or its first piece is there.
async fn header(rows: &mut Rows, upload: &mut Upload) -> Result<task::FileDigest, Problem> {
    let mut digest = task::FileDigest::default();
    while !rows.begin()? {
        match upload.next().await.map_err(unreadable)? {
            Some(piece) => {
                digest.update(&piece);
                rows.push(piece);
            }
            None => rows.end(),
        }
    }
    Ok(digest)
}

/// The problem of a file that cannot be read to its end.
fn unreadable(error: Unreadable) -> Problem {
    let code = match error {
        Unreadable::TooLarge(_) => Code::BODY_TOO_LARGE,
        Unreadable::Cut | Unreadable::TooSlow => super::codes::INCOMPLETE_BODY,
    };
    Problem::new(code, error.to_string())
}

fn reason(text: &str) -> Parsed<String> {
    text_not_blank(super::MAX_TEXT)(&web::body::Node::String(text.to_owned()))
}

impl Terms {
    /// # Errors
    ///
    /// 422 `invalid_request` if a key or a reason is missing.
    fn new(
        dry_run: bool,
        reason: Option<String>,
        key: Option<String>,
        requester: Requester,
    ) -> Result<Self, Problem> {
        if dry_run {
            return Ok(Self::DryRun);
        }
        match (key, reason) {
            (Some(key), Some(reason)) => Ok(Self::Import { key, reason, requester }),
            (key, reason) => {
                let missing = |name: &'static str| {
                    let detail = format!("{name} is required, unless dry_run is true");
                    Fault::parameter(name, FaultCode::REQUIRED, detail)
                };
                let reason = reason.is_none().then(|| missing("reason"));
                let key = key.is_none().then(|| missing("Idempotency-Key"));
                Err(Problem::invalid(reason.into_iter().chain(key).collect()))
            }
        }
    }
}

/// Reads a whole file, cut into these pieces, for the fuzz targets and the tests.
///
/// # Errors
///
/// 422 `invalid_request` with every fault of the header.
pub fn read_rows(media_type: &str, pieces: &[&[u8]]) -> Result<Vec<Row>, Problem> {
    let mut rows = Rows::of(media_type);
    let mut pieces = pieces.iter().filter(|piece| !piece.is_empty());
    let mut more = |rows: &mut Rows| match pieces.next() {
        Some(piece) => {
            rows.push(bytes::Bytes::copy_from_slice(piece));
            true
        }
        None => {
            rows.end();
            false
        }
    };
    while !rows.begin()? {
        more(&mut rows);
    }
    let mut read = Vec::new();
    loop {
        while let Some(row) = rows.next() {
            read.push(row);
        }
        if !more(&mut rows) {
            read.extend(std::iter::from_fn(|| rows.next()));
            return Ok(read);
        }
    }
}
