//! The metrics of SQLite files: their logs, their checkpoints, and the room on their disks.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::metrics::ServiceLabel;

/// What the worker that looks after a database in a file reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileReport {
    /// Its state now.
    State(FileState),
    /// A checkpoint has ended.
    Checkpoint(Checkpoint),
}

/// What a database in a file takes, and the room that is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileState {
    /// The size of the database.
    pub file_bytes: u64,
    /// The size of the write-ahead log beside it.
    pub log_bytes: u64,
    /// What the service may still write to the file system of the database.
    pub disk_free_bytes: u64,
    /// The size of that file system.
    pub disk_size_bytes: u64,
}

/// A checkpoint that has ended: an attempt to copy the log into the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// How it ended.
    pub result: CheckpointResult,
    /// How long it took.
    pub took: Duration,
    /// How many pages of the log were not copied.
    pub pages_left: u32,
}

/// How a checkpoint ended: the label `result` of `sqlite_checkpoints`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointResult {
    /// The whole log was copied, so that the next commit begins it anew.
    Complete,
    /// Some pages were not copied: a reader of an older snapshot needs them, or the writer was
    /// faster.
    Partial,
    /// It failed, for example because the disk is full.
    Failed,
}

impl CheckpointResult {
    const ALL: [Self; 3] = [Self::Complete, Self::Partial, Self::Failed];

    fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Partial => "partial",
            Self::Failed => "failed",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    service: &'static str,
    result: &'static str,
}

type Gauges = Family<ServiceLabel, Gauge>;

/// The metrics of the files. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct FileMetrics {
    file: Gauges,
    log: Gauges,
    free: Gauges,
    size: Gauges,
    pages_left: Gauges,
    checkpoints: Family<ResultLabels, Counter>,
    checkpoint_seconds: Family<ServiceLabel, Histogram, fn() -> Histogram>,
}

impl FileMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        // Checkpoints take from 1 ms to 32 s.
        let seconds: fn() -> Histogram = || Histogram::new(exponential_buckets(0.001, 2.0, 16));
        let metrics = Self {
            file: Family::default(),
            log: Family::default(),
            free: Family::default(),
            size: Family::default(),
            pages_left: Family::default(),
            checkpoints: Family::default(),
            checkpoint_seconds: Family::new_with_constructor(seconds),
        };
        let help = "The size of a SQLite database, without its log";
        registry.register_with_unit("sqlite_file", help, Unit::Bytes, metrics.file.clone());
        let help = "The size of the write-ahead log beside a SQLite database";
        registry.register_with_unit("sqlite_log", help, Unit::Bytes, metrics.log.clone());
        let help = "What the service may still write to the disk of a SQLite database";
        registry.register_with_unit("sqlite_disk_free", help, Unit::Bytes, metrics.free.clone());
        let help = "The size of the disk of a SQLite database";
        registry.register_with_unit("sqlite_disk_size", help, Unit::Bytes, metrics.size.clone());
        let help = "Pages of the write-ahead log that the last checkpoint did not copy";
        registry.register("sqlite_checkpoint_pages_left", help, metrics.pages_left.clone());
        let help = "Checkpoints of a SQLite database, by result";
        registry.register("sqlite_checkpoints", help, metrics.checkpoints.clone());
        let help = "How long checkpoints take, beside the commits";
        let seconds = metrics.checkpoint_seconds.clone();
        registry.register_with_unit("sqlite_checkpoint", help, Unit::Seconds, seconds);
        metrics
    }

    pub(super) fn note(&self, service: &'static str, report: FileReport) {
        match report {
            FileReport::State(state) => self.show(service, state),
            FileReport::Checkpoint(checkpoint) => self.count(service, checkpoint),
        }
    }

    /// Shows a file. Its checkpoints are zero before the first.
    fn show(&self, service: &'static str, state: FileState) {
        let label = ServiceLabel { service };
        let shown = [
            (&self.file, state.file_bytes),
            (&self.log, state.log_bytes),
            (&self.free, state.disk_free_bytes),
            (&self.size, state.disk_size_bytes),
        ];
        for (gauge, bytes) in shown {
            gauge.get_or_create(&label).set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        drop(self.pages_left.get_or_create(&label));
        drop(self.checkpoint_seconds.get_or_create(&label));
        for result in CheckpointResult::ALL {
            let result = result.as_str();
            drop(self.checkpoints.get_or_create(&ResultLabels { service, result }));
        }
    }

    fn count(&self, service: &'static str, checkpoint: Checkpoint) {
        let Checkpoint { result, took, pages_left } = checkpoint;
        let label = ServiceLabel { service };
        self.checkpoint_seconds.get_or_create(&label).observe(took.as_secs_f64());
        self.pages_left.get_or_create(&label).set(pages_left.into());
        self.checkpoints.get_or_create(&ResultLabels { service, result: result.as_str() }).inc();
    }
}
