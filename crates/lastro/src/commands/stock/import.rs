//! `lastro stock import`: sends a file while the service answers its rows.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use indicatif::ProgressBar;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

use super::super::{Context, KeyArgs, counter, items, progress};
use crate::client::{Answer, Failed, Query, hint_of_fault};
use crate::output::{line, note, show};

mod upload;

/// How long an import may take: longer than the service allows.
const LONGEST: Duration = Duration::from_secs(31 * 60);
/// How often a file is sent again after its connection was lost.
const REPEATS: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(super) struct Import {
    /// The file, as CSV or NDJSON; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Why the stock was counted
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    reason: Option<String>,
    /// Change nothing: say what would be counted
    #[arg(long)]
    dry_run: bool,
    /// csv or ndjson [default: by the name of the file, else csv]
    #[arg(long, value_name = "FORMAT", value_parser = ["csv", "ndjson"])]
    format: Option<String>,
    #[command(flatten)]
    key: KeyArgs,
}

/// How an attempt ended.
enum Attempt {
    /// With the service's last line.
    Done(Value),
    /// Without one: what was counted is not known.
    Cut(String),
    /// It did not begin: the import of a connection that was lost may still be running.
    Busy(Failed),
}

/// What was printed so far.
struct Progress {
    bar: ProgressBar,
    /// The last line of the file that was reported: a repeat answers it again.
    reported: i64,
    /// What can be done about rows that were refused.
    hints: BTreeSet<&'static str>,
    /// Whether anybody reads what is printed. An import goes on without.
    is_read: bool,
    json: bool,
}

impl Import {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failed> {
        // A file that cannot be read is refused before anything is sent.
        let size = upload::size(&self.file)?;
        let key = if self.dry_run { None } else { Some(self.key.key()) };
        let json = context.json;
        let mut progress =
            Progress { bar: bar(size), reported: 0, hints: BTreeSet::new(), is_read: true, json };
        let repeats = if self.is_stdin() { 0 } else { REPEATS };
        let mut attempts = 0;
        let mut cut = None::<String>;
        let done = loop {
            let attempt = self.attempt(context, key.as_deref(), &mut progress, cut.is_none());
            let (why, error) = match attempt.await? {
                Attempt::Done(done) => break done,
                Attempt::Cut(why) => {
                    cut = Some(why.clone());
                    let error = self.unknown(key.as_deref(), &why);
                    (why, error)
                }
                Attempt::Busy(error) => (error.first_line(), error),
            };
            attempts += 1;
            if attempts > repeats {
                progress.bar.abandon();
                return Err(cut.map_or(error, |why| self.unknown(key.as_deref(), &why)));
            }
            progress.bar.suspend(|| note(format_args!("{why}; sending the file again")));
            sleep(PAUSE * attempts).await;
        };
        progress.bar.finish_and_clear();
        self.end(&done, &progress)
    }

    fn is_stdin(&self) -> bool {
        self.file == Path::new("-")
    }

    async fn attempt(
        &self,
        context: &Context,
        key: Option<&str>,
        progress: &mut Progress,
        is_first: bool,
    ) -> Result<Attempt, Failed> {
        let deadline = Instant::now() + LONGEST;
        progress.bar.set_position(0);
        let body = upload::stream(&self.file, progress.bar.clone())?;
        let query = Query::of("/api/inventory/import")
            .with("reason", self.reason.as_ref())
            .with("dry_run", self.dry_run.then_some(true));
        let (path, headers) = (query.as_str(), self.headers(key)?);
        let opened = context.client.open(Method::POST, path, headers, body, deadline).await;
        let response = match opened {
            Ok(response) => response,
            Err(lost) if !lost.may_have_arrived && is_first => {
                return Err(Failed::unreachable(context.client.base_of(path), &lost.why));
            }
            Err(lost) => return Ok(Attempt::Cut(lost.why)),
        };
        if !response.status().is_success() {
            let (head, body) = response.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let answer = Answer { status: head.status, headers: head.headers, body };
            let refused = Failed::refused(&Method::POST, path, &answer);
            let is_busy = matches!(refused.code(), Some("rate_limited" | "overloaded"));
            return if is_busy { Ok(Attempt::Busy(refused)) } else { Err(refused) };
        }
        progress.read(response.into_body(), deadline).await
    }

