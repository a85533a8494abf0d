//! The task that carries out an import: it reads rows, submits them in batches, and answers.
//!
//! An import has one batch in flight, so that the commands of orders find room beside it, and waits
//! for its client in both directions: it reads no further while the client leaves too much of the
//! answer behind. What is committed stays, whatever ends the task; the same request again finishes
//! it, because each row is a request of its own (R4).

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use faults::fault_point;
use inventory_core::admin::{ImportNote, Note, Requester};
use inventory_core::decide::{InventoryCommand, InventoryOutcome};
use platform::failure::NotDone;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use tracing::{info, warn};
use web::problem::{Code, Problem};
use web::{Access, Gone, Lines, Unreadable, Upload};

use super::super::codes;
use super::answer::{ImportLine, RowResult, Tally};
use super::command::{command, shown};
use super::rehearsal::Rehearsal;
use super::rows::{Row, RowFault, Rows};
use super::{MAX_ROWS, unreadable};
use crate::service::Service;

/// The most rows of a batch. Larger ones would hold up the commands of orders for longer.
const BATCH_ROWS: usize = 250;
/// How long a batch may wait for its commit.
const BATCH_WAIT: Duration = Duration::from_secs(15);

/// What an import is for.
#[derive(Clone, Debug)]
pub(super) enum Terms {
    /// Nothing is written.
    DryRun,
    /// Rows are counted.
    Import {
        /// The key, which begins with who the client is.
        key: String,
        reason: String,
        requester: Requester,
    },
}

/// An import that is being carried out.
#[derive(Debug)]
pub(super) struct Import {
    service: Arc<Service>,
    terms: Terms,
    request_id: String,
    /// Whether the key or token of the client is still good.
    access: Access,
    upload: Upload,
    rows: Rows,
    digest: FileDigest,
    /// Rows that are read and not decided yet.
    waiting: Vec<Row>,
    /// Hashes of the stock keys of all rows before that could be read.
    seen: HashSet<u64>,
    rehearsal: Rehearsal,
    /// The rows that were read.
    read: u64,
    tally: Tally,
    /// Whether the admin log has that the import began.
    has_begun: bool,
}

/// The SHA-256 of what was read of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct FileDigest(Sha256);

/// Why an import stopped before the end of its file.
enum Stopped {
    /// The client is gone.
    Gone,
    /// The rest of the file cannot be read. What was read of it counts all the same.
    Unread(Problem),
    Problem(Problem),
}

impl From<Gone> for Stopped {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<Problem> for Stopped {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Unreadable> for Stopped {
    fn from(error: Unreadable) -> Self {
        match error {
            Unreadable::Cut => Self::Gone,
            Unreadable::TooLarge(_) | Unreadable::TooSlow => Self::Unread(unreadable(error)),
        }
    }
}

impl Import {
    pub(super) fn new(
        service: Arc<Service>,
        terms: Terms,
        request_id: String,
        access: Access,
        upload: Upload,
        (rows, digest): (Rows, FileDigest),
    ) -> Self {
        Self {
            service,
            terms,
            request_id,
            access,
            upload,
            rows,
            digest,
            waiting: Vec::with_capacity(BATCH_ROWS),
            seen: HashSet::new(),
            rehearsal: Rehearsal::default(),
            read: 0,
            tally: Tally::default(),
            has_begun: false,
        }
    }

    /// Counts the rows and answers, until the file ends, the client goes away or is not let in any
    /// more, or the service stops.
    pub(super) async fn run(mut self, lines: Lines) {
        let ended = self.count_all(&lines).await;
        let last = match &ended {
            Ok(()) => Some(ImportLine::done(self.is_dry_run(), self.tally)),
            Err(Stopped::Unread(problem) | Stopped::Problem(problem)) => {
                Some(ImportLine::stopped(problem, &self.request_id))
            }
            // Nobody reads it, and the answer must not look whole.
            Err(Stopped::Gone) => None,
        };
        // The place of a client that is gone is free before the end is noted: the next import of the
        // client may begin at once. Otherwise the place is free when the last line is sent.
        let answer = last.map(|last| (lines, last));
        self.note_end(ended.is_ok()).await;
        let Some((lines, last)) = answer else { return };
        let mut line = Vec::new();
        last.write(&mut line);
        lines.finish(line);
        // Whoever reads nothing before they have sent everything gets the last line, too.
        self.upload.refuse().await;
    }

