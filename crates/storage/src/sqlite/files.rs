//! The files of one database: one service at a time uses them, and notices when somebody takes them
//! away.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::UNIX_EPOCH;

use platform::failure::Failure;
use platform::telemetry::{Checkpoint, FileState};
use rustix::fs::OFlags;
use rustix::io::Errno;
use tracing::warn;

use super::error::OpenError;

/// What the lock file of a database says once the database was made.
pub(super) const MADE: &str =
    "A service of Lastro locks this file. The file also shows that the database beside it was made:
delete it only to begin with an empty database.
";

/// The files of a database that a service has locked; the operating system lets go of them when the
/// process dies.
///
/// A process loses all of SQLite's own locks on a file as soon as it closes any descriptor of the
/// file (POSIX). So this must live longer than every connection of the process.
#[derive(Debug)]
pub(super) struct Files {
    /// The database, as the next start would look for it.
    path: PathBuf,
    identity: Identity,
    /// The log and its shared memory, which exist while a connection is open.
    beside: [PathBuf; 2],
    /// What they are while the writer is connected.
    beside_identities: Mutex<[Option<Identity>; 2]>,
    lock_path: PathBuf,
    lock: File,
    database: File,
    on_checkpoint: OnceLock<OnCheckpoint>,
}

/// Called after each checkpoint.
struct OnCheckpoint(Box<dyn Fn(Checkpoint) + Send + Sync>);

impl fmt::Debug for OnCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnCheckpoint")
    }
}

/// Device and inode: what a file is, whatever its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity(u64, u64);

/// A file of a database was taken away while a service used it.
#[derive(Debug, thiserror::Error)]
#[error("{} was deleted, moved or replaced while the service used it; put it back and start the service again", .0.display())]
struct TakenAway(PathBuf);

impl Files {
    /// Locks the database and the file `path` + `.lock` beside it, making the folder and both files
    /// where they are missing.
    ///
    /// The lock on the database holds whatever path leads to it. The lock beside it holds also if
    /// somebody takes the database away. Only the user of the service may read what is made here.
    ///
    /// # Errors
    ///
    /// Another service has locked one of them, they cannot be used, or the database is missing
    /// although it was made before.
    pub(super) fn lock(path: &Path) -> Result<Self, OpenError> {
        let failed = |error: std::io::Error| OpenError::unusable(path, &error);
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let folder =
            real.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        refuse_network_file_system(folder)?;
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| OpenError::unusable(folder, &error))?;
        let lock_path = beside(&real, ".lock");
        let lock = open_locked(&lock_path, path, OFlags::NOFOLLOW)?;
        refuse_missing(path, &real)?;
        let database = open_locked(&real, path, OFlags::empty())?;
        let found = database.metadata().map_err(failed)?;
        if found.nlink() > 1 {
            warn!(path = %path.display(), "the database file has several names (hard links); always start the service with the same one, because its log lies beside that name");
        }
        Ok(Self {
            path: std::path::absolute(path).map_err(failed)?,
            identity: Identity::of(&found),
            beside: ["-wal", "-shm"].map(|suffix| beside(&real, suffix)),
            beside_identities: Mutex::default(),
            lock_path,
            lock,
            database,
            on_checkpoint: OnceLock::new(),
        })
    }

    /// The lock file, if it shows that the database was made before.
    pub(super) fn made_before(&self) -> Option<&Path> {
        let noted = self.lock.metadata().is_ok_and(|lock| lock.len() > 0);
        noted.then_some(&self.lock_path)
    }

    /// Notes in the lock file that the database was made.
    pub(super) fn note_made(&self) {
        if self.made_before().is_some() {
            return;
        }
        let noted = (&self.lock).write_all(MADE.as_bytes()).and_then(|()| self.lock.sync_all());
        if let Err(error) = noted {
            let path = self.path.display();
            warn!(%path, %error, "the lock file does not show that the database was made");
        }
    }

    /// The database, as the next start would look for it.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What tells the file from its copies, also after it was moved within its disk: its inode and
    /// when it was made. Not every file system knows the latter.
    pub(super) fn location(&self) -> String {
        let Identity(_, inode) = self.identity;
        let made = self.database.metadata().and_then(|found| found.created()).ok();
        let since = made.and_then(|made| made.duration_since(UNIX_EPOCH).ok());
        format!("{inode}/{}", since.map_or(0, |since| since.as_nanos()))
    }

    /// Makes durable what was written into the database, past its log.
    ///
    /// # Errors
    ///
    /// [`Failure::Fatal`]: after a failed sync the content of the disk is unknown (R18).
    pub(super) fn sync_database(&self) -> Result<(), Failure> {
        self.database.sync_data().map_err(|error| Failure::Fatal(Arc::new(error)))
    }

    /// The size of the database and of its log, and the room on its disk.
    pub(super) fn state(&self) -> FileState {
        let [log, _] = &self.beside;
        let disk = rustix::fs::fstatvfs(&self.database);
        let blocks = disk.map(|disk| (disk.f_frsize, disk.f_bavail, disk.f_blocks));
        let (block, free, all) = blocks.unwrap_or_default();
        FileState {
            file_bytes: self.database.metadata().map_or(0, |file| file.len()),
            log_bytes: fs::metadata(log).map_or(0, |log| log.len()),
            // What is reserved for root is not counted.
            disk_free_bytes: free.saturating_mul(block),
            disk_size_bytes: all.saturating_mul(block),
        }
    }

    /// Reports each checkpoint from now on. Only the first call counts.
    pub(super) fn observe(&self, report: impl Fn(Checkpoint) + Send + Sync + 'static) {
        self.on_checkpoint.get_or_init(|| OnCheckpoint(Box::new(report)));
    }

    pub(super) fn report(&self, checkpoint: Checkpoint) {
        if let Some(OnCheckpoint(report)) = self.on_checkpoint.get() {
            report(checkpoint);
        }
    }

    /// Checks that the files are still those that the connections have open.
    ///
    /// # Errors
    ///
    /// [`Failure::Fatal`] if one was deleted, moved or replaced: the next start would not find what
    /// is committed now.
    pub(super) fn check(&self) -> Result<(), Failure> {
        // Held meanwhile, so that the writer does not disconnect, which may delete the two.
        let identities = self.beside_identities();
        self.identity.must_be_at(&self.path)?;
        for (path, identity) in self.beside.iter().zip(*identities) {
            identity.map_or(Ok(()), |identity| identity.must_be_at(path))?;
        }
        Ok(())
    }

    /// Does the same for the connected writer, which remembers what is beside the database.
    pub(super) fn check_connected(&self) -> Result<(), Failure> {
        for (path, identity) in self.beside.iter().zip(&mut *self.beside_identities()) {
            if identity.is_none() {
                *identity = fs::metadata(path).ok().map(|found| Identity::of(&found));
            }
        }
        self.check()
    }

    /// The writer is about to close its connection. The last connection deletes what is beside the
    /// database.
    pub(super) fn disconnecting(&self) {
        *self.beside_identities() = [None; 2];
    }

    fn beside_identities(&self) -> MutexGuard<'_, [Option<Identity>; 2]> {
        self.beside_identities.lock().expect("nothing panics under this lock")
    }
}

