//! The place of a database in which there is none, to which one is restored.

use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::error::OpenError;
use super::files::{MADE, beside, open_locked, refuse_network_file_system};

/// A place that no service can use until this is dropped.
#[derive(Debug)]
pub struct Vacant {
    path: PathBuf,
    lock: File,
}

impl Vacant {
    /// Locks the place, as its service would.
    ///
    /// A log of an earlier database counts as one: SQLite would apply it to the restored file.
    pub(crate) fn lock(path: &Path) -> Result<Self, OpenError> {
        let path = std::path::absolute(path).map_err(|error| OpenError::unusable(path, &error))?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        refuse_network_file_system(folder)?;
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| OpenError::unusable(folder, &error))?;
        let lock = open_locked(&beside(&path, ".lock"), &path, OFlags::NOFOLLOW)?;
        for found in [path.clone(), beside(&path, "-wal"), beside(&path, "-journal")] {
            // Whatever cannot be looked at is left alone, too.
            let is_empty = match fs::symlink_metadata(&found) {
                Ok(there) => there.is_file() && there.len() == 0,
                Err(error) => error.kind() == std::io::ErrorKind::NotFound,
            };
            if !is_empty {
                let reason = "it belongs to a database that is there; a restore overwrites nothing: move orders.db*, inventory.db* and what they are called elsewhere, or name an empty folder";
                return Err(OpenError::unusable(&found, &reason));
            }
        }
        Ok(Self { path, lock })
    }

    /// Where the database is written before it takes its place.
    pub fn staging(&self) -> PathBuf {
        beside(&self.path, ".restoring")
    }

    /// The place.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Notes that there is a database here, which has to take its place: a service does not begin
    /// with an empty one from now on.
    ///
    /// # Errors
    ///
    /// It could not be noted.
    pub fn claim(&self) -> std::io::Result<()> {
        if self.lock.metadata()?.len() == 0 {
            (&self.lock).write_all(MADE.as_bytes())?;
        }
        self.lock.sync_all()?;
        self.sync_folder()
    }

    /// Moves what was written and synced to its place.
    ///
    /// # Errors
    ///
    /// It could not be moved.
    pub fn fill(self) -> std::io::Result<()> {
        fs::rename(self.staging(), &self.path)?;
        self.sync_folder()
    }

    fn sync_folder(&self) -> std::io::Result<()> {
        File::open(self.path.parent().unwrap_or(Path::new("/")))?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::Files;
    use super::*;

    #[test]
    fn a_place_is_vacant_if_it_has_neither_a_database_nor_the_log_of_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("new/a.db");
        drop(Vacant::lock(&path).expect("nothing is there"));
        for suffix in ["", "-wal", "-journal"] {
            let found = beside(&path, suffix);
            fs::write(&found, "").expect("an empty file");
            drop(Vacant::lock(&path).expect("it holds nothing"));
            fs::write(&found, "something").expect("a file");
            let line = Vacant::lock(&path).expect_err("it is taken").to_string();
            assert!(line.contains(&found.display().to_string()), "{line}");
            fs::remove_file(&found).expect("the file");
        }
    }

    #[test]
    fn no_service_uses_a_place_that_is_restored_and_none_begins_anew_in_a_claimed_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let vacant = Vacant::lock(&path).expect("nothing is there");
        assert!(matches!(Files::lock(&path), Err(OpenError::Locked(_))));
        fs::write(vacant.staging(), "a database").expect("written");
        vacant.claim().expect("claimed");
        drop(vacant);
        assert!(matches!(Files::lock(&path), Err(OpenError::Missing { .. })));
        Vacant::lock(&path).expect("vacant still").fill().expect("filled");
        assert_eq!(fs::read_to_string(&path).expect("the file"), "a database");
        let files = Files::lock(&path).expect("a service");
        assert!(matches!(Vacant::lock(&path), Err(OpenError::Locked(_))));
        drop(files);
    }
}
