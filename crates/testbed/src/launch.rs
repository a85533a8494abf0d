//! How a program under test is started: with which arguments, in which surroundings, and for how long.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::PATIENCE;
use crate::program::Program;
use crate::tool::Tool;

/// A program that is about to start.
///
/// **Shape:** nothing of this process's own configuration reaches it: no `LASTRO_…`, no `RUST_LOG`, no `lastro.toml`
/// but one in its working directory.
#[derive(Clone, Debug)]
pub struct Launch {
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    folder: PathBuf,
    surroundings: Vec<OsString>,
    has_disk: bool,
}

/// What a program left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// None: a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Launch {
    /// `program`, which will run in `folder`.
    pub fn of(program: impl Into<OsString>, folder: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            folder: folder.into(),
            surroundings: Vec::new(),
            has_disk: false,
        }
    }

    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// With a disk of its own mounted at `mount_point`, which only the program sees: `options` are those of a tmpfs,
    /// such as `size=8m`. It is gone when the program is. Needs root, or user namespaces.
    #[must_use]
    pub fn with_disk(self, mount_point: &Path, options: &str) -> Self {
        let mount = format!("mount -t tmpfs -o {options} lastro-test \"$0\" && exec \"$@\"");
        let mut around: Vec<OsString> = vec!["unshare".into(), "--mount".into()];
        if !is_root() {
            around.extend(["--user".into(), "--map-root-user".into()]);
        }
        around.extend(["sh".into(), "-c".into(), mount.into(), mount_point.into()]);
        Self { has_disk: true, ..self.within(around) }
    }

    /// Whether it gets a disk of its own.
    pub fn has_disk(&self) -> bool {
        self.has_disk
    }

    /// Sees the disks that the running `program` sees.
    #[must_use]
    pub fn beside(self, program: &Program) -> Self {
        let mut around: Vec<OsString> = vec!["nsenter".into(), "--mount".into()];
        if !is_root() {
            around.extend(["--user".into(), "--preserve-credentials".into()]);
        }
        around.extend([format!("--target={}", program.pid()).into()]);
        self.within(around)
    }

    /// As a user to whom permissions apply, which they do not to root.
    #[must_use]
    pub fn unprivileged(self) -> Self {
        if is_root() { self.within(vec!["setpriv".into(), "--bounding-set=-all".into()]) } else { self }
    }

    fn within(self, surroundings: Vec<OsString>) -> Self {
        Self { surroundings, ..self }
    }

    /// Starts it and waits until it serves: until it logs on standard error that it "is ready", and at which address.
    ///
    /// **Errors:** panics, with what the program said instead.
    pub async fn serving(self) -> Program {
        let mut command = self.command();
        command.stdout(Stdio::null());
        Program::serving(command).await
    }

    /// Starts it and listens to what it says.
    pub fn talking(self) -> Tool {
        Tool::start(self.command())
    }

    /// Starts it and waits until it has ended.
    pub async fn to_end(self) -> Ended {
        self.to_end_within(PATIENCE).await
    }

    /// The same, for a program that may take its time.
    pub async fn to_end_within(self, deadline: Duration) -> Ended {
        let mut command = self.command();
        let output = tokio::time::timeout(deadline, command.output()).await;
        let output = output.unwrap_or_else(|_| panic!("{self:?} did not end within {deadline:?}"));
        let output = output.unwrap_or_else(|error| panic!("{self:?} did not start: {error}"));
        let text = |bytes| String::from_utf8(bytes).expect("a program writes UTF-8");
        Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    fn command(&self) -> Command {
        let mut words = self.surroundings.iter().chain([&self.program]).chain(&self.arguments);
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words).current_dir(&self.folder).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let own = std::env::vars_os().map(|(name, _)| name);
        for name in own.filter(|name| name == "RUST_LOG" || name.as_encoded_bytes().starts_with(b"LASTRO_")) {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Whether permissions apply to this process, and mounting is allowed.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