    async fn count_all(&mut self, lines: &Lines) -> Result<(), Stopped> {
        let read = self.count_what_arrives(lines).await;
        if matches!(read, Ok(()) | Err(Stopped::Unread(_) | Stopped::Gone)) {
            self.count_batch(lines).await?;
        }
        read
    }

    /// Reads the file to its end and counts the rows, but for the last ones, which wait.
    async fn count_what_arrives(&mut self, lines: &Lines) -> Result<(), Stopped> {
        let service = self.service.clone();
        let stopping = &service.imports.stopping;
        loop {
            while let Some(row) = self.rows.next() {
                self.take(row)?;
                if self.waiting.len() == BATCH_ROWS {
                    self.count_batch(lines).await?;
                    if let Some(problem) = self.access.refusal() {
                        return Err(problem.into());
                    }
                }
                if stopping.is_cancelled() {
                    return Err(shutting_down().into());
                }
            }
            let piece = tokio::select! {
                biased;
                () = stopping.cancelled() => return Err(shutting_down().into()),
                problem = self.access.ended() => return Err(problem.into()),
                piece = self.upload.next() => piece?,
                // No row waits for others that have not arrived.
                () = std::future::ready(()), if !self.waiting.is_empty() => {
                    self.count_batch(lines).await?;
                    continue;
                }
                () = lines.gone() => return Err(Stopped::Gone),
            };
            match piece {
                Some(piece) => {
                    self.digest.update(&piece);
                    self.rows.push(piece);
                }
                None => break,
            }
        }
        self.rows.end();
        while let Some(row) = self.rows.next() {
            self.take(row)?;
        }
        Ok(())
    }

    /// Takes a row that was read. Two counts of one product at one location contradict each other,
    /// so the second one is refused.
    ///
    /// A row that cannot be read is no count, and the corrected one may follow it. A row that is
    /// refused for what the stock is now is one: the repeat of the import may count it.
    fn take(&mut self, mut row: Row) -> Result<(), Stopped> {
        self.read += 1;
        if self.read > MAX_ROWS {
            let detail =
                format!("the file must have at most {MAX_ROWS} rows; send the rest in another one");
            return Err(Stopped::Unread(Problem::new(Code::BODY_TOO_LARGE, detail)));
        }
        if self.is_second(&row) {
            let detail = "an earlier row has the same product_id and location_id".to_owned();
            let fault = RowFault { column: None, code: codes::DUPLICATE_ROW, detail };
            let mut faults = row.read.err().unwrap_or_default();
            faults.push(fault);
            row.read = Err(faults);
        }
        self.waiting.push(row);
        Ok(())
    }

    /// Whether a row before counted the same stock. Remembers what this one counts.
    fn is_second(&mut self, row: &Row) -> bool {
        let Some(key) = row.stock_key.as_ref().map(hash) else { return false };
        match row.read {
            Ok(_) => !self.seen.insert(key),
            Err(_) => self.seen.contains(&key),
        }
    }

    /// Decides the rows that wait, and answers them.
    async fn count_batch(&mut self, lines: &Lines) -> Result<(), Stopped> {
        let rows = std::mem::take(&mut self.waiting);
        let commands: Vec<_> = rows.iter().filter_map(|row| self.command(row)).collect();
        let mut outcomes = self.decide(commands).await.into_iter();
        let mut answer = Vec::new();
        let mut failure = None;
        for row in rows {
            let line = match row.read.clone() {
                Err(faults) => ImportLine::refused(row, faults),
                Ok(_) => match outcomes.next().unwrap_or(Err(Problem::internal())) {
                    Ok(outcome) => ImportLine::of(row, &outcome),
                    Err(problem) => {
                        failure = Some(problem);
                        break;
                    }
                },
            };
            self.tally(&line);
            line.write(&mut answer);
        }
        lines.send(answer).await?;
        failure.map_or(Ok(()), |problem| Err(problem.into()))
    }

