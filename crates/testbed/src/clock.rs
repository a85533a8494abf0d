//! A wall clock of a program's own, which a test may set while the program runs. Timers keep the
//! pace of the machine.

use std::ffi::OsString;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::Launch;

/// Works through libfaketime, which reads the file at every call that asks for the time.
#[derive(Debug)]
pub struct Clock {
    folder: TempDir,
}

impl Clock {
    /// A clock that shows the machine's time.
    pub fn right() -> Self {
        let clock = Self { folder: tempfile::tempdir().expect("a folder") };
        // The folder is readable for programs that run as another user, too.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(clock.folder.path(), open).expect("permissions");
        clock.set("+0");
        clock
    }

    /// Sets the clock. `+3600` and `-1y` are offsets; `@2020-01-01 00:00:00` starts at that time
    /// and continues; a time without `@` stands still.
    pub fn set(&self, time: &str) {
        // Renamed into place, so that no program reads half of a file.
        let new = self.folder.path().join("new");
        std::fs::write(&new, format!("{time}\n")).expect("a file");
        std::fs::rename(new, self.file()).expect("a file");
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("time")
    }

    /// Makes the launched program see this clock.
    pub fn seen_by(&self, launch: Launch) -> Launch {
        self.environment().into_iter().fold(launch, |launch, (name, value)| launch.env(name, value))
    }

    /// The environment that makes a program see this clock. A clock that stands still shows UTC.
    pub(crate) fn environment(&self) -> [(&'static str, OsString); 6] {
        [
            ("LD_PRELOAD", library().into()),
            ("FAKETIME_TIMESTAMP_FILE", self.file().into()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            ("DONT_FAKE_MONOTONIC", "1".into()),
            ("TZ", "UTC".into()),
        ]
    }
}

fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().filter_map(Result::ok);
    let mut libraries = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    libraries
        .find(|library| library.exists())
        .expect("libfaketime; run it as: scripts/with-servers cargo test …")
}
