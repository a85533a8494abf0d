//! A bar on a terminal, and nothing elsewhere.

use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How often the bar is drawn while nothing else moves it.
const TICK: Duration = Duration::from_millis(200);

/// How far a copy is. Dropping it clears the line.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    /// The bytes of the files that are complete, and of the one that is copied.
    before: u64,
    current: u64,
}

impl Progress {
    pub(crate) fn copying(bytes: u64) -> Self {
        let bar = ProgressBar::new(bytes);
        let template = "{msg} {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
        bar.set_style(ProgressStyle::with_template(template).expect("a template"));
        Self { bar, before: 0, current: 0 }
    }

    /// What takes an unknown time.
    pub(crate) fn checking() -> Self {
        let bar = ProgressBar::new_spinner().with_message("checking the copy");
        bar.enable_steady_tick(TICK);
        Self { bar, before: 0, current: 0 }
    }

    /// A file of this size is next.
    pub(crate) fn next(&mut self, file: &Path, bytes: u64) {
        self.before += std::mem::replace(&mut self.current, bytes);
        self.bar.set_message(file.display().to_string());
    }

    /// So much of the file is copied.
    pub(crate) fn done(&self, bytes: u64) {
        self.bar.set_position(self.before + bytes);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
