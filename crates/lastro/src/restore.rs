//! `lastro restore`: puts both files of a backup where the services look for their databases.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use faults::fault_point;
use platform::config;
use platform::lifecycle::on_signal;
use platform::process::{COMMON_KEYS, ProgramError};
use storage::backup::Vacant;
use tokio_util::sync::CancellationToken;

use crate::backup::interrupted;
use crate::backup::manifest::{Copied, Digesting, FILE_NAMES, Manifest};
use crate::backup::progress::Progress;
use crate::serve::{DatabaseArgs, KEYS};

#[derive(Debug, clap::Args)]
#[command(
    mut_arg("data_dir", |arg| arg.help("Folder that gets orders.db and inventory.db [default: ./data]"))
)]
pub(crate) struct Args {
    /// The folder of the backup
    #[arg(long, value_name = "FOLDER")]
    from: PathBuf,
    #[command(flatten)]
    databases: DatabaseArgs,
    /// The settings file, which may name the databases [default: ./lastro.toml, if it exists]
    #[arg(long, env = "LASTRO_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
///
/// There is a database already, a service uses the place, the backup is not what it was, or a file
/// cannot be written. Nothing was restored then, unless the last step failed: no service starts
/// between the two files.
pub(crate) async fn run(args: Args) -> Result<(), ProgramError> {
    let Args { from, databases, config, json } = args;
    let databases =
        databases.resolve(&config::File::load(config, &[&COMMON_KEYS[..], &KEYS].concat())?)?;
    let shutdown = on_signal().map_err(ProgramError::failed)?;
    let manifest = Manifest::of(&from)?;
    let places = [Vacant::at(&databases.orders)?, Vacant::at(&databases.inventory)?];
    let expected = manifest.files().map(Clone::clone);
    let restoring = move || restore(&from, places, &expected, &shutdown);
    tokio::task::spawn_blocking(restoring).await.map_err(ProgramError::failed)??;
    if json {
        println!("{}", manifest.to_json());
    } else {
        println!(
            "restored {} and {} as of {}",
            databases.orders, databases.inventory, manifest.taken_at
        );
        print!("{manifest}");
        println!(
            "next: start the services, on a broker once with --replace-peer, and run `lastro verify`"
        );
    }
    Ok(())
}

fn restore(
    from: &Path,
    places: [Vacant; 2],
    expected: &[Copied; 2],
    shutdown: &CancellationToken,
) -> Result<(), ProgramError> {
    // Deleted before the places are free for services again, if this fails.
    let staged = places.each_ref().map(|place| Staged(place.staging()));
    let mut progress = Progress::copying(expected.iter().map(|file| file.bytes).sum());
    for ((name, staged), expected) in FILE_NAMES.into_iter().zip(&staged).zip(expected) {
        let file = from.join(name);
        progress.next(&file, expected.bytes);
        let found = copy(&file, &staged.0, &progress, shutdown)?;
        if found != *expected {
            return Err(ProgramError::failed(format_args!(
                "{} is not what backup.json says: it was changed or damaged since the backup was made; take another backup",
                file.display()
            )));
        }
        fault_point!("restore.copied_one");
    }
    for place in &places {
        place.claim().map_err(|error| cannot_write(place.path(), &error))?;
    }
    for place in places {
        let path = place.path().to_owned();
        place.fill().map_err(|error| cannot_write(&path, &error))?;
        fault_point!("restore.filled_one");
    }
    Ok(())
}

/// A file that is written. Dropping it deletes it, unless it has got its own name.
struct Staged(PathBuf);

impl Drop for Staged {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn copy(
    from: &Path,
    to: &Path,
    progress: &Progress,
    shutdown: &CancellationToken,
) -> Result<Copied, ProgramError> {
    let cannot_read =
        |error| ProgramError::failed(format_args!("cannot read {}: {error}", from.display()));
    let cannot_write = |error| cannot_write(to, &error);
    let mut source = File::open(from).map_err(cannot_read)?;
    let made = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to);
    let mut copy = made.map_err(cannot_write)?;
    let mut digest = Digesting::default();
    let mut chunk = vec![0; 1024 * 1024];
    let mut done = 0;
    loop {
        let read = source.read(&mut chunk).map_err(cannot_read)?;
        if read == 0 {
            break;
        }
        digest.add(&chunk[..read]);
        copy.write_all(&chunk[..read]).map_err(cannot_write)?;
        done += read as u64;
        progress.done(done);
        if shutdown.is_cancelled() {
            return Err(interrupted());
        }
    }
    copy.sync_all().map_err(cannot_write)?;
    Ok(digest.end())
}

fn cannot_write(path: &Path, error: &std::io::Error) -> ProgramError {
    ProgramError::failed(format_args!("cannot write {}: {error}", path.display()))
}
