//! Files that decide what a program does, or who may use it: only their owner may write them.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tracing::warn;

use super::UsageError;

/// The permission to write of all users but the owner.
const OTHERS_WRITE: u32 = 0o022;
/// The permission to read of users who are not of the file's group. A group may be the service's.
const OTHERS_READ: u32 = 0o004;

/// Why the text of a file is not used.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// It cannot be read. A retry may succeed.
    Unreadable(io::Error),
    /// Others than its owner may write it. The line says what to do.
    Writable(String),
}

/// The text of a file that only its owner may write.
pub(crate) fn read_owned(path: &Path) -> Result<String, Unusable> {
    let mut text = String::new();
    open_owned(path)?.read_to_string(&mut text).map_err(Unusable::Unreadable)?;
    Ok(text)
}

/// The bytes of a file that only its owner may write.
pub(super) fn read_owned_bytes(path: &Path) -> Result<Vec<u8>, Unusable> {
    let mut bytes = Vec::new();
    open_owned(path)?.read_to_end(&mut bytes).map_err(Unusable::Unreadable)?;
    Ok(bytes)
}

fn open_owned(path: &Path) -> Result<File, Unusable> {
    let file = File::open(path).map_err(Unusable::Unreadable)?;
    let mode = file.metadata().map_err(Unusable::Unreadable)?.mode();
    if mode & OTHERS_WRITE != 0 {
        let line = format!("other users may write it; run: chmod go-w {}", path.display());
        return Err(Unusable::Writable(line));
    }
    Ok(file)
}

/// The text of a file that only its owner may write, for the start of a program.
pub(crate) fn read_trusted(path: &Path) -> Result<String, UsageError> {
    read_owned(path).map_err(|unusable| {
        let path = path.display();
        UsageError(match unusable {
            Unusable::Unreadable(error) => format!("cannot read {path}: {error}"),
            Unusable::Writable(line) => format!("{path}: {line}"),
        })
    })
}

/// The text of a file that only its owner may write, and that not every user may read.
pub(crate) fn read_private(path: &Path) -> Result<String, UsageError> {
    let text = read_trusted(path)?;
    if every_user_may_read(path) {
        return Err(UsageError(readable(path)));
    }
    Ok(text)
}

/// Logs that every user may read a file with a secret. A program calls it when it starts, once it
/// has found nothing wrong with the file.
pub(crate) fn warn_of_readers(path: &Path) {
    if every_user_may_read(path) {
        warn!("{}", readable(path));
    }
}

fn readable(path: &Path) -> String {
    format!("every user of this machine may read {0}; run: chmod o-r {0}", path.display())
}

fn every_user_may_read(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.mode() & OTHERS_READ != 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_others_may_write_is_refused_and_one_that_all_may_read_is_told() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let path = file.path();
        for (mode, is_accepted, is_told) in [
            (0o400, true, false),
            (0o640, true, false),
            (0o644, true, true),
            (0o664, false, true),
            (0o620, false, false),
            (0o602, false, false),
        ] {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("permissions");
            let read = read_trusted(path);
            assert_eq!(read.is_ok(), is_accepted, "{mode:o}");
            if let Err(UsageError(line)) = read {
                let advice = format!("run: chmod go-w {}", path.display());
                assert!(line.ends_with(&advice), "{line}");
            }
            assert_eq!(every_user_may_read(path), is_told, "{mode:o}");
            assert_eq!(read_private(path).is_ok(), is_accepted && !is_told, "{mode:o}");
        }
    }
}
