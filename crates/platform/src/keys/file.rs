//! The file of API keys: a list of [`KeyRecord`]s in TOML. Services read it, and `lastro keys`
//! writes it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::record::KeyRecord;
use crate::config::{Unusable, read_owned};

/// Why a file of keys cannot be used. The line names the file.
#[derive(Debug, thiserror::Error)]
pub enum KeysFileError {
    /// It cannot be read or written. A retry may succeed.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It says something wrong.
    #[error("{path}: {reason}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, in one line.
        reason: String,
    },
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    #[serde(default)]
    keys: Vec<KeyRecord>,
}

/// What tells whether a file has changed: it is replaced, or written in place.
pub(super) type Version = (u64, u64, i64, i64, u64);

/// The version of the file as it is now.
///
/// # Errors
///
/// [`KeysFileError::Io`].
pub(super) fn version(path: &Path) -> Result<Version, KeysFileError> {
    let found = std::fs::metadata(path).map_err(|source| io_error(path, source))?;
    Ok((found.dev(), found.ino(), found.mtime(), found.mtime_nsec(), found.len()))
}

/// Reads the keys of a file.
///
/// # Errors
///
/// The file cannot be read, other users may write it, it is not a list of keys, or it names an id
/// twice.
pub fn read(path: &Path) -> Result<Vec<KeyRecord>, KeysFileError> {
    let text = read_owned(path).map_err(|unusable| match unusable {
        Unusable::Unreadable(source) => io_error(path, source),
        Unusable::Writable(line) => malformed(path, &line),
    })?;
    let content: Content = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        malformed(path, &format!("line {line}: {}", error.message()))
    })?;
    for (at, key) in content.keys.iter().enumerate() {
        key.check().map_err(|error| malformed(path, &error.0))?;
        if content.keys[..at].iter().any(|its| its.id == key.id) {
            return Err(malformed(path, &format!("key {} is there twice", key.id)));
        }
    }
    Ok(content.keys)
}

/// Changes the keys of a file, which is made if it does not exist. Programs that change it at the
/// same time wait for each other, and services see the old file or the new one.
///
/// # Errors
///
/// As [`read`], or the file cannot be written; or that of `change`, and nothing is written.
pub fn change<T, E: From<KeysFileError>>(
    path: &Path,
    change: impl FnOnce(&mut Vec<KeyRecord>) -> Result<T, E>,
) -> Result<T, E> {
    let io = |source| io_error(path, source);
    // Services may read it through a link, such as a mounted secret: the file itself is replaced.
    let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = File::open(folder.unwrap_or(Path::new("."))).map_err(io)?;
    let lock = new_file(&beside(path, ".lock"), false).map_err(io)?;
    lock.lock().map_err(io)?;
    let mut keys = match read(path) {
        Err(KeysFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Vec::new()
        }
        read => read?,
    };
    let changed = change(&mut keys)?;
    let text =
        toml::to_string(&Content { keys }).map_err(|error| malformed(path, &error.to_string()))?;
    replace(path, &text).map_err(io)?;
    folder.sync_all().map_err(io)?;
    Ok(changed)
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let new = beside(path, ".new");
    let _ = std::fs::remove_file(&new);
    let mut file = new_file(&new, true)?;
    file.write_all(
        b"# API keys, written by lastro keys. Only hashes: no key can be read from here.\n\n",
    )?;
    file.write_all(text.as_bytes())?;
    // The service may run as another user: the file keeps its owner, its group and its mode.
    if let Ok(old) = std::fs::metadata(path) {
        fchown(&file, Some(old.uid()), Some(old.gid()))?;
        file.set_permissions(old.permissions())?;
    }
    file.sync_all()?;
    std::fs::rename(&new, path)
}

/// A file beside the one of the keys.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A file that only its owner may open, and that is no link.
fn new_file(path: &Path, must_be_new: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let nofollow = OFlags::NOFOLLOW.bits().cast_signed();
    options.write(true).create(true).create_new(must_be_new).mode(0o600).custom_flags(nofollow);
    options.open(path)
}

fn io_error(path: &Path, source: io::Error) -> KeysFileError {
    KeysFileError::Io { path: path.to_owned(), source }
}

fn malformed(path: &Path, reason: &str) -> KeysFileError {
    let reason = reason.lines().collect::<Vec<_>>().join(" ");
    KeysFileError::Malformed { path: path.to_owned(), reason }
}
