//! `lastro backup`: copies both databases beside their services, as they were at one moment, and
//! checks the copy before it is called a backup.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

use faults::fault_point;
use inventory::audit::INV_3;
use orders::audit::INV_4;
use platform::clock::{Clock, SystemClock};
use platform::config::File;
use platform::lifecycle::on_signal;
use platform::process::{COMMON_KEYS, ProgramError};
use storage::backup::{Snapshot, log_bytes, of_one_moment};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::serve::{DatabaseArgs, Databases, KEYS};
use folder::Unfinished;
use manifest::{Copied, Manifest};
use progress::Progress;

pub(crate) mod check;
mod folder;
pub(crate) mod manifest;
pub(crate) mod progress;

const MIB: u64 = 1024 * 1024;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder of the backup: a new one, or an empty one
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    #[command(flatten)]
    databases: DatabaseArgs,
    /// The settings file, which may name the databases [default: ./lastro.toml, if it exists]
    #[arg(long, env = "LASTRO_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Copy at most this many MiB per second, to leave the disk to the services
    #[arg(long, value_name = "MIB")]
    rate: Option<NonZeroU64>,
    /// Give up if the log of a database, which grows while it is copied, gets larger than this
    #[arg(long, value_name = "MIB", default_value_t = 4096)]
    max_log: u64,
    /// Keep the backup although an invariant is violated in it, as it is in the databases
    #[arg(long)]
    accept_violations: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
///
/// A database cannot be read, the folder cannot be written or has files in it, a signal came, or
/// the copy is damaged or violates an invariant. There is no backup then.
pub(crate) async fn run(args: Args) -> Result<(), ProgramError> {
    let Args { to, databases, config, rate, max_log, accept_violations, json } = args;
    let began = Instant::now();
    let databases = databases.resolve(&File::load(config, &[&COMMON_KEYS[..], &KEYS].concat())?)?;
    let shutdown = on_signal().map_err(ProgramError::failed)?;
    let unfinished = Unfinished::begin(&to)?;
    let pace = Pace { rate, max_log_bytes: max_log.saturating_mul(MIB), shutdown };
    let copies = copy(&databases, &unfinished, &pace).await?;
    fault_point!("backup.copied");
    let copied_in = began.elapsed();
    let checking = Progress::checking();
    let report = check::pair(&unfinished.databases(), &pace.shutdown).await?;
    drop(checking);
    let violations: u64 = report.findings().map(|(_, _, violations)| violations).sum();
    if !report.is_clean() && !accept_violations {
        eprint!("{report}");
        return Err(ProgramError::failed(
            "an invariant is violated, and the copy was deleted; it says the same as the databases (`lastro verify`): --accept-violations keeps such a backup",
        ));
    }
    let manifest = Manifest {
        taken_at: copies.taken_at,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        orders: Copied::read(&unfinished.databases()[0])?,
        inventory: Copied::read(&unfinished.databases()[1])?,
        order_count: report.checked(INV_4),
        reservation_count: report.checked(INV_3),
        pending_commands: report.backlog.commands,
        violations,
    };
    fault_point!("backup.checked");
    if pace.shutdown.is_cancelled() {
        return Err(interrupted());
    }
    unfinished.finish(&manifest)?;
    let took = Took { copied_in, whole: began.elapsed(), log_growth: copies.log_growth };
    report_backup(&to, &manifest, &took, json);
    Ok(())
}

/// How fast, and up to when, files are copied.
#[derive(Clone, Debug)]
struct Pace {
    rate: Option<NonZeroU64>,
    max_log_bytes: u64,
    shutdown: CancellationToken,
}

/// What is known of two copies when they are written.
struct Copies {
    taken_at: platform::clock::Timestamp,
    /// How many bytes the logs of the services have grown by meanwhile.
    log_growth: u64,
}

