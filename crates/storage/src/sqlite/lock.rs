//! One service at a time: a lock on a file beside the database, and a refusal of disks that cannot
//! be locked.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use super::error::OpenError;

/// Held as long as the value lives; the operating system lets go of it when the process dies.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Locks `path` + `.lock`, making the folder and the file where they are missing. A file has
    /// one lock, whatever links lead to it.
    pub(super) fn acquire(path: &Path) -> Result<Self, OpenError> {
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let folder =
            real.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        refuse_network_file_system(folder)?;
        fs::create_dir_all(folder).map_err(|error| OpenError::unusable(folder, &error))?;
        let mut name = real.as_os_str().to_owned();
        name.push(".lock");
        let lock_path = PathBuf::from(name);
        let opened = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path);
        let file = opened.map_err(|error| OpenError::unusable(&lock_path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked(path.to_owned())),
            Err(TryLockError::Error(error)) => Err(OpenError::unusable(&lock_path, &error)),
        }
    }
}

/// SQLite's log needs shared memory and locks that hold, which a network file system does not give.
fn refuse_network_file_system(folder: &Path) -> Result<(), OpenError> {
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
        let first = Lock::acquire(&path).expect("the first one");
        assert!(matches!(Lock::acquire(&path), Err(OpenError::Locked(_))));
        drop(first);
        Lock::acquire(&path).expect("free again");
    }

    #[test]
    fn a_file_has_one_lock_whatever_links_lead_to_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, link) = (folder.path().join("orders.db"), folder.path().join("link.db"));
        fs::write(&path, "").expect("a file");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        let _first = Lock::acquire(&path).expect("the first one");
        assert!(matches!(Lock::acquire(&link), Err(OpenError::Locked(_))));
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
