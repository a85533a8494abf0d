//! The programs of the servers: where they are, and which are missing.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use platform::process::ProgramError;

/// Programs, and the packages that have them.
const NEEDED: [(&str, &str); 5] = [
    ("initdb", "postgresql"),
    ("postgres", "postgresql"),
    ("psql", "postgresql-client"),
    ("pgbench", "postgresql"),
    ("nats-server", "nats-server"),
];

/// The programs of the servers, which are installed.
#[derive(Clone, Debug)]
pub(in crate::bench::suite) struct Installed {
    folders: Vec<PathBuf>,
}

impl Installed {
    /// Finds the programs: in PATH, and where Debian has those of PostgreSQL.
    ///
    /// # Errors
    ///
    /// Names all that are missing, in one line.
    pub(in crate::bench::suite) fn find() -> Result<Self, ProgramError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]).chain(newest());
        Self::among(folders.collect())
    }

    fn among(folders: Vec<PathBuf>) -> Result<Self, ProgramError> {
        let found = Self { folders };
        let missing: Vec<_> =
            NEEDED.iter().filter(|(name, _)| found.program(name).is_none()).collect();
        if missing.is_empty() {
            return Ok(found);
        }
        let names: Vec<_> = missing.iter().map(|(name, _)| *name).collect();
        let mut packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
        packages.dedup();
        Err(ProgramError::failed(format!(
            "the suite needs {}; install {}, or name a row that needs no servers",
            names.join(", "),
            packages.join(" and "),
        )))
    }

    fn program(&self, name: &str) -> Option<PathBuf> {
        self.folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file())
    }

    /// A command of one of the programs.
    pub(in crate::bench::suite) fn command(&self, name: &str) -> Command {
        let program = self.program(name).unwrap_or_else(|| name.into());
        let mut command = Command::new(program);
        own_group(&mut command);
        command
    }

    /// A command of PostgreSQL's server, which refuses to run as root.
    pub(super) fn unprivileged(&self, name: &str) -> Command {
        if !rustix::process::geteuid().is_root() {
            return self.command(name);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"]);
        command.arg(self.program(name).unwrap_or_else(|| name.into()));
        own_group(&mut command);
        command
    }
}

/// Ctrl-C on a terminal must reach the suite only, which then ends its servers.
fn own_group(command: &mut Command) {
    command.process_group(0).stdin(Stdio::null());
}

/// The folder of the newest PostgreSQL on Debian.
fn newest() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.filter_map(|entry| Some(entry.ok()?.path())).max_by_key(number)?;
    Some(newest.join("bin"))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn missing_programs_are_named_in_one_line_with_their_packages() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["initdb", "postgres", "psql"] {
            File::create(folder.path().join(name)).expect("a file");
        }
        let among = || Installed::among(vec![folder.path().to_owned()]);
        assert_eq!(
            among().expect_err("two are missing").to_string(),
            "the suite needs pgbench, nats-server; install postgresql and nats-server, or name a row \
             that needs no servers"
        );
        for name in ["pgbench", "nats-server"] {
            File::create(folder.path().join(name)).expect("a file");
        }
        among().expect("all are there");
    }
}