impl Identity {
    fn of(found: &fs::Metadata) -> Self {
        Self(found.dev(), found.ino())
    }

    fn must_be_at(self, path: &Path) -> Result<(), Failure> {
        match fs::metadata(path) {
            Ok(found) if Self::of(&found) == self => Ok(()),
            // The disk may be in trouble, which SQLite notices.
            Err(error)
                if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                Ok(())
            }
            Ok(_) | Err(_) => Err(Failure::Fatal(Arc::new(TakenAway(path.to_owned())))),
        }
    }
}

/// The path of a file that lies beside another one.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Opens or makes a file of this database, and locks it. SQLite gives what it makes beside the
/// database the same permissions.
pub(super) fn open_locked(file: &Path, database: &Path, flags: OFlags) -> Result<File, OpenError> {
    let opened = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .custom_flags(flags.bits().cast_signed())
        .open(file);
    let opened = opened.map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::LOOP) => OpenError::unusable(file, &"it is a symbolic link; delete it"),
        _ => OpenError::unusable(file, &error),
    })?;
    match opened.try_lock() {
        Ok(()) => Ok(opened),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(database.to_owned())),
        Err(TryLockError::Error(error)) => Err(OpenError::unusable(file, &error)),
    }
}

/// Refuses to make a database whose lock file or log shows that there was one: a service would
/// silently begin anew.
fn refuse_missing(path: &Path, real: &Path) -> Result<(), OpenError> {
    let has_bytes = |path: &Path| fs::metadata(path).is_ok_and(|found| found.len() > 0);
    let traces = [beside(real, ".lock"), beside(real, "-wal")];
    match traces.into_iter().find(|trace| has_bytes(trace)) {
        Some(trace) if !has_bytes(real) => Err(OpenError::Missing { path: path.to_owned(), trace }),
        _ => Ok(()),
    }
}

/// SQLite's log needs shared memory and locks that hold, which a network file system does not give.
pub(super) fn refuse_network_file_system(folder: &Path) -> Result<(), OpenError> {
    let Ok(mounts) = fs::read_to_string("/proc/mounts") else { return Ok(()) };
    // It may have to be made: then it will lie where the nearest one does that is there.
    let Ok(folder) = std::path::absolute(folder) else { return Ok(()) };
    let Some(folder) = folder.ancestors().find_map(|folder| folder.canonicalize().ok()) else {
        return Ok(());
    };
    match network_file_system(&mounts, &folder) {
        Some(kind) => Err(OpenError::unusable(
            &folder,
            &format!("it is on a network file system ({kind}); use a local disk"),
        )),
        None => Ok(()),
    }
}