    fn command(&self, row: &Row) -> Option<InventoryCommand> {
        let counted = row.read.clone().ok()?;
        Some(command(&self.terms, row.line, row.stock_key.clone()?, counted))
    }

    /// Returns one result per command, in order.
    async fn decide(
        &mut self,
        mut commands: Vec<InventoryCommand>,
    ) -> Vec<Result<InventoryOutcome, Problem>> {
        if commands.is_empty() {
            return Vec::new();
        }
        if self.is_dry_run() {
            return match self.rehearsal.rehearse(&*self.service.store, &commands).await {
                Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
                Err(failure) => vec![Err(failure.into())],
            };
        }
        // The log has that the import began, as soon as a row is counted.
        let began = if self.has_begun { None } else { self.began() };
        let notes = usize::from(began.is_some());
        commands.splice(0..0, began);
        let deadline = Instant::now() + BATCH_WAIT;
        let results = self.service.batcher.submit_all(commands, deadline).await;
        fault_point!("import.batch_committed");
        self.has_begun |= results.first().is_some_and(Result::is_ok);
        results.into_iter().skip(notes).map(|result| result.map_err(not_done)).collect()
    }

    fn is_dry_run(&self) -> bool {
        matches!(self.terms, Terms::DryRun)
    }

    fn began(&self) -> Option<InventoryCommand> {
        let Terms::Import { key, reason, requester } = &self.terms else { return None };
        let note = Note::ImportBegan { key: shown(key).to_owned(), reason: reason.clone() };
        Some(InventoryCommand::Note(Box::new(ImportNote { requester: requester.clone(), note })))
    }

    /// Notes in the admin log what became of the import.
    async fn note_end(&mut self, is_complete: bool) {
        let Tally { rows, changed, failed, .. } = self.tally;
        let Terms::Import { key, requester, .. } = &self.terms else { return };
        info!(
            request_id = self.request_id,
            rows, changed, failed, is_complete, "an import has ended"
        );
        if !self.has_begun {
            return;
        }
        let key = shown(key).to_owned();
        let sha256 = self.digest.to_string();
        let note = Note::ImportEnded { key, is_complete, rows, changed, failed, sha256 };
        let note = Box::new(ImportNote { requester: requester.clone(), note });
        if let Err(error) = self.service.batcher.submit(InventoryCommand::Note(note)).await {
            warn!(?error, "the admin log cannot be written; the entry is only in this log");
        }
    }

    fn tally(&mut self, line: &ImportLine) {
        let result = match line {
            ImportLine::Counted(row) => Some(row.result),
            _ => None,
        };
        let tally = &mut self.tally;
        tally.rows += 1;
        match result {
            Some(RowResult::Counted | RowResult::Created) => tally.changed += 1,
            Some(RowResult::Unchanged) => tally.unchanged += 1,
            Some(RowResult::Replayed) => {
                tally.unchanged += 1;
                tally.replayed += 1;
            }
            None => tally.failed += 1,
        }
        if !self.is_dry_run() {
            self.service.imports.metrics.count(result.map_or("failed", RowResult::as_str));
        }
    }
}

impl FileDigest {
    pub(super) fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }
}

impl std::fmt::Display for FileDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.clone().finalize().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A hash of 64 bits: of a million rows, one in 37 million files has two that are taken for one.
pub(super) fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// The problem of rows that were not counted. Rows before them may have been.
fn not_done(error: NotDone) -> Problem {
    let detail = "the import stopped after the rows above; \
                  repeat it with the same Idempotency-Key to finish it, no row is counted twice";
    match error.into() {
        problem if problem == Problem::internal() => problem,
        problem => Problem { detail: detail.to_owned(), ..problem },
    }
}

fn shutting_down() -> Problem {
    not_done(NotDone::ShuttingDown)
}