    fn headers(&self, key: Option<&str>) -> Result<HeaderMap, Failed> {
        let by_name = self.file.extension().and_then(|extension| extension.to_str());
        let is_json = match self.format.as_deref() {
            Some(format) => format == "ndjson",
            None => by_name.is_some_and(|it| ["ndjson", "jsonl"].contains(&it)),
        };
        let media_type = if is_json { "application/x-ndjson" } else { "text/csv" };
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        if let Some(key) = key {
            let value = HeaderValue::from_str(key)
                .map_err(|_| Failed::usage("idempotency-key must be visible ASCII"))?;
            headers.insert("idempotency-key", value);
        }
        Ok(headers)
    }

    fn unknown(&self, key: Option<&str>, why: &str) -> Failed {
        let Some(key) = key else {
            return Failed::line(format!("the connection was lost: {why}; nothing was changed"));
        };
        Failed::Lines(
            crate::client::OUTCOME_UNKNOWN,
            format!(
                "it is unknown which rows were counted: {why}\nhint: run the command again with \
                 --idempotency-key {key} and the same file: no row is counted twice"
            ),
        )
    }

    /// The summary.
    fn end(&self, done: &Value, progress: &Progress) -> Result<(), Failed> {
        if done["done"] != true {
            let problem = &done["problem"];
            let (title, detail) = (show(&problem["title"]), show(&problem["detail"]));
            return Err(Failed::line(format!(
                "the import stopped: {title}: {detail}\nhint: run the command again with the same \
                 --idempotency-key: no row is counted twice"
            )));
        }
        let [rows, changed, unchanged, replayed, failed] =
            ["rows", "changed", "unchanged", "replayed", "failed"].map(|name| show(&done[name]));
        let would = if self.dry_run { " would be" } else { "" };
        let summary = format!(
            "{rows} rows: {changed}{would} changed, {unchanged} unchanged, {replayed} counted before, {failed} refused"
        );
        if progress.json || !progress.is_read {
            note(summary);
        } else {
            line(summary)?;
        }
        if done["failed"] == 0 {
            return Ok(());
        }
        let mut lines = format!("{failed} of {rows} rows refused");
        for hint in &progress.hints {
            lines.push_str(&format!("\nhint: {hint}"));
        }
        let key = if self.dry_run { "" } else { " with a new key" };
        lines.push_str(&format!("\nhint: correct them in the file, and import it again{key}"));
        Err(Failed::line(lines))
    }
}

impl Progress {
    /// Reads the answer, line by line.
    async fn read(&mut self, mut body: Incoming, deadline: Instant) -> Result<Attempt, Failed> {
        let mut rest = Vec::new();
        loop {
            let Ok(frame) = timeout_at(deadline, body.frame()).await else {
                return Ok(Attempt::Cut("the import took too long".to_owned()));
            };
            let data = match frame {
                None => return Ok(Attempt::Cut("the answer ended early".to_owned())),
                Some(Err(error)) => {
                    return Ok(Attempt::Cut(platform::failure::Chain(&error).to_string()));
                }
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            };
            rest.extend_from_slice(&data);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let text: Vec<u8> = rest.drain(..=end).collect();
                let text = String::from_utf8_lossy(&text).trim_end().to_owned();
                let row: Value = serde_json::from_str(&text)
                    .map_err(|error| Failed::line(format!("{text:?} is not JSON: {error}")))?;
                if row["done"].is_boolean() {
                    self.print(&text, self.json)?;
                    return Ok(Attempt::Done(row));
                }
                self.row(&text, &row)?;
            }
        }
    }

    fn row(&mut self, text: &str, row: &Value) -> Result<(), Failed> {
        let at = row["line"].as_i64().unwrap_or(i64::MAX);
        if at <= self.reported {
            return Ok(());
        }
        self.reported = at;
        let codes = items(&row["errors"]).iter().filter_map(|error| error["code"].as_str());
        self.hints.extend(codes.filter_map(hint_of_fault));
        if self.json {
            return self.print(text, true);
        }
        for error in items(&row["errors"]) {
            let (product, detail) = (show(&row["product_id"]), show(&error["detail"]));
            self.print(&format!("line {at}, product {product}: {detail}"), true)?;
        }
        Ok(())
    }

    /// Prints a line while somebody reads.
    fn print(&mut self, text: &str, wanted: bool) -> Result<(), Failed> {
        if !wanted || !self.is_read {
            return Ok(());
        }
        match self.bar.suspend(|| line(text)) {
            Err(Failed::Closed) => {
                self.is_read = false;
                Ok(())
            }
            printed => printed,
        }
    }
}

/// The progress of a file that is sent.
fn bar(size: Option<u64>) -> ProgressBar {
    match size {
        Some(size) => progress(Some(size), "{bar:30} {bytes} of {total_bytes}, {eta} left"),
        None => counter("bytes"),
    }
}