/// The kind of the network file system that `folder` lies on, from lines of `device mount-point
/// kind …`.
fn network_file_system(mounts: &str, folder: &Path) -> Option<String> {
    const NETWORK: [&str; 13] = [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "ceph",
        "fuse.ceph",
        "glusterfs",
        "fuse.glusterfs",
        "lustre",
        "fuse.sshfs",
        "fuse.rclone",
    ];
    let fields = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?.replace("\\040", " "), fields.next()?))
    });
    let below = fields.filter(|(mount_point, _)| folder.starts_with(mount_point));
    let (_, kind) = below.max_by_key(|(mount_point, _)| mount_point.len())?;
    NETWORK.contains(&kind).then(|| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_service_is_refused_and_the_lock_goes_with_its_holder() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("new/orders.db");
        let first = Files::lock(&path).expect("the first one");
        assert!(matches!(Files::lock(&path), Err(OpenError::Locked(_))));
        drop(first);
        Files::lock(&path).expect("free again");
    }

    #[test]
    fn a_database_is_locked_whatever_path_leads_to_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let in_folder = |name: &str| folder.path().join(name);
        let (path, symlink, link) = (in_folder("a.db"), in_folder("b.db"), in_folder("c/a.db"));
        fs::write(&path, "").expect("a file");
        std::os::unix::fs::symlink(&path, &symlink).expect("a link");
        fs::create_dir(in_folder("c")).expect("a folder");
        fs::hard_link(&path, &link).expect("a link");
        let _first = Files::lock(&path).expect("the first one");
        for other in [symlink, link] {
            assert!(matches!(Files::lock(&other), Err(OpenError::Locked(_))), "{other:?}");
        }
        fs::remove_file(in_folder("a.db.lock")).expect("the lock file");
        assert!(matches!(Files::lock(&path), Err(OpenError::Locked(_))));
    }

    #[test]
    fn only_the_user_of_the_service_may_read_what_it_makes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("new/a.db");
        let _files = Files::lock(&path).expect("a new one");
        let mode = |path: &Path| fs::metadata(path).expect("it is there").mode() & 0o777;
        assert_eq!(mode(&folder.path().join("new")), 0o700);
        assert_eq!([mode(&path), mode(&beside(&path, ".lock"))], [0o600; 2]);
    }

    #[test]
    fn a_lock_file_that_is_a_link_is_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, other) = (folder.path().join("a.db"), folder.path().join("other"));
        fs::write(&other, "of somebody else").expect("a file");
        std::os::unix::fs::symlink(&other, beside(&path, ".lock")).expect("a link");
        let line = Files::lock(&path).expect_err("a link").to_string();
        assert!(line.contains("a.db.lock") && line.contains("symbolic link"), "{line}");
        assert_eq!(fs::read_to_string(&other).expect("a file"), "of somebody else");
        assert!(!path.exists());
    }

    #[test]
    fn a_missing_database_that_was_made_before_is_not_made_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let refused = || Files::lock(&path).err().map(|error| error.to_string());
        Files::lock(&path).expect("a new one").note_made();
        for missing in [|path: &Path| fs::remove_file(path), |path: &Path| fs::write(path, "")] {
            fs::write(&path, "content").expect("a file");
            assert_eq!(refused(), None);
            missing(&path).expect("no content");
            let line = refused().expect("a refusal");
            assert!(line.contains("a.db.lock shows that there was a database"), "{line}");
        }
        fs::write(beside(&path, "-wal"), "a log").expect("a file");
        fs::remove_file(beside(&path, ".lock")).expect("the lock file");
        assert!(refused().expect("a refusal").contains("a.db-wal shows"));
        fs::remove_file(beside(&path, "-wal")).expect("the log");
        assert_eq!(refused(), None);
    }

    #[test]
    fn files_that_are_taken_away_are_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, other) = (folder.path().join("in/a.db"), folder.path().join("other"));
        let files = Files::lock(&path).expect("a new one");
        let log = beside(&path, "-wal");
        let there_and_back = |from: &Path| {
            let noticed = |files: &Files| files.check().is_err();
            assert!(!noticed(&files));
            fs::rename(from, &other).expect("moved");
            let moved = noticed(&files);
            fs::rename(&other, from).expect("put back");
            assert!(!noticed(&files));
            moved
        };
        assert!(there_and_back(&path) && there_and_back(&folder.path().join("in")));
        fs::write(&log, "").expect("a log");
        assert!(!there_and_back(&log), "no connection has it open");
        files.check_connected().expect("there it is");
        assert!(there_and_back(&log));
        files.disconnecting();
        assert!(!there_and_back(&log));
        fs::copy(&path, &other).and_then(|_| fs::rename(&other, &path)).expect("replaced");
        let failure = files.check().expect_err("another file");
        assert!(platform::failure::Chain(&failure).to_string().contains("in/a.db was deleted"));
    }

    #[test]
    fn a_folder_on_a_network_file_system_is_recognized_by_its_nearest_mount() {
        let mounts = "/dev/a / ext4 rw 0 0\nserver:/x /mnt/my\\040share nfs4 rw 0 0\n/dev/b /mnt/my\\040share/disk ext4 rw 0 0\n";
        let kind = |folder: &str| network_file_system(mounts, Path::new(folder));
        assert_eq!(kind("/mnt/my share/data"), Some("nfs4".to_owned()));
        assert_eq!(kind("/mnt/my share/disk/data"), None);
        assert_eq!(kind("/var/lib"), None);
    }
}