async fn copy(
    databases: &Databases,
    unfinished: &Unfinished,
    pace: &Pace,
) -> Result<Copies, ProgramError> {
    let sources = [
        orders::open_for_backup(&databases.orders)?,
        inventory::open_for_backup(&databases.inventory)?,
    ];
    let targets = unfinished.databases();
    let needs = |snapshots: &[Snapshot; 2]| snapshots.iter().map(Snapshot::bytes).sum();
    let room = unfinished.room()?;
    let pace = pace.clone();
    let runtime = Handle::current();
    let copying = move || {
        let snapshots = of_one_moment(sources)?;
        let taken_at = SystemClock.now();
        let bytes: u64 = needs(&snapshots);
        if bytes > room {
            return Err(ProgramError::failed(format_args!(
                "{} has room for {} MiB, and the backup takes {} MiB; make room, or name a folder on another disk",
                targets[0].display(),
                room / MIB,
                bytes.div_ceil(MIB)
            )));
        }
        let mut progress = Progress::copying(bytes);
        let files = snapshots.each_ref().map(|snapshot| snapshot.path().to_owned());
        let logs = || files.each_ref().map(|file| log_bytes(file));
        let before: u64 = logs().iter().sum();
        let mut began = Instant::now();
        for (snapshot, target) in snapshots.into_iter().zip(&targets) {
            progress.next(snapshot.path(), snapshot.bytes());
            snapshot.copy_to(target, |done| {
                progress.done(done);
                pace.step(&runtime, &mut began, logs())
            })?;
            fault_point!("backup.copied_one");
        }
        let after: u64 = logs().iter().sum();
        Ok(Copies { taken_at, log_growth: after.saturating_sub(before) })
    };
    // It looks at the signal after each step.
    tokio::task::spawn_blocking(copying).await.map_err(ProgramError::failed)?
}

impl Pace {
    /// Waits until the next step, one MiB, is due. `began` is when the last one was.
    fn step(
        &self,
        runtime: &Handle,
        began: &mut Instant,
        logs: [u64; 2],
    ) -> Result<(), ProgramError> {
        if let Some(bytes) = logs.into_iter().find(|bytes| *bytes > self.max_log_bytes) {
            return Err(ProgramError::failed(format_args!(
                "the log of a database has grown to {} MiB, which is more than --max-log; nothing was kept: back up when less is written, or to a faster disk",
                bytes / MIB
            )));
        }
        if let Some(rate) = self.rate {
            *began = Instant::now().max(*began + Duration::from_secs(1) / u32_of(rate));
            let due = *began;
            runtime.block_on(async {
                tokio::select! {
                    () = self.shutdown.cancelled() => {}
                    () = tokio::time::sleep_until(due) => {}
                }
            });
        }
        if self.shutdown.is_cancelled() { Err(interrupted()) } else { Ok(()) }
    }
}

fn u32_of(rate: NonZeroU64) -> u32 {
    u32::try_from(rate.get()).unwrap_or(u32::MAX)
}

pub(crate) fn interrupted() -> ProgramError {
    ProgramError::failed("interrupted; nothing was kept")
}

/// How long it took, and what it cost the services.
struct Took {
    copied_in: Duration,
    whole: Duration,
    log_growth: u64,
}

fn report_backup(to: &Path, manifest: &Manifest, took: &Took, json: bool) {
    if json {
        let mut result = manifest.to_json();
        result["folder"] = to.display().to_string().into();
        result["copy_ms"] = millis(took.copied_in).into();
        result["took_ms"] = millis(took.whole).into();
        result["log_growth_bytes"] = took.log_growth.into();
        println!("{result}");
        return;
    }
    println!("{} holds both databases as of {}", to.display(), manifest.taken_at);
    print!("{manifest}");
    println!(
        "copied in {:.1} s and verified in {:.1} s; meanwhile the logs of the databases grew by {}",
        took.copied_in.as_secs_f64(),
        took.whole.saturating_sub(took.copied_in).as_secs_f64(),
        indicatif::HumanBytes(took.log_growth)
    );
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
