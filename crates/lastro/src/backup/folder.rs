//! The folder of a backup, which appears when the backup is complete, and not before.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use faults::fault_point;
use platform::process::ProgramError;

use super::manifest::{FILE_NAMES, MANIFEST, Manifest};

/// What the files are called until the backup is complete.
const UNFINISHED: &str = ".unfinished";
/// Locked while the backup is made.
const LOCK: &str = "lock";

/// A backup that is being made, in a folder of another name beside its own. Dropping it deletes
/// what was written.
#[derive(Debug)]
pub(super) struct Unfinished {
    folder: PathBuf,
    /// Where the backup will be.
    to: PathBuf,
    /// The operating system lets go of it when the process dies.
    _lock: File,
}

impl Unfinished {
    /// Makes the folder. What a backup that was killed has left there is deleted.
    pub(super) fn begin(to: &Path) -> Result<Self, ProgramError> {
        let to = std::path::absolute(to).map_err(|error| cannot_write(to, &error))?;
        refuse_filled(&to)?;
        let folder = with_suffix(&to, UNFINISHED);
        let parent = to.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(parent).map_err(|error| cannot_write(parent, &error))?;
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|error| cannot_write(&folder, &error))?;
        let path = folder.join(LOCK);
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let lock = lock.map_err(|error| cannot_write(&path, &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let what = "another backup to this folder is being made";
                return Err(cannot_write(&folder, &what));
            }
            Err(TryLockError::Error(error)) => return Err(cannot_write(&path, &error)),
        }
        let unfinished = Self { folder, to, _lock: lock };
        let left = unfinished.delete_all_but(&[LOCK]);
        left.map_err(|error| cannot_write(&unfinished.folder, &error))?;
        Ok(unfinished)
    }

    /// The files of the orders and of the stock, until the backup is complete.
    pub(super) fn databases(&self) -> [PathBuf; 2] {
        FILE_NAMES.map(|name| self.folder.join(format!("{name}{UNFINISHED}")))
    }

    /// The bytes that the disk has room for.
    pub(super) fn room(&self) -> Result<u64, ProgramError> {
        let disk = rustix::fs::statvfs(&self.folder);
        let disk = disk.map_err(|error| cannot_write(&self.folder, &error))?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Gives the files and the folder their names, once all of it is on the disk.
    pub(super) fn finish(self, manifest: &Manifest) -> Result<(), ProgramError> {
        self.complete(manifest).map_err(|error| cannot_write(&self.folder, &error))?;
        fault_point!("backup.named");
        match fs::rename(&self.folder, &self.to) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::ResourceBusy => {
                let what = "it is a mount point; name a new folder in it";
                return Err(cannot_write(&self.to, &what));
            }
            Err(error) => return Err(cannot_write(&self.to, &error)),
        }
        // Only now: another backup would take the folder for one that was left behind.
        let unlocked = fs::remove_file(self.to.join(LOCK)).and_then(|()| sync(&self.to));
        unlocked.map_err(|error| cannot_write(&self.to, &error))?;
        let parent = self.to.parent().unwrap_or(Path::new("/"));
        sync(parent).map_err(|error| cannot_write(parent, &error))
    }

    fn complete(&self, manifest: &Manifest) -> std::io::Result<()> {
        let written = self.databases();
        for (from, name) in written.iter().zip(FILE_NAMES) {
            fs::rename(from, self.folder.join(name))?;
        }
        let path = self.folder.join(MANIFEST);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(format!("{:#}\n", manifest.to_json()).as_bytes())?;
        file.sync_all()?;
        // What SQLite may have left beside a copy that it has read.
        self.delete_all_but(&[FILE_NAMES[0], FILE_NAMES[1], MANIFEST, LOCK])?;
        sync(&self.folder)
    }

    fn delete_all_but(&self, keep: &[&str]) -> std::io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if !keep.iter().any(|name| entry.file_name() == *name) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It is not there any more if the backup is complete. What is left otherwise is deleted by
        // the next backup to the same folder.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Refuses a folder in which there is something.
fn refuse_filled(to: &Path) -> Result<(), ProgramError> {
    match fs::read_dir(to).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => {
            Err(cannot_write(to, &"there are files in it; each backup takes a new folder"))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(cannot_write(to, &error)),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn sync(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

fn cannot_write(path: &Path, error: &dyn std::fmt::Display) -> ProgramError {
    ProgramError::failed(format_args!("cannot write the backup to {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_folder(parent: &tempfile::TempDir) -> PathBuf {
        parent.path().join("backups/monday")
    }

    #[test]
    fn what_is_not_finished_leaves_nothing() {
        let parent = tempfile::tempdir().expect("a folder");
        let unfinished = Unfinished::begin(&in_folder(&parent)).expect("a new folder");
        fs::write(&unfinished.databases()[0], "half").expect("a file");
        let again = Unfinished::begin(&in_folder(&parent)).expect_err("one at a time").to_string();
        assert!(again.contains("another backup to this folder is being made"), "{again}");
        drop(unfinished);
        assert_eq!(fs::read_dir(parent.path().join("backups")).expect("a folder").count(), 0);
    }

    #[test]
    fn what_a_killed_backup_left_is_deleted_by_the_next_one() {
        let parent = tempfile::tempdir().expect("a folder");
        let left = with_suffix(&in_folder(&parent), UNFINISHED);
        fs::create_dir_all(&left).expect("a folder");
        fs::write(left.join("orders.db.unfinished"), "half").expect("a file");
        fs::write(left.join(LOCK), "").expect("a file");
        let unfinished = Unfinished::begin(&in_folder(&parent)).expect("nobody holds it");
        assert!(!unfinished.databases()[0].exists());
    }

    #[test]
    fn a_folder_with_files_is_refused_and_an_empty_one_is_not() {
        let parent = tempfile::tempdir().expect("a folder");
        let to = in_folder(&parent);
        fs::create_dir_all(&to).expect("a folder");
        drop(Unfinished::begin(&to).expect("it is empty"));
        fs::write(to.join("notes"), "mine").expect("a file");
        let refused = Unfinished::begin(&to).expect_err("it has a file").to_string();
        assert!(refused.contains("each backup takes a new folder"), "{refused}");
    }
}
